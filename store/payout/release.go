package payout

import "github.com/shopspring/decimal"

// A Difference is how a payment's release is not what the payment says.
type Difference string

// The differences.
const (
	// NoDifference: it is, or nothing can be said.
	NoDifference Difference = ""
	// ReleasedDiffers: another amount was released.
	ReleasedDiffers Difference = "released_differs"
	// NotReleased: nothing was, although the date has passed and a report would show it.
	NotReleased Difference = "not_released"
	// ReleasedUnknown: the payment is not known.
	ReleasedUnknown Difference = "released_unknown"
)

// Why a payment's money is not released.
const (
	// ReasonDispute: a chargeback or a mediation is under way.
	ReasonDispute = "dispute"
	// ReasonBlock: money of it is held back.
	ReasonBlock = "block"
)

// A Release is what a payment says of its money, and what reports say.
type Release struct {
	// Known is false for a payment that only reports name.
	Known bool
	// Paid is true while the payment's money is the merchant's, or in dispute; Disputed
	// while it is in dispute.
	Paid, Disputed bool
	// Net is what is left of the payment, and Refunded what went back of it. Net is not
	// valid when the payment does not say.
	Net      decimal.NullDecimal
	Refunded decimal.Decimal
	// Released is the sum of what was released of it, by so many rows, and Held that of
	// what was held back, below 0 while something is.
	Released decimal.Decimal
	Rows     int64
	Held     decimal.Decimal
	// Covered is true when reports cover the time from the release date until three days
	// later.
	Covered bool
}

// Judge says whether the release is what the payment says, and why money is not
// released where that is known.
//
// A payment that was refunded may be released as a whole, or without what went back.
func (r Release) Judge() (d Difference, reason string) {
	switch {
	case !r.Known && r.Rows > 0:
		return ReleasedUnknown, ""
	case !r.Known || !r.Paid || !r.Net.Valid:
		return NoDifference, ""
	case r.Rows > 0 && !r.Released.Equal(r.Net.Decimal) && !r.Released.Equal(r.Net.Decimal.Sub(r.Refunded)):
		return ReleasedDiffers, ""
	case r.Rows > 0 || !r.Covered || !r.Net.Decimal.Sub(r.Refunded).IsPositive():
		return NoDifference, ""
	case r.Disputed:
		reason = ReasonDispute
	case r.Held.IsNegative():
		reason = ReasonBlock
	}
	return NotReleased, reason
}
