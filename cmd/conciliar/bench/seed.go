package bench

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// A Size is how much a database holds before something is measured on it.
// What it holds passes `conciliar verify`.
type Size struct {
	// Archived events ended in the 90 days before the last week, Completed ones in
	// that week, each about a payment of an order of its own.
	Archived, Completed int
	// Open adds what waits, runs, is held and died, and a week of reconciliations.
	Open bool
}

// foldVersion is the rules that what is seeded follows, as SQL.
var foldVersion = strconv.Itoa(order.FoldVersion)

// account is the simulator's: orders that another one was paid are settled again.
var account = strconv.Itoa(simulator.DefaultCollectorID)

// What a seed with Open adds.
const (
	seedPending    = 2000
	seedFailed     = 1000
	seedHeld       = 1000
	seedProcessing = 50
	seedDead       = 1000
	// seedChunk is how many events one statement makes.
	seedChunk = 500_000
)

// Seed fills an empty, migrated database, vacuums it and returns how long that
// took. It goes past triggers and foreign keys, as only a superuser may: it makes
// in minutes what takes the service days.
func Seed(ctx context.Context, pool *pgxpool.Pool, s Size, say func(format string, args ...any)) (time.Duration, error) {
	began := time.Now()
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return 0, fmt.Errorf("seed: %w", err)
	}
	defer conn.Release()
	f := &seeder{conn: conn.Conn(), seed: s, say: say}
	f.err = conn.QueryRow(ctx, `SELECT now()`).Scan(&f.now)
	for _, setting := range []string{`SET session_replication_role = replica`, `SET synchronous_commit = off`, `SET jit = off`} {
		f.exec(ctx, setting)
	}
	f.inChunks(ctx, "archived events", s.Archived, seedArchived)
	f.inChunks(ctx, "completed events", s.Completed, seedCompleted, seedJobs, seedOrders, seedPayments, seedPaymentLogs, seedOrderLogs, seedOrderEvents)
	if s.Open {
		f.open(ctx)
	}
	if f.err == nil {
		f.err = store.ListEvents(ctx, f.conn)
	}
	f.exec(ctx, `SELECT setval(pg_get_serial_sequence('webhook_queue', 'id'), max(id)), setval('river_job_id_seq', max(id)) FROM webhook_queue`)
	f.exec(ctx, `UPDATE order_feed SET position = greatest(position, (SELECT max(position) FROM order_events))`)
	f.exec(ctx, `RESET session_replication_role`)
	f.exec(ctx, `RESET synchronous_commit`)
	f.exec(ctx, `RESET jit`)
	say("vacuuming …")
	f.exec(ctx, `VACUUM (ANALYZE)`)
	f.exec(ctx, `CHECKPOINT`)
	if f.err != nil {
		return 0, fmt.Errorf("seed: %w", f.err)
	}
	return time.Since(began), nil
}

// A seeder stops at its first error.
type seeder struct {
	conn *pgx.Conn
	seed Size
	// now is the same for all: what belongs together has the same times.
	now time.Time
	say func(format string, args ...any)
	err error
}

func (f *seeder) exec(ctx context.Context, query string, args ...any) {
	if f.err != nil {
		return
	}
	if _, err := f.conn.Exec(ctx, query, args...); err != nil {
		f.err = fmt.Errorf("%.60s: %w", strings.Join(strings.Fields(query), " "), err)
	}
}

// inChunks runs the statements for the numbers 1 to total, chunk by chunk. Their
// parameters are the chunk's first and last number, how many there are in all,
// how many archived and completed events there are, and the time of the seed.
func (f *seeder) inChunks(ctx context.Context, what string, total int, statements ...string) {
	for first := 1; first <= total && f.err == nil; first += seedChunk {
		last := min(first+seedChunk-1, total)
		for _, statement := range statements {
			f.exec(ctx, `WITH seed AS (SELECT n, `+seedTimes+` FROM generate_series($1::bigint, $2::bigint) n) `+statement,
				first, last, total, f.seed.Archived, f.seed.Completed, f.now)
		}
		f.say("%s: %d of %d", what, last, total)
	}
}

// seedTimes spreads the numbers over the last week; how long an event took is
// between 20 ms and 8 s, most often little.
const seedTimes = `
	$6::timestamptz - interval '7 days' + n * interval '7 days' / $3::bigint - interval '10 seconds' AS received_at,
	0.02 * exp(6 * ((n * 2654435761) % 1000)::float8 / 1000) * interval '1 second' AS took,
	$4::bigint AS archived, $5::bigint AS completed`

