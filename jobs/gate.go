package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
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
	// credentialsTimeout bounds the question whether our own credentials work.
	credentialsTimeout = 5 * time.Second
	// circuitTimeout bounds one change or look at the circuit in the database.
	circuitTimeout = 5 * time.Second
	// heldFor is how long an event is held at least, and up to twice that, unless
	// it is let go before, as it is when the outage ends. So long that what is
	// held does not come around all the time.
	heldFor = time.Hour
	// stepHeldFor is how long a run's step sleeps before it looks again whether
	// its provider can be asked.
	stepHeldFor = 5 * time.Second
)

// circuits are the providers' circuits by source. Without one a provider is always
// asked.
type circuits map[string]*circuit

// A circuit stands before one provider and says whether it may be asked. It counts
// what the provider answers this process, opens the circuit when too much fails,
// and keeps a recent look at the circuit that the database holds for all processes.
type circuit struct {
	source string
	store  *store.Store
	asks   PaymentFetcher
	logger *slog.Logger
	timing circuitTiming
	// credentials asks whether the provider accepts ours.
	credentials sharedCall

	mu      sync.Mutex
	breaker circuitbreaker.CircuitBreaker[any]
	// opening is why the breaker was opened here, as long as the database does not know
	// of it; empty otherwise.
	opening string
	// failing are the things asked for that failed since the last success, and
	// failingSince is when the first did.
	failing      map[string]bool
	failingSince time.Time
	seen         store.Circuit
	seenAt       time.Time
	// closedAt is when this process saw an outage end.
	closedAt time.Time
}

// circuitTiming is how often what happens; tests shorten it.
type circuitTiming struct {
	// look is how often the circuit is looked at.
	look time.Duration
	// probe is how often a provider is tried while its circuit is open, and
	// probeHold when a probe whose process died is given away.
	probe, probeHold time.Duration
	// release is how often held events are let go.
	release time.Duration
}

func defaultCircuitTiming() circuitTiming {
	return circuitTiming{look: 500 * time.Millisecond, probe: 5 * time.Second, probeHold: 20 * time.Second, release: 250 * time.Millisecond}
}

func newCircuits(deps Deps, logger *slog.Logger) circuits {
	timing := defaultCircuitTiming()
	if deps.circuitTiming != nil {
		timing = *deps.circuitTiming
	}
	all := circuits{}
	for source, asks := range deps.Payments {
		g := &circuit{
			source: source, store: deps.Store, asks: asks, logger: logger, timing: timing,
			// When the circuit closes is for the probes to say, and not for a delay.
			breaker: circuitbreaker.NewBuilder[any]().WithFailureThreshold(outageFailures).WithDelay(math.MaxInt64).Build(),
			failing: map[string]bool{},
			seen:    store.Circuit{ProviderState: store.ProviderState{Source: source, Circuit: store.CircuitClosed}},
		}
		g.credentials.ask = g.checkCredentials
		all[source] = g
	}
	return all
}

// holdFor is how long an event is held: see heldFor. The spread keeps what was held together from coming around together.
func holdFor() time.Duration {
	return heldFor + rand.N(heldFor) //nolint:gosec // spreads load, guards nothing
}

// allHold reports whether no provider may be asked, so that an event can be held
// without even reading it.
func (g circuits) allHold(ctx context.Context) bool {
	for _, gate := range g {
		if !gate.holds(ctx) {
			return false
		}
	}
	return len(g) > 0
}

// holds reports whether the provider is not to be asked now.
func (g circuits) holds(ctx context.Context, source string) bool {
	gate, ok := g[source]
	return ok && gate.holds(ctx)
}

// succeeded counts an answer of the provider.
func (g circuits) succeeded(source string) {
	if gate, ok := g[source]; ok {
		gate.succeeded()
	}
}

// holds reports whether the provider is not to be asked now. It costs no query
// as long as somebody looks at the circuit regularly.
func (g *circuit) holds(ctx context.Context) bool {
	if holds, fresh := g.known(); fresh {
		return holds
	}
	g.look(ctx)
	holds, _ := g.known()
	return holds
}

func (g *circuit) known() (holds, fresh bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.seen.Circuit != store.CircuitClosed || g.breaker.IsOpen(), time.Since(g.seenAt) < staleAfter
}

// look reads the circuit from the database. When they can't be read, what is known
// stays.
func (g *circuit) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), circuitTimeout)
	defer cancel()
	circuits, err := g.store.Circuits(ctx)
	if err != nil {
		g.logger.WarnContext(ctx, "provider circuit not read", "source", g.source, "error", err)
		return
	}
	c, ok := circuits[g.source]
	if !ok {
		c = store.Circuit{ProviderState: store.ProviderState{Source: g.source, Circuit: store.CircuitClosed}}
	}
	g.see(c)
}

