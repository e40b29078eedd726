package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// QueueStatus counts events by where they are. The counts of events that have
// no end are exact.
type QueueStatus struct {
	// Pending events wait for their first attempt.
	Pending int64 `json:"pending"`
	// Processing events are being attempted now.
	Processing int64 `json:"processing"`
	// Failed events wait for their next attempt.
	Failed int64 `json:"failed"`
	// Held events wait out an outage of the provider; no age counts them.
	Held int64 `json:"held"`
	// Completed events have ended and are not archived yet.
	Completed int64 `json:"completed"`
	// DeadLetter counts events that will not be tried again by themselves.
	DeadLetter int64 `json:"dead_letter"`
	// OldestPendingSeconds is how long the event that has waited longest for its
	// first attempt could have had it, 0 when none waits. The time that it waited
	// an outage out is not counted.
	OldestPendingSeconds int64 `json:"oldest_pending_seconds"`
	// NextRetryAt is when the next failed event is due, nil when none is.
	NextRetryAt *time.Time `json:"next_retry_at"`
}

// DeadLetterStatus counts dead letters.
type DeadLetterStatus struct {
	Open     int64            `json:"open"`
	ByReason map[string]int64 `json:"by_reason"`
	// Last24h counts deaths in the last day, whatever became of them.
	Last24h int64 `json:"last_24h"`
}

// Throughput counts events of the last hour.
type Throughput struct {
	Received1h  int64 `json:"received_1h"`
	Completed1h int64 `json:"completed_1h"`
	// Failed1h counts events that became dead letters.
	Failed1h int64 `json:"failed_1h"`
}

// AnomalyStatus counts open anomalies.
type AnomalyStatus struct {
	Open   int64            `json:"open"`
	ByKind map[string]int64 `json:"by_kind"`
}

// A Run is one reconciliation as its log row has it.
type Run struct {
	ID      int64  `json:"id"`
	Trigger string `json:"trigger"`
	// Scope is ScopeRegular or ScopeBackfill.
	Scope  string `json:"scope"`
	Status string `json:"status"`
	// Phase is what the run does now, or did last.
	Phase string `json:"phase"`
	// Position is how far into the window the search has come; nil before it
	// began.
	Position        *time.Time `json:"position"`
	WindowStart     *time.Time `json:"window_start"`
	WindowEnd       *time.Time `json:"window_end"`
	PaymentsChecked int64      `json:"payments_checked"`
	OrdersChecked   int64      `json:"orders_checked"`
	StuckRequeued   int64      `json:"stuck_requeued"`
	RetriesDue      int64      `json:"retries_due"`
	MissingFound    int64      `json:"missing_found"`
	DriftFound      int64      `json:"drift_found"`
	// OddFound counts payments that the search showed and that can't be booked.
	OddFound int64 `json:"odd_found"`
	Archived int64 `json:"archived"`
	// Unseen is how many payments the provider's search counted or held back and
	// did not show, at least. Later runs read their ranges again for seven days.
	Unseen     int64      `json:"unseen"`
	StartedAt  time.Time  `json:"started_at"`
	FinishedAt *time.Time `json:"finished_at"`
	Error      *string    `json:"error"`
	// RequestedBy is who asked for the run; empty for the schedule.
	RequestedBy string `json:"requested_by"`
	// Note is what a person should know of a run that went well.
	Note string `json:"note"`
}

// Status is what the ledger says about the service's health.
type Status struct {
	Queue       QueueStatus
	DeadLetters DeadLetterStatus
	Throughput  Throughput
	// Provider is that of the provider that is worst off, as the main account asks it.
	Provider ProviderState
	// Sellers are the accounts beside the main one.
	Sellers   []SellerStatus
	Anomalies AnomalyStatus
	// Receivers are who is told, with what waits for them.
	Receivers     []Receiver
	LastSuccessAt *time.Time
	RecentRuns    []Run
	// FeedLagSeconds is how long the oldest order event has waited for its position, 0
	// when none waits.
	FeedLagSeconds float64
	// Signals are what conditions are judged by beside these.
	Signals Signals
}

// Status reads the statistics in one snapshot, so that its numbers agree with
// each other while everything moves.
func (s *Store) Status(ctx context.Context) (Status, error) {
	var st Status
	opts := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err := pgx.BeginTxFunc(ctx, s.pool, opts, func(tx pgx.Tx) error {
		for _, read := range []func(context.Context, pgx.Tx, *Status) error{
			readQueue, readDeadLetters, readThroughput, readProvider, readSellers, readAnomalies, readRuns, readFeedLag, readDeliveries, s.readSignals,
		} {
			if err := read(ctx, tx, &st); err != nil {
				return err
			}
		}
		return nil
	})
	return st, wrap(err, "status")
}