// seedEvent are the columns of an event, n being its number and payment its
// payment's. What makes a delivery unique begins with its time, as the receiver has it.
// Every twentieth event is of a topic that no release knows: what one knows that was
// unhandled before is replayed.
const seedEvent = `source, topic, action, resource_id, origin, payload, query, request_id, remote_ip, live_mode, signed, signature, attempts)`

const seedEventValues = `'mercadopago', CASE WHEN n % 20 = 0 THEN 'bench_unhandled' ELSE 'payment' END, 'payment.updated', payment::text,
	'webhook', convert_to('{"action":"payment.updated","api_version":"v1","data":{"id":"' || payment || '"},"date_created":"2025-11-10T13:38:25Z","id":126271778864,"live_mode":true,"type":"payment","user_id":"1538952955"}', 'UTF8'),
	'data.id=' || payment || '&type=payment', md5(n::text)::uuid::text, '203.0.113.9', true, true, int4send(extract(epoch FROM received_at)::int) || substr(decode(md5(id::text) || md5(n::text), 'hex'), 5), 1`

// seedArchived are the 90 days before, about the payments of the last week.
const seedArchived = `
	, placed AS (
		SELECT n AS id, n, n % greatest(completed, 1) AS payment, received_at - interval '7 days' - ($3 - n) * interval '83 days' / $3 AS received_at, took FROM seed
	)
	INSERT INTO webhook_archive (id, job_id, received_at, completed_at, outcome, ` + seedEvent + `
	SELECT id, id, received_at, received_at + took, CASE WHEN n % 20 = 0 THEN 'unhandled' WHEN n % 10 = 5 THEN 'unchanged' ELSE 'settled' END, ` + seedEventValues + ` FROM placed`

const seedCompleted = `
	, placed AS (SELECT archived + n AS id, n, n AS payment, received_at, took FROM seed)
	INSERT INTO webhook_queue (id, job_id, received_at, completed_at, outcome, ` + seedEvent + `
	SELECT id, id, received_at, received_at + took, CASE WHEN n % 20 = 0 THEN 'unhandled' ELSE 'settled' END, ` + seedEventValues + ` FROM placed`

const seedJobs = `
	INSERT INTO river_job (id, state, attempt, max_attempts, attempted_at, created_at, finalized_at, scheduled_at, args, kind, queue)
	SELECT archived + n, 'completed', 1, 7, received_at, received_at, received_at + took, received_at,
	       jsonb_build_object('queue_id', archived + n), 'webhook_payment', 'webhooks' FROM seed`

var seedOrders = `
	INSERT INTO orders (reference, status, amount, currency, paid_amount, settled_at, created_at, updated_at, fold_version)
	SELECT 'bench-' || n, 'paid', 150, 'ARS', 150, received_at + took, received_at - interval '5 minutes', received_at + took, ` + foldVersion + `
	FROM seed WHERE n % 20 <> 0`

var seedPayments = `
	INSERT INTO payments (source, payment_id, order_reference, status, status_detail, amount, currency, collector_id, live_mode,
	                      date_last_updated, fetched_at, cost_read_at, payer_email_hash, payment_method, payment_type,
	                      raw, created_at, updated_at, fold_version)
	SELECT 'mercadopago', n::text, 'bench-' || n, 'approved', 'accredited', 150, 'ARS', '` + account + `', true, received_at - interval '1 second',
	       received_at + took / 2, received_at + took / 2, '', 'visa', 'credit_card', convert_to('{"id":' || n || ',"status":"approved"}', 'UTF8'), received_at + took, received_at + took, ` + foldVersion + `
	FROM seed WHERE n % 20 <> 0`

const seedPaymentLogs = `
	INSERT INTO payment_logs (source, payment_id, order_reference, status, status_detail, amount, refunded_amount, currency,
	                          date_last_updated, queue_id, applied_at)
	SELECT 'mercadopago', n::text, 'bench-' || n, 'approved', 'accredited', 150, 0, 'ARS', received_at - interval '1 second', archived + n, received_at + took
	FROM seed WHERE n % 20 <> 0`

const seedOrderLogs = `
	INSERT INTO order_logs (order_reference, cause, queue_id, status, paid_amount, refunded_amount, changed_at)
	SELECT * FROM (
		SELECT 'bench-' || n, 'registered', NULL::bigint, 'pending', 0, 0, received_at - interval '5 minutes' AS changed_at FROM seed WHERE n % 20 <> 0
		UNION ALL
		SELECT 'bench-' || n, 'payment', archived + n, 'paid', 150, 0, received_at + took FROM seed WHERE n % 20 <> 0
	) l ORDER BY changed_at`

