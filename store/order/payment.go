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

// ErrInvalidPayment is the error for a payment whose facts contradict each
// other or name no payment.
var ErrInvalidPayment = errors.New("invalid payment")

// A Payment is one state of one payment, as it was fetched from the provider.
type Payment struct {
	// ID is the payment's id, text whatever the provider's type is.
	ID string
	// StatusDetail is the provider's finer word for the status. Any word is
	// accepted, also none; only "reimbursed" on a charge-back changes money.
	StatusDetail string
	// Currency is the ISO 4217 code of Amount and Refunded.
	Currency string
	// CollectorID is the account that was paid; empty when not said.
	CollectorID string
	// Status is one of the nine payment statuses.
	Status PaymentStatus
	// Amount is what was charged, in units of Currency.
	Amount decimal.Decimal
	// Refunded is what of Amount went back, in units of Currency.
	Refunded decimal.Decimal
	// LiveMode is false for the provider's test payments.
	LiveMode bool
	// Validation is true for a check of a card, which moves no money
	// (operation_type card_validation).
	Validation bool
	// UpdatedAt is when the provider last changed the payment, by its clock.
	UpdatedAt time.Time
	// FetchedAt is when the fetch that brought this state began.
	FetchedAt time.Time
}

// Supersedes reports whether p is a later state than q. Both are states of one
// payment; the id is not looked at.
//
// The later UpdatedAt wins; when equal, the higher rank of the status; when
// that is equal too, the later FetchedAt. Instants are compared exactly, in
// whatever zone they are written.
//
// Two states that agree in all three and still differ are decided by their
// facts, the one with more refunded first, so that no two different states are
// ever each as late as the other and the order of arrival cannot matter. A
// state does not supersede itself.
func (p Payment) Supersedes(q Payment) bool { return p.compare(q) > 0 }

// compare orders the states of one payment, the latest last.
func (p Payment) compare(q Payment) int {
	if c := p.UpdatedAt.Compare(q.UpdatedAt); c != 0 {
		return c
	}
	if c := cmp.Compare(p.Status.Rank(), q.Status.Rank()); c != 0 {
		return c
	}
	if c := p.FetchedAt.Compare(q.FetchedAt); c != 0 {
		return c
	}
	return cmp.Or(
		p.Refunded.Cmp(q.Refunded),
		// The smaller amount: in doubt, less money came.
		q.Amount.Cmp(p.Amount),
		strings.Compare(p.StatusDetail, q.StatusDetail),
		strings.Compare(string(p.Status), string(q.Status)), // differs only between unknown words
		strings.Compare(p.Currency, q.Currency),
		strings.Compare(p.CollectorID, q.CollectorID),
		compareBool(p.LiveMode, q.LiveMode),
		compareBool(p.Validation, q.Validation),
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
		p.Amount.Equal(q.Amount) &&
		p.Refunded.Equal(q.Refunded) &&
		p.Currency == q.Currency &&
		p.CollectorID == q.CollectorID &&
		p.LiveMode == q.LiveMode &&
		p.Validation == q.Validation &&
		p.UpdatedAt.Equal(q.UpdatedAt)
}

// Latest returns the latest state of each payment among the given states,
// sorted by payment id. The input is left as it is.
func Latest(states []Payment) []Payment {
	return latestOfSorted(sortStates(states))
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
	switch {
	case p.Amount.IsNegative():
		return fmt.Errorf("payment %.64q: %w: its amount is negative", p.ID, ErrInvalidPayment)
	case p.Amount.GreaterThanOrEqual(amountLimit):
		return fmt.Errorf("payment %.64q: %w: its amount is not below 10^15", p.ID, ErrInvalidPayment)
	case p.Refunded.IsNegative():
		return fmt.Errorf("payment %.64q: %w: its refunded amount is negative", p.ID, ErrInvalidPayment)
	case p.Refunded.GreaterThan(p.Amount):
		return fmt.Errorf("payment %.64q: %w: more was refunded than paid", p.ID, ErrInvalidPayment)
	}
	return nil
}
