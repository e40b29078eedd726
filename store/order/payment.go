package order

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"
)

// ErrInvalidPayment is the error for a payment that names no payment or whose
// money cannot be.
var ErrInvalidPayment = errors.New("invalid payment")

// ClockTolerance is how far ahead of its fetch a provider may date a change and
// be believed.
const ClockTolerance = 5 * time.Minute

// A Payment is one state of one payment, as it was fetched from the provider.
type Payment struct {
	// ID is the payment's id, text whatever the provider's type is.
	ID string
	// StatusDetail is the provider's finer word for the status. Any word is
	// accepted, also none; only "reimbursed" on a charge-back changes money.
	StatusDetail string
	// Currency is the ISO 4217 code of the amounts; empty when not said, which
	// only a payment without money may leave out.
	Currency string
	// CollectorID is the account that was paid; empty when not said.
	CollectorID string
	// SubscriptionID is the subscription that the payment is a charge of; empty
	// when it is none.
	SubscriptionID string
	// Status is one of the nine payment statuses.
	Status PaymentStatus
	// Amount is what was charged without Shipping, in units of Currency. It is
	// not valid when not said, which only a payment without money may leave out.
	Amount decimal.NullDecimal
	// Shipping is what was charged for shipping beside Amount, in units of
	// Currency; 0 when not said.
	Shipping decimal.Decimal
	// Refunded is what went back, in units of Currency and as reported: it may be
	// more than Amount, when shipping or fees went back too.
	Refunded decimal.Decimal
	// SubscriptionNumber says which charge of the subscription it is, counted
	// from 1; 0 when not said.
	SubscriptionNumber int64
	// LiveMode is false for the provider's test payments.
	LiveMode bool
	// Validation is true for a check of a card, which moves no money
	// (operation_type card_validation).
	Validation bool
	// CreatedAt is when the payment was made, as reported; zero when not said. It is
	// no part of a state: it only tells which payment an Alias is.
	CreatedAt time.Time
	// UpdatedAt is when the provider last changed the payment, as reported; zero
	// when it said nothing that can be read.
	UpdatedAt time.Time
	// FetchedAt is when the fetch that brought this state began.
	FetchedAt time.Time
	// FetchMark is the newest event id that was drawn before that fetch began: it
	// orders fetches without a clock. 0 is older than all.
	FetchMark int64
	// KnownAt is when this state counts as changed where it was seen before, see
	// ChangedAt; zero for a state that was just fetched.
	KnownAt time.Time
}

// ChangedAt is the moment at which the state counts as changed when states are
// compared: UpdatedAt, and the beginning of the fetch where UpdatedAt is absent
// or more than five minutes after it. A state that was seen before keeps the
// moment of its first fetch, so that a wrong date pins no payment.
func (p Payment) ChangedAt() time.Time {
	switch {
	case !p.KnownAt.IsZero():
		return p.KnownAt
	case p.UpdatedAt.IsZero(), p.UpdatedAt.After(p.FetchedAt.Add(ClockTolerance)):
		return p.FetchedAt
	}
	return p.UpdatedAt
}

// Supersedes reports whether p is a later state than q. Both are states of one
// payment; the id is not looked at.
//
// The later ChangedAt wins; when equal, the higher rank of the status; when that
// is equal too, the fetch with the higher mark, then the later one. Instants are
// compared exactly, in whatever zone they are written. A state without a date
// that says what q says is q's and supersedes nothing.
//
// Two states that agree in all of that and still differ are decided by their
// facts, the one with more refunded first, so that no two different states are
// ever each as late as the other and the order of arrival cannot matter. A
// state does not supersede itself.
func (p Payment) Supersedes(q Payment) bool {
	return !p.Repeats(q) && p.compare(q) > 0
}

// Repeats reports whether p says nothing that q did not: the same facts, and the
// same date or none.
func (p Payment) Repeats(q Payment) bool {
	if p.UpdatedAt.IsZero() {
		p.UpdatedAt = q.UpdatedAt
	}
	return p.SameState(q)
}

