// Package provider holds the words that payment providers are translated into.
//
// A provider lives in a folder below this one and turns what it receives into
// these types. Whatever would change if the provider changed stays in that
// folder. This package declares no interfaces: the package that needs one declares it
// where it is used.
package provider

import (
	"fmt"
	"net/http"
	"time"

	"github.com/shopspring/decimal"
)

// A Delivery is one HTTP call as it reached the receiver, before anything in
// it is believed.
type Delivery struct {
	Method   string
	RawQuery string
	Header   http.Header
	Body     []byte
}

// An Event is a delivery that was accepted, in provider-neutral words.
type Event struct {
	// Source names the provider, for example "mercadopago".
	Source string
	// Topic is the provider's topic as the delivery names it.
	Topic string
	// Action is the provider's action, empty when it names none.
	Action string
	// ResourceID is the id to fetch, as text whatever its JSON type was; empty
	// when the delivery names none.
	ResourceID string
	// CollectorID is the account that it is about, as the body claims; empty when it
	// claims none. It proves nothing.
	CollectorID string
	// LiveMode is what the body claims; nil when it claims nothing.
	LiveMode *bool
	// NotifiedAt is when the provider made the notification, as the body claims;
	// zero when it claims nothing. It proves nothing.
	NotifiedAt time.Time
	// Work says what the event asks of us.
	Work Work
	// Signed is true when a signature over the delivery was verified.
	Signed bool
	// SignatureKey identifies a signed delivery by its signature and what it asks
	// for, in 32 bytes. Two deliveries of one source with the same key are one. Keys
	// should ascend roughly with time: they are indexed.
	// Nil when unsigned: such deliveries are never duplicates.
	SignatureKey []byte
	// Signature is the matched signature itself, which several events may share.
	// Nil when unsigned.
	Signature []byte
	// Unbound is true when the signature covers no id, or not the body where that is
	// what is asked for: anyone who has seen it can make it ask for any.
	Unbound bool
}

// A RefusalKind groups refusals by what the sender is told.
type RefusalKind uint8

const (
	// Malformed: the delivery cannot be read unambiguously (HTTP 400).
	Malformed RefusalKind = iota + 1
	// Unauthenticated: its signature is absent or does not match (HTTP 401).
	Unauthenticated
)

// A Refusal is the error for a delivery that was not accepted.
type Refusal struct {
	Kind RefusalKind
	// Reason is a stable machine-readable word, for example "signature_mismatch".
	Reason string
	// Topic is the topic that the delivery names, where the provider has such a one;
	// else empty.
	Topic string
	// Channel is the form that the delivery has.
	Channel Channel
}

// A Channel is a form of a provider's deliveries. Channels are stored.
type Channel string

// The channels: one whose deliveries a signature proves, and one whose deliveries
// nothing proves.
const (
	Webhooks Channel = "webhooks"
	IPN      Channel = "ipn"
)

// Error implements error. It never contains anything of the delivery.
func (r *Refusal) Error() string { return "delivery refused: " + r.Reason }

