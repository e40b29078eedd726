// Package circuit says whether a provider may be asked. It counts what providers
// answer this process, shares the outcome with all processes by the database, tries
// a provider that is down, and lets go what was held when it works again.
package circuit

import (
	"context"
	"log/slog"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
)

const (
	// outageFailures in a row, of different things asked for, open the circuit.
	outageFailures = 5
	// staleAfter is how old the last look at the circuit may be.
	staleAfter = 2 * time.Second
	// questionTimeout bounds the questions that a failure raises: whether our own
	// credentials work, and whether other payments can be read.
	questionTimeout = 5 * time.Second
	// controlSamples is how many payments the control question asks for.
	controlSamples = 2
	// circuitTimeout bounds one change or look at the circuit in the database.
	circuitTimeout = 5 * time.Second
)

// A Provider is asked whether it works.
type Provider interface {
	// Payment fetches one payment. Its error is a *provider.Error.
	Payment(ctx context.Context, id string) (provider.Payment, error)
	// CheckCredentials returns nil when the provider accepts our credentials.
	CheckCredentials(ctx context.Context) error
	// SearchPayments fetches one page of payments. Its error is a *provider.Error.
	SearchPayments(ctx context.Context, query provider.SearchQuery) (provider.SearchPage, error)
}

// Circuits are the providers' circuits by source. Without one a provider is always
// asked.
type Circuits map[string]*Circuit

// A Circuit stands before one provider and says whether it may be asked. It counts
// what the provider answers this process, opens the circuit when too much fails,
// and keeps a recent look at the circuit that the database holds for all processes.
type Circuit struct {
	source string
	store  *store.Store
	asks   Provider
	logger *slog.Logger
	timing Timing
	// credentials asks whether the provider accepts ours, and control whether
	// payments can be read.
	credentials sharedCall[error]
	control     sharedCall[reading]

	mu      sync.Mutex
	breaker circuitbreaker.CircuitBreaker[any]
	// opening is why the breaker was opened here, as long as the database does not know
	// of it; empty otherwise.
	opening string
	// failing are the things asked for that failed since the last success, and
	// failingSince is when the first did.
	failing      map[string]bool
	failingSince time.Time
	// readings counts the control questions.
	readings uint64
	seen     store.Circuit
	seenAt   time.Time
	// closedAt is when this process saw an outage end.
	closedAt time.Time
}

// Timing is how often what happens.
type Timing struct {
	// Look is how often the circuit is looked at.
	Look time.Duration
	// Probe is how often a provider is tried while its circuit is open, and
	// ProbeHold when a probe whose process died is given away.
	Probe, ProbeHold time.Duration
	// Release is how often held events are let go.
	Release time.Duration
}

// DefaultTiming is the timing of a service.
func DefaultTiming() Timing {
	return Timing{Look: 1500 * time.Millisecond, Probe: 5 * time.Second, ProbeHold: 20 * time.Second, Release: 250 * time.Millisecond}
}

// New returns the closed circuit of each provider, by the source that events name.
// A Keeper keeps them.
func New[P Provider](s *store.Store, providers map[string]P, timing Timing, logger *slog.Logger) Circuits {
	all := Circuits{}
	for source, asks := range providers {
		c := &Circuit{
			source: source, store: s, asks: asks, logger: logger, timing: timing,
			// When the circuit closes is for the probes to say, and not for a delay.
			breaker: circuitbreaker.NewBuilder[any]().WithFailureThreshold(outageFailures).WithDelay(math.MaxInt64).Build(),
			failing: map[string]bool{},
			seen:    store.Circuit{ProviderState: store.ProviderState{Source: source, Circuit: store.CircuitClosed}},
		}
		c.credentials.ask, c.control.ask = c.checkCredentials, c.checkControl
		all[source] = c
	}
	return all
}

// AllHold reports whether no provider may be asked, so that an event can be held
// without even reading it.
func (all Circuits) AllHold(ctx context.Context) bool {
	for _, c := range all {
		if !c.holds(ctx) {
			return false
		}
	}
	return len(all) > 0
}

// Holds reports whether the provider is not to be asked now.
func (all Circuits) Holds(ctx context.Context, source string) bool {
	c, ok := all[source]
	return ok && c.holds(ctx)
}

