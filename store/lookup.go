package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/conciliar/conciliar/store/order"
)

// ErrPaymentNotFound means that no payment with that id was fetched yet.
var ErrPaymentNotFound = errors.New("store: no such payment")

// A KnownPayment is a payment in the latest state that is known.
type KnownPayment struct {
	OrderPayment
	// Reference is the order's; empty when the payment names none.
	Reference string
	// Raw is the provider's body as it was fetched. It may hold the payer's data.
	Raw Content
}

// Payment returns the payment as it is known, or ErrPaymentNotFound.
func (s *Store) Payment(ctx context.Context, source, paymentID string) (KnownPayment, error) {
	k := KnownPayment{OrderPayment: OrderPayment{Source: source}}
	var raw []byte
	var err error
	k.Payment, err = scanPayment(s.pool.QueryRow(ctx, `
		SELECT `+paymentColumns+`, coalesce(order_reference, ''), raw
		FROM payments WHERE source = $1 AND payment_id = $2`, text(source), text(paymentID)), &k.Reference, &raw)
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrPaymentNotFound
	}
	if err != nil {
		return KnownPayment{}, fmt.Errorf("store: payment %q: %w", paymentID, err)
	}
	toUTC(&k.UpdatedAt, &k.FetchedAt)
	k.Raw = newContent(raw)
	return k, nil
}

// A LoggedPayment is one state of a payment that was applied to an order, and
// the event that brought it.
type LoggedPayment struct {
	PaymentLog
	QueueID int64
}

// OrderPaymentLogs returns the latest states, at most limit of them and the
// oldest first, of the payments that named the order when they were applied.
func (s *Store) OrderPaymentLogs(ctx context.Context, reference string, limit int) ([]LoggedPayment, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT * FROM (
			SELECT id, payment_id, order_reference, status, status_detail, amount::text, refunded_amount::text, currency,
			       date_last_updated, applied_at, queue_id
			FROM payment_logs WHERE order_reference = $1 ORDER BY id DESC LIMIT $2
		) AS latest ORDER BY id`, text(reference), limit)
	if err != nil {
		return nil, fmt.Errorf("store: payment logs of order %q: %w", reference, err)
	}
	logs, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (LoggedPayment, error) {
		var id int64
		var l LoggedPayment
		err := row.Scan(&id, &l.PaymentID, &l.OrderReference, &l.Status, &l.StatusDetail, &l.Amount, &l.RefundedAmount, &l.Currency,
			&l.DateLastUpdated, &l.AppliedAt, &l.QueueID)
		toUTC(&l.DateLastUpdated, &l.AppliedAt)
		return l, err
	})
	if err != nil {
		return nil, fmt.Errorf("store: payment logs of order %q: %w", reference, err)
	}
	return logs, nil
}

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
		return nil, fmt.Errorf("store: recent orders: %w", err)
	}
	orders, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (OrderSummary, error) {
		var o OrderSummary
		err := row.Scan(&o.Reference, &o.Status, &o.Terms.Amount, &o.Terms.Currency, &o.UpdatedAt)
		toUTC(&o.UpdatedAt)
		return o, err
	})
	if err != nil {
		return nil, fmt.Errorf("store: recent orders: %w", err)
	}
	return orders, nil
}

// A DeadLetterGroup is the open dead letters of one cause.
type DeadLetterGroup struct {
	Reason     string
	ErrorClass string
	Count      int64
	// Oldest is the earliest of their latest deaths.
	Oldest time.Time
}

// OpenDeadLetters counts the open dead letters by their cause, the most
// frequent first.
func (s *Store) OpenDeadLetters(ctx context.Context) ([]DeadLetterGroup, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT reason, error_class, count(*), min(died_at) FROM webhook_dead_letter
		WHERE state = 'open' GROUP BY reason, error_class ORDER BY 3 DESC, 1, 2`)
	if err != nil {
		return nil, fmt.Errorf("store: open dead letters: %w", err)
	}
	groups, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (DeadLetterGroup, error) {
		var g DeadLetterGroup
		err := row.Scan(&g.Reason, &g.ErrorClass, &g.Count, &g.Oldest)
		toUTC(&g.Oldest)
		return g, err
	})
	if err != nil {
		return nil, fmt.Errorf("store: open dead letters: %w", err)
	}
	return groups, nil
}
