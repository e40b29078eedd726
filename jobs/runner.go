// Package jobs says when and how work is done and repeated: one file for each
// kind of job, with its arguments, its policy and its worker.
package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/conciliar/conciliar/jobs/circuit"
	"github.com/conciliar/conciliar/jobs/delivery"
	"github.com/conciliar/conciliar/store"
)

// Deps are the parts that jobs work with.
type Deps struct {
	Store *store.Store
	// Direct makes connections whose session is ours alone, past a pooler, so that River
	// hears what is sent; nil where the pool's are.
	Direct *pgxpool.Pool
	// Providers are asked, each by the source that events name.
	Providers map[string]Fetcher
	// Searches are the providers that reconciliations ask, by the same sources.
	// Without any, this process does no reconciliation.
	Searches map[string]PaymentSearcher
	// Sellers are who asks with the credentials of sellers' accounts, of one of the
	// providers; nil for none.
	Sellers *Sellers
	// Sources are the senders that a file declares; nil for none.
	Sources *Sources
	// CollectorID is the account whose payments reconciliations look at; empty
	// for that of each provider's credentials.
	CollectorID string
	// Reports says how money reports are fetched.
	Reports MoneyReports
	// Refunds is true in a process that may send refunds.
	Refunds bool
	// Alerts says where messages about alerts go; nil for a process that
	// evaluates none.
	Alerts *Alerts
	// Deliveries sends what goes out; nil for a process that sends nothing.
	Deliveries *delivery.Engine
	// Logger is needed by a Checker only; a Runner has its configuration's.
	Logger *slog.Logger

	// stepBudget shortens the steps of runs in tests, orphanTimes what is waited
	// for until a job counts as nobody's.
	stepBudget    *time.Duration
	takeoverTimes *takeoverTimes
	// circuitTiming shortens what happens around outages in tests.
	circuitTiming *circuit.Timing
}

const (
	// fetchCooldown is the least time between two fetches of one process. With
	// River's default of 100 ms it would cap a process at ten jobs a second
	// for each worker.
	fetchCooldown = 5 * time.Millisecond
	// softStop is how long a stopping process waits for its attempts before it
	// cancels and gives them back.
	softStop = 7 * time.Second
	// seldomPoll is how often River looks for jobs that no notice told of: the lookout
	// looks for all queues at once, and more often.
	seldomPoll = 10 * time.Second
	// sweepEvery is how often orders that were inserted by plain SQL are looked for,
	// and every second time payments that are to be looked for again; sweepBatch is how
	// many at a time.
	sweepEvery = 2 * time.Second
	sweepBatch = 100
	// jobsOutlive is how much longer than their events jobs are kept.
	jobsOutlive = 24 * time.Hour
)

// A Runner works jobs.
type Runner struct {
	client *river.Client[pgx.Tx]
	store  *store.Store
	logger *slog.Logger
	clock  *clock
	policy *RetryPolicy
	// settler ends the events of this process's attempts.
	settler *store.Settler
	// lock says that this process lives; takeover takes up what others leave.
	lock      *store.ProcessLock
	takeover  *takeover
	keeper    *circuit.Keeper
	lookout   *lookout
	sequencer *sequencer
	// refunds is true where they are sent.
	refunds bool
	// deliverer keeps deliveries moving; nil in a process that sends nothing.
	deliverer *deliverer

	stopSweep context.CancelFunc
	sweeping  sync.WaitGroup
}

// Queues are patterns (LIKE) of the names of the queues that our jobs are in.
func Queues() []string {
	return []string{QueueWebhooks, QueueOperations, QueueReconciliation, QueueRefunds, strings.ReplaceAll(deliveryQueuePrefix, "_", `\_`) + "%"}
}