// Succeeded counts an answer of the provider. The answer to an unsigned hint is not
// to be counted: see Question.
func (all Circuits) Succeeded(source string) {
	if c, ok := all[source]; ok {
		c.succeeded()
	}
}

// holds reports whether the provider is not to be asked now. It costs no query
// as long as somebody looks at the circuit regularly.
func (c *Circuit) holds(ctx context.Context) bool {
	if holds, fresh := c.known(); fresh {
		return holds
	}
	c.look(ctx)
	holds, _ := c.known()
	return holds
}

func (c *Circuit) known() (holds, fresh bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen.Circuit != store.CircuitClosed || c.breaker.IsOpen(), time.Since(c.seenAt) < staleAfter
}

// look reads the circuit from the database. When they can't be read, what is known
// stays.
func (c *Circuit) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), circuitTimeout)
	defer cancel()
	states, err := c.store.Circuits(ctx)
	if err != nil {
		c.logger.WarnContext(ctx, "provider circuit not read", "source", c.source, "error", err)
		return
	}
	state, ok := states[c.source]
	if !ok {
		state = store.Circuit{ProviderState: store.ProviderState{Source: c.source, Circuit: store.CircuitClosed}}
	}
	c.see(state)
}

// see takes a look at the circuit, unless a newer one was taken before.
func (c *Circuit) see(state store.Circuit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if state.Revision < c.seen.Revision {
		return
	}
	moved := state.Revision > c.seen.Revision
	if state.Circuit != store.CircuitClosed {
		c.opening = ""
	} else if moved {
		// An outage ended, maybe one that this process never saw.
		c.closedAt = time.Now()
		c.reset()
		c.opening = ""
		c.breaker.Close()
	}
	c.seen, c.seenAt = state, time.Now()
}

// reset begins a new streak. The caller holds the lock.
func (c *Circuit) reset() {
	clear(c.failing)
	c.failingSince = time.Time{}
}

// succeeded counts an answer.
func (c *Circuit) succeeded() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.failing) > 0 {
		c.reset()
	}
	c.breaker.RecordSuccess()
}

// failed counts a failure over one thing. The same thing failing again says
// nothing new about the provider as a whole.
func (c *Circuit) failed(ctx context.Context, about string) {
	c.mu.Lock()
	if c.failing[about] || c.breaker.IsOpen() {
		c.mu.Unlock()
		return
	}
	if len(c.failing) == 0 {
		c.failingSince = time.Now()
	}
	c.failing[about] = true
	c.breaker.RecordFailure()
	opened := c.breaker.IsOpen()
	c.mu.Unlock()
	if opened {
		c.open(ctx, store.ReasonUnavailable)
	}
}

// open opens the circuit here and in the database. When these can't be written, the
// next look tries again.
func (c *Circuit) open(ctx context.Context, reason string) {
	c.mu.Lock()
	c.breaker.Open()
	c.opening = reason
	if c.failingSince.IsZero() {
		c.failingSince = time.Now()
	}
	since := c.failingSince
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), circuitTimeout)
	defer cancel()
	state, opened, err := c.store.OpenCircuit(ctx, c.source, reason, time.Since(since), c.timing.Probe)
	if err != nil {
		c.logger.WarnContext(ctx, "provider circuit open in this process only", "source", c.source, "reason", reason, "error", err)
		return
	}
	c.see(state)
	if opened {
		c.logger.WarnContext(ctx, "provider circuit opened", "source", c.source, "reason", reason, "first_failure_at", since.UTC())
	}
}

// checkCredentials asks the provider who we are. The answer alone decides nothing:
// payments may be readable without it.
func (c *Circuit) checkCredentials(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, questionTimeout)
	defer cancel()
	return c.asks.CheckCredentials(ctx)
}

// checkControl puts the control question.
func (c *Circuit) checkControl(ctx context.Context) reading {
	ctx, cancel := context.WithTimeout(ctx, questionTimeout)
	defer cancel()
	c.mu.Lock()
	c.readings++
	round, failing := c.readings, slices.Collect(maps.Keys(c.failing))
	c.mu.Unlock()
	r, err := c.readControl(ctx, failing)
	if err != nil {
		c.logger.WarnContext(ctx, "known payments not read", "source", c.source, "error", err)
	}
	r.round = round
	return r
}
