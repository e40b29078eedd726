package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// archiveBatch is how many events one transaction moves.
	archiveBatch = 1000
	// archiveRun is how many events one run moves at most, so that the first run
	// after a long time still comes to look for money. The rest is the next
	// run's.
	archiveRun = 500 * archiveBatch
)

// eventColumns are all the columns that an event has, in the queue and in the
// archive.
const eventColumns = `id, job_id, replay_of, received_at, completed_at, updated_at, attempts, signed, live_mode,
	source, topic, action, resource_id, origin, outcome, request_id, query, remote_ip, signature, attempt_errors,
	payload, resource, work, notified_at, asked_again_at, collector_id`

// archiveCursor is where the retention is.
type archiveCursor struct {
	After time.Time `json:"after"`
	Moved int64     `json:"moved"`
}

// ArchiveBatch moves completed events older than retention to the archive, a
// batch of them, and reports whether that was all. It waits for nobody: what
// another transaction holds is left to the next run. An event with a dead letter
// stays, however the dead letter ended. Hints that led to nothing are removed.
func (st *RunStep) ArchiveBatch(ctx context.Context, retention time.Duration) (done bool, err error) {
	err = st.advance(ctx, "archive events", func(tx pgx.Tx) (progress, error) {
		var at archiveCursor
		if err := st.readCursor(&at); err != nil {
			return progress{}, err
		}
		// The cursor passes over events with a dead letter only once.
		var ended []time.Time
		err := tx.QueryRow(ctx, `
			WITH old AS (
				SELECT q.id FROM webhook_queue q
				WHERE q.completed_at >= $1 AND q.completed_at < now() - make_interval(secs => $2)
				  AND NOT EXISTS (SELECT FROM webhook_dead_letter d WHERE d.queue_id = q.id)
				ORDER BY q.completed_at
				LIMIT $3
				FOR UPDATE SKIP LOCKED
			), moved AS (
				DELETE FROM webhook_queue q USING old WHERE q.id = old.id
				RETURNING q.*
			), archived AS (
				INSERT INTO webhook_archive (`+eventColumns+`)
				SELECT `+eventColumns+` FROM moved q
				-- What anybody may send and led to nothing is not kept for ever.
				WHERE NOT (`+isHint+` AND q.outcome NOT IN ('settled', 'followed'))
			)
			SELECT coalesce(array_agg(completed_at ORDER BY completed_at), '{}') FROM moved`,
			at.After, retention.Seconds(), archiveBatch).Scan(&ended)
		if err != nil {
			return progress{}, err
		}
		moved := int64(len(ended))
		at.Moved += moved
		if moved > 0 {
			at.After = ended[moved-1]
		}
		if err := archiveFromSlots(ctx, tx, ended); err != nil {
			return progress{}, err
		}
		done = moved < archiveBatch || at.Moved >= archiveRun
		return progress{cursor: at, archived: moved}, nil
	})
	return done, err
}

// PruneRefusedDeliveries removes refused deliveries beyond the ring's bounds.
func (s *Store) PruneRefusedDeliveries(ctx context.Context) error {
	return s.PruneRefused(ctx, refusedKept)
}
