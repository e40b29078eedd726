package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
	"github.com/conciliar/conciliar/migrations"
	"github.com/conciliar/conciliar/store/localpg"
)

// Bars of the acknowledgement benchmark: the service's rate over pgbench's, in
// one run, by connections. pgbench runs one transaction for each event, with as
// many clients as bar.clients.
var ackBars = []struct {
	connections, clients int
	// ratio is the least that is good; 0 is no bar.
	ratio float64
}{
	{1, 1, 0.55},
	{16, 64, 0},
	{64, 64, 1.5},
	{256, 64, 2.2},
}

// An ackFigure is one row of the acknowledgement benchmark.
type ackFigure struct {
	Connections int     `json:"connections"`
	PerSecond   float64 `json:"acknowledged_per_second"`
	P50Millis   float64 `json:"p50_ms"`
	P99Millis   float64 `json:"p99_ms"`
	Clients     int     `json:"pgbench_clients"`
	Ceiling     float64 `json:"pgbench_per_second"`
	Ratio       float64 `json:"ratio"`
	Bar         float64 `json:"bar,omitempty"`
	Met         bool    `json:"met"`
}

// A benchReport is what `conciliar bench` measured.
type benchReport struct {
	Cores   int         `json:"cores"`
	Rounds  int         `json:"rounds"`
	Seconds float64     `json:"seconds_each"`
	Ack     []ackFigure `json:"acknowledged"`
	// SettledPerSecond is how fast a backlog of SettledEvents was worked off by
	// one process, the provider answering without a delay.
	SettledEvents    int     `json:"settled_events"`
	SettledPerSecond float64 `json:"settled_per_second"`
	// Verified is how long the verification of the database took.
	Verified verifyFigure `json:"verified"`
}

type benchOptions struct {
	length time.Duration
	rounds int
	settle int
	verify int
	// status measures reading instead, over so many rows.
	status bool
	rows   int
}

func newBench(std stdio) *cobra.Command {
	var o benchOptions
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure this machine: acknowledged webhooks and settled events a second",
		Long: `Measures this binary on this machine, with a PostgreSQL of its own (fsync on) and
the load generator on the same cores. Beside each figure stands what the
database itself does: pgbench, one transaction with the same two rows for each
event. The ratio of the two is what can be compared between machines. Exits 1
when a bar is not met.

With --status it measures reading instead: GET /api/webhooks/status and what the
dashboard's overview reads, over --rows archived events and a tenth as many in
the queue. Beside each stands what the same numbers cost by counting rows. At the
default size it takes some minutes and 15 GB of disk, mostly to make the rows.`,
		Example: "  conciliar bench\n  conciliar bench --duration 10s --rounds 5 --json\n  conciliar bench --status --rows 1000000",
		Args:    cobra.NoArgs,
	}
	cmd.Flags().DurationVar(&o.length, "duration", 4*time.Second, "length of each measurement")
	cmd.Flags().IntVar(&o.rounds, "rounds", 3, "how often each is measured; the median counts")
	cmd.Flags().IntVar(&o.settle, "settle", 20_000, "events in the backlog of the settlement benchmark")
	cmd.Flags().IntVar(&o.verify, "verify", 1_000_000, "events in the books of the verification benchmark; 0 leaves it out")
	cmd.Flags().BoolVar(&o.status, "status", false, "measure the status and the dashboard's overview instead")
	cmd.Flags().IntVar(&o.rows, "rows", 10_000_000, "archived events for --status; a tenth as many are in the queue")
	for _, other := range []string{"duration", "rounds", "settle", "verify"} {
		cmd.MarkFlagsMutuallyExclusive("status", other)
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if o.status {
			return runBenchStatus(cmd.Context(), std, o, *asJSON)
		}
		if o.length < time.Second || o.rounds < 1 || o.settle < 1 {
			return usagef("--duration takes a second or more, --rounds and --settle take 1 or more")
		}
		if o.verify != 0 && o.verify < verifyLeast {
			return usagef("--verify takes 0 or at least %d", verifyLeast)
		}
		report, err := bench(cmd.Context(), std, o)
		if err != nil {
			return err
		}
		if *asJSON {
			err = printJSON(std.out, report)
		} else {
			err = printBench(std.out, report)
		}
		if err != nil {
			return err
		}
		if slices.ContainsFunc(report.Ack, func(f ackFigure) bool { return !f.Met }) || !report.Verified.Met && o.verify > 0 {
			return errSilent
		}
		return nil
	}
	return cmd
}

