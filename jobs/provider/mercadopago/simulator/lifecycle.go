package simulator

import (
	"slices"

	"github.com/shopspring/decimal"
)

// A part is a share of an order's amount.
type part uint8

const (
	none part = iota
	third
	half
	rest // what half leaves
	all
	more // all and half again
)

// of is the part of an amount, in whole units of the last of scale digits.
// half and third are rounded down.
func (p part) of(total decimal.Decimal, scale int32) decimal.Decimal {
	fraction := func(n int64) decimal.Decimal {
		quotient, _ := total.QuoRem(decimal.NewFromInt(n), scale)
		return quotient
	}
	switch p {
	case none:
		return decimal.Zero
	case third:
		return fraction(3)
	case half:
		return fraction(2)
	case rest:
		return total.Sub(fraction(2))
	case all:
		return total
	case more:
		return total.Add(fraction(2))
	}
	panic("simulator: no such part")
}

// A step is one change of one payment of an order, after which a notification
// is due.
type step struct {
	payment  int  // which of the order's payments, counted from 0
	pays     part // its amount, where the step creates it
	status   string
	detail   string
	refunded part // what of it is given back, as a part of the order's amount

	otherCurrency, otherCollector, otherMode bool
}

// A lifecycle is how an order comes to be paid, or not.
type lifecycle struct {
	name   string
	weight int // how often, by default
	steps  []step
}

// payments is how many payments the lifecycle makes.
func (l lifecycle) payments() int {
	n := 0
	for _, st := range l.steps {
		n = max(n, st.payment+1)
	}
	return n
}

