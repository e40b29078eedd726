// Package payout explains payouts: which movements of an account make up what was
// paid out, and what is kept. It is arithmetic alone: it knows no provider, no clock
// and no database.
package payout

import (
	"slices"

	"github.com/shopspring/decimal"
)

// A State says whether a payout is explained.
type State string

const (
	// Explained: the balance before a payout and the movements since are the payout
	// and the balance that it left, to the cent.
	Explained State = "explained"
	// Open: movements are missing, or the balance before the first of them is not known.
	Open State = "open"
)

// States lists every state.
func States() []State { return []State{Explained, Open} }

// An Explanation is what one payout is made of.
type Explanation struct {
	// Opening is the balance that its movements begin with; not valid where none is
	// known.
	Opening decimal.NullDecimal
	// Moved is the sum of the movements since: what came less what went, the payout
	// itself not among them.
	Moved decimal.Decimal
	// Amount is what was paid out.
	Amount decimal.Decimal
	// Unexplained is the amount less what is explained; negative where movements that
	// took money are missing.
	Unexplained decimal.Decimal
	// Kept is the balance afterwards; not valid where none is known.
	Kept decimal.NullDecimal
}

// State is Explained when the payout is explained to the cent.
func (e Explanation) State() State {
	if e.Kept.Valid && e.Unexplained.IsZero() {
		return Explained
	}
	return Open
}

// A Chain follows the balance of one account in one currency, in the order in which
// its movements happened. Each payout ends a link of it.
type Chain struct {
	// opening are what the balance at the link's beginning may be: none where it is not
	// known, several where reports differ.
	opening []decimal.Decimal
	// moved is the sum of the link's movements, and missing what reports of the balance
	// show beyond that.
	moved, missing decimal.Decimal
	// links are the ids of the movements of the link.
	links []int64
}

// Resume is the chain after a payout that kept this balance; not valid where it is not
// known, and at the chain's beginning.
func Resume(kept decimal.NullDecimal) *Chain {
	c := &Chain{}
	if kept.Valid {
		c.opening = []decimal.Decimal{kept.Decimal}
	}
	return c
}

// Claim is what reports say that the balance is at this place. They differ where one
// was made before its last rows were there, so one that agrees with the movements is
// right; where none does, movements are missing between here and the balance before:
// the least that can be.
//
// The first claim begins the chain. The movements before it explain no payout; their
// ids are returned.
func (c *Chain) Claim(balances []decimal.Decimal) (outside []int64) {
	if len(balances) == 0 {
		return nil
	}
	if len(c.opening) == 0 {
		outside = c.links
		*c = Chain{opening: slices.Clone(balances)}
		return outside
	}
	var best []decimal.Decimal
	var least decimal.Decimal
	for _, opening := range c.opening {
		for _, balance := range balances {
			gap := balance.Sub(opening.Add(c.moved).Add(c.missing))
			switch order := gap.Abs().Cmp(least.Abs()); {
			case best == nil || order < 0, order == 0 && gap.GreaterThan(least):
				best, least = []decimal.Decimal{opening}, gap
			case order == 0 && gap.Equal(least):
				best = append(best, opening)
			}
		}
	}
	c.opening, c.missing = best, c.missing.Add(least)
	return nil
}

// Add adds a movement to the link.
func (c *Chain) Add(id int64, net decimal.Decimal) {
	c.links = append(c.links, id)
	c.moved = c.moved.Add(net)
}

// Pay ends the link with a payout of the amount, and begins the next with what it
// kept. It returns the ids of the link's movements.
//
// A balance is never paid out beyond what there is. Where less is known than was
// paid, the rest is unexplained and nothing is kept, so that what is missing here does
// not count against the next payout too.
func (c *Chain) Pay(amount decimal.Decimal) (Explanation, []int64) {
	e := Explanation{Amount: amount, Moved: c.moved}
	if len(c.opening) == 0 {
		e.Unexplained = amount.Sub(decimal.Max(decimal.Zero, decimal.Min(c.moved, amount)))
	} else {
		// Late rows are releases more often than not, so the highest is the latest.
		opening := slices.MaxFunc(c.opening, decimal.Decimal.Cmp)
		kept := decimal.Max(decimal.Zero, opening.Add(c.moved).Add(c.missing).Sub(amount))
		e.Opening, e.Kept = decimal.NewNullDecimal(opening), decimal.NewNullDecimal(kept)
		e.Unexplained = amount.Add(kept).Sub(opening).Sub(c.moved)
	}
	links := c.links
	*c = *Resume(e.Kept)
	return e, links
}

// Outside ends the chain: the movements since the last payout are part of none yet.
func (c *Chain) Outside() []int64 { return c.links }
