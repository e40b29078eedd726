package order

import (
	"strings"

	"github.com/shopspring/decimal"
)

// A Settlement is what an order's payments make of it.
type Settlement struct {
	Status Status
	// Paid is the money that came, refunds not taken off, in units of the
	// order's currency. Money that is charged back or in mediation is not in it.
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
//   - So does a payment of another collector, another mode or another currency
//     than asked for, in every row below; each of the three that applies is an
//     anomaly. What is not said is not ours: an empty collector or currency does
//     not match. A moneyless payment raises none of them.
//   - approved, and charged_back with the detail "reimbursed", are Amount paid
//     and Refunded refunded.
//   - refunded is Amount paid and all of it refunded, whatever Refunded says.
//   - charged_back otherwise, in_mediation, authorized, in_process, pending,
//     rejected and cancelled are no money, only that state.
//
// Then the order has the first status that holds, net being paid less refunded:
//
//   - charged_back, in_mediation: any payment is.
//   - refunded: money was paid and all of it was refunded.
//   - paid: net covers the amount. It is overpaid when net is more than the
//     amount: a surplus that was refunded is no surplus any more. It is
//     duplicate_payment when two payments or more each cover the amount, their
//     own refunds taken off; the money of both is there, so it is overpaid too.
//   - partially_refunded: paid covers the amount and net does not.
//   - partially_paid: some net money, with the anomaly underpaid.
//   - authorized, in_process, pending, rejected, cancelled: any payment is.
//   - pending: no payment counts.
//
// Anomalies about the order's money belong to the status that they stand
// beside; under any other status there are none.
//
// Errors wrap ErrInvalidTerms, ErrUnknownMode, ErrUnknownStatus or
// ErrInvalidPayment (no id, a negative amount or one of 10^15 or more, more
// refunded than paid); the last two name the payment. They hold for payments
// that count for nothing and for states that are superseded as well: a state
// that cannot be read is never passed over.
func Settle(t Terms, r Rules, payments []Payment) (Settlement, error) {
	if err := t.Validate(); err != nil {
		return Settlement{}, err
	}
	if err := r.Validate(); err != nil {
		return Settlement{}, err
	}
	states := sortStates(payments)
	for _, p := range states {
		if err := p.validate(); err != nil {
			return Settlement{}, err
		}
	}
	var b tally
	for _, p := range latestOfSorted(states) {
		b.enter(t, r, p)
	}
	return b.close(t), nil
}

// A tally is what the payments of one order add up to.
type tally struct {
	paid, refunded decimal.Decimal
	// seen tells by rank which moneyless states the payments are in.
	seen [len(paymentStatuses) + 1]bool
	// covering names the payments that each cover the order's amount.
	covering  []string
	anomalies []Anomaly
}

// enter adds one payment, which is valid and in its latest state.
func (b *tally) enter(t Terms, r Rules, p Payment) {
	if p.moneyless() {
		return
	}
	misfits := r.rejections(p)
	if p.Currency != t.Currency {
		misfits = append(misfits, p.anomaly(AnomalyCurrencyMismatch, "order_currency", t.Currency))
	}
	if len(misfits) > 0 {
		b.anomalies = append(b.anomalies, misfits...)
		return
	}
	switch {
	case p.Status == PaymentApproved,
		p.Status == PaymentChargedBack && p.StatusDetail == detailReimbursed:
		b.addMoney(t, p, p.Refunded)
	case p.Status == PaymentRefunded:
		b.addMoney(t, p, p.Amount)
	default:
		b.seen[p.Status.Rank()] = true
	}
}

func (b *tally) addMoney(t Terms, p Payment, refunded decimal.Decimal) {
	b.paid = b.paid.Add(p.Amount)
	b.refunded = b.refunded.Add(refunded)
	if p.Amount.Sub(refunded).GreaterThanOrEqual(t.Amount) {
		b.covering = append(b.covering, p.ID)
	}
}

// close derives the status and the anomalies that stand beside it.
func (b *tally) close(t Terms) Settlement {
	net := b.paid.Sub(b.refunded)
	status := b.status(t, net)
	if status == StatusPartiallyPaid {
		b.misfit(t, AnomalyUnderpaid, "missing", t.Amount.Sub(net))
	}
	if status == StatusPaid && net.GreaterThan(t.Amount) {
		b.misfit(t, AnomalyOverpaid, "surplus", net.Sub(t.Amount))
	}
	if status == StatusPaid && len(b.covering) > 1 {
		b.anomalies = append(b.anomalies, Anomaly{Kind: AnomalyDuplicatePayment, Detail: map[string]string{
			"amount":      FormatAmount(t.Amount, t.Currency),
			"currency":    t.Currency,
			"payment_ids": strings.Join(b.covering, ","),
		}})
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
func (b *tally) status(t Terms, net decimal.Decimal) Status {
	switch {
	case b.seen[PaymentChargedBack.Rank()]:
		return StatusChargedBack
	case b.seen[PaymentInMediation.Rank()]:
		return StatusInMediation
	case b.paid.IsPositive() && net.IsZero():
		return StatusRefunded
	case net.GreaterThanOrEqual(t.Amount):
		return StatusPaid
	case b.paid.GreaterThanOrEqual(t.Amount):
		return StatusPartiallyRefunded
	case net.IsPositive():
		return StatusPartiallyPaid
	case b.seen[PaymentAuthorized.Rank()]:
		return StatusAuthorized
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

// misfit records an anomaly about the order's money; difference is what name
// calls it.
func (b *tally) misfit(t Terms, kind AnomalyKind, name string, difference decimal.Decimal) {
	b.anomalies = append(b.anomalies, Anomaly{Kind: kind, Detail: map[string]string{
		"amount":   FormatAmount(t.Amount, t.Currency),
		"currency": t.Currency,
		"paid":     FormatAmount(b.paid, t.Currency),
		"refunded": FormatAmount(b.refunded, t.Currency),
		name:       FormatAmount(difference, t.Currency),
	}})
}