// lifecycles are the lives that Run gives to orders. Weights are not measured:
// ordinary lives are frequent and every other one is frequent enough to occur
// among a few hundred orders. Those of weight 0 end well only with a service
// that was told which account and mode are the merchant's.
var lifecycles = []lifecycle{
	{"approved", 300, []step{
		{pays: all, status: Approved, detail: "accredited"},
	}},
	{"ticket_paid", 150, []step{
		{pays: all, status: Pending, detail: "pending_waiting_payment"},
		{status: Approved, detail: "accredited"},
	}},
	{"review_approved", 60, []step{
		{pays: all, status: InProcess, detail: "pending_review_manual"},
		{status: Approved, detail: "accredited"},
	}},
	{"review_rejected", 30, []step{
		{pays: all, status: InProcess, detail: "pending_contingency"},
		{status: Rejected, detail: "cc_rejected_high_risk"},
	}},
	{"rejected", 30, []step{
		{pays: all, status: Rejected, detail: "cc_rejected_other_reason"},
	}},
	{"rejected_then_approved", 80, []step{
		{pays: all, status: Rejected, detail: "cc_rejected_insufficient_amount"},
		{payment: 1, pays: all, status: Approved, detail: "accredited"},
	}},
	{"rejected_then_ticket", 20, []step{
		{pays: all, status: Rejected, detail: "cc_rejected_call_for_authorize"},
		{payment: 1, pays: all, status: Pending, detail: "pending_waiting_payment"},
		{payment: 1, status: Approved, detail: "accredited"},
	}},
	{"captured", 40, []step{
		{pays: all, status: Authorized, detail: "pending_capture"},
		{status: Approved, detail: "accredited"},
	}},
	{"released", 20, []step{
		{pays: all, status: Authorized, detail: "pending_capture"},
		{status: Cancelled, detail: "by_collector"},
	}},
	{"expired", 40, []step{
		{pays: all, status: Pending, detail: "pending_waiting_payment"},
		{status: Cancelled, detail: "expired"},
	}},
	{"expired_beside_rejected", 10, []step{
		{pays: all, status: Pending, detail: "pending_waiting_payment"},
		{payment: 1, pays: all, status: Rejected, detail: "cc_rejected_high_risk"},
		{status: Cancelled, detail: "expired"},
	}},
	{"abandoned", 20, nil},
	{"updated_late", 20, []step{
		{pays: all, status: Approved, detail: "accredited"},
		{status: Approved, detail: "accredited"},
	}},
	{"refunded", 40, []step{
		{pays: all, status: Approved, detail: "accredited"},
		{status: Refunded, detail: "refunded", refunded: all},
	}},
	{"refunded_by_parts", 40, []step{
		{pays: all, status: Approved, detail: "accredited"},
		{status: Approved, detail: "partially_refunded", refunded: third},
		{status: Refunded, detail: "refunded", refunded: all},
	}},
	{"partially_refunded", 20, []step{
		{pays: all, status: Approved, detail: "accredited"},
		{status: Approved, detail: "partially_refunded", refunded: third},
		{status: Approved, detail: "partially_refunded", refunded: half},
	}},
	{"mediation_won", 20, []step{
		{pays: all, status: Approved, detail: "accredited"},
		{status: InMediation, detail: "pending"},
		{status: Approved, detail: "accredited"},
	}},
	{"mediation_refunded", 20, []step{
		{pays: all, status: Approved, detail: "accredited"},
		{status: InMediation, detail: "pending"},
		{status: Refunded, detail: "by_admin", refunded: all},
	}},
	{"mediation_charged_back", 10, []step{
		{pays: all, status: Approved, detail: "accredited"},
		{status: InMediation, detail: "pending"},
		{status: ChargedBack, detail: "in_process"},
	}},
	{"chargeback_lost", 20, []step{
		{pays: all, status: Approved, detail: "accredited"},
		{status: ChargedBack, detail: "in_process"},
		{status: ChargedBack, detail: "settled"},
	}},
	{"chargeback_won", 20, []step{
		{pays: all, status: Approved, detail: "accredited"},
		{status: ChargedBack, detail: "in_process"},
		{status: ChargedBack, detail: "reimbursed"},
	}},
	{"chargeback_after_refund", 10, []step{
		{pays: all, status: Approved, detail: "accredited"},
		{status: Approved, detail: "partially_refunded", refunded: third},
		{status: ChargedBack, detail: "in_process", refunded: third},
		{status: ChargedBack, detail: "reimbursed", refunded: third},
	}},
	{"chargeback_beside_payment", 10, []step{
		{pays: all, status: Approved, detail: "accredited"},
		{status: ChargedBack, detail: "settled"},
		{payment: 1, pays: all, status: Approved, detail: "accredited"},
	}},
	{"underpaid", 20, []step{
		{pays: half, status: Approved, detail: "accredited"},
	}},
	{"underpaid_refunded", 10, []step{
		{pays: half, status: Approved, detail: "accredited"},
		{status: Approved, detail: "partially_refunded", refunded: third},
		{status: Refunded, detail: "refunded", refunded: half},
	}},
	{"paid_by_halves", 20, []step{
		{pays: half, status: Approved, detail: "accredited"},
		{payment: 1, pays: rest, status: Approved, detail: "accredited"},
	}},
	{"overpaid", 20, []step{
		{pays: more, status: Approved, detail: "accredited"},
	}},
	{"overpaid_refunded", 10, []step{
		{pays: more, status: Approved, detail: "accredited"},
		{status: Approved, detail: "partially_refunded", refunded: half},
	}},
	{"paid_twice", 20, []step{
		{pays: all, status: Approved, detail: "accredited"},
		{payment: 1, pays: all, status: Approved, detail: "accredited"},
	}},
	{"paid_twice_refunded", 20, []step{
		{pays: all, status: Approved, detail: "accredited"},
		{payment: 1, pays: all, status: Approved, detail: "accredited"},
		{payment: 1, status: Refunded, detail: "refunded", refunded: all},
	}},
	{"other_currency", 10, []step{
		{pays: all, status: Approved, detail: "accredited", otherCurrency: true},
		{payment: 1, pays: all, status: Approved, detail: "accredited"},
	}},
	{"other_collector", 0, []step{
		{pays: all, status: Approved, detail: "accredited", otherCollector: true},
	}},
	{"other_mode", 0, []step{
		{pays: all, status: Approved, detail: "accredited", otherMode: true},
	}},
}

// lifecycleNamed finds a lifecycle.
func lifecycleNamed(name string) (lifecycle, bool) {
	i := slices.IndexFunc(lifecycles, func(l lifecycle) bool { return l.name == name })
	if i < 0 {
		return lifecycle{}, false
	}
	return lifecycles[i], true
}
