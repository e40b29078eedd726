package order

import (
	"errors"
	"fmt"
	"slices"
)

// ErrUnknownStatus is the error for a payment status outside the nine that are
// documented. It is never read as one of them: a word that nobody has judged
// may mean that money came or that it went.
var ErrUnknownStatus = errors.New("unknown payment status")

// PaymentStatus is the state of a payment.
//
// The words are those of Mercado Pago's payments API
// (https://www.mercadopago.com.mx/developers/en/docs/checkout-api-payments/response-handling/query-results).
type PaymentStatus string

// The nine payment statuses, lowest rank first.
const (
	// PaymentPending: the payer has not finished paying.
	PaymentPending PaymentStatus = "pending"
	// PaymentInProcess: the payment is being reviewed.
	PaymentInProcess PaymentStatus = "in_process"
	// PaymentAuthorized: the money is reserved and not yet captured.
	PaymentAuthorized PaymentStatus = "authorized"
	// PaymentRejected: the payment was refused; no money came.
	PaymentRejected PaymentStatus = "rejected"
	// PaymentCancelled: the payment was called off or expired; no money came.
	PaymentCancelled PaymentStatus = "cancelled"
	// PaymentApproved: the money came. Part or all of it may have gone back.
	PaymentApproved PaymentStatus = "approved"
	// PaymentInMediation: the payer opened a dispute.
	PaymentInMediation PaymentStatus = "in_mediation"
	// PaymentRefunded: the money came and all of it went back.
	PaymentRefunded PaymentStatus = "refunded"
	// PaymentChargedBack: the card's issuer took the money back, or is about
	// to. With the detail "reimbursed" the merchant got it again.
	PaymentChargedBack PaymentStatus = "charged_back"
)

// The status details of a charge-back that is decided; the status stays
// charged_back.
const (
	// DetailSettled: the payer keeps the money.
	DetailSettled = "settled"
	// DetailReimbursed: it ended in the merchant's favour, and the money is there.
	DetailReimbursed = "reimbursed"
)

// paymentStatuses holds every payment status; its order is the rank.
var paymentStatuses = [...]PaymentStatus{
	PaymentPending,
	PaymentInProcess,
	PaymentAuthorized,
	PaymentRejected,
	PaymentCancelled,
	PaymentApproved,
	PaymentInMediation,
	PaymentRefunded,
	PaymentChargedBack,
}

// PaymentStatuses returns the nine payment statuses, lowest rank first. The
// slice is the caller's.
func PaymentStatuses() []PaymentStatus { return slices.Clone(paymentStatuses[:]) }

// ParsePaymentStatus returns the payment status that s names. Only the exact
// lower-case word matches; anything else is an error that wraps
// ErrUnknownStatus.
func ParsePaymentStatus(s string) (PaymentStatus, error) {
	status := PaymentStatus(s)
	if status.Rank() == 0 {
		return "", fmt.Errorf("%w %.40q", ErrUnknownStatus, s)
	}
	return status, nil
}

// Rank says how far a payment in this state has come: 1 for pending up to 9 for
// charged_back, and 0 for a status that is not one of the nine. It only decides
// between two states of one payment that the provider dated alike.
func (s PaymentStatus) Rank() int {
	for i, known := range paymentStatuses {
		if s == known {
			return i + 1
		}
	}
	return 0
}

// HasMoney reports whether a payment in this state says how much money came: the
// payer's money moved, wherever it is now.
func (s PaymentStatus) HasMoney() bool { return s.Rank() >= PaymentApproved.Rank() }

// Status is the state of an order.
type Status string

// The statuses of an order, see Settle for when each of them holds.
const (
	StatusPending           Status = "pending"
	StatusInProcess         Status = "in_process"
	StatusAuthorized        Status = "authorized"
	StatusRejected          Status = "rejected"
	StatusCancelled         Status = "cancelled"
	StatusPartiallyPaid     Status = "partially_paid"
	StatusPaid              Status = "paid"
	StatusPartiallyRefunded Status = "partially_refunded"
	StatusRefunded          Status = "refunded"
	StatusInMediation       Status = "in_mediation"
	StatusChargedBack       Status = "charged_back"
)

// IsOpen reports whether an order in this state waits for money.
func (s Status) IsOpen() bool { return slices.Contains(OpenStatuses(), s) }

// OpenStatuses returns the states in which an order waits for money. The slice is
// the caller's.
func OpenStatuses() []Status {
	return []Status{StatusPending, StatusInProcess, StatusAuthorized, StatusRejected, StatusPartiallyPaid}
}

// Statuses returns every status that an order can have. The slice is the
// caller's.
func Statuses() []Status {
	return []Status{
		StatusPending,
		StatusInProcess,
		StatusAuthorized,
		StatusRejected,
		StatusCancelled,
		StatusPartiallyPaid,
		StatusPaid,
		StatusPartiallyRefunded,
		StatusRefunded,
		StatusInMediation,
		StatusChargedBack,
	}
}
