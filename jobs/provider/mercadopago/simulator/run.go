package simulator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Run makes the payments of the plan's orders, walks each through its life and
// sends a notification after every change, with the simulator's faults. A
// notification that is not answered 2xx is sent again, with a new
// x-request-id, ts, signature and body id, until Config.RedeliveryDelays is
// used up.
//
// How each order goes, what changes after what and which faults each notification
// has is the same in every run with the same seed and plan, as long as
// one Run goes on at a time. When the sends end is up to the target.
//
// When ctx is done Run stops and returns what was reached, with ctx's error.
func (s *Simulator) Run(ctx context.Context, plan Plan) (Report, error) {
	begun := time.Now()
	plan, err := plan.complete()
	if err != nil {
		return Report{}, err
	}
	if s.target.Load() == nil {
		return Report{}, errors.New("simulator plan: no target for notifications")
	}
	specs := s.Orders(plan)
	if err := s.open(specs); err != nil {
		return Report{}, err
	}
	limit, burst := rate.Inf, 1
	if plan.Rate > 0 {
		// Some burst, as timers are too coarse for one by one at high rates.
		limit, burst = rate.Limit(plan.Rate), max(1, int(min(plan.Rate/20, 1000)))
	}
	r := &run{
		sim:      s,
		plan:     plan,
		limiter:  rate.NewLimiter(limit, burst),
		ready:    make(chan *delivery),
		queueIDs: make(map[int64]struct{}),
	}
	var workers sync.WaitGroup
	for range plan.Concurrency {
		workers.Go(func() {
			for d := range r.ready {
				r.deliver(ctx, d)
			}
		})
	}
	err = r.feed(ctx, specs)
	r.open.Wait()
	close(r.ready)
	workers.Wait()
	if s.ownClient {
		s.client.CloseIdleConnections()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.QueueIDs = slices.Sorted(maps.Keys(r.queueIDs))
	r.report.Elapsed = time.Since(begun)
	if err = cmp.Or(err, ctx.Err()); err != nil {
		err = fmt.Errorf("simulator run: %w", err)
	}
	return r.report, err
}

// open enters the orders of a Run into the ledger.
func (s *Simulator) open(specs []OrderSpec) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, spec := range specs {
		if s.orders[spec.Reference] != nil {
			return fmt.Errorf("simulator plan: order %s exists already; use another ReferencePrefix", spec.Reference)
		}
	}
	for _, spec := range specs {
		s.ledgerOrderOf(spec.Reference, spec.Amount, spec.Currency).lifecycle = spec.Lifecycle
	}
	return nil
}

// A run is one Run under way.
type run struct {
	sim     *Simulator
	plan    Plan
	limiter *rate.Limiter
	ready   chan *delivery // deliveries that are due
	open    sync.WaitGroup // deliveries that were handed out and have not ended

	mu       sync.Mutex // guards what follows
	report   Report
	queueIDs map[int64]struct{}
	progress sync.Mutex // guards done, and is held while Progress is called
	done     int
}

// A lifeline is an order that lives.
type lifeline struct {
	spec     OrderSpec
	steps    []step
	next     int    // the step that is due
	firstSeq uint64 // the sequence number of its first payment
	payments []*payment
	open     atomic.Int64 // deliveries that have not ended, and one while steps are left
}

// feed walks the orders through their lives, several at a time, and hands out
// the notifications. It is one goroutine, so that the seed decides the order of
// everything it does.
func (r *run) feed(ctx context.Context, specs []OrderSpec) error {
	seed := r.sim.cfg.Seed
	plan := keyOf(r.plan.ReferencePrefix)
	chance := draws(seed, forInterleaving, plan)
	out := &shuffle{chance: draws(seed, forDisorder, plan)}
	if r.sim.cfg.Faults.Disorder {
		out.size = 2 * r.plan.Window
	}
	var living []*lifeline
	for len(specs) > 0 || len(living) > 0 {
		for len(specs) > 0 && len(living) < r.plan.Window {
			if life := r.begin(specs[0]); life != nil {
				living = append(living, life)
			}
			specs = specs[1:]
		}
		if len(living) == 0 {
			continue
		}
		i := chance.IntN(len(living))
		life := living[i]
		deliveries, err := r.advance(life)
		if err != nil {
			return err
		}
		for _, d := range deliveries {
			if due := out.swap(d); due != nil && !r.hand(ctx, due) {
				return nil // Run reports ctx's error
			}
		}
		if life.next == len(life.steps) {
			living[i] = living[len(living)-1]
			living = living[:len(living)-1]
			r.release(life)
		}
	}
	for due := out.take(); due != nil; due = out.take() {
		if !r.hand(ctx, due) {
			return nil
		}
	}
	return nil
}

