package order

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// aliasSlack is how long before its provider's order, and after that order's last
// change, a payment of it may have been made.
const aliasSlack = 10 * time.Minute

// A Known is a payment whose own state was fetched.
type Known struct {
	// Source is the provider.
	Source string
	Payment
}

// An Alias is a payment as an order of the provider's has it, under an id of that
// order's. The same money has a payment's own id as well, which alone is its key.
type Alias struct {
	// Source is the provider.
	Source string
	// Payment is what the provider's order says. Its ID is the alias; its Status is
	// empty where the order's words settle nothing; its UpdatedAt is the order's.
	Payment Payment
	// OrderCreatedAt is when the provider's order was made; zero when not said.
	OrderCreatedAt time.Time
	// PaymentID is the payment's own id, as far as the alias was paired; empty until
	// then. Numbered is true where the order itself says it: then it never changes.
	PaymentID string
	Numbered  bool
	// Elsewhere is true for an alias of another order of the merchant's, which has
	// one of this order's payments.
	Elsewhere bool
	// Provisional is true when the payments' side did not show the payment: what the
	// order says counts until the payment is known. Awaited tells whether there must
	// be a payment.
	Provisional, Awaited bool
}

// key tells the payments of several providers apart, and claim which one an alias has.
func (p Known) key() [2]string   { return [2]string{p.Source, p.ID} }
func (a Alias) claim() [2]string { return [2]string{a.Source, a.PaymentID} }

// mayBe reports whether the payment can be the one that the alias names: the same
// account, currency and amount, made while the provider's order was under way, and
// with money if that has.
func (a Alias) mayBe(p Known) bool {
	q := a.Payment
	switch {
	case q.Currency != "" && q.Currency != p.Currency:
		return false
	case !q.Amount.Valid || !p.Amount.Valid || !q.Amount.Decimal.Equal(p.Amount.Decimal):
		return false
	case q.Status.HasMoney() && !p.Status.HasMoney():
		return false
	}
	return a.UnderWay(p)
}

// UnderWay reports whether the payment is of the same account and was made while the
// provider's order was under way. What is not said rules nothing out.
func (a Alias) UnderWay(p Known) bool {
	if at := a.Payment.CollectorID; a.Source != p.Source || at != "" && at != p.CollectorID {
		return false
	}
	at := p.CreatedAt
	return at.IsZero() ||
		(a.OrderCreatedAt.IsZero() || !at.Before(a.OrderCreatedAt.Add(-aliasSlack))) &&
			(a.Payment.UpdatedAt.IsZero() || !at.After(a.Payment.UpdatedAt.Add(aliasSlack)))
}

// Pair tells which of an order's payments each alias is, as far as that is known:
// as many aliases as can be have a payment, each another one, and those whose
// orders say that money came go first: they keep one once they have it. The answer
// has the aliases in the order given, with their PaymentID. The input is left as it
// is.
//
// Which of several like payments an alias has makes no difference for the sum.
func Pair(aliases []Alias, known []Known) []Alias {
	paired := slices.Clone(aliases)
	m := pairing{aliases: paired, known: known, holder: make([]int, len(known))}
	payments := make(map[[2]string]int, len(known))
	for j, p := range known {
		m.holder[j] = nobody
		payments[p.key()] = j
	}
	var free []int
	for i, a := range paired {
		j, here := payments[a.claim()]
		switch {
		case a.Numbered || a.Elsewhere:
			if here {
				m.holder[j] = somebody
			}
		case a.PaymentID == "" || here:
			free = append(free, i)
		}
	}
	slices.SortStableFunc(free, func(i, k int) int { return comparePriority(paired[i], paired[k]) })
	for from := 0; from < len(free); {
		to := from + 1
		for to < len(free) && priority(paired[free[to]]) == priority(paired[free[from]]) {
			to++
		}
		m.pair(free[from:to], payments)
		from = to
	}
	for i := range free {
		paired[free[i]].PaymentID = ""
	}
	for j, i := range m.holder {
		if i >= 0 {
			paired[i].PaymentID = known[j].ID
		}
	}
	return paired
}

// Nobody, or an alias that keeps it, holds a payment.
const (
	nobody   = -1
	somebody = -2
)

// priority is which aliases go first: those with money, and among them those whose
// payment was shown, for the others count as long as they have none.
func priority(a Alias) int {
	switch {
	case a.Payment.Status.HasMoney() && !a.Provisional:
		return 0
	case a.Payment.Status.HasMoney():
		return 1
	case a.Awaited:
		return 2
	}
	return 3
}

func comparePriority(a, b Alias) int {
	return cmp.Or(cmp.Compare(priority(a), priority(b)), a.OrderCreatedAt.Compare(b.OrderCreatedAt),
		strings.Compare(a.Source, b.Source), strings.Compare(a.Payment.ID, b.Payment.ID))
}

// A pairing is a matching of aliases and payments under way.
type pairing struct {
	aliases []Alias
	known   []Known
	// holder is which alias has each payment.
	holder []int
}

// pair gives a payment to as many of the aliases as can be, without taking one from
// those that came before them. What they have already is tried first.
func (m *pairing) pair(aliases []int, payments map[[2]string]int) {
	var left []int
	for _, i := range aliases {
		if j, has := payments[m.aliases[i].claim()]; has && m.holder[j] == nobody {
			m.holder[j] = i
		} else {
			left = append(left, i)
		}
	}
	for _, i := range left {
		m.augment(i, make([]bool, len(m.known)))
	}
}

// augment finds a payment for one alias, others giving theirs up for another.
func (m *pairing) augment(i int, seen []bool) bool {
	for j := range m.known {
		if seen[j] || m.holder[j] == somebody || !m.aliases[i].mayBe(m.known[j]) {
			continue
		}
		seen[j] = true
		if m.holder[j] == nobody || m.augment(m.holder[j], seen) {
			m.holder[j] = i
			return true
		}
	}
	return false
}

// Fold returns what the payments make of an order with these terms, see Settle. An
// alias that has no payment, and whose payment the payments' side did not show,
// counts as the provider's order says: never more of them than there are payments
// unknown. paired are the aliases as Pair returns them.
func Fold(t Terms, r Rules, known []Known, aliases []Alias) (settled Settlement, paired []Alias, err error) {
	payments := make([]Payment, 0, len(known)+len(aliases))
	for _, p := range known {
		payments = append(payments, p.Payment)
	}
	paired = Pair(aliases, known)
	for _, a := range paired {
		if a.Counts() {
			payments = append(payments, a.Payment)
		}
	}
	settled, err = Settle(t, r, payments)
	return settled, paired, err
}

// Counts reports whether a paired alias counts as the provider's order says.
func (a Alias) Counts() bool {
	return a.PaymentID == "" && !a.Elsewhere && a.Provisional && a.Payment.Status != ""
}

// Missing reports whether a paired alias must have a payment, and has none.
func (a Alias) Missing() bool { return a.PaymentID == "" && !a.Elsewhere && a.Awaited }
