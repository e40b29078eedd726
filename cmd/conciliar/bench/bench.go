// Package bench measures the service on this machine: the running binary as a
// process, beside the ceilings of its database.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
	"github.com/conciliar/conciliar/migrations"
	"github.com/conciliar/conciliar/store/localpg"
)

// A PoolOpener connects to the database at an address.
type PoolOpener func(ctx context.Context, databaseURL string) (*pgxpool.Pool, error)

// Options say what is measured, and with what.
type Options struct {
	// Length is how long each measurement that has no end of its own takes, Rounds
	// how often each is made.
	Length time.Duration
	Rounds int
	// Settle are the events in a backlog.
	Settle int
	// Verify are the events that are verified, VerifyLeast or more.
	Verify int
	// Rows are the archived events that are there already where that matters, a
	// multiple of RowsStep; a tenth as many are in the queue.
	Rows []int
	// Behind are the events that a live webhook overtakes, and Payments those that a
	// reconciliation finds.
	Behind, Payments int
	// ImportRows are the rows of a report.
	ImportRows int

	// OpenBounded connects with the bounds that the service sets for its sessions,
	// OpenUnbounded without them.
	OpenBounded, OpenUnbounded PoolOpener
	// Progress gets a line for each step.
	Progress io.Writer
	// ShutdownLimit is how long the service and the database may take to stop.
	ShutdownLimit time.Duration
	// Command is how the measurement was asked for; the report says it.
	Command string
}

// A Scenario is something to measure, on a database of its own.
type Scenario struct {
	Name, What string
	// Default scenarios are measured when nobody names one.
	Default bool

	settings map[string]string
	run      func(*harness, context.Context) ([]Figure, error)
}

// Scenarios are all there are, in the order that they are measured in.
func Scenarios() []Scenario {
	large := map[string]string{"max_wal_size": "4GB", "maintenance_work_mem": "512MB"}
	explained := maps.Clone(large)
	maps.Copy(explained, explainSettings)
	return []Scenario{
		{Name: "acknowledge", What: "webhooks as fast as 1, 16, 64 and 256 connections deliver them, beside pgbench with the same two rows", Default: true, run: (*harness).acknowledge},
		{Name: "rates", What: "webhooks that arrive at fixed rates, workers idle and busy", run: (*harness).rates},
		{Name: "handler", What: "what a merchant would write instead: a handler with one transaction and no queue", run: (*harness).handler},
		{Name: "settle", What: "a backlog of --settle events, beside pgbench with the bare writes", Default: true, run: (*harness).settle},
		{Name: "slow", What: "the backlog with a provider that answers after 200 ms", run: (*harness).slow},
		{Name: "limited", What: "how many webhooks a second PROVIDER_RATE_LIMIT carries, with one and with three for each payment", run: (*harness).limited},
		{Name: "paid", What: "from a webhook's receipt to its order, at 200 a second", run: (*harness).paid},
		{Name: "processes", What: "the backlog with 1, 2 and 3 worker processes, and beside one that receives", run: (*harness).processes},
		{Name: "events", What: "order events sent to a shop while the backlog is settled, and to one that hangs", run: (*harness).events},
		{Name: "behind", What: "live webhooks behind --behind events that an outage's end released, or that are replayed", run: (*harness).behind},
		{Name: "archive", What: "webhooks while old events move to the archive", settings: large, run: (*harness).archive},
		{Name: "reconcile", What: "a reconciliation that finds payments which no webhook told of", run: (*harness).reconcile},
		{Name: "import", What: "a release report beside the settlement of webhooks: rate, memory, and what settlement loses", settings: large, run: (*harness).reports},
		{Name: "idle", What: "statements a second and memory when nothing happens, and the start", settings: map[string]string{"shared_preload_libraries": "pg_stat_statements"}, run: (*harness).idle},
		{Name: "size", What: "acknowledging, settling and from receipt to order beside --rows events that are there already", settings: large, run: (*harness).size},
		{Name: "read", What: "the status and the dashboard's overview beside --rows events", settings: large, run: (*harness).read},
		{Name: "plans", What: "what the service's statements read of the largest of --rows, and by which indexes", settings: explained, run: (*harness).plans},
		{Name: "verify", What: "the check of a ledger of --verify events", Default: true, settings: large, run: (*harness).verified},
	}
}

// harnessGC is the harness's GOGC. The load and the provider share the cores with what is
// measured, and memory is no matter for them.
const harnessGC = 400

