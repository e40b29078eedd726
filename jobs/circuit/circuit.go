// Package circuit says whether a provider may be asked. It counts what providers
// answer this process, shares the outcome with all processes by the database, tries
// a provider that is down, and lets go what was held when it works again.
package circuit

import (
	"context"
	"errors"
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

// Accounts are those whose credentials ask providers. They may come and go while
// the circuits live.
type Accounts interface {
	// All are the accounts that there are now.
	All() []store.Account
	// Provider asks with the credentials of the account, as they are now; nil when
	// there is no such account.
	Provider(account store.Account) Provider
}

// Circuits are the circuits of all accounts. An account that there is not has none,
// and nothing holds it.
type Circuits struct {
	store    *store.Store
	accounts Accounts
	logger   *slog.Logger
	timing   Timing

	// looking is a look that all share who need one.
	looking sharedCall[struct{}]

	mu  sync.Mutex
	all map[store.Account]*Circuit
}

// A Circuit stands before one provider, as one account asks it, and says whether it
// may be asked. It counts what the provider answers this process, opens the circuit
// when too much fails, and keeps a recent look at the circuit that the database holds
// for all processes. Accounts have nothing in common: one whose credentials are
// rejected says nothing of the others.
type Circuit struct {
	account  store.Account
	circuits *Circuits
	store    *store.Store
	logger   *slog.Logger
	timing   Timing
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

// New returns the circuits of accounts, which begin closed. A Keeper keeps them.
func New(s *store.Store, accounts Accounts, timing Timing, logger *slog.Logger) *Circuits {
	all := &Circuits{store: s, accounts: accounts, logger: logger, timing: timing, all: map[store.Account]*Circuit{}}
	all.looking.ask = func(ctx context.Context) struct{} { all.look(ctx); return struct{}{} }
	return all
}

// of is the circuit of an account; nil when there is no such account.
func (all *Circuits) of(account store.Account) *Circuit {
	if all.accounts.Provider(account) == nil {
		return nil
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	c, ok := all.all[account]
	if !ok {
		c = &Circuit{
			account: account, circuits: all, store: all.store, logger: all.logger, timing: all.timing,
			// When the circuit closes is for the probes to say, and not for a delay.
			breaker: circuitbreaker.NewBuilder[any]().WithFailureThreshold(outageFailures).WithDelay(math.MaxInt64).Build(),
			failing: map[string]bool{},
			seen:    closed(account),
		}
		c.credentials.ask, c.control.ask = c.checkCredentials, c.checkControl
		all.all[account] = c
	}
	return c
}

// closed is the state of an account's circuit that never opened.
func closed(account store.Account) store.Circuit {
	return store.Circuit{ProviderState: store.ProviderState{
		Source: account.Source, CollectorID: account.CollectorID, Circuit: store.CircuitClosed,
	}}
}

// current are the circuits of the accounts that there are now.
func (all *Circuits) current() []*Circuit {
	var found []*Circuit
	for _, account := range all.accounts.All() {
		if c := all.of(account); c != nil {
			found = append(found, c)
		}
	}
	return found
}

// Has reports whether there is such an account.
func (all *Circuits) Has(account store.Account) bool { return all.of(account) != nil }

// AllHold reports whether no account may be asked for, so that an event can be held
// without even reading it.
func (all *Circuits) AllHold(ctx context.Context) bool {
	accounts := all.accounts.All()
	for _, account := range accounts {
		if !all.Holds(ctx, account) {
			return false
		}
	}
	return len(accounts) > 0
}

// Holds reports whether the provider is not to be asked now for the account.
func (all *Circuits) Holds(ctx context.Context, account store.Account) bool {
	c := all.of(account)
	return c != nil && c.holds(ctx)
}

// Succeeded counts an answer of the provider. The answer to an unsigned hint is not
// to be counted: see Question.
func (all *Circuits) Succeeded(account store.Account) {
	if c := all.of(account); c != nil {
		c.succeeded()
	}
}

// CheckCredentials asks the provider whether it accepts the account's credentials,
// where something gives reason to doubt it. When they are rejected as such, the
// circuit opens.
func (all *Circuits) CheckCredentials(ctx context.Context, account store.Account) {
	if c := all.of(account); c != nil {
		c.confirm(ctx, Question{Account: account, About: "credentials", Began: time.Now()}, refused)
	}
}

// holds reports whether the provider is not to be asked now. It costs no query while
// the last look is fresh, and one for all who ask when it is not.
func (c *Circuit) holds(ctx context.Context) bool {
	holds, fresh := c.known()
	if fresh {
		return holds
	}
	if _, err := c.circuits.looking.do(ctx); err == nil {
		holds, _ = c.known()
	}
	return holds
}

func (c *Circuit) known() (holds, fresh bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen.Circuit != store.CircuitClosed || c.breaker.IsOpen(), time.Since(c.seenAt) < staleAfter
}

// quiet reports whether no circuit is open, as far as is known, and none has anything to
// let go.
func (all *Circuits) quiet() bool {
	for _, c := range all.current() {
		c.mu.Lock()
		quiet := c.seen.Circuit == store.CircuitClosed && !c.seen.Unreleased && c.opening == "" && !c.breaker.IsOpen()
		c.mu.Unlock()
		if !quiet {
			return false
		}
	}
	return true
}

// look reads all circuits from the database. When they can't be read, what is known
// stays.
func (all *Circuits) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), circuitTimeout)
	defer cancel()
	current := all.current()
	states, err := all.store.Circuits(ctx)
	if err != nil {
		all.logger.WarnContext(ctx, "provider circuits not read", "error", err)
		return
	}
	for _, c := range current {
		state, ok := states[c.account]
		if !ok {
			state = closed(c.account)
		}
		c.see(state)
	}
}

// asks is the provider as the account asks it now.
func (c *Circuit) asks() Provider {
	if p := c.circuits.accounts.Provider(c.account); p != nil {
		return p
	}
	return noAccount{}
}

// noAccount is asked for an account that is gone.
type noAccount struct{}

func (noAccount) err() error {
	return &provider.Error{Kind: provider.Unexpected, NotAsked: true, Err: errors.New("the account is not configured any more")}
}

func (n noAccount) Payment(context.Context, string) (provider.Payment, error) {
	return provider.Payment{}, n.err()
}

func (n noAccount) CheckCredentials(context.Context) error { return n.err() }

func (n noAccount) SearchPayments(context.Context, provider.SearchQuery) (provider.SearchPage, error) {
	return provider.SearchPage{}, n.err()
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
	state, opened, err := c.store.OpenCircuit(ctx, c.account, reason, time.Since(since), c.timing.Probe)
	if err != nil {
		c.logger.WarnContext(ctx, "provider circuit open in this process only", "account", c.account.String(), "reason", reason, "error", err)
		return
	}
	c.see(state)
	if opened {
		c.logger.WarnContext(ctx, "provider circuit opened", "account", c.account.String(), "reason", reason, "first_failure_at", since.UTC())
	}
}

// checkCredentials asks the provider who we are. The answer alone decides nothing:
// payments may be readable without it.
func (c *Circuit) checkCredentials(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, questionTimeout)
	defer cancel()
	return c.asks().CheckCredentials(ctx)
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
		c.logger.WarnContext(ctx, "known payments not read", "account", c.account.String(), "error", err)
	}
	r.round = round
	return r
}
