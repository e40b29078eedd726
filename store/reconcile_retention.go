package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/conciliar/conciliar/store/order"
)

const (
	// retentionBatch is how many rows one transaction of the retention changes.
	retentionBatch = 1000
	// retentionRun is how many rows of one kind a run changes at most, so that the
	// first run after a long time still comes to look for money. The rest is the next
	// run's.
	retentionRun = 500 * retentionBatch
)

// Keep says how long is kept what the owner may choose a time for.
type Keep struct {
	// Events is how long completed events stay in the queue before they are archived.
	Events time.Duration
	// Payloads is how long raw bodies, addresses and fetched answers are kept after
	// their event's end.
	Payloads time.Duration
}

// A Retention says how long something is kept.
type Retention struct {
	// What is kept, and For how long: a time, or the variable that sets it.
	What, For string
}

// A retention is a row of what the hourly run removes.
type retention struct {
	Retention
	// batch removes up to retentionBatch of what is too old and returns how many; fewer
	// are all. It waits for nobody: what another transaction holds is left to the next
	// run.
	batch func(ctx context.Context, tx pgx.Tx, keep Keep, at *retentionCursor) (int64, error)
}

// retentions is the table of what is kept for how long. What is not in it is kept
// for ever, or is part of something that is.
var retentions = []retention{
	{Retention{"completed events in webhook_queue; then webhook_archive has them", "RETENTION"}, archive},
	{Retention{"bodies, addresses and fetched answers of events", "PAYLOAD_RETENTION"}, emptyArchived},
	{Retention{"bodies, addresses and fetched answers of events with a dead letter that is closed", "PAYLOAD_RETENTION"}, emptyQueued},
	{Retention{"the provider's answers in payments", "PAYLOAD_RETENTION"}, emptyPayments},
	{Retention{"money reports as they were read", "PAYLOAD_RETENTION"}, emptyReports},
	{Retention{"refused deliveries, the newest 10,000", "168h"}, pruneRefused},
	{Retention{"attempts of deliveries", "720h"}, pruneDeliveryAttempts},
	{Retention{"bodies and headers of deliveries of other senders' events, after their end", "2160h"}, emptyDeliveries},
	{Retention{"deliveries", "9600h"}, pruneDeliveries},
	{Retention{"bodies of order events, and their place in the feed", "2160h after the last delivery"}, emptyOrderEvents},
	{Retention{"order events", "9600h"}, pruneOrderEvents},
	{Retention{"logins, and the browsers they were made in", "until they expire"}, pruneSessions},
}

// hintsKept is the row of what archive removes beside.
var hintsKept = Retention{"unsigned hints that led to nothing", "168h, or RETENTION when that is shorter"}

// retentionCursor is where the retention is: in which row of its table, and how
// much it removed for that.
type retentionCursor struct {
	Row   int       `json:"row"`
	After time.Time `json:"after"`
	Moved int64     `json:"moved"`
}

// RetentionBatch removes a batch of what is older than it is to be kept, and
// reports whether that was all.
func (st *RunStep) RetentionBatch(ctx context.Context, keep Keep) (done bool, err error) {
	err = st.advance(ctx, "remove what is too old", func(tx pgx.Tx) (progress, error) {
		var at retentionCursor
		if err := st.ReadCursor(&at); err != nil {
			return progress{}, err
		}
		if at.Row >= len(retentions) {
			done = true
			return progress{cursor: at}, nil
		}
		var p progress
		removed, err := retentions[at.Row].batch(ctx, tx, keep, &at)
		if err != nil {
			return p, fmt.Errorf("%s: %w", retentions[at.Row].What, err)
		}
		if at.Row == 0 {
			p.archived = removed
		}
		at.Moved += removed
		if removed < retentionBatch || at.Moved >= retentionRun {
			at = retentionCursor{Row: at.Row + 1}
		}
		done, p.cursor = at.Row >= len(retentions), at
		return p, nil
	})
	return done, err
}

// emptyEvent is how an event's body, address and fetched answer are emptied.
const emptyEvent = `payload = '', resource = NULL, remote_ip = NULL, emptied_at = now()`

