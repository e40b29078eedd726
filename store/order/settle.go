package order

import (
	"slices"

	"github.com/shopspring/decimal"
)

// FoldVersion numbers the rules of Fold, Settle and Unmatched. It rises with every
// change that makes another end of the same payments: a ledger that was made under
// earlier rules are folded once more.
const FoldVersion = 3

// A Settlement is what an order's payments make of it.
type Settlement struct {
	Status Status
	// Paid is the money that came, refunds not taken off, in units of the
	// order's currency and at its smallest one. Money that is charged back or in
	// mediation is not in it.
	Paid decimal.Decimal
	// Refunded is what of Paid went back; never more than it.
	Refunded decimal.Decimal
	// Anomalies are sorted by kind and payment id; nil when all fits.
	Anomalies []Anomaly
}

// Settle returns what the payments make of an order with these terms. Of
// several states of one payment the latest counts (see Payment.Supersedes). The
// input is left as it is and its order makes no difference.
//
// First each payment is worth something or not:
//
//   - A check of a card, or a payment of nothing, counts for nothing.
//   - So does a payment of another collector than the order's account, another mode
//     or another currency than asked for, in every row below; each of the three that applies is an
//     anomaly while the payment has money, is disputed or reserved. What is not
//     said is not ours: an empty collector does not match. A payment without
//     money may leave its currency out.
//   - approved, and charged_back with the detail "reimbursed", are Amount paid
//     and Refunded refunded.
//   - refunded is Amount paid and all of it refunded, whatever Refunded says.
//   - charged_back otherwise, in_mediation, authorized, in_process, pending,
//     rejected and cancelled are no money, only that state.
//
// Shipping is added to every paid payment when one with its shipping is exactly
// the order's amount, or when what was paid without it is below the amount; else
// to none. Of a payment no more is refunded than was so counted.
//
// Sums are rounded at the currency's smallest unit, half of one up, and compared
// so; where the provider charges whole units only, less than one is not a difference.
//
// Then the order has the first status that holds, net being paid less refunded:
//
//   - paid: net covers the amount.
//   - charged_back, in_mediation: any payment is.
//   - refunded: money was paid and all of it was refunded.
//   - partially_refunded: paid covers the amount and net does not.
//   - partially_paid: some net money.
//   - authorized: any payment is.
//   - cancelled: the merchant cancelled the order.
//   - in_process, pending, rejected, cancelled: any payment is.
//   - pending: no payment counts.
//
// One fact is one anomaly. Net money of an order that the merchant cancelled is
// paid_after_cancel, in whatever status, and nothing more. Else partially_paid is
// underpaid, and a surplus over the amount of a paid order is duplicate_payment
// where at least one whole payment is too many and overpaid otherwise. Shipping
// alone makes no surplus. Charges of one subscription, each with a number of its
// own, are instalments: they are what is due, and none of them too many. Beside
// paid, each payment that is charged back or in mediation is a disputed_payment.
//
// Errors wrap ErrInvalidTerms, ErrUnknownMode, ErrUnknownStatus or
// ErrInvalidPayment (no id, no amount where money came, one that is negative or
// 10^15 or more); the last two name the payment. They hold for payments that
// count for nothing and for states that are superseded as well: a state that
// cannot be read is never passed over. Earlier terms that Validate refuses are
// settled all the same.
func Settle(t Terms, r Rules, payments []Payment) (Settlement, error) {
	settled, _, err := Judge(t, r, payments)
	return settled, err
}

// A tally is what the payments of one order add up to.
type tally struct {
	terms    Terms
	currency Currency
	// price is what the order asks for, rounded.
	price decimal.Decimal
	// paying are the payments whose money counts, disputed those whose money is
	// charged back or in mediation.
	paying, disputed []Payment
	// withShipping is true when shipping counts.
	withShipping bool
	// paid and refunded are rounded, and so is net, what is left.
	paid, refunded, net decimal.Decimal
	// seen tells by rank which states without money the payments are in.
	seen      [len(paymentStatuses) + 1]bool
	anomalies []Anomaly
}

