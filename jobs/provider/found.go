package provider

import (
	"errors"
	"time"

	"github.com/shopspring/decimal"
)

// A Ref names something at a provider that can be fetched: what a topic of the
// provider is about, by its id.
type Ref struct{ Topic, ID string }

// Found is what one fetch brought: what was fetched, what is to be fetched next, or
// both.
type Found struct {
	// Payment is nil when what was fetched is not a payment. So are Chargeback and
	// Claim, of which nothing is booked.
	Payment    *Payment
	Chargeback *Chargeback
	Claim      *Claim
	// Next is what it names, each once.
	Next []Ref
	// Ordered are the payments of an order of the provider's, as that has them.
	Ordered []OrderedPayment
}

// An OrderedPayment is a payment as an order of the provider's has it: under an id of
// that order's, while the same money is a payment with an id of its own.
type OrderedPayment struct {
	// ID is the order's id of the payment, Order the order.
	ID    string
	Order Ref
	// PaymentID is the payment's own id; empty where the order doesn't say it.
	PaymentID string
	// Reference is the merchant's order reference; empty when there is none.
	Reference string
	// Status is the payment's status that the order's words amount to; empty where
	// they settle nothing. Said are the words themselves.
	Status, Said string
	// Amount and Refunded are as in a Payment, without shipping.
	Amount   decimal.NullDecimal
	Refunded decimal.Decimal
	// Currency is the ISO 4217 code; empty when it can't be told, which only a
	// payment without money may leave out.
	Currency string
	// CollectorID is the account that was paid; empty when not said.
	CollectorID string
	// LiveMode is false for an order of the provider's tests.
	LiveMode bool
	// Shown is true when the payments' side shows the payment: its state is fetched
	// from there. Awaited is true where there must be a payment, which has money or
	// reserves it, as far as the words are understood.
	Shown, Awaited bool
	// OrderCreatedAt and OrderUpdatedAt are when the order was made and changed last,
	// to the nanosecond; zero when not said.
	OrderCreatedAt, OrderUpdatedAt time.Time
}

// ErrUnknownTopic means that this release cannot fetch what a topic is about. A
// newer one, which made the event, can.
var ErrUnknownTopic = errors.New("this release does not know the topic")
