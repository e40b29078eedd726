package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/conciliar/conciliar/store/order"
)

// An OrderSummary is an order in one line.
type OrderSummary struct {
	Reference string
	Status    order.Status
	Terms     order.Terms
	UpdatedAt time.Time
}

// RecentOrders returns the orders that changed last, at most limit of them, the
// latest first.
func (s *Store) RecentOrders(ctx context.Context, limit int) ([]OrderSummary, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT reference, status, amount, currency, updated_at
		FROM orders ORDER BY updated_at DESC, reference DESC LIMIT $1`, limit)
	if err != nil {
		return nil, fmt.Errorf("recent orders: %w", err)
	}
	orders, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (OrderSummary, error) {
		var o OrderSummary
		err := row.Scan(&o.Reference, &o.Status, &o.Terms.Amount, &o.Terms.Currency, &o.UpdatedAt)
		toUTC(&o.UpdatedAt)
		return o, err
	})
	if err != nil {
		return nil, fmt.Errorf("recent orders: %w", err)
	}
	return orders, nil
}