// seedOrderEvents tell of each order that it is paid, at places of the feed without a gap.
const seedOrderEvents = `
	INSERT INTO order_events (position, type, order_reference, previous_status, cause, queue_id, body, created_at)
	SELECT n - n / 20, 'order.paid', 'bench-' || n, 'pending', 'payment', archived + n,
	       json_build_object('type', 'order.paid', 'timestamp', received_at + took, 'data', json_build_object('order', json_build_object('reference', 'bench-' || n,
	           'status', 'paid', 'amount', '150.00', 'currency', 'ARS', 'paid_amount', '150.00', 'payments', repeat('x', 500)), 'previous_status', 'pending', 'cause', 'payment')),
	       received_at + took
	FROM seed WHERE n % 20 <> 0`

// open adds what has no end yet, and what reconciliations left.
func (f *seeder) open(ctx context.Context) {
	for _, state := range []struct {
		events    int
		job       string // state, attempt, scheduled_at, finalized_at, attempted_at, metadata of its job
		ago, over string // since when, over which time
	}{
		{seedPending, `'available', 0, now(), NULL, NULL, '{}'`, "0 s", "10 minutes"},
		{seedFailed, `'retryable', 2, now() + interval '5 minutes', NULL, now(), '{}'`, "0 s", "1 hour"},
		{seedHeld, `'scheduled', 1, now() + interval '1 hour', NULL, now(), '{"snoozes": 3}'`, "0 s", "1 hour"},
		{seedProcessing, `'running', 1, now(), NULL, now(), '{}'`, "0 s", "1 minute"},
		{seedDead, `'discarded', 7, received_at, received_at + interval '1 hour', received_at + interval '1 hour', '{}'`, "2 hours", "7 days"},
	} {
		f.exec(ctx, `
			WITH numbered AS (
				SELECT (SELECT max(id) FROM webhook_queue) + n AS id, n, 1 + n * 20 AS payment,
				       now() - $2::text::interval - ($1::bigint - n) * $3::text::interval / $1 AS received_at
				FROM generate_series(1, $1) n
			), events AS (
				INSERT INTO webhook_queue (id, job_id, received_at, `+seedEvent+` SELECT id, id, received_at, `+seedEventValues+` FROM numbered
			)
			INSERT INTO river_job (id, state, attempt, scheduled_at, finalized_at, attempted_at, metadata, max_attempts, created_at, args, kind, queue)
			SELECT id, `+state.job+`, 7, received_at, jsonb_build_object('queue_id', id), 'webhook_payment', 'webhooks' FROM numbered`,
			state.events, state.ago, state.over)
	}
	for _, statement := range []string{
		`INSERT INTO webhook_dead_letter (queue_id, reason, error_class, error, attempts, state, created_at, died_at)
		 SELECT q.id, (ARRAY['retries_exhausted', 'permanent_failure', 'rescued_out'])[1 + q.id % 3],
		        (ARRAY['payment_not_found', 'forbidden', 'worker_died'])[1 + q.id % 3], 'seeded', 7,
		        CASE WHEN q.id % 4 = 0 THEN 'open' ELSE 'dismissed' END, j.finalized_at, j.finalized_at
		 FROM webhook_queue q JOIN river_job j ON j.id = q.job_id WHERE j.state = 'discarded'`,
		`INSERT INTO webhook_reconciliation_logs (trigger, status, started_at, finished_at, window_start, window_end, payments_checked, missing_found)
		 SELECT 'schedule', 'succeeded', at, at + interval '1 minute', at - interval '3 hours', at, 1000, 20
		 FROM generate_series(now() - interval '7 days', now() - interval '1 hour', interval '1 hour') at`,
		`INSERT INTO webhook_reconciliation_findings (run_id, kind, source, payment_id, queue_id, found_at)
		 SELECT r.id, 'missing', 'mercadopago', (r.id * 100 + n)::text, (SELECT max(id) FROM webhook_archive) + r.id * 100 + n, r.started_at
		 FROM webhook_reconciliation_logs r, generate_series(1, 20) n`,
		`INSERT INTO anomalies (kind, order_reference, payment_id, opened_at, closed_at, closed_by)
		 SELECT CASE WHEN n % 10 = 0 THEN 'unsettled_difference' ELSE (ARRAY['overpaid', 'underpaid', 'unknown_order'])[1 + n % 3] END,
		        'bench-' || n, n::text, now() - n * interval '1 minute',
		        CASE WHEN n % 10 > 0 THEN now() END, CASE WHEN n % 10 > 0 THEN 'fold' END FROM generate_series(1, 5000) n`,
	} {
		f.exec(ctx, statement)
	}
}
