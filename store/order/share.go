package order

import "github.com/shopspring/decimal"

// A Share is what one payment is to its order.
type Share struct {
	Payment Payment
	// Misfits are why it counts for nothing though it may have money: another account,
	// mode or currency than asked for; nil where it fits.
	Misfits []AnomalyKind
	// Moneyless is true where no money can stand behind it, whatever its status says.
	Moneyless bool
	// Paid is what came of it and Refunded what went back, in units of the order's
	// currency; both 0 where it does not count or brought no money.
	Paid, Refunded decimal.Decimal
}

// Net is what is there of the payment and counts.
func (s Share) Net() decimal.Decimal { return s.Paid.Sub(s.Refunded) }

// Judge is Settle that also tells what each payment is to the order, by their ids.
func Judge(t Terms, r Rules, payments []Payment) (Settlement, []Share, error) {
	if err := t.check(); err != nil {
		return Settlement{}, nil, err
	}
	if err := r.Validate(); err != nil {
		return Settlement{}, nil, err
	}
	states := sortStates(payments)
	for _, p := range states {
		if err := p.validate(); err != nil {
			return Settlement{}, nil, err
		}
	}
	b := tally{terms: t, currency: t.currency()}
	b.price = b.currency.Round(t.Amount)
	var shares []Share
	for _, p := range latestOfSorted(states) {
		shares = append(shares, Share{Payment: p, Moneyless: p.moneyless(), Misfits: b.enter(r, p)})
	}
	settled := b.close()
	for i, s := range shares {
		if !s.Moneyless && s.Misfits == nil && s.Payment.pays() {
			shares[i].Paid, shares[i].Refunded = s.Payment.worth(b.withShipping)
		}
	}
	return settled, shares, nil
}
