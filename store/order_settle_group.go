package store

import (
	"errors"
	"slices"

	"github.com/conciliar/conciliar/store/order"
)

// A group is events that end in one transaction. It takes what is plain: a payment of
// which nothing is known or an earlier state under the same reference, of an order that
// is settled, is made by it, or is not wanted, and no anomaly, alias, dispute or other
// matter about them. Whatever else there is to know is left to be settled alone. So a
// group reads and writes each table once, and never waits for a lock that somebody holds
// for long.
//
// The events are folded one after the other, in their order: each finds what those
// before it have made.
type group struct {
	store    *Store
	endings  []*ending
	verdicts []verdict

	jobs     map[int64]*heldJob
	payments map[[2]string]*groupPayment
	orders   map[string]*groupOrder

	// What is to be written, each in the order of the events.
	ended    []endedEvent
	states   []paymentState
	timeline []groupLog
	follows  []NewEvent
}

// A verdict is what becomes of an event of a group.
type verdict struct {
	result SettleResult
	err    error
	alone  bool
}

// A groupPayment is a payment that events of a group are about, as they leave it.
type groupPayment struct {
	// plain is true while a group may settle the payment.
	plain bool
	known *knownPayment
	// save is the state to save, and confirm what a fetch confirmed; nil for none.
	save, confirm *paymentState
}

// A groupOrder is an order that payments of a group name, as their events leave it.
type groupOrder struct {
	// plain is true while a group may settle the order, and near when an open anomaly
	// may have meant an order with its reference.
	plain, near bool
	// known is nil for an order that is not there.
	known *knownOrder
	// payments are those that name it.
	payments []order.Known
	// shown are the payments and timeline the entries that stood in the ledger before
	// the group, as an order shows them.
	shown    []OrderPayment
	timeline []OrderChange
	// made is true when the group makes it, settled what it comes to; nil while it is as
	// it was.
	made    bool
	settled *settledOrder
	// told is true when it has news.
	told bool
}

// A groupLog is an entry of an order's timeline, with what is told of it.
type groupLog struct {
	orderLog
	news   []orderNews
	origin string
}

// errGroupDiffers means that a group's statements did something else than its fold
// says. It is rolled back, and its events are settled alone.
var errGroupDiffers = errors.New("the group did not change the rows that it was to change")

// newGroup prepares the events' group.
func (s *Store) newGroup(endings []*ending) *group {
	g := &group{
		store: s, endings: endings, verdicts: make([]verdict, len(endings)),
		jobs: map[int64]*heldJob{}, payments: map[[2]string]*groupPayment{}, orders: map[string]*groupOrder{},
	}
	for _, e := range endings {
		if e.fetched == nil || e.fetched.Payment == nil {
			continue
		}
		p := storable(*e.fetched.Payment)
		g.payments[[2]string{p.Source, p.Payment.ID}] = &groupPayment{}
		if p.Reference != "" {
			g.orders[p.Reference] = &groupOrder{}
		}
	}
	return g
}

// fold derives what becomes of each event, and what is to be written.
func (g *group) fold() {
	for i, e := range g.endings {
		v := &g.verdicts[i]
		job := g.jobs[e.attempt.JobID]
		switch {
		case job == nil:
			v.alone = true
		case job.checkAttempt(e.attempt) != nil:
			v.err = ErrStaleAttempt
		case e.fetched == nil:
			v.result.Outcome = e.outcome
		default:
			v.result, v.alone = g.apply(e)
		}
		switch {
		case v.alone:
			g.leave(e)
		case v.err == nil:
			g.ended = append(g.ended, endedEvent{e.attempt, v.result.Outcome, job.failures})
			// A second ending of the same job finds it ended.
			job.running = false
		}
	}
}

// apply folds what was fetched for an event; alone is true when that is not for a group.
func (g *group) apply(e *ending) (result SettleResult, alone bool) {
	f := e.fetched
	result.Outcome = OutcomeFollowed
	if f.Chargeback != nil || f.Claim != nil || len(f.Ordered) > 0 || f.Event.Work == WorkFraudAlert {
		return result, true
	}
	follows, err := g.store.followsOf(*f)
	if err != nil {
		return result, true
	}
	if f.Payment != nil {
		var settled bool
		if result, settled = g.settle(e, storable(*f.Payment)); !settled {
			return result, true
		}
	}
	g.follows = append(g.follows, follows...)
	return result, false
}

// leave leaves an event alone, and later ones about its payment or its orders as well, so
// that they come after it.
func (g *group) leave(e *ending) {
	if e.fetched == nil || e.fetched.Payment == nil {
		return
	}
	f := storable(*e.fetched.Payment)
	p := g.payments[[2]string{f.Source, f.Payment.ID}]
	p.plain = false
	references := []string{f.Reference}
	if p.known != nil {
		references = append(references, p.known.reference)
	}
	for _, reference := range references {
		if o := g.orders[reference]; o != nil {
			o.plain = false
		}
	}
}