func bench(ctx context.Context, std stdio, o benchOptions) (_ benchReport, err error) {
	report := benchReport{Cores: runtime.NumCPU(), Rounds: o.rounds, Seconds: o.length.Seconds()}
	b, err := startBench(ctx, std, o, map[string]string{"max_connections": "200"})
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, b.stop(ctx)) }()
	if report.Ack, err = b.acknowledged(ctx); err != nil {
		return report, err
	}
	report.SettledEvents = o.settle
	if report.SettledPerSecond, err = b.settled(ctx); err != nil || o.verify == 0 {
		return report, err
	}
	report.Verified, err = b.verified(ctx, o.verify)
	return report, err
}

// startBench starts a migrated database with fsync on, and Mercado Pago's
// simulator. What it returns has to be stopped.
func startBench(ctx context.Context, std stdio, o benchOptions, settings map[string]string) (_ *benchRun, err error) {
	b := &benchRun{options: o, say: func(format string, args ...any) { _, _ = fmt.Fprintf(std.err, format+"\n", args...) }}
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
	if b.pool, err = openPool(ctx, config.Database{DatabaseURL: config.NewSecret(b.databaseURL)}, 4, nil); err != nil {
		return nil, err
	}
	if err := migrations.Up(ctx, b.pool, slog.New(slog.DiscardHandler)); err != nil {
		return nil, err
	}
	return b, b.startSimulator(ctx)
}

// stop stops the database, with all that is in it.
func (b *benchRun) stop(ctx context.Context) error {
	if b.pool != nil {
		b.pool.Close()
	}
	limit, done := context.WithTimeout(context.WithoutCancel(ctx), shutdownLimit)
	defer done()
	return b.database.Stop(limit)
}

// A benchRun is one run of the benchmarks.
type benchRun struct {
	options     benchOptions
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
	benchSecret = "bench-signing-secret"
	benchToken  = "TEST-bench-access-token" //nolint:gosec // see above
)

