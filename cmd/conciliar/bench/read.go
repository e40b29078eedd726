package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

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

// read measures reading: the status and the dashboard's overview.
func (b *harness) read(ctx context.Context) (figures []Figure, err error) {
	for _, rows := range b.options.Rows {
		if _, err := b.pool.Exec(ctx, `TRUNCATE webhook_queue, webhook_archive, webhook_dead_letter, river_job, orders, order_logs, payments, payment_logs, anomalies, webhook_reconciliation_logs CASCADE`); err != nil {
			return nil, err
		}
		size := Size{Archived: rows, Completed: rows / 10, Open: true}
		took, err := Seed(ctx, b.pool, size, b.say)
		if err != nil {
			return nil, err
		}
		b.say("made in %.0f s", took.Seconds())
		pool, err := b.options.OpenBounded(ctx, b.databaseURL)
		if err != nil {
			return nil, err
		}
		found, err := b.readAt(ctx, pool, size)
		pool.Close()
		if err != nil {
			return nil, err
		}
		figures = append(figures, found...)
	}
	return figures, nil
}

func (b *harness) readAt(ctx context.Context, pool *pgxpool.Pool, size Size) ([]Figure, error) {
	storage, err := openStore(pool)
	if err != nil {
		return nil, err
	}
	rolledUp, err := b.countHistory(ctx, storage)
	if err != nil {
		return nil, err
	}
	if err := b.checkCounts(ctx, storage, size); err != nil {
		return nil, err
	}
	figures, err := b.readAll(ctx)
	for i := range figures {
		figures[i].What += fmt.Sprintf(", %d archived", size.Archived)
	}
	return append(figures, rolledUp...), err
}

// countHistory rolls up what was seeded, as the service does in its first hour,
// and then what each minute brings.
func (b *harness) countHistory(ctx context.Context, storage *store.Store) ([]Figure, error) {
	b.say("rolling up …")
	began := time.Now()
	done, err := storage.RollUp(ctx, statusSpan)
	for err == nil && !done.Complete {
		done, err = storage.RollUpHistory(ctx, statusSpan)
	}
	if err != nil {
		return nil, err
	}
	history := time.Since(began).Seconds()
	if _, err := b.pool.Exec(ctx, `VACUUM (ANALYZE)`); err != nil {
		return nil, err
	}
	// Autovacuum may have given way to one of the vacuums.
	mended, err := storage.MendSummaries(ctx)
	if err != nil {
		return nil, err
	}
	b.say("block ranges summarized anew: %d", mended)
	times, err := repeat(10, func() error {
		_, err := storage.RollUp(ctx, statusSpan)
		return err
	})
	return []Figure{
		{What: "the first roll-up", Unit: "s", Value: spreadOf(history)},
		{What: "the roll-up of each minute", Unit: "ms", Value: spreadOf(millis(times[len(times)/2]))},
	}, err
}

// checkCounts makes sure that what is measured is right.
func (b *harness) checkCounts(ctx context.Context, storage *store.Store, size Size) error {
	st, err := storage.Status(ctx)
	if err != nil {
		return err
	}
	q := st.Queue
	got := [6]int64{q.Completed, q.Pending, q.Failed, q.Held, q.Processing, q.DeadLetter}
	if want := [6]int64{int64(size.Completed), seedPending, seedFailed, seedHeld, seedProcessing, seedDead}; got != want {
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
			`SELECT count(*) FROM webhook_completed`,
			`SELECT count(*) FROM webhook_queue WHERE received_at > now() - interval '1 hour'`,
			`SELECT count(*) FROM webhook_completed WHERE completed_at > now() - interval '1 hour'`,
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

// readAll reads each of them again and again, beside what counting the same rows takes.
func (b *harness) readAll(ctx context.Context) (figures []Figure, err error) {
	service, err := b.startService(ctx, "api")
	if err != nil {
		return nil, err
	}
	defer service.stop()
	client, err := service.logIn(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range readings() {
		times, err := repeat(r.reads, func() error { return service.get(ctx, client, r.path) })
		if err != nil {
			return nil, err
		}
		began := time.Now()
		for _, query := range r.counting {
			if _, err := b.pool.Exec(ctx, query); err != nil {
				return nil, err
			}
		}
		counting := spreadOf(millis(time.Since(began)))
		figure := Figure{What: r.what, Unit: "ms", Latency: latencyOf(times)}
		figure.Value = spreadOf(figure.Latency.P50)
		figure = figure.beside("counting rows", counting)
		figure.Bars = []Bar{atMost("p99 ms", millis(r.bar), figure.Latency.P99)}
		b.say("%s: p50 %.1f ms, p99 %.1f ms", r.what, figure.Latency.P50, figure.Latency.P99)
		figures = append(figures, figure)
	}
	return figures, nil
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
