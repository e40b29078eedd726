package provider

import (
	"time"

	"github.com/shopspring/decimal"
)

// A RefundRequest asks a provider to give a payment's money back.
type RefundRequest struct {
	// PaymentID is the payment's.
	PaymentID string
	// Key makes the request one, however often it is sent: the provider answers the
	// same key with the same refund.
	Key string
	// Amount is what goes back, in units of the payment's currency; nothing of it is
	// sent with Whole, which gives back all that there is.
	Amount decimal.Decimal
	Whole  bool
}

// A RefundState says what has become of a refund at the provider.
type RefundState string

// The states.
const (
	// RefundMade: the money went back.
	RefundMade RefundState = "made"
	// RefundUnderWay: the provider took the request, and has not decided yet.
	RefundUnderWay RefundState = "under_way"
	// RefundRefused: nothing went back, and nothing will.
	RefundRefused RefundState = "refused"
)

// A RefundReason is why a provider refuses a refund. Reasons are stored.
type RefundReason string

// The reasons.
const (
	// RefundTooOld: too much time has passed since the payment.
	RefundTooOld RefundReason = "payment_too_old"
	// RefundWrongState: the payment's state allows no refund: it is refunded already, in
	// dispute, or was never paid.
	RefundWrongState RefundReason = "payment_state"
	// RefundWrongAmount: more than is left, or no amount that the provider takes.
	RefundWrongAmount RefundReason = "amount_refused"
	// RefundWholeOnly: the means of payment allows whole refunds only.
	RefundWholeOnly RefundReason = "whole_only"
	// RefundNoPayment: the provider does not know the payment.
	RefundNoPayment RefundReason = "payment_not_found"
	// RefundNotAllowed: our credentials may not give this payment back.
	RefundNotAllowed RefundReason = "forbidden"
	// RefundRejected: the refund was taken, and then not made.
	RefundRejected RefundReason = "rejected"
	// RefundRefusedOtherwise: any other refusal.
	RefundRefusedOtherwise RefundReason = "refused"
)

// RefundReasons lists every reason.
func RefundReasons() []RefundReason {
	return []RefundReason{
		RefundTooOld, RefundWrongState, RefundWrongAmount, RefundWholeOnly, RefundNoPayment, RefundNotAllowed, RefundRejected, RefundRefusedOtherwise,
	}
}

// A Refund is one as the provider shows it, or its refusal.
type Refund struct {
	// ID is the provider's; empty for a refusal.
	ID    string
	State RefundState
	// Amount is what went back, in units of the payment's currency; 0 for a refusal.
	Amount decimal.Decimal
	// CreatedAt is when it was made, as reported; zero when not said.
	CreatedAt time.Time
	// Reason and Said are a refusal's: why, and the provider's own numbers for it, such
	// as an HTTP status and a code.
	Reason RefundReason
	Said   string
}