func (b *benchRun) startSimulator(ctx context.Context) (err error) {
	b.sim, err = simulator.New(simulator.Config{Seed: 1, AccessToken: benchToken, Secret: benchSecret})
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

// acknowledged measures pgbench and the service in turn, so that a machine that
// slows down slows both.
func (b *benchRun) acknowledged(ctx context.Context) ([]ackFigure, error) {
	service, err := b.startService(ctx, "api")
	if err != nil {
		return nil, err
	}
	defer service.stop()
	l := &load{addr: service.addr, path: api.WebhookPath, secret: benchSecret, paymentID: func(n int64) string { return strconv.FormatInt(132_000_000_000+n, 10) }}
	ceilings := map[int][]float64{}
	results := make([][]loadResult, len(ackBars))
	for round := range b.options.rounds {
		for _, clients := range []int{1, 64} {
			if err := b.empty(ctx); err != nil {
				return nil, err
			}
			rate, err := pgbench(ctx, b.databaseURL, clients, b.options.length)
			if err != nil {
				return nil, err
			}
			b.say("round %d: pgbench, %d clients: %.0f a second", round+1, clients, rate)
			ceilings[clients] = append(ceilings[clients], rate)
		}
		for i, bar := range ackBars {
			if err := b.empty(ctx); err != nil {
				return nil, err
			}
			result, err := l.run(ctx, bar.connections, b.options.length, 0)
			if err != nil {
				return nil, err
			}
			b.say("round %d: %d connections: %.0f acknowledged a second", round+1, bar.connections, result.PerSecond)
			results[i] = append(results[i], result)
		}
	}
	figures := make([]ackFigure, len(ackBars))
	for i, bar := range ackBars {
		mid := medianBy(results[i], func(r loadResult) float64 { return r.PerSecond })
		ceiling := medianBy(ceilings[bar.clients], func(r float64) float64 { return r })
		figures[i] = ackFigure{
			Connections: bar.connections, PerSecond: mid.PerSecond, P50Millis: millis(mid.P50), P99Millis: millis(mid.P99),
			Clients: bar.clients, Ceiling: ceiling, Ratio: mid.PerSecond / ceiling, Bar: bar.ratio, Met: mid.PerSecond/ceiling >= bar.ratio,
		}
	}
	return figures, nil
}

// settled fills the queue with events about orders, then starts a worker and
// measures until the last event has ended.
func (b *benchRun) settled(ctx context.Context) (float64, error) {
	if err := b.empty(ctx); err != nil {
		return 0, err
	}
	ids := make([]string, b.options.settle)
	for i := range ids {
		reference := "bench-" + strconv.Itoa(i)
		ids[i] = b.sim.CreatePayment(simulator.PaymentSpec{Reference: reference, Amount: demoAmount, Status: simulator.Approved, StatusDetail: "accredited"})
	}
	if _, err := b.pool.Exec(ctx, `INSERT INTO orders (reference, amount, currency, settled_at) SELECT 'bench-' || n, 150, 'ARS', now() FROM generate_series(0, $1 - 1) n`, len(ids)); err != nil {
		return 0, err
	}
	receiver, err := b.startService(ctx, "api")
	if err != nil {
		return 0, err
	}
	l := &load{addr: receiver.addr, path: api.WebhookPath, secret: benchSecret, paymentID: func(n int64) string { return ids[n-1] }}
	_, err = l.run(ctx, 64, time.Minute, int64(len(ids)))
	receiver.stop()
	if err != nil {
		return 0, err
	}
	if _, err := b.pool.Exec(ctx, `ANALYZE`); err != nil {
		return 0, err
	}
	worker, err := b.startService(ctx, "worker")
	if err != nil {
		return 0, err
	}
	defer worker.stop()
	rate, err := b.watchSettling(ctx, len(ids))
	if err != nil {
		return 0, err
	}
	var paid int
	if err := b.pool.QueryRow(ctx, `SELECT count(*) FROM orders WHERE status = 'paid'`).Scan(&paid); err != nil {
		return 0, err
	}
	if paid != len(ids) {
		return 0, fmt.Errorf("settled %d events and only %d of %d orders are paid", len(ids), paid, len(ids))
	}
	return rate, nil
}

// watchSettling measures from the first end that it sees to the last.
func (b *benchRun) watchSettling(ctx context.Context, total int) (float64, error) {
	const limit = 5 * time.Minute
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var began time.Time
	var first int
	for {
		var done int
		if err := b.pool.QueryRow(ctx, `SELECT count(*) FROM webhook_queue WHERE completed_at IS NOT NULL`).Scan(&done); err != nil {
			return 0, fmt.Errorf("settling: %w", err)
		}
		switch {
		case done > 0 && began.IsZero():
			began, first = time.Now(), done
		case done == total:
			return float64(total-first) / time.Since(began).Seconds(), nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, fmt.Errorf("settling: %d of %d after %s", done, total, limit)
		}
	}
}

// empty starts each measurement from the same tables.
func (b *benchRun) empty(ctx context.Context) error {
	_, err := b.pool.Exec(ctx, `TRUNCATE webhook_queue, webhook_archive, webhook_dead_letter, river_job, orders, order_logs, payments, payment_logs, anomalies CASCADE`)
	if err != nil {
		return fmt.Errorf("bench: empty the tables: %w", err)
	}
	// A checkpoint due in the middle of one measurement would be charged to it.
	if _, err := b.pool.Exec(ctx, `CHECKPOINT`); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	return nil
}

// A benchService is the service under test: this binary, as a process.
type benchService struct {
	cmd         *exec.Cmd
	addr        string
	statusToken string
	password    string
	log         *bytes.Buffer
}

func (b *benchRun) startService(ctx context.Context, only string) (*benchService, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	addr, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	s := &benchService{addr: addr, statusToken: rand.Text(), password: rand.Text(), log: &bytes.Buffer{}}
	s.cmd = exec.CommandContext(ctx, program, "serve", "--only", only) //nolint:gosec // this very program
	s.cmd.Cancel = func() error { return s.cmd.Process.Signal(syscall.SIGTERM) }
	s.cmd.WaitDelay = shutdownLimit
	s.cmd.Env = append(os.Environ(),
		"DATABASE_URL="+b.databaseURL, "HTTP_ADDR="+addr, "LOG_LEVEL=warn",
		"MERCADOPAGO_ACCESS_TOKEN="+benchToken, "MERCADOPAGO_WEBHOOK_SECRETS="+benchSecret, "MERCADOPAGO_BASE_URL="+b.simURL,
		"PROVIDER_RATE_LIMIT=1000000",
		"STATUS_TOKENS="+s.statusToken, "PROCESS_QUEUE_TOKENS="+rand.Text(), "RECONCILE_TOKENS="+rand.Text(), "ORDERS_TOKENS="+rand.Text(),
		"OPERATOR_PASSWORD="+s.password)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("bench: start the service: %w", err)
	}
	if err := s.awaitLive(ctx); err != nil {
		s.stop()
		return nil, fmt.Errorf("%w: %s", err, s.log)
	}
	return s, nil
}

