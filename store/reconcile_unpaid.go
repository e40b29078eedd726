package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// An UnpaidOrder is an order that stays unpaid.
type UnpaidOrder struct {
	Reference string    `json:"reference"`
	CreatedAt time.Time `json:"created_at"`
	// CollectorID is the seller that the order belongs to; empty for the main account.
	CollectorID string `json:"collector_id,omitempty"`
}

// BeginUnpaid begins the phase that asks about unpaid orders, and forgets whom
// it asked more than a day ago.
func (st *RunStep) BeginUnpaid(ctx context.Context) error {
	return st.advance(ctx, "begin to ask about unpaid orders", func(tx pgx.Tx) (progress, error) {
		_, err := tx.Exec(ctx, `DELETE FROM webhook_reconciliation_inquiries WHERE asked_at < now() - interval '1 day'`)
		return progress{phase: PhaseUnpaid}, err
	})
}

// UnpaidOrders returns up to limit orders that are not paid, between an hour and
// 30 days old, and were not asked about in the last day: the newest first, from
// the one after the given order on; the zero order begins.
func (s *Store) UnpaidOrders(ctx context.Context, after UnpaidOrder, limit int) ([]UnpaidOrder, error) {
	var before *time.Time
	if !after.CreatedAt.IsZero() {
		before = &after.CreatedAt
	}
	orders, err := readAll[UnpaidOrder](ctx, s.pool, `
		SELECT o.reference, o.created_at, o.collector_id FROM orders o
		WHERE o.status IN ('pending', 'in_process', 'authorized', 'rejected', 'partially_paid')
		  AND o.created_at > now() - interval '30 days' AND NOT `+within("o.created_at", "interval '1 hour'")+`
		  AND (o.created_at, o.reference) < (coalesce($1::timestamptz, 'infinity'), $2)
		  AND NOT EXISTS (SELECT FROM webhook_reconciliation_inquiries i
		                  WHERE i.order_reference = o.reference AND `+within("i.asked_at", "interval '1 day'")+`)
		ORDER BY o.created_at DESC, o.reference DESC LIMIT $3`, before, after.Reference, limit)
	return orders, wrap(err, "unpaid orders")
}
