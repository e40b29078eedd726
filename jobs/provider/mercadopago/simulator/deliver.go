package simulator

import (
	"context"
	"net/http"
	"time"
)

// A delivery is one notification to be sent until it is acknowledged.
type delivery struct {
	life    *lifeline
	payment *payment
	order   *resource // what it is about instead, nil for the payment itself
	step    int
	copy    int // 0: the first; others are Faults.Duplicates
	attempt int
	action  string
	wait    time.Duration // before it is due
	sealed  *envelope     // what the first attempt sends, when that is replayed
	replay  bool          // sends sealed, once
}

// hand gives a delivery to the workers, at the plan's rate. It reports false
// when ctx is done.
func (r *run) hand(ctx context.Context, d *delivery) bool {
	if r.limiter.Wait(ctx) != nil {
		// Wait fails early when ctx would end within the wait; it is as good
		// as done then.
		<-ctx.Done()
		return false
	}
	r.open.Add(1)
	if d.wait > 0 {
		r.later(ctx, d, d.wait)
		return true
	}
	select {
	case r.ready <- d:
		return true
	case <-ctx.Done():
		r.open.Done()
		return false
	}
}

// later hands out a delivery after a wait. The caller has counted it as open.
func (r *run) later(ctx context.Context, d *delivery, wait time.Duration) {
	go func() {
		if pause(ctx, wait) {
			select {
			case r.ready <- d:
				return
			case <-ctx.Done():
			}
		}
		r.open.Done()
	}()
}

// deliver makes one attempt at a delivery.
func (r *run) deliver(ctx context.Context, d *delivery) {
	delays := r.sim.cfg.RedeliveryDelays
	last := d.replay || d.attempt == len(delays)
	acknowledged := r.attempt(ctx, d, last)
	switch {
	case ctx.Err() != nil:
		r.open.Done()
	case acknowledged || d.replay:
		r.release(d.life)
		r.open.Done()
	case last:
		r.sim.log.WarnContext(ctx, "notification given up",
			"payment_id", d.payment.current.Load().state.ID, "attempt", d.attempt+1)
		r.count(func(report *Report) { report.GivenUp++ })
		r.release(d.life)
		r.open.Done()
	default:
		wait := delays[d.attempt]
		d.attempt++
		d.sealed = nil
		r.later(ctx, d, wait)
	}
}

// attempt sends a delivery once and reports whether it was acknowledged. The
// last attempt's answer is never dropped.
func (r *run) attempt(ctx context.Context, d *delivery, last bool) bool {
	s := r.sim
	sealed := d.sealed
	if sealed == nil {
		sealed = r.envelope(d)
	}
	req, err := s.request(ctx, sealed)
	if err != nil {
		s.log.ErrorContext(ctx, "notification not made", "error", err)
		r.tally(d, Result{Err: err}, false)
		return false
	}
	if share := s.cfg.Faults.DropAnswer; share > 0 && !last {
		chance := draws(s.cfg.Seed, forDelivery, d.payment.seq,
			uint64(d.step), uint64(d.copy), uint64(d.attempt)) //nolint:gosec // not negative
		if chance.Float64() < share {
			err := s.sendAndCut(req, chance.IntN(2) == 0)
			r.tally(d, Result{Err: err}, err == nil)
			return false
		}
	}
	result := s.send(req)
	r.tally(d, result, false)
	return result.Acknowledged()
}

// envelope makes a delivery's next attempt.
func (r *run) envelope(d *delivery) *envelope {
	if d.order != nil {
		return r.sim.resourceEnvelope(d.order, d.attempt, byRun, uint64(d.step), uint64(d.copy)) //nolint:gosec // not negative
	}
	return r.sim.envelopeOf(d.payment, d.action, d.attempt, uint64(d.step), uint64(d.copy)) //nolint:gosec // not negative
}

// tally counts an attempt's end.
func (r *run) tally(d *delivery, result Result, cut bool) {
	r.count(func(report *Report) {
		report.Sent++
		if d.attempt > 0 {
			report.Redelivered++
		}
		if d.replay {
			report.Replayed++
		}
		switch {
		case cut:
			report.Cut++
		case result.Acknowledged():
			report.Acknowledged++
			if result.Duplicate {
				report.Duplicates++
			}
			if result.QueueID != 0 {
				r.queueIDs[result.QueueID] = struct{}{}
			}
		case result.Err == nil && result.StatusCode < http.StatusInternalServerError:
			report.Refused++
		default:
			report.Failed++
		}
	})
}

// count changes the report.
func (r *run) count(change func(*Report)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.report)
}

// release says that one thing that an order waited for has ended, and tells of
// the order when it was the last.
func (r *run) release(life *lifeline) {
	if life.open.Add(-1) > 0 {
		return
	}
	r.progress.Lock()
	defer r.progress.Unlock()
	r.done++
	if r.plan.Progress != nil {
		r.plan.Progress(r.done, r.plan.Orders)
	}
}
