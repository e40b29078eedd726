package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/store/order"
)

// An Order is the merchant's order with everything known about it.
type Order struct {
	Reference string
	Status    order.Status
	Terms     order.Terms
	Paid      decimal.Decimal
	Refunded  decimal.Decimal
	CreatedAt time.Time
	UpdatedAt time.Time
	// CancelledAt is when the merchant called the order off; nil unless they did.
	CancelledAt *time.Time
	Payments    []OrderPayment
	// ProvisionalPayments are those that only the provider's own orders have shown.
	ProvisionalPayments []ProvisionalPayment
	// OddPayments are those that name the order and could not be booked.
	OddPayments []OddPayment
	// Chargebacks and Claims are about the order or its payments.
	Chargebacks []Chargeback
	Claims      []Claim
	Timeline    []OrderChange
	Anomalies   []Anomaly
}

// An OrderPayment is a payment of an order, with its latest state.
type OrderPayment struct {
	Source string
	order.Payment
	// Cost is what it costs, and when its money is released.
	Cost PaymentCost
	// Method is what it was made with.
	Method PaymentMethod
	// ProviderOrderID is the provider's order that it was made in; empty when none is
	// known.
	ProviderOrderID string
	// Releases are those of its money that reports show.
	Releases []PaymentRelease
}

// An OrderChange is one entry of an order's timeline.
type OrderChange struct {
	At       time.Time
	Cause    string
	QueueID  *int64
	Status   order.Status
	Paid     decimal.Decimal
	Refunded decimal.Decimal
	// Amount is what the order asked for from then on, not valid in entries of
	// earlier releases; Currency is that of all three.
	Amount   decimal.NullDecimal
	Currency string
	// Actor is who changed it, "sql" for plain SQL, and Reason why; both are empty
	// for a change that no person made, and for a registration by the API.
	Actor, Reason string
}

// Order returns the order with its payments, its timeline and its open
// anomalies, or ErrOrderNotFound.
func (s *Store) Order(ctx context.Context, reference string) (o Order, err error) {
	err = s.readSnapshot(ctx, func(tx pgx.Tx) error {
		o, err = readOrder(ctx, tx, reference)
		return err
	})
	if err != nil {
		return Order{}, fmt.Errorf("order %q: %w", reference, err)
	}
	return o, nil
}

// readOrder reads an order in one round trip.
func readOrder(ctx context.Context, tx pgx.Tx, reference string) (Order, error) {
	var o Order
	var batch pgx.Batch
	queueOrder(&batch, reference, &o)
	err := tx.SendBatch(ctx, &batch).Close()
	return o, ErrOrderNotFound.ifNone(err, reference)
}

// queueOrder adds to a batch what reads an order; pgx.ErrNoRows where there is none.
func queueOrder(b *pgx.Batch, reference string, o *Order) {
	o.Reference = reference
	b.Queue(`
		SELECT status, amount, currency, cancelled_at IS NOT NULL, collector_id, paid_amount, refunded_amount, created_at, updated_at, cancelled_at
		FROM orders WHERE reference = $1`, reference).
		QueryRow(func(row pgx.Row) error {
			return row.Scan(&o.Status, &o.Terms.Amount, &o.Terms.Currency, &o.Terms.Cancelled, &o.Terms.CollectorID, &o.Paid, &o.Refunded,
				&o.CreatedAt, &o.UpdatedAt, &o.CancelledAt)
		})
	queueRows(b, &o.Payments, func(row pgx.CollectableRow) (OrderPayment, error) {
		return scanToldPayment(row)
	}, `SELECT `+paymentColumns+`, `+toldColumnNames+`, `+releasesOf(`payments`)+`, source FROM payments WHERE order_reference = $1 ORDER BY created_at, payment_id`, reference)
	queueRows(b, &o.Timeline, pgx.RowToStructByPos[OrderChange], `
		SELECT `+orderChangeColumns+` FROM order_logs l JOIN orders o ON o.reference = l.order_reference WHERE l.order_reference = $1 ORDER BY l.id`, reference)
	queueRows(b, &o.Anomalies, rowTo[Anomaly], `
		SELECT `+anomalyColumns+` FROM anomalies WHERE order_reference = $1 AND `+checked(`closed_at IS NULL`)+` ORDER BY id`, reference)
	b.Queue(aliasesOf(`$1`), reference).QueryRow(o.readProvisional)
	queueOddPayments(b, &o.OddPayments, "o.order_reference = $1", reference)
	queueDisputes(b, &o.Chargebacks, &o.Claims, chargebackOf("$1"), claimOf("$1"), reference)
}

// orderChangeColumns are an OrderChange's, of an order o and an entry l of its timeline.
const orderChangeColumns = `l.changed_at, l.cause, l.queue_id, l.status, l.paid_amount, l.refunded_amount,
	l.amount, coalesce(l.currency, o.currency), coalesce(l.actor, ''), coalesce(l.reason, '')`

// queueRows adds to a batch what reads rows.
func queueRows[T any](b *pgx.Batch, to *[]T, scan pgx.RowToFunc[T], query string, args ...any) {
	b.Queue(query, args...).Query(func(rows pgx.Rows) (err error) {
		*to, err = pgx.CollectRows(rows, scan)
		return err
	})
}