// compare orders the states of one payment, the latest last.
func (p Payment) compare(q Payment) int {
	if c := p.ChangedAt().Compare(q.ChangedAt()); c != 0 {
		return c
	}
	if c := cmp.Compare(p.Status.Rank(), q.Status.Rank()); c != 0 {
		return c
	}
	if c := cmp.Or(cmp.Compare(p.FetchMark, q.FetchMark), p.FetchedAt.Compare(q.FetchedAt)); c != 0 {
		return c
	}
	return cmp.Or(
		p.Refunded.Cmp(q.Refunded),
		// The smaller amount: in doubt, less money came.
		q.Amount.Decimal.Cmp(p.Amount.Decimal),
		compareBool(p.Amount.Valid, q.Amount.Valid),
		q.Shipping.Cmp(p.Shipping),
		strings.Compare(p.StatusDetail, q.StatusDetail),
		strings.Compare(string(p.Status), string(q.Status)), // differs only between unknown words
		strings.Compare(p.Currency, q.Currency),
		strings.Compare(p.CollectorID, q.CollectorID),
		strings.Compare(p.SubscriptionID, q.SubscriptionID),
		cmp.Compare(p.SubscriptionNumber, q.SubscriptionNumber),
		compareBool(p.LiveMode, q.LiveMode),
		compareBool(p.Validation, q.Validation),
		p.UpdatedAt.Compare(q.UpdatedAt), // differs only where neither date is believed
	)
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	default:
		return -1
	}
}

// SameState reports whether p and q say the same about the same payment. When
// they were fetched makes no difference: a payment that is fetched again
// unchanged is in the state that it was in.
func (p Payment) SameState(q Payment) bool {
	return p.ID == q.ID &&
		p.Status == q.Status &&
		p.StatusDetail == q.StatusDetail &&
		p.Amount.Valid == q.Amount.Valid &&
		p.Amount.Decimal.Equal(q.Amount.Decimal) &&
		p.Shipping.Equal(q.Shipping) &&
		p.Refunded.Equal(q.Refunded) &&
		p.Currency == q.Currency &&
		p.CollectorID == q.CollectorID &&
		p.SubscriptionID == q.SubscriptionID &&
		p.SubscriptionNumber == q.SubscriptionNumber &&
		p.LiveMode == q.LiveMode &&
		p.Validation == q.Validation &&
		p.UpdatedAt.Equal(q.UpdatedAt)
}

// sortStates returns the states by payment id and, within one payment, from
// the oldest to the latest.
func sortStates(states []Payment) []Payment {
	sorted := slices.Clone(states)
	slices.SortFunc(sorted, func(p, q Payment) int {
		if c := strings.Compare(p.ID, q.ID); c != 0 {
			return c
		}
		return p.compare(q)
	})
	return sorted
}

// latestOfSorted keeps the last state of each payment, in place.
func latestOfSorted(sorted []Payment) []Payment {
	kept := sorted[:0]
	for i, p := range sorted {
		if i+1 == len(sorted) || sorted[i+1].ID != p.ID {
			kept = append(kept, p)
		}
	}
	return kept
}

// validate returns an error that names the payment when its state cannot be
// settled, whether the payment would count or not.
func (p Payment) validate() error {
	if p.ID == "" {
		return fmt.Errorf("%w: it has no id", ErrInvalidPayment)
	}
	if _, err := ParsePaymentStatus(string(p.Status)); err != nil {
		return fmt.Errorf("payment %.64q: %w", p.ID, err)
	}
	invalid := func(what string) error {
		return fmt.Errorf("payment %.64q: %w: %s", p.ID, ErrInvalidPayment, what)
	}
	switch {
	case !p.Amount.Valid && p.Status.HasMoney():
		return invalid("it has no amount")
	case p.Amount.Decimal.IsNegative():
		return invalid("its amount is negative")
	case p.Amount.Decimal.GreaterThanOrEqual(amountLimit):
		return invalid("its amount is not below 10^15")
	case p.Shipping.IsNegative():
		return invalid("its shipping is negative")
	case p.Shipping.GreaterThanOrEqual(amountLimit):
		return invalid("its shipping is not below 10^15")
	case p.Refunded.IsNegative():
		return invalid("its refunded amount is negative")
	}
	return nil
}

// moneyless reports whether no money can stand behind the payment whatever its
// status says. An amount that is not said is not an amount of nothing.
func (p Payment) moneyless() bool {
	return p.Validation || p.Amount.Valid && p.Amount.Decimal.IsZero()
}

// pays reports whether the payment's money came and counts.
func (p Payment) pays() bool {
	return p.Status == PaymentApproved || p.Status == PaymentRefunded || p.Reimbursed()
}

// Reimbursed reports whether the payment is a charge-back that the merchant won.
func (p Payment) Reimbursed() bool {
	return p.Status == PaymentChargedBack && p.StatusDetail == DetailReimbursed
}

// matters reports whether there is money of the payment that somebody must look
// after where it does not fit: it has some, or it is disputed or reserved.
func (p Payment) matters() bool {
	switch {
	case p.moneyless():
		return false
	case p.pays():
		return p.Status != PaymentRefunded && p.Refunded.LessThan(p.Amount.Decimal)
	}
	return p.Status == PaymentAuthorized || p.Status == PaymentInMediation || p.Status == PaymentChargedBack
}

// comparePaymentIDs orders payments by when they were made, as far as their ids
// tell: a provider counts them up.
func comparePaymentIDs(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}
