package simulator

import (
	"slices"
	"strconv"
	"time"

	"github.com/shopspring/decimal"
)

// Money is what happens to payments' money after they are approved.
type Money struct {
	// ReleaseAfter is how long after the approval the money is released; 18 days when
	// 0.
	ReleaseAfter time.Duration
	// TaxShare of each payment is withheld.
	TaxShare decimal.Decimal
	// PayoutEvery is how often what is available is paid out, counted from midnight in
	// UTC; never when 0.
	PayoutEvery time.Duration
	// PayoutKeeps is what a payout leaves in the account.
	PayoutKeeps decimal.Decimal
	// LateShare of the movements are in no report that is made within LateBy of them.
	LateShare float64
	LateBy    time.Duration
}

// A Movement is a change of what an account has available.
type Movement struct {
	At        time.Time
	SourceID  string // a payment's id, or the payout's own
	Reference string
	// RecordType and Description are as in the release report.
	RecordType, Description string
	// Gross, Fee and Taxes make Net; costs are negative.
	Gross, Fee, Taxes, Net decimal.Decimal
	Currency               string
	// Balance is what is available afterwards.
	Balance decimal.Decimal

	shownFrom time.Time // no earlier report has it
	detail    settlementDetail
}

// settlementDetail is the movement's transaction in the settlement report.
type settlementDetail struct {
	kind       string // TRANSACTION_TYPE
	approvedAt time.Time
}

// An account is one collector's money in one currency. The movements are a ledger: what
// was written stays, and what happens late is written at the end.
type account struct {
	collectorID int64
	currency    string
	movements   []Movement
	waiting     []Movement // not released yet, in the order of its cause
	nextPayout  time.Time
	payouts     int64
}

// balance is what the account has available.
func (a *account) balance() decimal.Decimal {
	if len(a.movements) == 0 {
		return decimal.Zero
	}
	return a.movements[len(a.movements)-1].Balance
}

// A sale is what of a payment's money was written so far.
type sale struct {
	state     *snapshot // the last one that was looked at
	sold      bool
	net       decimal.Decimal
	given     decimal.Decimal // of the gross amount
	givenNet  decimal.Decimal
	reserved  decimal.Decimal
	lost      decimal.Decimal // to a chargeback
	releaseAt time.Time
}

// left is what is left of the payment's net amount.
func (s *sale) left() decimal.Decimal { return s.net.Sub(s.givenNet).Sub(s.lost) }

// Movements tells how an account's money moved up to now, oldest first: the truth that
// reports and payouts are held against.
func (s *Simulator) Movements(collectorID int64) []Movement {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Movement
	for _, a := range s.accountsOf(collectorID) {
		all = append(all, a.movements...)
	}
	return all
}

// accountsOf brings the account's ledgers up to now. The caller holds s.mu.
func (s *Simulator) accountsOf(collectorID int64) []*account {
	now := s.now()
	for _, p := range s.created {
		if p.operationType != "card_validation" {
			s.enterSale(p)
		}
	}
	var found []*account
	for _, a := range s.accounts {
		if a.collectorID == collectorID {
			s.write(a, now)
			found = append(found, a)
		}
	}
	return found
}

// accountFor finds an account, or opens it.
func (s *Simulator) accountFor(collectorID int64, currency string) *account {
	for _, a := range s.accounts {
		if a.collectorID == collectorID && a.currency == currency {
			return a
		}
	}
	a := &account{collectorID: collectorID, currency: currency}
	s.accounts = append(s.accounts, a)
	return a
}

// enterSale looks at the states of a payment that are new.
func (s *Simulator) enterSale(p *payment) {
	book := &p.sale
	var fresh []*snapshot
	for snap := p.current.Load(); snap != book.state && snap != nil; snap = snap.previous {
		fresh = append(fresh, snap)
	}
	for _, snap := range slices.Backward(fresh) {
		s.enterState(book, snap)
		book.state = snap
	}
}