// readQueue counts what has no end from what is small however large the tables
// grow: the events without one, the dead letters, and the jobs that live. It tells
// states apart as the view webhook_queue_status does, which reads each event and its
// job by itself: for thousands among millions that would be most of the time. What
// names the same event is gathered, and not joined: PostgreSQL guesses how many jobs
// live by when it last counted, and would look through them anew for each event.
func readQueue(ctx context.Context, tx pgx.Tx, st *Status) error {
	var oldest *time.Time
	q := &st.Queue
	err := tx.QueryRow(ctx, `
		SELECT count(*) FILTER (WHERE status = 'pending'),
		       count(*) FILTER (WHERE status = 'processing'),
		       count(*) FILTER (WHERE status = 'failed'),
		       count(*) FILTER (WHERE status = 'held'),
		       count(*) FILTER (WHERE status = 'dead_letter'),
		       min(due_at) FILTER (WHERE status = 'pending'),
		       min(due_at) FILTER (WHERE status = 'failed')
		FROM (
			SELECT coalesce(open.status, idle.status) AS status, coalesce(open.due_at, idle.due_at) AS due_at
			FROM (
				SELECT queue_id, coalesce(max(status) FILTER (WHERE status = 'dead_letter'), max(status)) AS status, max(due_at) AS due_at
				FROM (
					SELECT queue_id::text AS queue_id, true AS open, NULL AS status, NULL::timestamptz AS due_at FROM webhook_open
					UNION ALL
					SELECT queue_id::text, false, 'dead_letter', NULL FROM webhook_dead_letter WHERE state <> 'reopened'
					UNION ALL
					SELECT args ->> 'queue_id', false,
					       CASE
					           WHEN state = 'running' THEN 'processing'
					           WHEN state = 'scheduled' AND metadata ? 'snoozes' THEN 'held'
					           WHEN attempt > 0 THEN 'failed'
					           ELSE 'pending'
					       END, scheduled_at
					FROM river_job WHERE state IN `+liveStates+` AND kind LIKE 'webhook\_%'
				) named
				GROUP BY queue_id HAVING bool_or(open)
			) open
			-- What has neither is seldom, and looked up.
			LEFT JOIN LATERAL (
				SELECT CASE WHEN coalesce(j.attempt, 0) = 0 THEN q.received_at END AS due_at,
				       CASE
				           WHEN j.state IN ('discarded', 'cancelled') THEN 'dead_letter'
				           WHEN j.attempt > 0 THEN 'failed'
				           ELSE 'pending'
				       END AS status
				FROM webhook_queue q LEFT JOIN river_job j ON j.id = q.job_id
				WHERE q.id = open.queue_id::bigint AND open.status IS NULL OFFSET 0
			) idle ON true
		) open`).
		Scan(&q.Pending, &q.Processing, &q.Failed, &q.Held, &q.DeadLetter, &oldest, &q.NextRetryAt)
	if err != nil {
		return err
	}
	if err := readCompleted(ctx, tx, q); err != nil {
		return err
	}
	if oldest != nil {
		return tx.QueryRow(ctx, `SELECT greatest(0, extract(epoch FROM now() - $1::timestamptz))::bigint`, *oldest).Scan(&q.OldestPendingSeconds)
	}
	return nil
}

// readCompleted adds up the slots that are counted and what ended outside of
// them: since the last roll-up, or before the first one came so far back. The
// sum is exact; how long it takes depends on how lately a roll-up ran.
func readCompleted(ctx context.Context, tx pgx.Tx, q *QueueStatus) error {
	at, err := readCovered(ctx, tx)
	if err != nil {
		return err
	}
	return tx.QueryRow(ctx, `
		SELECT greatest(0, (SELECT coalesce(sum(events), 0) FROM webhook_completed_slots)
		     + (SELECT count(*) FROM webhook_completed WHERE completed_at >= $2)
		     + (SELECT count(*) FROM webhook_completed WHERE completed_at < $1))::bigint`, at.from, at.until).Scan(&q.Completed)
}

