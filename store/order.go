package store

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/store/order"
)

// Where an order came from.
const (
	orderFromMerchant = "merchant"
	orderFromPayment  = "payment"
)

// What changed an order.
const (
	causeRegistered = "registered"
	causePayment    = "payment"
	causeRepair     = "repair"
)

// ErrOrderNotFound means that no order has that reference.
var ErrOrderNotFound = noSuch("order", "order_not_found")

// ValidReference reports whether an order can have the reference: 1 to 64
// characters of valid UTF-8 without NUL.
func ValidReference(reference string) bool {
	if !utf8.ValidString(reference) {
		return false
	}
	n := 0
	for _, r := range reference {
		if r == 0 {
			return false
		}
		n++
	}
	return n >= 1 && n <= 64
}

// An Order is the merchant's order with everything known about it.
type Order struct {
	Reference string
	Status    order.Status
	Terms     order.Terms
	Paid      decimal.Decimal
	Refunded  decimal.Decimal
	CreatedAt time.Time
	UpdatedAt time.Time
	Payments  []OrderPayment
	// OddPayments are those that name the order and could not be booked.
	OddPayments []OddPayment
	Timeline    []OrderChange
	Anomalies   []Anomaly
}

// An OrderPayment is a payment of an order, with its latest state.
type OrderPayment struct {
	Source string
	order.Payment
}

// An OrderChange is one entry of an order's timeline.
type OrderChange struct {
	At       time.Time
	Cause    string
	QueueID  *int64
	Status   order.Status
	Paid     decimal.Decimal
	Refunded decimal.Decimal
}

// RegisterOrder creates the order, or confirms it when it is there with the
// same terms. Payments that came before it settle in the same transaction. The
// error is an *OrderConflictError when the terms contradict what is there, and a
// *SchemaError when the owner of the database has forbidden such an order.
func (s *Store) RegisterOrder(ctx context.Context, reference string, terms order.Terms) (created bool, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		created = false
		if err := lockOrders(ctx, tx, []string{reference}); err != nil {
			return err
		}
		known, exists, err := loadTerms(ctx, tx, reference)
		if err != nil {
			return err
		}
		if exists {
			if !known.Amount.Equal(terms.Amount) || known.Currency != terms.Currency {
				return &OrderConflictError{Reference: reference, Known: known, Asked: terms}
			}
		} else {
			if err := insertOrder(ctx, tx, reference, terms, orderFromMerchant); err != nil {
				return refusedBySchema("order", err)
			}
			created = true
		}
		return s.settleOrder(ctx, tx, reference, terms, causeRegistered)
	})
	if err != nil {
		return false, fmt.Errorf("register order %q: %w", reference, err)
	}
	return created, nil
}

// SettleUnsettled settles up to limit orders that were inserted by plain SQL,
// and returns how many. It is safe to run in several processes at once.
func (s *Store) SettleUnsettled(ctx context.Context, limit int) (int, error) {
	rows, err := s.pool.Query(ctx, `SELECT reference FROM orders WHERE settled_at IS NULL ORDER BY reference LIMIT $1`, limit)
	if err != nil {
		return 0, fmt.Errorf("unsettled orders: %w", err)
	}
	references, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return 0, fmt.Errorf("unsettled orders: %w", err)
	}
	for i, reference := range references {
		err := s.inTx(ctx, func(tx pgx.Tx) error {
			if err := lockOrders(ctx, tx, []string{reference}); err != nil {
				return err
			}
			terms, exists, err := loadTerms(ctx, tx, reference)
			if err != nil || !exists {
				return err
			}
			return s.settleOrder(ctx, tx, reference, terms, causeRegistered)
		})
		if err != nil {
			return i, fmt.Errorf("settle order %q: %w", reference, err)
		}
	}
	return len(references), nil
}

// settleOrder derives one order, which the caller has locked, and its anomalies.
func (s *Store) settleOrder(ctx context.Context, tx pgx.Tx, reference string, terms order.Terms, cause string) error {
	settled, _, err := s.deriveOrder(ctx, tx, reference, terms, cause, 0)
	if err != nil {
		return err
	}
	sync := anomalySync{references: []string{reference}}
	sync.add(reference, settled.Anomalies)
	return sync.run(ctx, tx)
}

