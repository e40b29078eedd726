package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// orderEventBodiesKept is how long the body of an order event is kept after it was
// written, and after its last delivery.
const orderEventBodiesKept = 90 * 24 * time.Hour

// emptyOrderEvents has the feed begin after what is too old for it, and empties bodies
// before its beginning.
func emptyOrderEvents(ctx context.Context, tx pgx.Tx, _ Keep, _ *retentionCursor) (int64, error) {
	pruned, err := tx.Exec(ctx, `
		WITH head AS (
			SELECT position, created_at >= now() - make_interval(secs => $1) AS young
			FROM order_events WHERE position > (SELECT pruned FROM order_feed) ORDER BY position LIMIT $2
		)
		UPDATE order_feed f SET pruned = old.position
		FROM (SELECT max(position) AS position FROM head
		      WHERE position < coalesce((SELECT min(position) FROM head WHERE young), 9223372036854775807)) old
		WHERE old.position > f.pruned`, orderEventBodiesKept.Seconds(), retentionBatch)
	if err != nil {
		return 0, err
	}
	emptied, err := tx.Exec(ctx, `
		UPDATE order_events SET body = NULL WHERE id IN (
			SELECT id FROM order_events e
			WHERE body IS NOT NULL AND position <= (SELECT pruned FROM order_feed) AND NOT EXISTS (
			    SELECT FROM deliveries d
			    WHERE d.order_event_id = e.id AND (NOT (`+closedDelivery+`) OR d.ended_at >= now() - make_interval(secs => $1)))
			ORDER BY position LIMIT $2)`, orderEventBodiesKept.Seconds(), retentionBatch)
	return pruned.RowsAffected()*retentionBatch + emptied.RowsAffected(), err
}

// pruneOrderEvents removes order events, which are no part of the feed any more.
func pruneOrderEvents(ctx context.Context, tx pgx.Tx, _ Keep, _ *retentionCursor) (int64, error) {
	removed, err := tx.Exec(ctx, `
		DELETE FROM order_events WHERE id IN (
			SELECT id FROM order_events e
			WHERE position <= (SELECT pruned FROM order_feed)
			  AND position < coalesce((SELECT position FROM order_events WHERE created_at >= now() - make_interval(secs => $1)
			                           ORDER BY position LIMIT 1), 9223372036854775807)
			  AND NOT EXISTS (SELECT FROM deliveries d WHERE d.order_event_id = e.id AND NOT (`+closedDelivery+`))
			ORDER BY position LIMIT $2)`, orderEventsKept.Seconds(), retentionBatch)
	return removed.RowsAffected(), err
}
