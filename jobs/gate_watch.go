package jobs

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
)

const (
	// probeTimeout bounds a probe; it is shorter than a probe is held for.
	probeTimeout = 15 * time.Second
	// probeSamples is how many of the payments that wait a probe asks for.
	probeSamples = 3
	// releaseAheadSeconds is for how long, at the provider's rate, what is let go
	// may keep the workers busy: live webhooks wait no longer behind it.
	releaseAheadSeconds = 5
	// releaseAheadLeast keeps the workers busy however low the rate.
	releaseAheadLeast = 100
)

// A keeper keeps a process's circuits: it looks at the circuits, probes providers
// whose circuit is open, and lets go what was held when they work again. Every
// working process has one; who probes and who releases is settled in the database.
type keeper struct {
	circuits circuits
	retry    store.RetryJob
	// ahead is how many events that were let go may wait for a worker.
	ahead  int
	logger *slog.Logger
}

// releaseAhead is how many released events may wait, at a provider's rate.
func releaseAhead(perSecond float64) int {
	return max(releaseAheadLeast, int(min(perSecond*releaseAheadSeconds, 10*releaseAheadLeast)))
}

// run works until ctx is done. The looking has a loop of its own: a probe of a
// provider that hangs must not keep the looks from being fresh.
func (w *keeper) run(ctx context.Context) {
	var all sync.WaitGroup
	for _, g := range w.circuits {
		all.Go(func() { every(ctx, g.timing.look, func() { w.watch(ctx, g) }) })
		all.Go(func() { every(ctx, g.timing.release, func() { w.step(ctx, g) }) })
	}
	all.Wait()
}

// every calls fn now and then, until ctx is done.
func every(ctx context.Context, pause time.Duration, fn func()) {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			fn()
		}
	}
}

func (*keeper) watch(ctx context.Context, g *circuit) {
	g.look(ctx)
	g.mu.Lock()
	reason := g.opening
	g.mu.Unlock()
	if reason != "" {
		g.open(ctx, reason)
	}
}

// step does what the circuit's state asks for.
func (w *keeper) step(ctx context.Context, g *circuit) {
	g.mu.Lock()
	seen := g.seen
	g.mu.Unlock()
	var err error
	switch {
	case seen.Circuit != store.CircuitClosed:
		err = g.probe(ctx)
	case seen.Unreleased:
		err = w.release(ctx, g)
	}
	if err != nil && ctx.Err() == nil {
		w.logger.WarnContext(ctx, "provider circuit not tended", "source", g.source, "error", err)
	}
}

// probe tries the provider, if it is this process's turn.
func (g *circuit) probe(ctx context.Context) error {
	turn, claimed, err := g.store.ClaimProbe(ctx, g.source, g.timing.probeHold)
	if err != nil || !claimed {
		return err
	}
	g.see(turn)
	began := time.Now()
	reason, err := g.try(ctx, turn.Reason)
	if ctx.Err() != nil {
		// The process is stopping: it gives its turn back, and says nothing of
		// the provider.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), circuitTimeout)
		defer cancel()
		return g.store.FailProbe(ctx, g.source, turn.Revision, turn.Reason, 0)
	}
	if err != nil {
		return errors.Join(err, g.store.FailProbe(ctx, g.source, turn.Revision, turn.Reason, g.timing.probe))
	}
	if reason != "" {
		return g.store.FailProbe(ctx, g.source, turn.Revision, reason, max(0, g.timing.probe-time.Since(began)))
	}
	outage, closed, err := g.store.CloseCircuit(ctx, g.source, turn.Revision)
	if err != nil || !closed {
		return err
	}
	g.look(ctx)
	g.logger.InfoContext(ctx, "provider circuit closed", "source", g.source, "reason", outage.Reason, "outage_id", outage.ID,
		"first_failure_at", outage.FirstFailureAt, "lasted_seconds", int64(outage.ClosedAt.Sub(outage.OpenedAt).Seconds()))
	return nil
}

// try asks the provider and returns why the circuit stays open, nothing when it
// is to be closed. Our credentials alone don't tell: what waits are payments,
// and the provider may answer the one and not the other. One payment that can be
// read, or is said not to be there, is enough: each of them may be broken.
func (g *circuit) try(ctx context.Context, reason string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	err := g.asks.CheckCredentials(ctx)
	switch {
	case isShutOut(err):
		return store.ReasonShutOut, nil
	case isOutage(err):
		return store.ReasonUnavailable, nil
	case err != nil:
		return reason, nil
	}
	waiting, err := g.store.WaitingResources(ctx, g.source, probeSamples)
	if err != nil {
		return "", err
	}
	answers := make(chan error, len(waiting))
	for _, id := range waiting {
		go func() {
			_, err := g.asks.Payment(ctx, id)
			answers <- err
		}()
	}
	for range waiting {
		if err := <-answers; answered(err) {
			return "", nil
		}
	}
	if len(waiting) > 0 {
		return store.ReasonUnavailable, nil
	}
	return "", nil
}

// answered reports whether the provider answered what it was asked, given that
// it takes our credentials: then a refusal is about the one payment.
func answered(err error) bool {
	var asked *provider.Error
	return err == nil || isShutOut(err) || errors.As(err, &asked) && asked.Kind == provider.NotFound
}

// release lets go some of what was held.
func (w *keeper) release(ctx context.Context, g *circuit) error {
	done, err := g.store.ReleaseOutage(ctx, store.ReleaseRequest{Source: g.source, Queue: QueueWebhooks, Ahead: w.ahead, Retry: w.retry})
	if err != nil || done.Ended == nil {
		return err
	}
	w.logger.InfoContext(ctx, "events of an outage released", "source", g.source, "outage_id", done.Ended.ID,
		"held_released", done.Ended.HeldReleased, "dead_letters_replayed", done.Ended.DeadLettersReplayed)
	return nil
}