// A shuffle holds up to size deliveries and gives them back in disorder.
type shuffle struct {
	size   int
	chance *rand.Rand
	held   []*delivery
}

// swap takes a delivery in and returns one that is due, nil while there is
// room.
func (s *shuffle) swap(d *delivery) *delivery {
	s.held = append(s.held, d)
	if len(s.held) <= s.size {
		return nil
	}
	return s.take()
}

// take returns one of the deliveries held, nil when there is none.
func (s *shuffle) take() *delivery {
	if len(s.held) == 0 {
		return nil
	}
	i := s.chance.IntN(len(s.held))
	d := s.held[i]
	s.held[i] = s.held[len(s.held)-1]
	s.held = s.held[:len(s.held)-1]
	return d
}

// begin begins an order's life; nil when nothing ever happens in it.
func (r *run) begin(spec OrderSpec) *lifeline {
	kind, _ := lifecycleNamed(spec.Lifecycle)
	payments := uint64(kind.payments()) //nolint:gosec // not negative
	life := &lifeline{
		spec:     spec,
		steps:    kind.steps,
		firstSeq: r.sim.lastSeq.Add(payments) - payments + 1,
	}
	life.open.Store(1)
	r.count(func(report *Report) { report.Orders++ })
	if len(life.steps) == 0 {
		r.release(life)
		return nil
	}
	return life
}

// advance takes an order's next step and returns the notifications that follow
// from it.
func (r *run) advance(life *lifeline) ([]*delivery, error) {
	s, st, number := r.sim, life.steps[life.next], life.next
	life.next++
	action := "payment.updated"
	if st.payment == len(life.payments) {
		action = "payment.created"
		seq := life.firstSeq + uint64(st.payment) //nolint:gosec // not negative
		life.payments = append(life.payments, s.create(seq, st.spec(s, life.spec)))
		r.count(func(report *Report) { report.Payments++ })
	} else {
		refunded := st.refunded.of(life.spec.Amount, scaleOf(life.spec.Currency))
		if err := s.move(life.payments[st.payment], st.status, st.detail, refunded); err != nil {
			return nil, fmt.Errorf("order %s, step %d: %w", life.spec.Reference, number, err)
		}
	}
	p := life.payments[st.payment]

	var deliveries []*delivery
	first := delivery{life: life, payment: p, step: number, action: action}
	if life.spec.Through == 0 || life.spec.BothChannels {
		deliveries = r.notifications(first, forNotification)
	}
	if life.spec.Through != 0 {
		first.order = s.createResource(life.spec.Through, p)
		deliveries = append(deliveries, r.notifications(first, forOrderNotification)...)
	}
	life.open.Add(int64(len(deliveries)))
	return deliveries, nil
}

// notifications are the deliveries of one notification, with their faults: none
// when it is dropped.
func (r *run) notifications(first delivery, p purpose) []*delivery {
	faults := r.sim.cfg.Faults
	chance := draws(r.sim.cfg.Seed, p, first.payment.seq, uint64(first.step)) //nolint:gosec // not negative
	dropped := chance.Float64() < faults.Drop
	late := chance.Float64() < faults.LateShare
	replayed := chance.Float64() < faults.ExactReplays
	r.count(func(report *Report) {
		report.Notifications++
		if dropped {
			report.NeverSent++
		}
	})
	if dropped {
		return nil
	}
	if late {
		first.wait = faults.LateBy
	}
	if replayed {
		first.sealed = r.envelope(&first)
	}
	deliveries := []*delivery{&first}
	for i := range faults.Duplicates {
		again := first
		again.copy, again.sealed = i+1, nil
		deliveries = append(deliveries, &again)
	}
	if replayed {
		again := first
		again.replay = true
		deliveries = append(deliveries, &again)
	}
	return deliveries
}