// emptyArchived empties archived events.
func emptyArchived(ctx context.Context, tx pgx.Tx, keep Keep, _ *retentionCursor) (int64, error) {
	tag, err := tx.Exec(ctx, `
		WITH old AS (
			SELECT id FROM webhook_archive
			WHERE emptied_at IS NULL AND completed_at < now() - make_interval(secs => $1)
			ORDER BY completed_at LIMIT $2 FOR UPDATE SKIP LOCKED
		)
		UPDATE webhook_archive a SET `+emptyEvent+` FROM old WHERE a.id = old.id`, keep.Payloads.Seconds(), retentionBatch)
	return tag.RowsAffected(), err
}

// emptyQueued empties events that are in the queue longer than bodies are kept, which
// are those with a dead letter that is closed. A forgotten one is emptied as soon as
// it has ended or its dead letter is closed.
func emptyQueued(ctx context.Context, tx pgx.Tx, keep Keep, _ *retentionCursor) (int64, error) {
	tag, err := tx.Exec(ctx, `
		WITH closed AS (
			SELECT q.id, c.completed_at AS at FROM webhook_completed c JOIN webhook_queue q ON q.id = c.queue_id
			WHERE c.completed_at < now() - make_interval(secs => $1) AND q.emptied_at IS NULL
			UNION
			SELECT q.id, d.updated_at FROM webhook_dead_letter d JOIN webhook_queue q ON q.id = d.queue_id
			WHERE d.state IN ('`+DeadLetterReplayed+`', '`+DeadLetterDismissed+`') AND d.updated_at < now() - make_interval(secs => $1)
			  AND q.completed_at IS NULL AND (q.emptied_at IS NULL OR q.resource IS NOT NULL)
			UNION
			SELECT q.id, q.received_at FROM webhook_queue q LEFT JOIN webhook_dead_letter d ON d.queue_id = q.id
			WHERE q.forgotten AND q.emptied_at IS NULL
			  AND (q.completed_at IS NOT NULL OR d.state IN ('`+DeadLetterReplayed+`', '`+DeadLetterDismissed+`'))
		), old AS (
			SELECT id FROM webhook_queue WHERE id IN (SELECT id FROM closed ORDER BY at LIMIT $2) FOR UPDATE SKIP LOCKED
		)
		UPDATE webhook_queue q SET `+emptyEvent+` FROM old WHERE q.id = old.id`, keep.Payloads.Seconds(), retentionBatch)
	return tag.RowsAffected(), err
}

// emptyPayments empties the answers of payments that were fetched long ago. One that
// was read under the rules of an earlier release keeps it until it is read again.
func emptyPayments(ctx context.Context, tx pgx.Tx, keep Keep, _ *retentionCursor) (int64, error) {
	tag, err := tx.Exec(ctx, `
		WITH old AS (
			SELECT source, payment_id FROM payments
			WHERE raw <> '' AND fetched_at < now() - make_interval(secs => $1) AND fold_version >= $3
			ORDER BY fetched_at LIMIT $2 FOR UPDATE SKIP LOCKED
		)
		UPDATE payments p SET raw = '' FROM old WHERE p.source = old.source AND p.payment_id = old.payment_id`,
		keep.Payloads.Seconds(), retentionBatch, order.FoldVersion)
	return tag.RowsAffected(), err
}

// pruneRefused removes refused deliveries. Their number is bounded where they are
// written as well; here a quiet service forgets what is old.
func pruneRefused(ctx context.Context, tx pgx.Tx, _ Keep, _ *retentionCursor) (int64, error) {
	tag, err := tx.Exec(ctx, pruneRefusedSQL, refusedKept, refusedFor.Seconds())
	return min(tag.RowsAffected(), retentionBatch-1), err
}

func pruneSessions(ctx context.Context, tx pgx.Tx, _ Keep, _ *retentionCursor) (int64, error) {
	if _, err := tx.Exec(ctx, `DELETE FROM operator_sessions WHERE expires_at <= now()`); err != nil {
		return 0, err
	}
	_, err := tx.Exec(ctx, `DELETE FROM operator_devices WHERE expires_at <= now()`)
	return 0, err
}