// A Payment is a provider's payment as it was fetched.
type Payment struct {
	// ID is the payment's id as text.
	ID string
	// Reference is the merchant's order reference; empty when there is none.
	Reference string
	// MerchantOrderID is the provider's own order that the payment is part of,
	// which may know a reference where the payment has none; empty when there is
	// none.
	MerchantOrderID string
	// SubscriptionID is the subscription that the payment is a charge of, empty
	// when it is none, and SubscriptionNumber which charge of it, counted from 1;
	// 0 when not said.
	SubscriptionID     string
	SubscriptionNumber int64
	// Status is the provider's status word, not yet judged.
	Status string
	// StatusDetail is the provider's finer word; empty when there is none.
	StatusDetail string
	// Amount is what was charged, in units of Currency and without Shipping. It
	// is invalid when not said, which only a payment without money may leave out.
	Amount decimal.NullDecimal
	// Shipping is what was charged for shipping beside Amount, in units of
	// Currency; 0 when not said.
	Shipping decimal.Decimal
	// Refunded is what went back, in units of Currency and as reported: it may be
	// more than Amount, when shipping went back too.
	Refunded decimal.Decimal
	// Currency is the ISO 4217 code; empty when not said, which only a payment
	// without money may leave out.
	Currency string
	// CollectorID is the account that was paid; empty when not said.
	CollectorID string
	// LiveMode is false for the provider's test payments.
	LiveMode bool
	// Validation is true for a check of a card that moves no money.
	Validation bool
	// CreatedAt is when the payment was made, as reported; zero when not said.
	CreatedAt time.Time
	// UpdatedAt is when the provider last changed the payment, as reported and by
	// its own clock; zero when it said nothing that can be read.
	UpdatedAt time.Time
	// Cost is what the payment costs its collector.
	Cost Cost
	// Method is what it was made with.
	Method Method
	// Raw is the body as received.
	Raw []byte
}

// A Method is what a payment was made with, in the provider's words.
type Method struct {
	// ID is the card's brand, the voucher or the scheme, and Type the kind of it; each
	// is empty when not said.
	ID, Type string
}

// An ErrorKind says what a failed call means for the one who made it.
type ErrorKind uint8

const (
	// Unexpected: an answer that no other kind covers.
	Unexpected ErrorKind = iota
	// NotFound: the provider does not know the payment, or not yet.
	NotFound
	// ResourceNotFound: the provider does not know something else than a payment,
	// or not yet.
	ResourceNotFound
	// NotListed: the provider's search does not show a payment yet that is there.
	NotListed
	// RateLimited: too many calls; see Error.RetryAfter.
	RateLimited
	// Unauthorized: the credential was not accepted for this call.
	Unauthorized
	// Forbidden: the credential is not allowed to make this call.
	Forbidden
	// Unavailable: no answer, a timeout, or a failure on the provider's side.
	Unavailable
	// Unreadable: an answer came that is cut off or isn't the API's at all.
	Unreadable
	// Locked: somebody is changing the payment; a moment later it can be read.
	Locked
	// Odd: the payment was read, and something in it that is needed can't be.
	// Error.Err is an *OddPayment.
	Odd
)

// String returns the kind's stable word, as it is logged and stored.
func (k ErrorKind) String() string {
	switch k {
	case NotFound:
		return "payment_not_found"
	case ResourceNotFound:
		return "resource_not_found"
	case NotListed:
		return "payment_not_listed"
	case RateLimited:
		return "rate_limited"
	case Unauthorized:
		return "unauthorized"
	case Forbidden:
		return "forbidden"
	case Unavailable:
		return "provider_unavailable"
	case Unreadable:
		return "unreadable_answer"
	case Locked:
		return "resource_locked"
	case Odd:
		return "odd_payment"
	case Unexpected:
		return "unexpected_answer"
	}
	return fmt.Sprintf("provider_error_%d", uint8(k))
}

// An Error is a failed call to a provider. Its text is safe to store and log:
// it holds no credential and nothing of the answer's body.
type Error struct {
	Kind ErrorKind
	// StatusCode is the HTTP status, 0 when no answer came.
	StatusCode int
	// RetryAfter is how long the provider asked us to wait, 0 when it did not.
	RetryAfter time.Duration
	// NotAsked is true when the call was not made, for a reason of our own: it
	// says nothing about the provider.
	NotAsked bool
	// Err is the cause, nil when the status says it all.
	Err error
}

func (e *Error) Error() string {
	msg := e.Kind.String()
	if e.StatusCode != 0 {
		msg += fmt.Sprintf(": HTTP %d", e.StatusCode)
	}
	if e.Err != nil {
		msg += ": " + e.Err.Error()
	}
	return msg
}

func (e *Error) Unwrap() error { return e.Err }
