package circuit

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/conciliar/conciliar/store"
)

// QuietLooks is which of the looks are made while all circuits are closed, every fourth:
// an attempt looks itself where the last look is too old.
const QuietLooks = 4

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

// A Keeper keeps a process's circuits: it looks at the circuits, probes providers
// whose circuit is open, and lets go what was held when they work again. Every
// working process has one; who probes and who releases is settled in the database.
type Keeper struct {
	circuits *Circuits
	queue    string
	retry    store.RetryJob
	// ahead is how many events that were let go may wait for a worker.
	ahead  int
	logger *slog.Logger
}

// releaseAhead is how many released events may wait, at a provider's rate.
func releaseAhead(perSecond float64) int {
	return max(releaseAheadLeast, int(min(perSecond*releaseAheadSeconds, 10*releaseAheadLeast)))
}

// NewKeeper returns a keeper that lets go the jobs of a queue: retry makes one due,
// and perSecond is how many requests a second a provider gets at most.
func NewKeeper(circuits *Circuits, queue string, retry store.RetryJob, perSecond float64, logger *slog.Logger) *Keeper {
	return &Keeper{circuits: circuits, queue: queue, retry: retry, ahead: releaseAhead(perSecond), logger: logger}
}

// Run works until ctx is done. The looking has a loop of its own, and each account
// has one: a probe that hangs must keep neither the looks from being fresh nor
// another account from its own.
func (k *Keeper) Run(ctx context.Context) {
	var all sync.WaitGroup
	kept := map[*Circuit]bool{}
	n := 0
	look := func() {
		if n%QuietLooks == 0 || !k.circuits.quiet() {
			k.watch(ctx)
		}
		n++
		for _, c := range k.circuits.current() {
			if !kept[c] {
				kept[c] = true
				all.Go(func() { every(ctx, c.timing.Release, func() { k.step(ctx, c) }) })
			}
		}
	}
	look()
	every(ctx, k.circuits.timing.Look, look)
	all.Wait()
}

// every calls fn now and then, until ctx is done.
func every(ctx context.Context, pause time.Duration, fn func()) {
	tick := time.Tick(pause)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick:
			fn()
		}
	}
}

// watch looks at all circuits, and writes down those that are open here alone.
func (k *Keeper) watch(ctx context.Context) {
	k.circuits.look(ctx)
	for _, c := range k.circuits.current() {
		c.mu.Lock()
		reason := c.opening
		c.mu.Unlock()
		if reason != "" {
			c.open(ctx, reason)
		}
	}
}

// step does what the circuit's state asks for.
func (k *Keeper) step(ctx context.Context, c *Circuit) {
	if k.circuits.of(c.account) != c {
		return // the account is gone, for now
	}
	c.mu.Lock()
	seen := c.seen
	c.mu.Unlock()
	var err error
	switch {
	case seen.Circuit != store.CircuitClosed:
		err = c.probe(ctx)
	case seen.Unreleased:
		err = k.release(ctx, c)
	}
	if err != nil && ctx.Err() == nil {
		k.logger.WarnContext(ctx, "circuit maintenance failed", "account", c.account.String(), "error", err)
	}
}

// probe tries the provider, if it is this process's turn.
func (c *Circuit) probe(ctx context.Context) error {
	turn, claimed, err := c.store.ClaimProbe(ctx, c.account, c.timing.ProbeHold)
	if err != nil || !claimed {
		return err
	}
	c.see(turn)
	began := time.Now()
	reason, err := c.try(ctx, turn.Reason)
	if ctx.Err() != nil {
		// The process is stopping: it gives its turn back, and says nothing of
		// the provider.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), circuitTimeout)
		defer cancel()
		return c.store.FailProbe(ctx, c.account, turn.Revision, turn.Reason, 0)
	}
	if err != nil {
		return errors.Join(err, c.store.FailProbe(ctx, c.account, turn.Revision, turn.Reason, c.timing.Probe))
	}
	if reason != "" {
		return c.store.FailProbe(ctx, c.account, turn.Revision, reason, max(0, c.timing.Probe-time.Since(began)))
	}
	outage, closed, err := c.store.CloseCircuit(ctx, c.account, turn.Revision)
	if err != nil || !closed {
		return err
	}
	c.circuits.look(ctx)
	c.logger.InfoContext(ctx, "provider circuit closed", "account", c.account.String(), "reason", outage.Reason, "outage_id", outage.ID,
		"first_failure_at", outage.FirstFailureAt, "lasted_seconds", int64(outage.ClosedAt.Sub(outage.OpenedAt).Seconds()))
	return nil
}

// try asks the provider and returns why the circuit stays open, nothing when it
// is to be closed. A payment that can be read, or is said not to be there, closes
// it: one that waits or, because each of these may be broken, one that could be
// read before, or the search. Where there is only a refusal, or nothing that says
// anything, the provider still has to know us.
func (c *Circuit) try(ctx context.Context, reason string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	waiting, err := c.store.WaitingResources(ctx, c.account, probeSamples)
	if err != nil {
		return "", err
	}
	s := c.read(ctx, waiting)
	if s != works {
		control, err := c.readControl(ctx, waiting)
		if err != nil {
			return "", err
		}
		s = max(s, control.sign)
	}
	switch s {
	case works, odd:
		return "", nil
	case down:
		return store.ReasonUnavailable, nil
	case refused, silent:
	}
	switch err := c.asks().CheckCredentials(ctx); {
	case err == nil:
		return "", nil
	case s == refused && signOf(err) == refused:
		return store.ReasonCredentialsRejected, nil
	}
	return reason, nil
}

// release lets go some of what was held.
func (k *Keeper) release(ctx context.Context, c *Circuit) error {
	done, err := c.store.ReleaseOutage(ctx, store.ReleaseRequest{Account: c.account, Queue: k.queue, Ahead: k.ahead, Retry: k.retry})
	if err != nil || done.Ended == nil {
		return err
	}
	k.logger.InfoContext(ctx, "events of an outage released", "account", c.account.String(), "outage_id", done.Ended.ID,
		"held_released", done.Ended.HeldReleased, "dead_letters_replayed", done.Ended.DeadLettersReplayed)
	return nil
}