// deriveOrder derives the order from all its payments and writes what changed.
// The caller holds the order's lock.
func (s *Store) deriveOrder(ctx context.Context, tx pgx.Tx, reference string, terms order.Terms, cause string, queueID int64) (order.Settlement, bool, error) {
	rows, err := tx.Query(ctx, `SELECT `+paymentColumns+` FROM payments WHERE order_reference = $1 ORDER BY source, payment_id`, reference)
	if err != nil {
		return order.Settlement{}, false, err
	}
	payments, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (order.Payment, error) { return scanPayment(row) })
	if err != nil {
		return order.Settlement{}, false, err
	}
	settled, err := order.Settle(terms, s.rules, payments)
	if err != nil {
		return order.Settlement{}, false, fmt.Errorf("order %q: %w", reference, err)
	}
	// settled_at is null for an order that was just inserted: its first state
	// is written, and logged, even when nothing has been paid.
	var changed bool
	err = tx.QueryRow(ctx, `
		UPDATE orders SET status = $2, paid_amount = $3, refunded_amount = $4, settled_at = now()
		WHERE reference = $1
		  AND (settled_at IS NULL OR (status, paid_amount, refunded_amount) IS DISTINCT FROM ($2, $3, $4))
		RETURNING true`, reference, settled.Status, settled.Paid, settled.Refunded).Scan(&changed)
	if errors.Is(err, pgx.ErrNoRows) {
		return settled, false, nil
	}
	if err != nil {
		return order.Settlement{}, false, err
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO order_logs (order_reference, cause, queue_id, status, paid_amount, refunded_amount)
		VALUES ($1, $2, nullif($3, 0), $4, $5, $6)`, reference, cause, queueID, settled.Status, settled.Paid, settled.Refunded)
	return settled, true, err
}

func loadTerms(ctx context.Context, tx pgx.Tx, reference string) (order.Terms, bool, error) {
	var t order.Terms
	err := tx.QueryRow(ctx, `SELECT amount, currency FROM orders WHERE reference = $1 FOR UPDATE`, reference).Scan(&t.Amount, &t.Currency)
	if errors.Is(err, pgx.ErrNoRows) {
		return order.Terms{}, false, nil
	}
	return t, err == nil, err
}

func insertOrder(ctx context.Context, tx pgx.Tx, reference string, terms order.Terms, origin string) error {
	_, err := tx.Exec(ctx, `INSERT INTO orders (reference, amount, currency, origin) VALUES ($1, $2, $3, $4)`,
		reference, terms.Amount, terms.Currency, origin)
	return err
}

// Order returns the order with its payments, its timeline and its open
// anomalies, or ErrOrderNotFound.
func (s *Store) Order(ctx context.Context, reference string) (Order, error) {
	o := Order{Reference: reference}
	opts := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err := pgx.BeginTxFunc(ctx, s.pool, opts, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `
			SELECT status, amount, currency, paid_amount, refunded_amount, created_at, updated_at
			FROM orders WHERE reference = $1`, reference).
			Scan(&o.Status, &o.Terms.Amount, &o.Terms.Currency, &o.Paid, &o.Refunded, &o.CreatedAt, &o.UpdatedAt)
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrOrderNotFound.With(reference)
		}
		if err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `
			SELECT `+paymentColumns+`, source FROM payments WHERE order_reference = $1 ORDER BY created_at, payment_id`, reference)
		if err != nil {
			return err
		}
		if o.Payments, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (OrderPayment, error) {
			var op OrderPayment
			var err error
			op.Payment, err = scanPayment(row, &op.Source)
			return op, err
		}); err != nil {
			return err
		}
		rows, err = tx.Query(ctx, `
			SELECT changed_at, cause, queue_id, status, paid_amount, refunded_amount
			FROM order_logs WHERE order_reference = $1 ORDER BY id`, reference)
		if err != nil {
			return err
		}
		if o.Timeline, err = pgx.CollectRows(rows, pgx.RowToStructByPos[OrderChange]); err != nil {
			return err
		}
		rows, err = tx.Query(ctx, `
			SELECT `+anomalyColumns+` FROM anomalies WHERE order_reference = $1 AND closed_at IS NULL ORDER BY id`, reference)
		if err != nil {
			return err
		}
		if o.Anomalies, err = pgx.CollectRows(rows, scanAnomaly); err != nil {
			return err
		}
		o.OddPayments, err = oddPaymentsOf(ctx, tx, reference)
		return err
	})
	if err != nil {
		return Order{}, fmt.Errorf("order %q: %w", reference, err)
	}
	return o, nil
}

// A LoggedChange is an entry of any order's timeline.
type LoggedChange struct {
	ID        int64
	Reference string
	Currency  string
	OrderChange
}

// ChangesSince returns up to limit changes of orders with an id above after,
// the oldest first.
func (s *Store) ChangesSince(ctx context.Context, after int64, limit int) ([]LoggedChange, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT l.id, l.order_reference, o.currency, l.changed_at, l.cause, l.queue_id, l.status, l.paid_amount, l.refunded_amount
		FROM order_logs l JOIN orders o ON o.reference = l.order_reference
		WHERE l.id > $1 ORDER BY l.id LIMIT $2`, after, limit)
	if err != nil {
		return nil, fmt.Errorf("changes of orders: %w", err)
	}
	changes, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (LoggedChange, error) {
		var c LoggedChange
		err := row.Scan(&c.ID, &c.Reference, &c.Currency, &c.At, &c.Cause, &c.QueueID, &c.Status, &c.Paid, &c.Refunded)
		return c, err
	})
	if err != nil {
		return nil, fmt.Errorf("changes of orders: %w", err)
	}
	return changes, nil
}