func (s *benchService) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	_ = s.cmd.Wait()
}

func (s *benchService) awaitLive(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.addr+"/livez", nil)
		if err != nil {
			return err
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.New("bench: the service does not answer")
		}
	}
}

// freeAddress finds a loopback address that nobody listens on.
func freeAddress(ctx context.Context) (string, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

func printBench(w io.Writer, r benchReport) error {
	_, _ = fmt.Fprintf(w, "%d cores, load generator on the same; median of %d rounds of %.0f s; fsync on\n\n", r.Cores, r.Rounds, r.Seconds)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(table, "connections\tacknowledged/s\tp50 ms\tp99 ms\tpgbench clients\tpgbench/s\tratio\tbar\t")
	for _, f := range r.Ack {
		bar := "-"
		if f.Bar > 0 {
			bar = fmt.Sprintf("%.2f met", f.Bar)
			if !f.Met {
				bar = fmt.Sprintf("%.2f NOT MET", f.Bar)
			}
		}
		_, _ = fmt.Fprintf(table, "%d\t%.0f\t%.2f\t%.2f\t%d\t%.0f\t%.2f\t%s\t\n",
			f.Connections, f.PerSecond, f.P50Millis, f.P99Millis, f.Clients, f.Ceiling, f.Ratio, bar)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(w, "\nsettled events/s: %.0f (backlog of %d, one process, provider without delay)\n", r.SettledPerSecond, r.SettledEvents)
	return printVerified(w, r.Verified)
}

// medianBy returns the middle one of values, the lower middle of an even number.
func medianBy[T any](values []T, key func(T) float64) T {
	sorted := slices.SortedFunc(slices.Values(values), func(a, b T) int {
		switch ka, kb := key(a), key(b); {
		case ka < kb:
			return -1
		case ka > kb:
			return 1
		}
		return 0
	})
	return sorted[(len(sorted)-1)/2]
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