// Run measures the scenarios.
func Run(ctx context.Context, o Options, scenarios []Scenario) (Report, error) {
	defer debug.SetGCPercent(debug.SetGCPercent(harnessGC))
	report := Report{Command: o.Command, Machine: machine(), Cores: runtime.NumCPU(), Rounds: o.Rounds, Seconds: o.Length.Seconds()}
	for _, scenario := range scenarios {
		figures, err := measure(ctx, o, scenario, &report)
		for i := range figures {
			figures[i].Scenario = scenario.Name
		}
		report.Figures = append(report.Figures, figures...)
		if err != nil {
			return report, fmt.Errorf("%s: %w", scenario.Name, err)
		}
	}
	return report, nil
}

// measure returns what was measured, even before something failed.
func measure(ctx context.Context, o Options, scenario Scenario, report *Report) (figures []Figure, err error) {
	b := &harness{options: o, say: func(format string, args ...any) {
		_, _ = fmt.Fprintf(o.Progress, scenario.Name+": "+format+"\n", args...)
	}}
	if err := b.start(ctx, scenario.settings); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.stop(ctx)) }()
	report.PostgreSQL = b.database.Version()
	figures, err = scenario.run(b, ctx)
	report.Statements = append(report.Statements, b.statements...)
	return figures, err
}

// start starts a migrated database with fsync on, and Mercado Pago's simulator.
func (b *harness) start(ctx context.Context, settings map[string]string) (err error) {
	with := map[string]string{"max_connections": "300"}
	for name, value := range settings {
		with[name] = value
	}
	if b.database, err = localpg.Start(ctx, localpg.Options{Fsync: true, Settings: with}); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.stop(ctx))
		}
	}()
	if err := b.use(ctx, "bench"); err != nil {
		return err
	}
	return b.startSimulator(ctx)
}

// use measures on the database of this name from now on, which it makes if it is not
// there.
func (b *harness) use(ctx context.Context, name string) (err error) {
	if b.pool != nil {
		b.pool.Close()
		b.pool = nil
	}
	if err := b.database.CreateDatabase(ctx, name); err != nil {
		return err
	}
	b.databaseURL = b.database.URL(name)
	if b.pool, err = b.options.OpenUnbounded(ctx, b.databaseURL+"&application_name="+url.QueryEscape(harnessName)); err != nil {
		return err
	}
	return migrations.Up(ctx, b.pool, slog.New(slog.DiscardHandler))
}

// stop stops the database, with all that is in it.
func (b *harness) stop(ctx context.Context) error {
	if b.pool != nil {
		b.pool.Close()
	}
	if b.stopSimulator != nil {
		b.stopSimulator()
	}
	limit, done := context.WithTimeout(context.WithoutCancel(ctx), b.options.ShutdownLimit)
	defer done()
	return b.database.Stop(limit)
}

// A harness is what one scenario is measured with.
type harness struct {
	options       Options
	database      *localpg.Server
	databaseURL   string
	pool          *pgxpool.Pool
	sim           *simulator.Simulator
	simURL        string
	stopSimulator context.CancelFunc
	say           func(format string, args ...any)
	// runs counts what was made, so that nothing is made twice under one name.
	runs int
	// statements are what plans looked at.
	statements []Statement
}

// The values of the service under test. They protect nothing: it lives on the
// loopback address for as long as the benchmark does.
const (
	webhookSecret = "bench-signing-secret"
	accessToken   = "TEST-bench-access-token" //nolint:gosec // see above
)

// startSimulator starts a provider that knows no payment, in place of the one before.
func (b *harness) startSimulator(ctx context.Context, faults ...simulator.Faults) (err error) {
	if b.stopSimulator != nil {
		b.stopSimulator()
	}
	cfg := simulator.Config{Seed: 1, AccessToken: accessToken, Secret: webhookSecret}
	for _, f := range faults {
		cfg.Faults = f
	}
	if b.sim, err = simulator.New(cfg); err != nil {
		return err
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	b.simURL = "http://" + ln.Addr().String()
	ctx, b.stopSimulator = context.WithCancel(ctx)
	sim := b.sim
	go func() {
		if err := sim.Serve(ctx, ln); err != nil {
			b.say("simulator: %v", err)
		}
	}()
	return nil
}

// empty starts each measurement from the same tables.
func (b *harness) empty(ctx context.Context) error {
	_, err := b.pool.Exec(ctx, `TRUNCATE webhook_queue, webhook_archive, webhook_dead_letter, river_job, orders, order_logs, order_events, payments, payment_logs, anomalies CASCADE`)
	if err != nil {
		return fmt.Errorf("empty the tables: %w", err)
	}
	// A checkpoint due in the middle of one measurement would be charged to it.
	_, err = b.pool.Exec(ctx, `CHECKPOINT`)
	return err
}
