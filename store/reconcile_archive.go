package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// eventColumns are all the columns that an event has, in the queue and in the
// archive.
const eventColumns = `id, job_id, replay_of, received_at, completed_at, updated_at, attempts, signed, live_mode,
	source, topic, action, resource_id, origin, outcome, request_id, query, remote_ip, signature, attempt_errors,
	payload, resource, work, notified_at, asked_again_at, collector_id, emptied_at, forgotten`

// hintRetention is how long at most a hint is kept that led to nothing.
const hintRetention = 7 * 24 * time.Hour

// archive moves completed events older than their retention to the archive. An
// event with a dead letter stays, however the dead letter ended. Hints that led to
// nothing are removed.
func archive(ctx context.Context, tx pgx.Tx, keep Keep, at *retentionCursor) (moved int64, err error) {
	// What anybody may send and led to nothing is not kept for ever.
	const useless = `(` + isHint + ` AND q.outcome NOT IN ('settled', 'followed'))`
	// The cursor passes over events with a dead letter only once.
	ended, err := readValue[[]time.Time](ctx, tx, `
		WITH old AS (
			SELECT q.id FROM webhook_completed c JOIN webhook_queue q ON q.id = c.queue_id
			WHERE c.completed_at >= $1 AND c.completed_at < now() - make_interval(secs => $4)
			  AND (c.completed_at < now() - make_interval(secs => $2) OR `+useless+`)
			  AND NOT EXISTS (SELECT FROM webhook_dead_letter d WHERE d.queue_id = q.id)
			ORDER BY c.completed_at
			LIMIT $3
			FOR UPDATE OF q SKIP LOCKED
		), moved AS (
			DELETE FROM webhook_queue q USING old WHERE q.id = old.id
			RETURNING q.*
		), archived AS (
			INSERT INTO webhook_archive (`+eventColumns+`)
			SELECT `+eventColumns+` FROM moved q
			WHERE NOT `+useless+`
		)
		SELECT coalesce(array_agg(completed_at ORDER BY completed_at), '{}') FROM moved`,
		at.After, keep.Events.Seconds(), retentionBatch, min(keep.Events, hintRetention).Seconds())
	if err != nil {
		return 0, err
	}
	if moved = int64(len(ended)); moved > 0 {
		at.After = ended[moved-1]
	}
	return moved, archiveFromSlots(ctx, tx, ended)
}
