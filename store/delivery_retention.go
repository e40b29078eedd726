package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	deliveryAttemptsKept = 30 * 24 * time.Hour
	deliveryBodiesKept   = 90 * 24 * time.Hour
	deliveriesKept       = orderEventsKept
)

// closedDelivery is the condition on a delivery that nobody has to do anything about.
const closedDelivery = `state NOT IN ('` + DeliveryPending + `', '` + DeliveryDead + `')`

func pruneDeliveryAttempts(ctx context.Context, tx pgx.Tx, _ Keep, _ *retentionCursor) (int64, error) {
	tag, err := tx.Exec(ctx, `
		DELETE FROM delivery_attempts WHERE id IN (
			SELECT id FROM delivery_attempts WHERE ended_at < now() - make_interval(secs => $1)
			ORDER BY ended_at LIMIT $2 FOR UPDATE SKIP LOCKED)`, deliveryAttemptsKept.Seconds(), retentionBatch)
	return tag.RowsAffected(), err
}

func emptyDeliveries(ctx context.Context, tx pgx.Tx, _ Keep, _ *retentionCursor) (int64, error) {
	tag, err := tx.Exec(ctx, `
		UPDATE deliveries SET body = NULL, headers = NULL WHERE id IN (
			SELECT id FROM deliveries WHERE body IS NOT NULL AND ended_at < now() - make_interval(secs => $1) AND `+closedDelivery+`
			ORDER BY ended_at LIMIT $2 FOR UPDATE SKIP LOCKED)`, deliveryBodiesKept.Seconds(), retentionBatch)
	return tag.RowsAffected(), err
}

func pruneDeliveries(ctx context.Context, tx pgx.Tx, _ Keep, _ *retentionCursor) (int64, error) {
	tag, err := tx.Exec(ctx, `
		DELETE FROM deliveries WHERE id IN (
			SELECT id FROM deliveries WHERE created_at < now() - make_interval(secs => $1) AND `+closedDelivery+`
			ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED)`, deliveriesKept.Seconds(), retentionBatch)
	return tag.RowsAffected(), err
}
