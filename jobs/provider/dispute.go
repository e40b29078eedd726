package provider

import (
	"time"

	"github.com/shopspring/decimal"
)

// A Chargeback is money that a bank wants back, as a provider has it. What became
// of the money is for its payments to say.
type Chargeback struct {
	ID string
	// PaymentIDs are the payments that it is about, each once.
	PaymentIDs []string
	// Amount is what the bank wants back, in units of Currency; not valid when not
	// said. Currency is then empty or not.
	Amount   decimal.NullDecimal
	Currency string
	// CoverageApplied says how it ended, true where the merchant keeps the money;
	// nil while nothing is decided.
	CoverageApplied *bool
	// DocumentationRequired tells whether the merchant has to send documents; nil
	// when not said.
	DocumentationRequired *bool
	// DocumentationStatus is the provider's word for what became of the documents;
	// empty when not said.
	DocumentationStatus string
	// DocumentationDeadline is until when documents are taken; zero when not said.
	DocumentationDeadline time.Time
	// DocumentsWanted is true while the merchant is to send documents: none are under
	// review or accepted, and nothing is decided.
	DocumentsWanted bool
	// UpdatedAt is when it was changed last, by the provider's clock; zero when not
	// said.
	UpdatedAt time.Time
}

// A Claim is a buyer's complaint, as a provider has it. Its words are the
// provider's, not judged, and empty when not said.
type Claim struct {
	ID string
	// PaymentID is the payment that it is about; empty where it is about an order
	// of the provider's, OrderID, which names the merchant's Reference or none.
	PaymentID, OrderID, Reference string
	Status, Type, Stage           string
	// Closed is true once nothing is asked of anybody any more.
	Closed bool
	// UpdatedAt is as in a Chargeback.
	UpdatedAt time.Time
}