// enter adds one payment, which is valid and in its latest state, and returns why it
// does not fit.
func (b *tally) enter(r Rules, p Payment) (kinds []AnomalyKind) {
	if p.moneyless() {
		return nil
	}
	misfits := r.rejections(p, r.isForeignTo(b.terms, p), r.account(b.terms))
	if p.Currency != b.terms.Currency && (p.Currency != "" || p.Status.HasMoney()) {
		misfits = append(misfits, p.anomaly(AnomalyCurrencyMismatch, "order_currency", b.terms.Currency))
	}
	if len(misfits) > 0 {
		if p.matters() {
			b.anomalies = append(b.anomalies, misfits...)
		}
		for _, a := range misfits {
			kinds = append(kinds, a.Kind)
		}
		return kinds
	}
	if p.pays() {
		b.paying = append(b.paying, p)
		return nil
	}
	b.seen[p.Status.Rank()] = true
	if p.Status.HasMoney() {
		b.disputed = append(b.disputed, p)
	}
	return nil
}

// worth is what came and what went back of a payment that pays.
func (p Payment) worth(withShipping bool) (paid, refunded decimal.Decimal) {
	paid = p.Amount.Decimal
	if withShipping {
		paid = paid.Add(p.Shipping)
	}
	if p.Status == PaymentRefunded {
		return paid, paid
	}
	return paid, decimal.Min(p.Refunded, paid)
}

// net is what is there of a payment that pays.
func (p Payment) net(withShipping bool) decimal.Decimal {
	paid, refunded := p.worth(withShipping)
	return paid.Sub(refunded)
}

// countsShipping reports whether shipping is part of what was paid.
func (b *tally) countsShipping() bool {
	var without decimal.Decimal
	for _, p := range b.paying {
		without = without.Add(p.Amount.Decimal)
		with, _ := p.worth(true)
		if p.Shipping.IsPositive() && b.currency.Round(with).Equal(b.price) {
			return true
		}
	}
	return b.currency.compare(b.currency.Round(without), b.price) < 0
}

// sum adds up what is there of payments, rounded.
func (b *tally) sum(payments []Payment, withShipping bool) decimal.Decimal {
	var net decimal.Decimal
	for _, p := range payments {
		net = net.Add(p.net(withShipping))
	}
	return b.currency.Round(net)
}

// covers reports whether net money pays the order.
func (b *tally) covers(net decimal.Decimal) bool {
	return net.IsPositive() && b.currency.compare(net, b.price) >= 0
}

// close derives the status and the anomalies that stand beside it.
func (b *tally) close() Settlement {
	b.withShipping = b.countsShipping()
	for _, p := range b.paying {
		paid, refunded := p.worth(b.withShipping)
		b.paid, b.refunded = b.paid.Add(paid), b.refunded.Add(refunded)
	}
	b.paid, b.refunded = b.currency.Round(b.paid), b.currency.Round(b.refunded)
	b.net = b.sum(b.paying, b.withShipping)
	status := b.status()
	switch {
	case b.terms.Cancelled && b.net.IsPositive():
		b.misfit(AnomalyPaidAfterCancel, "surplus", b.net)
	case status == StatusPartiallyPaid:
		b.misfit(AnomalyUnderpaid, "missing", b.price.Sub(b.net))
	case status == StatusPaid:
		b.judgeSurplus()
	}
	if status == StatusPaid {
		for _, p := range b.disputed {
			b.anomalies = append(b.anomalies, p.anomaly(AnomalyDisputedPayment))
		}
	}
	sortAnomalies(b.anomalies)
	return Settlement{
		Status: status,
		// Normalized, so that equal settlements are equal in every bit.
		Paid:      b.paid.Normalize(),
		Refunded:  b.refunded.Normalize(),
		Anomalies: b.anomalies,
	}
}