// NewRunner returns a Runner on pool. Start starts it.
func NewRunner(pool *pgxpool.Pool, cfg Config, deps Deps) (_ *Runner, err error) {
	if err = cfg.validate(); err != nil {
		return nil, err
	}
	if deps.Store == nil || len(deps.Providers) == 0 {
		return nil, errors.New("a store and at least one provider are required")
	}
	clock := &clock{ask: deps.Store.Server, logger: cfg.Logger}
	policy := NewRetryPolicy(cfg.Backoff, clock.Now)
	timing := circuit.DefaultTiming()
	if deps.circuitTiming != nil {
		timing = *deps.circuitTiming
	}
	circuits := circuit.New(deps.Store, accountsOf(deps), timing, cfg.Logger)
	work := newWorkLog()
	self := newProcessID()
	config := riverConfig(cfg)
	config.ID = self
	config.Middleware = append(tracing(cfg.TracerProvider), work)
	config.RetryPolicy = policy
	config.Test.Time = clock
	metrics := newMetrics(cfg.Registerer)
	settler := store.NewSettler(deps.Store, store.SettlerOptions{Timeout: cfg.JobTimeout, Observe: metrics.countGroup})
	defer func() {
		if err != nil {
			settler.Close()
		}
	}()
	events := &eventShell{
		store: deps.Store, settler: settler, turns: newTurns(cfg.Workers), shared: &sharedFetch{drawn: deps.Store.FetchMark}, accounts: accountsOf(deps), sources: deps.Sources, circuits: circuits, policy: policy,
		hints: newHintLimiter(cfg.ProviderRate), ended: newEndedJobs(), logger: cfg.Logger, metrics: metrics,
	}
	if err = addWork(config, cfg, deps, events); err != nil {
		return nil, err
	}
	client, err := river.NewClient(newDriver(pool, deps.Direct, events.ended), config)
	if err != nil {
		return nil, fmt.Errorf("client of River: %w", err)
	}
	lookout := newLookout(deps.Store, policy.backoff.Waits)
	sweeper := &takeover{
		store: deps.Store, pending: lookout.pending, schema: cfg.Schema, self: self, policy: policy, kinds: kindNames(), retry: retryJob(client),
		work: work, times: defaultTakeoverTimes, logger: cfg.Logger,
	}
	if deps.takeoverTimes != nil {
		sweeper.times = *deps.takeoverTimes
	}
	sequencer := &sequencer{store: deps.Store, found: lookout.found, events: metrics.told, logger: cfg.Logger}
	var moving *deliverer
	if deps.Deliveries != nil && !cfg.Helper {
		moving = &deliverer{store: deps.Store, engine: deps.Deliveries, client: client, logger: cfg.Logger, queues: slices.Collect(maps.Keys(config.Queues)), wake: make(chan struct{}, 1)}
		sequencer.sequenced = moving.wake
	}
	keeper := circuit.NewKeeper(circuits, QueueWebhooks, retryJob(client), cfg.ProviderRate, cfg.Logger)
	return &Runner{
		client: client, store: deps.Store, logger: cfg.Logger, clock: clock, policy: policy, settler: settler, takeover: sweeper, keeper: keeper,
		lookout: lookout, sequencer: sequencer, refunds: deps.Refunds, deliverer: moving,
	}, nil
}

// riverConfig is what of River's configuration follows from ours.
func riverConfig(cfg Config) *river.Config {
	return &river.Config{
		CancelledJobRetentionPeriod: cfg.Retention + jobsOutlive,
		CompletedJobRetentionPeriod: cfg.Retention + jobsOutlive,
		DiscardedJobRetentionPeriod: cfg.Retention + jobsOutlive,
		FetchCooldown:               fetchCooldown,
		// A job of a kind that only a newer release knows is left to it.
		FetchOnlyKnownKinds: true,
		Hooks:               []rivertype.Hook{&presetHook{}},
		JobTimeout:          cfg.JobTimeout,
		// The leader alone knows what is periodic: a helper must not lead.
		LeaderElectionDisabled: cfg.Helper,
		Logger:                 cfg.riverLogger(),
		MaxAttempts:            cfg.Backoff.Attempts,
		Queues:                 map[string]river.QueueConfig{QueueWebhooks: {MaxWorkers: cfg.attempts(), FetchPollInterval: seldomPoll}, QueueOperations: {MaxWorkers: operationsWorkers, FetchPollInterval: seldomPoll}},
		ReindexerIndexNames:    cfg.reindexed(),
		RescueStuckJobsAfter:   cfg.RescueAfter,
		Schema:                 cfg.Schema,
		SoftStopTimeout:        softStop,
		Workers:                river.NewWorkers(),
	}
}

// addWork adds a worker for every kind of job that this process works, and the
// periodic jobs that start the work.
func addWork(config *river.Config, cfg Config, deps Deps, events *eventShell) error {
	policy := events.policy
	addEventWorkers(config.Workers, events)
	river.AddWorker(config.Workers, &replayWorker{store: deps.Store, logger: cfg.Logger})
	river.AddWorker(config.Workers, &rollUpWorker{store: deps.Store, budget: min(rollUpBudget, cfg.JobTimeout/3), logger: cfg.Logger})
	river.AddWorker(config.Workers, &foldWorker{store: deps.Store, providers: deps.Providers, budget: min(foldBudget, cfg.JobTimeout/3), logger: cfg.Logger})
	river.AddWorker(config.Workers, &unhandledWorker{store: deps.Store, providers: deps.Providers, budget: min(unhandledBudget, cfg.JobTimeout/3), logger: cfg.Logger})
	if !cfg.Helper {
		config.PeriodicJobs = append(config.PeriodicJobs, periodically(rollUpEvery, RollUpArgs{}), periodically(foldEvery, FoldArgs{}), periodically(unhandledEvery, UnhandledArgs{}))
	}
	addDeliveries(config, cfg, deps, policy, events.ended)
	addRefunds(config, cfg, deps, events.circuits, policy)
	river.AddWorker(config.Workers, &reportWorker{ReportFetcher: &ReportFetcher{
		store: deps.Store, accounts: accountsOf(deps), reports: deps.Reports, now: policy.now, logger: cfg.Logger,
	}})
	if !cfg.Helper {
		config.PeriodicJobs = append(config.PeriodicJobs, periodically(reportsEvery, ReportArgs{}))
	}
	if err := addReconciliation(config, cfg, deps, events.circuits, policy, events.metrics); err != nil {
		return err
	}
	return addAlerts(config, cfg, deps, policy)
}

