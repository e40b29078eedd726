// Package bench measures the service on this machine: the running binary as a
// process, beside the ceilings of its database.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
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
	// Length is how long each measurement of the acknowledgement takes, Rounds how
	// often each is made: the median counts.
	Length time.Duration
	Rounds int
	// Settle are the events in the backlog of the settlement benchmark.
	Settle int
	// Verify are the events that are verified, VerifyLeast or more; 0 leaves the
	// verification out.
	Verify int
	// Rows are the archived events of RunStatus, a multiple of RowsStep.
	Rows int

	// OpenBounded connects with the bounds that the service sets for its sessions,
	// OpenUnbounded without them.
	OpenBounded, OpenUnbounded PoolOpener
	// Progress gets a line for each step.
	Progress io.Writer
	// ShutdownLimit is how long the service and the database may take to stop.
	ShutdownLimit time.Duration
}

// Run measures acknowledgement, settlement and verification.
func Run(ctx context.Context, o Options) (_ Report, err error) {
	report := Report{Cores: runtime.NumCPU(), Rounds: o.Rounds, Seconds: o.Length.Seconds()}
	b, err := start(ctx, o, map[string]string{"max_connections": "200"})
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, b.stop(ctx)) }()
	if report.Ack, err = b.acknowledged(ctx); err != nil {
		return report, err
	}
	report.SettledEvents = o.Settle
	if report.SettledPerSecond, err = b.settled(ctx); err != nil {
		return report, err
	}
	if report.SettledUntold, err = b.settledUntold(ctx); err != nil || o.Verify == 0 {
		return report, err
	}
	report.Verified, err = b.verified(ctx, o.Verify)
	return report, err
}

// start starts a migrated database with fsync on, and Mercado Pago's
// simulator. What it returns has to be stopped.
func start(ctx context.Context, o Options, settings map[string]string) (_ *harness, err error) {
	b := &harness{options: o, say: func(format string, args ...any) { _, _ = fmt.Fprintf(o.Progress, format+"\n", args...) }}
	b.say("starting PostgreSQL, fsync on …")
	if b.database, err = localpg.Start(ctx, localpg.Options{Fsync: true, Settings: settings}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.stop(ctx))
		}
	}()
	if err := b.database.CreateDatabase(ctx, "bench"); err != nil {
		return nil, err
	}
	b.databaseURL = b.database.URL("bench")
	if b.pool, err = o.OpenUnbounded(ctx, b.databaseURL); err != nil {
		return nil, err
	}
	if err := migrations.Up(ctx, b.pool, slog.New(slog.DiscardHandler)); err != nil {
		return nil, err
	}
	return b, b.startSimulator(ctx)
}

// stop stops the database, with all that is in it.
func (b *harness) stop(ctx context.Context) error {
	if b.pool != nil {
		b.pool.Close()
	}
	limit, done := context.WithTimeout(context.WithoutCancel(ctx), b.options.ShutdownLimit)
	defer done()
	return b.database.Stop(limit)
}

// A harness is one run of the benchmarks.
type harness struct {
	options     Options
	database    *localpg.Server
	databaseURL string
	pool        *pgxpool.Pool
	sim         *simulator.Simulator
	simURL      string
	say         func(format string, args ...any)
}

// The values of the service under test. They protect nothing: it lives on the
// loopback address for as long as the benchmark does.
const (
	webhookSecret = "bench-signing-secret"
	accessToken   = "TEST-bench-access-token" //nolint:gosec // see above
)

func (b *harness) startSimulator(ctx context.Context) (err error) {
	b.sim, err = simulator.New(simulator.Config{Seed: 1, AccessToken: accessToken, Secret: webhookSecret})
	if err != nil {
		return err
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	b.simURL = "http://" + ln.Addr().String()
	go func() {
		if err := b.sim.Serve(ctx, ln); err != nil {
			b.say("simulator: %v", err)
		}
	}()
	return nil
}

// empty starts each measurement from the same tables.
func (b *harness) empty(ctx context.Context) error {
	_, err := b.pool.Exec(ctx, `TRUNCATE webhook_queue, webhook_archive, webhook_dead_letter, river_job, orders, order_logs, payments, payment_logs, anomalies CASCADE`)
	if err != nil {
		return fmt.Errorf("empty the tables: %w", err)
	}
	// A checkpoint due in the middle of one measurement would be charged to it.
	_, err = b.pool.Exec(ctx, `CHECKPOINT`)
	return err
}
