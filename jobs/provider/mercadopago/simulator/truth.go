package simulator

import (
	"github.com/shopspring/decimal"
)

// A Truth is what one order should be now.
type Truth struct {
	Reference string
	// Lifecycle names the life that Run gave the order; empty for orders of
	// payments made by hand.
	Lifecycle string
	// Amount is what the order asks for, in units of Currency.
	Amount   decimal.Decimal
	Currency string
	// Status is the order's status.
	Status string
	// Paid is the money that came in and is neither disputed nor taken back;
	// Refunded is what of it was given back.
	Paid, Refunded decimal.Decimal
	// Payments counts the payments that name the order.
	Payments int
	// States holds every state of each of them: payments in the order of their
	// creation, states oldest first.
	States []PaymentState
}

// Truth tells what every order should be now, in the order of their first
// mention. It assumes a merchant who takes money of the order's currency only,
// paid to the simulator's collector only, in the simulator's mode only.
//
// It is kept as a ledger is: each new state of a payment first takes back what
// the state before it had entered, then enters itself. A status that Mercado
// Pago does not document enters nothing and takes nothing back: a merchant
// goes by what was known before, until a person looks.
func (s *Simulator) Truth() []Truth {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := make([]Truth, 0, len(s.opened))
	for _, o := range s.opened {
		t := Truth{
			Reference: o.reference,
			Lifecycle: o.lifecycle,
			Amount:    o.amount,
			Currency:  o.currency,
			Status:    o.storage.reading(o.amount),
			Paid:      o.storage.collected,
			Refunded:  o.storage.givenBack,
			Payments:  len(o.payments),
		}
		for _, p := range o.payments {
			t.States = append(t.States, p.states()...)
		}
		all = append(all, t)
	}
	return all
}

// A ledgerOrder is an order's page in the ledger.
type ledgerOrder struct {
	reference string
	lifecycle string
	amount    decimal.Decimal
	currency  string
	payments  []*payment
	entered   map[int64]entry // by payment
	storage   entry           // the sum of what is entered
}

// ledgerOrderOf finds an order's page, or opens one. The caller holds s.mu.
func (s *Simulator) ledgerOrderOf(reference string, amount decimal.Decimal, currency string) *ledgerOrder {
	if o := s.orders[reference]; o != nil {
		return o
	}
	o := &ledgerOrder{
		reference: reference,
		amount:    amount,
		currency:  currency,
		entered:   make(map[int64]entry),
	}
	s.orders[reference] = o
	s.opened = append(s.opened, o)
	return o
}

// enter brings the page up to a payment's newest state. The caller holds the
// simulator's mu.
func (o *ledgerOrder) enter(cfg Config, snap *snapshot) {
	p := snap.payment
	if snap.previous == nil {
		o.payments = append(o.payments, p)
	}
	ours := p.collectorID == cfg.CollectorID && p.liveMode == cfg.LiveMode && snap.state.Currency == o.currency
	if !ours || p.operationType == "card_validation" || !snap.state.Amount.IsPositive() {
		return
	}
	now, known := entryOf(snap.state)
	if !known {
		return
	}
	o.storage = o.storage.plus(o.entered[p.id], -1).plus(now, 1)
	o.entered[p.id] = now
}

// An entry is what a payment's state adds to its order's page.
type entry struct {
	collected, givenBack decimal.Decimal
	takenBack            int64 // charged back and not reimbursed
	disputed             int64
	reserved             int64
	inReview             int64
	awaited              int64
	declined             int64
	abandoned            int64
}

// entryOf is what a state adds; false for a status that is not documented.
func entryOf(st PaymentState) (entry, bool) {
	switch st.Status {
	case Pending:
		return entry{awaited: 1}, true
	case InProcess:
		return entry{inReview: 1}, true
	case Authorized:
		return entry{reserved: 1}, true
	case Rejected:
		return entry{declined: 1}, true
	case Cancelled:
		return entry{abandoned: 1}, true
	case InMediation:
		return entry{disputed: 1}, true
	case Approved:
		return entry{collected: st.Amount, givenBack: decimal.Min(st.Refunded, st.Amount)}, true
	case Refunded:
		return entry{collected: st.Amount, givenBack: st.Amount}, true
	case ChargedBack:
		if st.StatusDetail == "reimbursed" {
			return entry{collected: st.Amount, givenBack: decimal.Min(st.Refunded, st.Amount)}, true
		}
		return entry{takenBack: 1}, true
	}
	return entry{}, false
}

// plus adds other sign times.
func (e entry) plus(other entry, sign int64) entry {
	times := decimal.NewFromInt(sign)
	return entry{
		collected: e.collected.Add(other.collected.Mul(times)),
		givenBack: e.givenBack.Add(other.givenBack.Mul(times)),
		takenBack: e.takenBack + sign*other.takenBack,
		disputed:  e.disputed + sign*other.disputed,
		reserved:  e.reserved + sign*other.reserved,
		inReview:  e.inReview + sign*other.inReview,
		awaited:   e.awaited + sign*other.awaited,
		declined:  e.declined + sign*other.declined,
		abandoned: e.abandoned + sign*other.abandoned,
	}
}

// reading is the order's status that a page with these sums shows.
func (e entry) reading(asked decimal.Decimal) string {
	kept := e.collected.Sub(e.givenBack)
	if kept.IsPositive() && !kept.LessThan(asked) {
		return "paid" // what is there comes before every dispute about more
	}
	if e.takenBack > 0 {
		return ChargedBack
	}
	if e.disputed > 0 {
		return InMediation
	}
	if e.collected.IsPositive() {
		if kept.IsZero() {
			return Refunded
		}
		if e.collected.LessThan(asked) {
			return "partially_paid"
		}
		return "partially_refunded"
	}
	for _, state := range []struct {
		count  int64
		status string
	}{
		{e.reserved, Authorized},
		{e.inReview, InProcess},
		{e.awaited, Pending},
		{e.declined, Rejected},
		{e.abandoned, Cancelled},
	} {
		if state.count > 0 {
			return state.status
		}
	}
	return Pending
}
