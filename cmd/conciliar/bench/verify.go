package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// verifyBar is how long a million events may take: a check that cron runs every
// few minutes must not take one.
const verifyBar = 30 * time.Second

// VerifyLeast is the least number of events that makes a ledger of every kind.
const VerifyLeast = 1000

// verifySeed makes a ledger of $1 events: nine in ten about a payment, three events
// to a payment and a payment to an order, one event in eight archived, one in a
// hundred a dead letter and as many still alive.
var verifySeed = []string{`
	INSERT INTO orders (reference, amount, currency, status, paid_amount, settled_at, fold_version)
	SELECT 'bench-' || n, 150, 'ARS', 'paid', 150, now(), ` + foldVersion + ` FROM generate_series(1, $1::bigint * 3 / 10) n`, `
	INSERT INTO payments (source, payment_id, order_reference, status, status_detail, amount, currency, collector_id, live_mode, date_last_updated, fetched_at, raw, fold_version)
	SELECT 'mercadopago', n::text, 'bench-' || n, 'approved', 'accredited', 150, 'ARS', '1', true, now(), now(), convert_to(repeat('x', 1000), 'UTF8'), ` + foldVersion + `
	FROM generate_series(1, $1::bigint * 3 / 10) n`, `
	INSERT INTO payment_logs (source, payment_id, order_reference, status, status_detail, amount, refunded_amount, currency, date_last_updated, queue_id)
	SELECT source, payment_id, order_reference, status, status_detail, amount, refunded_amount, currency, date_last_updated, payment_id::bigint
	FROM payments`, `
	INSERT INTO webhook_queue (id, job_id, source, topic, action, resource_id, signed, signature, payload, request_id, completed_at, outcome, attempts)
	SELECT n, n, 'mercadopago', 'payment', 'payment.updated', (1 + n % ($1::bigint * 3 / 10))::text, true, decode(md5(n::text) || md5((-n)::text), 'hex'),
	       convert_to(repeat('x', 250), 'UTF8'), md5(n::text), CASE WHEN n % 100 > 1 THEN now() END,
	       CASE WHEN n % 100 < 2 THEN NULL WHEN n % 10 = 9 THEN 'unhandled' WHEN n % 3 = 0 THEN 'settled' ELSE 'covered' END, 1
	FROM generate_series(1, $1::bigint) n`, `
	INSERT INTO river_job (id, args, kind, max_attempts, queue, state, finalized_at)
	SELECT id, jsonb_build_object('queue_id', id), 'webhook_payment', 7, 'webhooks',
	       (CASE WHEN completed_at IS NOT NULL THEN 'completed' WHEN id % 100 = 1 THEN 'discarded' ELSE 'retryable' END)::river_job_state,
	       CASE WHEN completed_at IS NOT NULL OR id % 100 = 1 THEN now() END
	FROM webhook_queue`, `
	INSERT INTO webhook_dead_letter (queue_id, reason) SELECT id, 'retries_exhausted' FROM webhook_queue WHERE id % 100 = 1`, `
	WITH moved AS (DELETE FROM webhook_queue WHERE id % 8 = 0 AND completed_at IS NOT NULL RETURNING *)
	INSERT INTO webhook_archive SELECT * FROM moved`, `
	SELECT setval(pg_get_serial_sequence('webhook_queue', 'id'), $1::bigint), setval('river_job_id_seq', $1::bigint)`,
}

// verified measures the verification of a ledger of so many events.
func (b *harness) verified(ctx context.Context) ([]Figure, error) {
	if err := b.makeLedger(ctx, b.options.Verify); err != nil {
		return nil, err
	}
	var scans, times []float64
	for range b.options.Rounds {
		scan, err := b.scan(ctx)
		if err != nil {
			return nil, err
		}
		took, err := b.verifyOnce(ctx, b.options.Verify)
		if err != nil {
			return nil, err
		}
		scans, times = append(scans, scan.Seconds()), append(times, took.Seconds())
	}
	figure := Figure{What: fmt.Sprintf("a ledger of %d events", b.options.Verify), Unit: "s", Value: spreadOf(times...)}.
		beside("reading each row once", spreadOf(scans...))
	figure.Bars = []Bar{atMost("s", verifyBar.Seconds()*max(1, float64(b.options.Verify)/1e6), figure.Value.Median)}
	return []Figure{figure}, nil
}

func (b *harness) makeLedger(ctx context.Context, events int) error {
	if err := b.empty(ctx); err != nil {
		return err
	}
	b.say("making the ledger of %d events …", events)
	for _, statement := range verifySeed {
		var args []any
		if strings.Contains(statement, "$1") {
			args = append(args, events)
		}
		if _, err := b.pool.Exec(ctx, statement, args...); err != nil {
			return fmt.Errorf("make the ledger: %w", err)
		}
	}
	_, err := b.pool.Exec(ctx, `VACUUM ANALYZE`)
	return err
}

func (b *harness) verifyOnce(ctx context.Context, events int) (time.Duration, error) {
	storage, err := openStore(b.pool)
	if err != nil {
		return 0, err
	}
	b.say("verifying them …")
	began := time.Now()
	report, err := storage.Verify(ctx, store.VerifyOptions{RescueAfter: time.Minute, Limit: 1})
	took := time.Since(began)
	switch {
	case err != nil:
		return 0, err
	case len(report.Violations) > 0:
		return 0, fmt.Errorf("the ledger that was made breaks %s: %s", report.Violations[0].Invariant, report.Violations[0].Rows[0])
	case report.Events+report.Archived != int64(events):
		return 0, errors.New("the verification did not see every event")
	}
	return took, nil
}

// scan reads every row that a verification looks at, once.
func (b *harness) scan(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	var bytes int64
	err := b.pool.QueryRow(ctx, `
		SELECT (SELECT sum(pg_column_size(q)) FROM webhook_queue q) + (SELECT sum(pg_column_size(a)) FROM webhook_archive a)
		     + (SELECT sum(pg_column_size(j)) FROM river_job j) + (SELECT sum(pg_column_size(p)) FROM payments p)
		     + (SELECT sum(pg_column_size(l)) FROM payment_logs l) + (SELECT sum(pg_column_size(o)) FROM orders o)`).Scan(&bytes)
	if err != nil {
		return 0, err
	}
	return time.Since(began), nil
}

// openStore opens a store that reads: it makes no jobs.
func openStore(pool *pgxpool.Pool) (*store.Store, error) {
	return store.New(pool, store.Options{
		Rules: order.Rules{Mode: order.ModeAny}, UnknownOrder: store.UnknownOrderWait, Logger: slog.New(slog.DiscardHandler),
	})
}