// status returns the first status that holds; the order of the cases decides.
func (b *tally) status() Status {
	switch {
	case b.covers(b.net):
		return StatusPaid
	case b.seen[PaymentChargedBack.Rank()]:
		return StatusChargedBack
	case b.seen[PaymentInMediation.Rank()]:
		return StatusInMediation
	case b.paid.IsPositive() && b.currency.compare(b.net, decimal.Zero) == 0:
		return StatusRefunded
	case b.covers(b.paid):
		return StatusPartiallyRefunded
	case b.net.IsPositive():
		return StatusPartiallyPaid
	case b.seen[PaymentAuthorized.Rank()]:
		return StatusAuthorized
	case b.terms.Cancelled:
		return StatusCancelled
	case b.seen[PaymentInProcess.Rank()]:
		return StatusInProcess
	case b.seen[PaymentPending.Rank()]:
		return StatusPending
	case b.seen[PaymentRejected.Rank()]:
		return StatusRejected
	case b.seen[PaymentCancelled.Rank()]:
		return StatusCancelled
	default:
		return StatusPending
	}
}

// judgeSurplus says what is too much of a paid order. Instalments are what is due:
// beside them only what they leave of the amount is.
func (b *tally) judgeSurplus() {
	instalments, others := splitInstalments(b.paying)
	due := func(withShipping bool) decimal.Decimal {
		return decimal.Max(decimal.Zero, b.price.Sub(b.sum(instalments, withShipping)))
	}
	if extra := b.wholeExtra(others, due(b.withShipping)); extra != "" {
		b.anomalies = append(b.anomalies, Anomaly{Kind: AnomalyDuplicatePayment, Detail: map[string]string{
			"amount":      FormatAmount(b.terms.Amount, b.terms.Currency),
			"currency":    b.terms.Currency,
			"payment_ids": extra,
		}})
		return
	}
	// A surplus that is there only with shipping is none.
	surplus := b.sum(others, b.withShipping).Sub(due(b.withShipping))
	if b.currency.compare(surplus, decimal.Zero) > 0 && b.currency.compare(b.sum(others, false), due(false)) > 0 {
		b.misfit(AnomalyOverpaid, "surplus", surplus)
	}
}

// wholeExtra returns the ids of the payments without which what is due stays
// covered, the latest first and joined by commas.
func (b *tally) wholeExtra(payments []Payment, due decimal.Decimal) string {
	kept := slices.Clone(payments)
	slices.SortFunc(kept, func(p, q Payment) int { return comparePaymentIDs(q.ID, p.ID) })
	extra := ""
	for i := 0; i < len(kept); {
		if kept[i].net(b.withShipping).IsPositive() {
			without := slices.Delete(slices.Clone(kept), i, i+1)
			if left := b.sum(without, b.withShipping); b.currency.compare(left, due) >= 0 && (left.IsPositive() || due.IsZero()) {
				if extra != "" {
					extra += ","
				}
				extra += kept[i].ID
				kept = without
				continue
			}
		}
		i++
	}
	return extra
}

// splitInstalments parts the payments that are each another charge of one
// subscription from the others. Of two with the same number the first is the
// charge.
func splitInstalments(payments []Payment) (instalments, others []Payment) {
	type charge struct {
		subscription string
		number       int64
	}
	charged := map[charge]bool{}
	inOrder := slices.Clone(payments)
	slices.SortFunc(inOrder, func(p, q Payment) int { return comparePaymentIDs(p.ID, q.ID) })
	for _, p := range inOrder {
		c := charge{p.SubscriptionID, p.SubscriptionNumber}
		if c.subscription == "" || c.number == 0 || charged[c] || !p.net(true).IsPositive() {
			others = append(others, p)
			continue
		}
		charged[c] = true
		instalments = append(instalments, p)
	}
	return instalments, others
}

// misfit records an anomaly about the order's money; difference is what name
// calls it.
func (b *tally) misfit(kind AnomalyKind, name string, difference decimal.Decimal) {
	b.anomalies = append(b.anomalies, Anomaly{Kind: kind, Detail: map[string]string{
		"amount":   FormatAmount(b.terms.Amount, b.terms.Currency),
		"currency": b.terms.Currency,
		"paid":     FormatAmount(b.paid, b.terms.Currency),
		"refunded": FormatAmount(b.refunded, b.terms.Currency),
		name:       FormatAmount(difference, b.terms.Currency),
	}})
}