// see takes a look at the circuit, unless a newer one was taken before.
func (g *circuit) see(c store.Circuit) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c.Revision < g.seen.Revision {
		return
	}
	moved := c.Revision > g.seen.Revision
	if c.Circuit != store.CircuitClosed {
		g.opening = ""
	} else if moved {
		// An outage ended, maybe one that this process never saw.
		g.closedAt = time.Now()
		g.reset()
		g.opening = ""
		g.breaker.Close()
	}
	g.seen, g.seenAt = c, time.Now()
}

// reset begins a new streak. The caller holds the lock.
func (g *circuit) reset() {
	clear(g.failing)
	g.failingSince = time.Time{}
}

// succeeded counts an answer.
func (g *circuit) succeeded() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.failing) > 0 {
		g.reset()
	}
	g.breaker.RecordSuccess()
}

// failed counts a failure over one thing. The same thing failing again says
// nothing new about the provider as a whole.
func (g *circuit) failed(ctx context.Context, about string) {
	g.mu.Lock()
	if g.failing[about] || g.breaker.IsOpen() {
		g.mu.Unlock()
		return
	}
	if len(g.failing) == 0 {
		g.failingSince = time.Now()
	}
	g.failing[about] = true
	g.breaker.RecordFailure()
	opened := g.breaker.IsOpen()
	g.mu.Unlock()
	if opened {
		g.open(ctx, store.ReasonUnavailable)
	}
}

// open opens the circuit here and in the database. When these can't be written, the
// next look tries again.
func (g *circuit) open(ctx context.Context, reason string) {
	g.mu.Lock()
	g.breaker.Open()
	g.opening = reason
	if g.failingSince.IsZero() {
		g.failingSince = time.Now()
	}
	since := g.failingSince
	g.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), circuitTimeout)
	defer cancel()
	c, opened, err := g.store.OpenCircuit(ctx, g.source, reason, time.Since(since), g.timing.probe)
	if err != nil {
		g.logger.WarnContext(ctx, "provider circuit open in this process only", "source", g.source, "reason", reason, "error", err)
		return
	}
	g.see(c)
	if opened {
		g.logger.WarnContext(ctx, "provider circuit opened", "source", g.source, "reason", reason, "first_failure_at", since.UTC())
	}
}

// checkCredentials asks the provider who we are and counts what that says.
func (g *circuit) checkCredentials(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, credentialsTimeout)
	defer cancel()
	began := time.Now()
	err := g.asks.CheckCredentials(ctx)
	switch {
	case isShutOut(err):
		g.open(ctx, store.ReasonShutOut)
	case isOutage(err):
		// Each is a new sign, whatever else failed.
		g.failed(ctx, fmt.Sprintf("credentials at %d", began.UnixNano()))
	}
	return err
}

// judge counts a failed question and says what follows from how the provider
// does as a whole: ActionHold while it is down, ActionPutOff when the question
// was asked before an outage ended, and ActionRetry otherwise. It also reports
// whether the failure is known to be about the one thing alone.
func (g *circuit) judge(ctx context.Context, q question, asked *provider.Error) (follows Action, oneOnly bool) {
	outage := isOutage(asked)
	switch {
	case asked.NotAsked, errors.Is(asked, context.Canceled):
		return ActionRetry, false // it says nothing about the provider
	case outage:
		g.failed(ctx, q.about)
	case isShutOut(asked):
	default:
		if asked.Kind == provider.NotFound {
			g.succeeded()
		}
		return ActionRetry, false
	}
	if holds, _ := g.known(); !holds {
		oneOnly = g.confirm(ctx, q, outage)
	}
	if oneOnly && !outage {
		return ActionRetry, true
	}
	if holds, _ := g.known(); !holds {
		// Another process may have opened it since the last look.
		g.look(ctx)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.seen.Circuit != store.CircuitClosed || g.breaker.IsOpen():
		return ActionHold, oneOnly
	case q.began.Before(g.closedAt):
		// Held now, it would stay so: what was held is let go already.
		return ActionPutOff, oneOnly
	}
	return ActionRetry, oneOnly
}

// confirm asks with our own credentials, and reports whether the provider
// answered and took them. A last attempt is not spent on a provider that is seen
// to be down: there is no other to come.
func (g *circuit) confirm(ctx context.Context, q question, outage bool) bool {
	err := g.credentials.do(ctx)
	if outage && isOutage(err) {
		if q.last {
			g.open(ctx, store.ReasonUnavailable)
		}
		// It is not about the one thing: its next failure counts again.
		g.mu.Lock()
		delete(g.failing, q.about)
		g.mu.Unlock()
	}
	return err == nil
}

// isOutage reports whether the error is one that a provider which is down gives.
func isOutage(err error) bool {
	var asked *provider.Error
	if !errors.As(err, &asked) || asked.NotAsked || errors.Is(err, context.Canceled) {
		return false
	}
	return asked.Kind == provider.Unavailable || asked.Kind == provider.Unreadable
}

// isShutOut reports whether the error is one that refused credentials give.
func isShutOut(err error) bool {
	var asked *provider.Error
	return errors.As(err, &asked) && (asked.Kind == provider.Unauthorized || asked.Kind == provider.Forbidden)
}