// enterState writes what a state of a payment moves. All of it waits for the release.
func (s *Simulator) enterState(book *sale, snap *snapshot) {
	st, p := snap.state, snap.payment
	a := s.accountFor(p.collectorID, st.Currency)
	fee, taxes := p.costs.fee, p.costs.taxes
	move := func(recordType, description, kind string, gross, fee, taxes, net decimal.Decimal) {
		at := st.DateLastUpdated
		if at.Before(book.releaseAt) {
			at = book.releaseAt
		}
		a.waiting = append(a.waiting, Movement{
			At: at, SourceID: st.ID, Reference: p.reference, RecordType: recordType, Description: description,
			Gross: gross, Fee: fee, Taxes: taxes, Net: net, Currency: st.Currency,
			detail: settlementDetail{kind: kind, approvedAt: st.DateLastUpdated},
		})
	}
	zero := decimal.Zero
	hasMoney := slices.Contains([]string{Approved, Refunded, InMediation, ChargedBack}, st.Status)
	if !book.sold && hasMoney && !snap.approvedAt.IsZero() && st.Amount.IsPositive() {
		book.sold, book.net, book.releaseAt = true, st.Amount.Sub(fee).Sub(taxes), snap.approvedAt.Add(p.costs.releaseAfter)
		move("release", "payment", "SETTLEMENT", st.Amount, fee.Neg(), taxes.Neg(), book.net)
	}
	if !book.sold {
		return
	}
	lost := st.Status == ChargedBack && st.StatusDetail == "settled"
	disputed := st.Status == InMediation || st.Status == ChargedBack && !lost && st.StatusDetail != "reimbursed"
	switch {
	case disputed && book.reserved.IsZero() && book.left().IsPositive():
		book.reserved = book.left()
		move("block", "reserve_for_dispute", "DISPUTE", book.reserved.Neg(), zero, zero, book.reserved.Neg())
	case !disputed && !book.reserved.IsZero():
		move("unblock", "reserve_for_dispute", "CANCEL_DISPUTE", book.reserved, zero, zero, book.reserved)
		book.reserved = zero
	}
	given := st.Refunded
	if st.Status == Refunded {
		given = st.Amount
	}
	if back := given.Sub(book.given); !back.IsZero() {
		// Fees and taxes go back with their share; the last part takes what is left.
		share := func(cost decimal.Decimal, of decimal.Decimal) decimal.Decimal {
			return cost.Mul(of).Div(st.Amount).Round(scaleOf(st.Currency))
		}
		feeBack, taxesBack := share(fee, given).Sub(share(fee, book.given)), share(taxes, given).Sub(share(taxes, book.given))
		net := back.Sub(feeBack).Sub(taxesBack)
		book.given, book.givenNet = given, book.givenNet.Add(net)
		move("release", "refund", "REFUND", back.Neg(), feeBack, taxesBack, net.Neg())
	}
	switch {
	case lost && book.lost.IsZero() && book.left().IsPositive():
		book.lost = book.left()
		move("release", "chargeback", "CHARGEBACK", book.lost.Neg(), zero, zero, book.lost.Neg())
	case !lost && !book.lost.IsZero():
		move("release", "chargeback_cancel", "CANCEL_CHARGEBACK", book.lost, zero, zero, book.lost)
		book.lost = zero
	}
}

// write writes what is due by then, with the payouts in between.
func (s *Simulator) write(a *account, until time.Time) {
	slices.SortStableFunc(a.waiting, func(x, y Movement) int { return x.At.Compare(y.At) })
	for len(a.waiting) > 0 && !a.waiting[0].At.After(until) {
		next := a.waiting[0]
		s.payOut(a, next.At)
		a.waiting = a.waiting[1:]
		if n := len(a.movements); n > 0 && next.At.Before(a.movements[n-1].At) {
			next.At = a.movements[n-1].At
		}
		s.append(a, next)
	}
	s.payOut(a, until)
}

// payOut writes the payouts that are due by then.
func (s *Simulator) payOut(a *account, until time.Time) {
	every := s.cfg.Money.PayoutEvery
	if every <= 0 || len(a.movements) == 0 {
		return
	}
	if a.nextPayout.IsZero() {
		a.nextPayout = a.movements[0].At.UTC().Truncate(every).Add(every)
	}
	for ; !a.nextPayout.After(until); a.nextPayout = a.nextPayout.Add(every) {
		paid := a.balance().Sub(s.cfg.Money.PayoutKeeps)
		if !paid.IsPositive() {
			continue
		}
		a.payouts++
		s.append(a, Movement{
			At: a.nextPayout, SourceID: strconv.FormatInt(9_000_000_000_000+a.collectorID%1_000_000*100_000+a.payouts, 10),
			RecordType: "release", Description: "payout", Gross: paid.Neg(), Net: paid.Neg(), Currency: a.currency,
			detail: settlementDetail{kind: "PAYOUT", approvedAt: a.nextPayout},
		})
	}
}

// append writes a movement, to the second, as reports print them.
func (s *Simulator) append(a *account, m Movement) {
	m.At = m.At.Truncate(time.Second)
	m.Balance = a.balance().Add(m.Net)
	m.shownFrom = m.At
	n := uint64(len(a.movements))
	if m.Description != "payout" && draws(s.cfg.Seed, forMovement, uint64(a.collectorID), n).Float64() < s.cfg.Money.LateShare { //nolint:gosec // an account is positive
		m.shownFrom = m.At.Add(s.cfg.Money.LateBy)
	}
	a.movements = append(a.movements, m)
}

// costsOf is what a payment of an amount costs its collector.
func (s *Simulator) costsOf(amount decimal.Decimal) (fee, taxes decimal.Decimal) {
	return amount.Mul(decimal.New(409, -4)).Round(2), amount.Mul(s.cfg.Money.TaxShare).Round(2)
}

// costs are what a payment costs, and when it is released.
type costs struct {
	fee, taxes   decimal.Decimal
	releaseAfter time.Duration
}

// releaseAfter is how long after its approval a payment's money is released.
func (s *Simulator) releaseAfter() time.Duration {
	if s.cfg.Money.ReleaseAfter > 0 {
		return s.cfg.Money.ReleaseAfter
	}
	return moneyReleaseDays * 24 * time.Hour
}