func readDeadLetters(ctx context.Context, tx pgx.Tx, st *Status) error {
	byReason, open, err := countBy(ctx, tx, `SELECT reason, count(*) FROM webhook_dead_letter WHERE state = 'open' GROUP BY reason`)
	if err != nil {
		return err
	}
	st.DeadLetters.ByReason, st.DeadLetters.Open = byReason, open
	return tx.QueryRow(ctx, `SELECT count(*) FROM webhook_dead_letter WHERE died_at > now() - interval '24 hours'`).Scan(&st.DeadLetters.Last24h)
}

// readThroughput reads the minutes that are counted and, since then, the events
// themselves. The hour begins with a whole minute: it is up to a minute longer.
func readThroughput(ctx context.Context, tx pgx.Tx, st *Status) error {
	at, err := readCovered(ctx, tx)
	if err != nil {
		return err
	}
	hour, err := readValue[time.Time](ctx, tx, `SELECT date_bin('1 minute', now() - interval '1 hour', 'epoch')`)
	if err != nil {
		return err
	}
	since := hour
	if !at.from.After(hour) {
		since = later(hour, at.until)
	}
	// The archive too: a short retention moves what ended within the hour.
	return tx.QueryRow(ctx, `
		SELECT (coalesce((SELECT sum(events) FROM webhook_activity_minutes WHERE began_at >= $1 AND began_at < $2 AND outcome = ''), 0)
		      + (SELECT count(*) FROM webhook_queue WHERE received_at >= $2)
		      + (SELECT count(*) FROM webhook_archive WHERE received_at >= $2))::bigint,
		       (coalesce((SELECT sum(events) FROM webhook_activity_minutes WHERE began_at >= $1 AND began_at < $2 AND outcome <> ''), 0)
		      + (SELECT count(*) FROM webhook_completed WHERE completed_at >= $2)
		      + (SELECT count(*) FROM webhook_archive WHERE completed_at >= $2))::bigint,
		       (SELECT count(*) FROM webhook_dead_letter WHERE died_at > now() - interval '1 hour')`, hour, since).
		Scan(&st.Throughput.Received1h, &st.Throughput.Completed1h, &st.Throughput.Failed1h)
}

func readAnomalies(ctx context.Context, tx pgx.Tx, st *Status) (err error) {
	st.Anomalies.ByKind, st.Anomalies.Open, err = countBy(ctx, tx,
		`SELECT kind, count(*) FROM anomalies WHERE closed_at IS NULL GROUP BY kind`)
	return err
}

const runColumns = `id, trigger, status, window_start, window_end, payments_checked, orders_checked, stuck_requeued,
	retries_due, missing_found, drift_found, archived, started_at, finished_at, error, scope, phase, position,
	requested_by, note, unseen, odd_found`

func scanRun(row pgx.Row) (Run, error) { return scanRunWith(row) }

// scanRunWith scans a run and further columns after it.
func scanRunWith(row pgx.Row, extra ...any) (Run, error) {
	var r Run
	err := row.Scan(append([]any{
		&r.ID, &r.Trigger, &r.Status, &r.WindowStart, &r.WindowEnd, &r.PaymentsChecked, &r.OrdersChecked,
		&r.StuckRequeued, &r.RetriesDue, &r.MissingFound, &r.DriftFound, &r.Archived, &r.StartedAt, &r.FinishedAt, &r.Error,
		&r.Scope, &r.Phase, &r.Position, &r.RequestedBy, &r.Note, &r.Unseen, &r.OddFound,
	}, extra...)...)
	return r, err
}

// recentRuns is how many runs the status shows.
const recentRuns = 10

func readRuns(ctx context.Context, tx pgx.Tx, st *Status) error {
	err := tx.QueryRow(ctx, `SELECT max(finished_at) FROM webhook_reconciliation_logs WHERE status = 'succeeded' AND scope = 'regular' AND `+passed("finished_at")).Scan(&st.LastSuccessAt)
	if err != nil {
		return err
	}
	rows, _ := tx.Query(ctx, `SELECT `+runColumns+` FROM webhook_reconciliation_logs ORDER BY id DESC LIMIT $1`, recentRuns)
	st.RecentRuns, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (Run, error) { return scanRun(row) })
	return err
}

// countBy runs a query of names and counts, and adds the counts up.
func countBy(ctx context.Context, tx pgx.Tx, query string) (map[string]int64, int64, error) {
	rows, _ := tx.Query(ctx, query)
	counts, total := map[string]int64{}, int64(0)
	var name string
	var n int64
	_, err := pgx.ForEachRow(rows, []any{&name, &n}, func() error {
		counts[name] = n
		total += n
		return nil
	})
	return counts, total, err
}
