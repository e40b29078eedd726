package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/conciliar/conciliar/store"
)

const (
	// statusBar and overviewBar are the most that reading may take, for 99 of 100.
	statusBar   = 50 * time.Millisecond
	overviewBar = 200 * time.Millisecond

	statusReads   = 300
	overviewReads = 100
	// RowsStep is what Options.Rows is a multiple of: a tenth of it is a multiple of
	// what the seed needs.
	RowsStep = 200
	// statusSpan is how much history one roll-up counts.
	statusSpan = 7 * 24 * time.Hour
)

// A ReadFigure is how long something takes to read.
type ReadFigure struct {
	What      string  `json:"what"`
	P50Millis float64 `json:"p50_ms"`
	P99Millis float64 `json:"p99_ms"`
	// CountingMillis is what the same numbers cost by counting rows: the
	// database's own ceiling.
	CountingMillis float64 `json:"counting_ms"`
	BarMillis      float64 `json:"bar_ms"`
	Met            bool    `json:"met"`
}

// A StatusReport is what `conciliar bench --status` measured.
type StatusReport struct {
	Cores     int `json:"cores"`
	Archived  int `json:"archived"`
	Completed int `json:"completed"`
	// SeedSeconds is how long it took to make the rows, HistorySeconds to count
	// them all for the first time.
	SeedSeconds    float64      `json:"seed_seconds"`
	HistorySeconds float64      `json:"history_seconds"`
	RollUpMillis   float64      `json:"roll_up_ms"`
	Reads          []ReadFigure `json:"reads"`
}

// RunStatus measures reading: the status and the dashboard's overview.
func RunStatus(ctx context.Context, o Options) (_ StatusReport, err error) {
	report := StatusReport{Cores: runtime.NumCPU(), Archived: o.Rows, Completed: o.Rows / 10}
	b, err := start(ctx, o, map[string]string{"max_wal_size": "8GB", "maintenance_work_mem": "512MB"})
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, b.stop(ctx)) }()
	took, err := Seed(ctx, b.pool, Size{Archived: report.Archived, Completed: report.Completed, Open: true}, b.say)
	if err != nil {
		return report, err
	}
	report.SeedSeconds = took.Seconds()
	pool, err := o.OpenBounded(ctx, b.databaseURL)
	if err != nil {
		return report, err
	}
	defer pool.Close()
	storage, err := openStore(pool)
	if err != nil {
		return report, err
	}
	if err := b.countHistory(ctx, storage, &report); err != nil {
		return report, err
	}
	if err := b.checkCounts(ctx, storage, report); err != nil {
		return report, err
	}
	return report, b.readAll(ctx, &report)
}

// countHistory rolls up what was seeded, as the service does in its first hour,
// and then what each minute brings.
func (b *harness) countHistory(ctx context.Context, storage *store.Store, report *StatusReport) error {
	b.say("rolling up …")
	began := time.Now()
	done, err := storage.RollUp(ctx, statusSpan)
	for err == nil && !done.Complete {
		done, err = storage.RollUpHistory(ctx, statusSpan)
	}
	if err != nil {
		return err
	}
	report.HistorySeconds = time.Since(began).Seconds()
	if _, err := b.pool.Exec(ctx, `VACUUM (ANALYZE)`); err != nil {
		return err
	}
	times, err := repeat(10, func() error {
		_, err := storage.RollUp(ctx, statusSpan)
		return err
	})
	report.RollUpMillis = millis(times[len(times)/2])
	return err
}

// checkCounts makes sure that what is measured is right.
func (b *harness) checkCounts(ctx context.Context, storage *store.Store, report StatusReport) error {
	st, err := storage.Status(ctx)
	if err != nil {
		return err
	}
	q := st.Queue
	got := [6]int64{q.Completed, q.Pending, q.Failed, q.Held, q.Processing, q.DeadLetter}
	if want := [6]int64{int64(report.Completed), seedPending, seedFailed, seedHeld, seedProcessing, seedDead}; got != want {
		return fmt.Errorf("the status counts %v (completed, pending, failed, held, processing, dead), seeded were %v", got, want)
	}
	return nil
}

// A reading is something that is read over HTTP, from the service as a process.
type reading struct {
	what, path string
	reads      int
	bar        time.Duration
	// counting are statements that count the same numbers row by row.
	counting []string
}