// settle folds a fetched payment into its order; settled is false when that is not for a
// group.
func (g *group) settle(e *ending, f FetchedPayment) (result SettleResult, settled bool) {
	p, o := g.payments[[2]string{f.Source, f.Payment.ID}], g.orders[f.Reference]
	switch known := p.known; {
	case !p.plain, o != nil && !o.plain:
		return result, false
	case known != nil && (known.reference != f.Reference || !known.folded):
		return result, false
	}
	result = SettleResult{Outcome: OutcomeUnchanged, Reference: f.Reference}
	latest := knownPayment{Payment: f.Payment, reference: f.Reference, folded: true}
	applied := f.applies(p.known)
	switch {
	case applied:
		result.Outcome = OutcomeSettled
		latest.KnownAt = f.Payment.ChangedAt()
		if p.known != nil {
			latest.FetchMark = max(latest.FetchMark, p.known.FetchMark)
		}
	default:
		latest = *p.known
		if latest.UpdatedAt.Before(f.NotBefore) {
			return result, false
		}
	}
	if o != nil {
		changed, ok := g.derive(e, o, latest, applied)
		if !ok {
			return result, false
		}
		if changed {
			result.Outcome = OutcomeSettled
		}
	}
	if o == nil || o.known == nil {
		if !g.fitsNowhere(latest) {
			return result, false
		}
	} else {
		result.OrderStatus = o.known.status
	}
	switch {
	case applied:
		g.states = append(g.states, paymentState{FetchedPayment: f, queueID: e.attempt.QueueID})
		f.Payment.FetchMark, f.Payment.KnownAt = latest.FetchMark, latest.KnownAt
		p.known, p.save, p.confirm = &latest, &paymentState{FetchedPayment: f}, nil
	case f.Payment.Repeats(p.known.Payment):
		p.confirms(f)
	}
	return result, true
}

// confirms notes that a fetch found the payment as it is known, as confirmPayments does.
func (p *groupPayment) confirms(f FetchedPayment) {
	known := *p.known
	if !known.FetchedAt.Before(f.Payment.FetchedAt) && known.FetchMark >= f.Payment.FetchMark {
		return
	}
	if known.FetchedAt.Before(f.Payment.FetchedAt) {
		known.FetchedAt = f.Payment.FetchedAt
	}
	known.FetchMark = max(known.FetchMark, f.Payment.FetchMark)
	p.known = &known
	written := p.save
	if written == nil {
		p.confirm = &paymentState{FetchedPayment: f}
		written = p.confirm
	}
	written.Payment.FetchedAt, written.Payment.FetchMark, written.Cost, written.Method = known.FetchedAt, known.FetchMark, f.Cost, f.Method
}

// fitsNowhere reports whether a payment without an order is nobody's matter: it yields
// no anomaly.
func (g *group) fitsNowhere(p knownPayment) bool {
	found := order.Unmatched(g.store.rulesNow(), p.Payment, p.reference, nil)
	return len(found) == 0 ||
		g.store.unknownOrder == UnknownOrderIgnore && len(found) == 1 && found[0].Kind == order.AnomalyUnknownOrder
}

// derive derives the order with a payment of it in its latest state, and reports whether
// that is another state of the order. It is not ok where more than the order's own row
// and its timeline would be written.
func (g *group) derive(e *ending, o *groupOrder, p knownPayment, applied bool) (changed, ok bool) {
	payments := o.payments
	if applied {
		payments = withPayment(payments, order.Known{Source: e.fetched.Payment.Source, Payment: p.Payment})
	}
	known, made := o.known, false
	if known == nil {
		if g.store.unknownOrder != UnknownOrderCreate || !g.store.mayCreate(p.Payment, p.reference) {
			// Another payment may make the order yet.
			o.payments = payments
			return false, true
		}
		if o.near {
			return false, false
		}
		known, made = &knownOrder{Terms: g.store.createdTerms(p.Payment)}, true
	} else if !known.settled || !known.folded || applied && o.told {
		// What is told is the order as it is then: two states of it are not one's.
		return false, false
	}
	settlement, _, err := order.Fold(known.Terms, g.store.rulesNow(), payments, nil)
	if err != nil || len(settlement.Anomalies) > 0 || known.settled && paymentMoved(*known, settlement) != nil {
		return false, false
	}
	changed = !known.stored || known.moves(settlement)
	if changed && o.told {
		return false, false
	}
	if !changed {
		o.payments = payments
		return false, true
	}
	reference := p.reference
	why := settling{cause: causePayment, queueID: e.attempt.QueueID}
	news := newsOf(reference, *known, settlement, why, "")
	g.timeline = append(g.timeline, groupLog{
		orderLog: orderLog{reference, why, settlement, known.Terms, len(news) > 0}, news: news, origin: e.fetched.Event.Origin,
	})
	after := *known
	after.status, after.paid, after.refunded = settlement.Status, settlement.Paid, settlement.Refunded
	after.stored, after.settled, after.folded = true, true, true
	o.known, o.payments, o.made, o.told = &after, payments, o.made || made, len(news) > 0
	o.settled = &settledOrder{reference: reference, Settlement: settlement, moved: true}
	return true, true
}

// withPayment are the payments with one of them in another state, or with one more.
func withPayment(payments []order.Known, p order.Known) []order.Known {
	payments = slices.Clone(payments)
	i := slices.IndexFunc(payments, func(q order.Known) bool { return q.Source == p.Source && q.ID == p.ID })
	if i < 0 {
		return append(payments, p)
	}
	payments[i] = p
	return payments
}
