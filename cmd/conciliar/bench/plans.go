package bench

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// explainSettings make PostgreSQL write down what each statement did, once it is told to.
var explainSettings = map[string]string{
	"shared_preload_libraries": "auto_explain", "auto_explain.log_analyze": "on", "auto_explain.log_buffers": "on",
	"auto_explain.log_format": "json", "auto_explain.log_triggers": "on", "auto_explain.log_nested_statements": "on",
	"logging_collector": "on", "log_destination": "csvlog", "log_rotation_size": "0", "log_rotation_age": "0",
}

const (
	// plansReceived is how many webhooks are received and settled.
	plansReceived = 500
	// plansIdle is how long a process has nothing to do: every loop of it has had its
	// turn then.
	plansIdle = 65 * time.Second
	// plansShown is how many statements of a step are told, those that take most.
	plansShown = 12
)

// plans looks at the plans of the service's own statements beside the most rows: it
// makes the service do everything, and PostgreSQL tells of each statement.
func (b *harness) plans(ctx context.Context) ([]Figure, error) {
	rows := slices.Max(b.options.Rows)
	if _, err := Seed(ctx, b.pool, Size{Archived: rows, Completed: rows / 10, Open: true}, b.say); err != nil {
		return nil, err
	}
	storage, err := openStore(b.pool)
	if err != nil {
		return nil, err
	}
	if _, err := b.countHistory(ctx, storage); err != nil {
		return nil, err
	}
	// What the provider does not know would be tried again and again.
	if _, err := b.pool.Exec(ctx, `UPDATE river_job SET state = 'scheduled', scheduled_at = now() + interval '1 day' WHERE finalized_at IS NULL`); err != nil {
		return nil, err
	}
	b.say("seeded")
	log, err := b.explain(ctx)
	if err != nil {
		return nil, err
	}
	for _, step := range []struct {
		what string
		do   func(context.Context, *planLog) error
	}{
		{"receive and settle", b.planSettling},
		{"reconcile", b.planRun},
		{"read", b.planReading},
	} {
		b.say("%s …", step.what)
		if err := step.do(ctx, log); err != nil {
			return nil, fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil, nil
}

// explain makes PostgreSQL write statements down from now on.
func (b *harness) explain(ctx context.Context) (*planLog, error) {
	var data, file string
	if err := b.pool.QueryRow(ctx, `SELECT current_setting('data_directory'), pg_current_logfile('csvlog')`).Scan(&data, &file); err != nil {
		return nil, err
	}
	for _, statement := range []string{`ALTER SYSTEM SET auto_explain.log_min_duration = 0`, `SELECT pg_reload_conf()`} {
		if _, err := b.pool.Exec(ctx, statement); err != nil {
			return nil, err
		}
	}
	log := &planLog{file: filepath.Join(data, file)}
	return log, log.skip(ctx, b)
}

// planSettling looks at what receives, what settles, and what a process asks that has
// nothing to do.
func (b *harness) planSettling(ctx context.Context, log *planLog) error {
	ids, err := b.makeOrders(ctx, plansReceived)
	if err != nil {
		return err
	}
	if err := b.noRunDue(ctx); err != nil {
		return err
	}
	receiver, err := b.startService(ctx, "api")
	if err != nil {
		return err
	}
	defer receiver.stop()
	if err := log.skip(ctx, b); err != nil {
		return err
	}
	if _, err := b.about(receiver, ids).run(ctx, loadShape{connections: 16, length: time.Minute, atMost: plansReceived}); err != nil {
		return err
	}
	if err := b.note(ctx, log, "receive"); err != nil {
		return err
	}
	worker, err := b.startService(ctx, "worker")
	if err != nil {
		return err
	}
	defer worker.stop()
	if err := b.await(ctx, settleLimit, `SELECT NOT EXISTS (SELECT FROM webhook_queue WHERE resource_id = ANY ($1) AND completed_at IS NULL)`, ids); err != nil {
		return err
	}
	if err := b.note(ctx, log, "start and settle"); err != nil {
		return err
	}
	if !sleepUntil(ctx, time.Now().Add(plansIdle)) {
		return ctx.Err()
	}
	return b.note(ctx, log, "wait")
}

// planRun looks at a reconciliation, and at what it moves to the archive.
func (b *harness) planRun(ctx context.Context, log *planLog) error {
	var last int64
	if err := b.pool.QueryRow(ctx, `SELECT coalesce(max(id), 0) FROM webhook_reconciliation_logs`).Scan(&last); err != nil {
		return err
	}
	service, err := b.startService(ctx, "", "RETENTION=164h")
	if err != nil {
		return err
	}
	defer service.stop()
	if err := log.skip(ctx, b); err != nil {
		return err
	}
	if err := service.post(ctx, "/api/webhooks/reconcile", service.reconcileToken, ""); err != nil {
		return err
	}
	if err := b.await(ctx, settleLimit, `SELECT EXISTS (SELECT FROM webhook_reconciliation_logs WHERE id > $1 AND finished_at IS NOT NULL)`, last); err != nil {
		return err
	}
	return b.note(ctx, log, "reconcile")
}

// planReading looks at what the pages and the API read.
func (b *harness) planReading(ctx context.Context, log *planLog) error {
	service, err := b.startService(ctx, "api")
	if err != nil {
		return err
	}
	defer service.stop()
	client, err := service.logIn(ctx)
	if err != nil {
		return err
	}
	var run, event, letter, anomaly int64
	if err := b.pool.QueryRow(ctx, `
		SELECT (SELECT max(id) FROM webhook_reconciliation_logs), (SELECT max(id) FROM webhook_queue WHERE completed_at IS NOT NULL),
		       (SELECT max(id) FROM webhook_dead_letter), (SELECT max(id) FROM anomalies)`).Scan(&run, &event, &letter, &anomaly); err != nil {
		return err
	}
	at := func(path string, id int64) string { return path + "/" + strconv.FormatInt(id, 10) }
	day := time.Now().UTC().AddDate(0, 0, -2).Format(time.DateOnly)
	if err := log.skip(ctx, b); err != nil {
		return err
	}
	for _, path := range []string{
		"/api/webhooks/status", "/metrics", "/dashboard", "/dashboard?span=week",
		"/dashboard/events", "/dashboard/events?state=completed", "/dashboard/events?state=dead_letter", "/dashboard/events?topic=bench_unhandled", "/api/webhooks/events?since=" + day + "T00:00:00Z&until=" + day + "T01:00:00Z",
		"/api/webhooks/events?order_reference=bench-77", "/api/webhooks/events?resource_id=77", "/api/webhooks/events?request_id=none",
		at("/dashboard/events", event), at("/dashboard/events", 77),
		"/dashboard/search?q=bench-77", "/dashboard/search?q=77", "/dashboard/search?q=nothing-has-this-name",
		"/dashboard/orders", "/dashboard/orders?status=paid", "/dashboard/orders?status=refunded", "/dashboard/orders?reference=bench-77", "/dashboard/orders/case?reference=bench-77",
		"/dashboard/payments", "/dashboard/payments?status=rejected", "/api/payments?order=bench-77", "/api/payments/days?since=" + day + "T00:00:00Z",
		"/dashboard/dead-letters", at("/dashboard/dead-letters", letter), "/dashboard/anomalies", at("/dashboard/anomalies", anomaly),
		"/dashboard/runs", at("/dashboard/runs", run), "/dashboard/refused", "/dashboard/deliveries", "/dashboard/replays", "/dashboard/payouts", "/dashboard/actions",
	} {
		if err := service.get(ctx, client, path); err != nil {
			return err
		}
		if err := b.note(ctx, log, strings.ReplaceAll(path, day, "DAY")); err != nil {
			return err
		}
	}
	return nil
}

// note keeps the statements since the last time, those that took most.
func (b *harness) note(ctx context.Context, log *planLog, when string) error {
	statements, err := log.read(ctx, b)
	if err != nil {
		return err
	}
	slices.SortStableFunc(statements, func(a, b Statement) int {
		return cmp.Compare(b.Millis*float64(b.Calls), a.Millis*float64(a.Calls))
	})
	shown := plansShown
	if strings.HasPrefix(when, "/") {
		shown = 2
	}
	for i, s := range statements {
		// What reads a table from end to end is always told.
		if i < shown || len(s.FullScans) > 0 {
			s.When = when
			b.statements = append(b.statements, s)
		}
	}
	return nil
}