// onlyOne makes a job the only one of its kind that is not over. It is not tried
// again: the next one does what it did not.
func onlyOne() river.InsertOpts {
	return river.InsertOpts{
		Queue: QueueOperations, MaxAttempts: 1,
		UniqueOpts: river.UniqueOpts{ByState: []rivertype.JobState{
			rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRunning, rivertype.JobStateScheduled,
		}},
	}
}

// periodically inserts a job of a kind that needs no arguments at the start, and
// then again and again.
func periodically(every time.Duration, args river.JobArgs) *river.PeriodicJob {
	return river.NewPeriodicJob(river.PeriodicInterval(every),
		func() (river.JobArgs, *river.InsertOpts) { return args, nil },
		&river.PeriodicJobOpts{ID: args.Kind(), RunOnStart: true})
}

// addReconciliation adds what works runs, and the periodic job that starts them.
func addReconciliation(config *river.Config, cfg Config, deps Deps, circuits *circuit.Circuits, policy *RetryPolicy, metrics *metrics) error {
	if len(deps.Searches) == 0 {
		if cfg.ReconcileSchedule != "" {
			return errors.New("a schedule for reconciliations needs at least one provider to search")
		}
		return nil
	}
	deps.Logger = cfg.Logger
	budget := min(stepBudget, cfg.JobTimeout/3)
	if deps.stepBudget != nil {
		budget = *deps.stepBudget
	}
	river.AddWorker(config.Workers, &stepWorker{reconciler: newReconciler(deps, metrics), circuits: circuits, policy: policy, keep: store.Keep{Events: cfg.Retention, Payloads: cfg.PayloadRetention}, budget: budget})
	config.Queues[QueueReconciliation] = river.QueueConfig{MaxWorkers: reconciliationWorkers, FetchPollInterval: seldomPoll}
	if cfg.ReconcileSchedule == "" || cfg.Helper {
		return nil
	}
	schedule, err := ParseSchedule(cfg.ReconcileSchedule)
	if err != nil {
		return err
	}
	river.AddWorker(config.Workers, &startWorker{store: deps.Store, schedule: schedule, logger: cfg.Logger})
	config.PeriodicJobs = append(config.PeriodicJobs, schedule.periodic(policy.now))
	return nil
}

// Start begins to work jobs. The context bounds only the start; Stop stops.
func (r *Runner) Start(ctx context.Context) error {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	// A process told to end while the workers start need not wait for them.
	defer context.AfterFunc(ctx, end)()
	// Before the first job: one of a process that does not say that it lives is
	// anybody's.
	hold, err := r.store.LockProcess(ctx, r.takeover.self)
	if err != nil {
		return fmt.Errorf("start the workers: %w", err)
	}
	if err = r.clock.set(ctx); err == nil {
		err = r.client.Start(life)
	}
	if err != nil {
		hold.Release()
		return fmt.Errorf("start the workers: %w", err)
	}
	r.lock = hold
	sweepCtx, stop := context.WithCancel(life)
	r.stopSweep = stop
	r.sweeping.Go(func() { r.sweep(sweepCtx) })
	r.sweeping.Go(func() { r.clock.keep(sweepCtx) })
	r.sweeping.Go(func() { r.takeover.run(sweepCtx) })
	r.sweeping.Go(func() { r.keeper.Run(sweepCtx) })
	r.sweeping.Go(func() { r.lookout.run(sweepCtx) })
	r.sweeping.Go(func() { r.sequencer.run(sweepCtx) })
	if r.deliverer != nil {
		r.sweeping.Go(func() { r.deliverer.run(sweepCtx) })
	}
	return nil
}

// Stop takes no more jobs, waits for the running ones, gives back those that
// take too long, and returns when all have ended or ctx is done. What has not
// ended then is taken up by another process as soon as this one is gone.
func (r *Runner) Stop(ctx context.Context) error {
	if r.stopSweep == nil {
		r.settler.Close()
		return nil // it was not started
	}
	r.stopSweep()
	r.sweeping.Wait()
	err := r.client.Stop(ctx)
	// What the attempts have left to be ended is, unless the time is over.
	ended := make(chan struct{})
	go func() { defer close(ended); r.settler.Close() }()
	select {
	case <-ended:
	case <-ctx.Done():
	}
	r.lock.Release()
	if err != nil {
		return fmt.Errorf("stop the workers: %w", err)
	}
	return nil
}