// readings are the status and the dashboard's overview, for each of the times that
// it can show.
func readings() []reading {
	all := []reading{{
		what: "GET /api/webhooks/status", path: "/api/webhooks/status", reads: statusReads, bar: statusBar,
		counting: []string{
			`SELECT count(*) FROM webhook_queue WHERE completed_at IS NOT NULL`,
			`SELECT count(*) FROM webhook_queue WHERE received_at > now() - interval '1 hour'`,
			`SELECT count(*) FROM webhook_queue WHERE completed_at > now() - interval '1 hour'`,
		},
	}}
	// What is long ago is in the archive.
	const events = `(SELECT received_at, completed_at, topic, outcome FROM webhook_queue UNION ALL
		SELECT received_at, completed_at, topic, outcome FROM webhook_archive) e`
	for _, span := range []string{"hour", "day", "week"} {
		since := `now() - interval '1 ` + span + `'`
		all = append(all, reading{
			what: "the dashboard's overview, one " + span, path: "/dashboard?span=" + span, reads: overviewReads, bar: overviewBar,
			counting: []string{
				`SELECT date_trunc('hour', received_at), topic, count(*) FROM ` + events + ` WHERE received_at > ` + since + ` GROUP BY 1, 2`,
				`SELECT date_trunc('hour', completed_at), outcome, count(*) FROM ` + events + ` WHERE completed_at > ` + since + ` GROUP BY 1, 2`,
				`SELECT percentile_cont(0.99) WITHIN GROUP (ORDER BY completed_at - received_at) FROM ` + events + ` WHERE completed_at > ` + since,
			},
		})
	}
	return all
}

// readAll reads each of them again and again.
func (b *harness) readAll(ctx context.Context, report *StatusReport) error {
	service, err := b.startService(ctx, "api")
	if err != nil {
		return err
	}
	defer service.stop()
	client, err := service.logIn(ctx)
	if err != nil {
		return err
	}
	for _, r := range readings() {
		times, err := repeat(r.reads, func() error { return service.get(ctx, client, r.path) })
		if err != nil {
			return err
		}
		figure, err := b.figure(ctx, ReadFigure{What: r.what, BarMillis: millis(r.bar)}, r.bar, times, r.counting)
		if err != nil {
			return err
		}
		report.Reads = append(report.Reads, figure)
	}
	return nil
}

// logIn returns a client that is logged in as the operator.
func (s *service) logIn(ctx context.Context) (*http.Client, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	form := url.Values{"password": {s.password}, "next": {"/dashboard"}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.addr+"/dashboard/login", strings.NewReader(form))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	client := &http.Client{Jar: jar}
	return client, answeredOK(client, req)
}

// get reads one path to its end.
func (s *service) get(ctx context.Context, client *http.Client, path string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.addr+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+s.statusToken)
	return answeredOK(client, req)
}

// answeredOK makes the call and reads its answer to the end.
func answeredOK(client *http.Client, req *http.Request) error {
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	// The login leads back to itself when it fails.
	if resp.StatusCode != http.StatusOK || strings.HasSuffix(resp.Request.URL.Path, "/login") {
		return fmt.Errorf("%s answers %d", resp.Request.URL.Path, resp.StatusCode)
	}
	return nil
}

// figure makes a figure of times, beside what counting takes.
func (b *harness) figure(ctx context.Context, f ReadFigure, bar time.Duration, times []time.Duration, counting []string) (ReadFigure, error) {
	p99 := times[len(times)*99/100]
	f.P50Millis, f.P99Millis, f.Met = millis(times[len(times)/2]), millis(p99), p99 <= bar
	b.say("%s: p50 %.1f ms, p99 %.1f ms", f.What, f.P50Millis, f.P99Millis)
	began := time.Now()
	for _, query := range counting {
		if _, err := b.pool.Exec(ctx, query); err != nil {
			return f, err
		}
	}
	f.CountingMillis = millis(time.Since(began))
	return f, nil
}

// repeat does something n times, after once for nothing, and returns how long
// each took, the quickest first.
func repeat(n int, do func() error) ([]time.Duration, error) {
	times := make([]time.Duration, n)
	if err := do(); err != nil {
		return times, err
	}
	for i := range times {
		began := time.Now()
		if err := do(); err != nil {
			return times, err
		}
		times[i] = time.Since(began)
	}
	slices.Sort(times)
	return times, nil
}

// Met reports whether every bar was met.
func (r StatusReport) Met() bool {
	return !slices.ContainsFunc(r.Reads, func(f ReadFigure) bool { return !f.Met })
}

// Print writes the report as a table.
func (r StatusReport) Print(w io.Writer) error {
	_, _ = fmt.Fprintf(w, "%d cores; %d archived and %d completed events, made in %.0f s; fsync on\n", r.Cores, r.Archived, r.Completed, r.SeedSeconds)
	_, _ = fmt.Fprintf(w, "their history was rolled up in %.1f s; the roll-up of each minute takes %.1f ms\n\n", r.HistorySeconds, r.RollUpMillis)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(table, "read\tp50 ms\tp99 ms\tby counting ms\tp99 bar ms\t\t")
	for _, f := range r.Reads {
		met := "met"
		if !f.Met {
			met = "NOT MET"
		}
		_, _ = fmt.Fprintf(table, "%s\t%.1f\t%.1f\t%.0f\t%.0f\t%s\t\n", f.What, f.P50Millis, f.P99Millis, f.CountingMillis, f.BarMillis, met)
	}
	return table.Flush()
}
