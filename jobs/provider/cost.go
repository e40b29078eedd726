package provider

import (
	"time"

	"github.com/shopspring/decimal"
)

// A Cost is what a payment costs its collector, and what is left for them, as the
// payment itself says. Costs are positive, in units of the payment's currency;
// invalid is what was not said, or nothing while no money has come.
type Cost struct {
	// Fee is the provider's own, ApplicationFee that of the marketplace that made the
	// payment. FinancingFee is for instalments without interest.
	Fee, ApplicationFee, FinancingFee, ShippingFee decimal.NullDecimal
	// Taxes were withheld.
	Taxes decimal.NullDecimal
	// Net is what is left.
	Net decimal.NullDecimal
	// ReleaseDate is when the money is or was made available; zero when not said.
	ReleaseDate time.Time
	// ReleaseStatus is the provider's word for that; empty when not said.
	ReleaseStatus string
}
