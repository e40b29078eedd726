package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
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
	causeUpgrade    = "upgrade"
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
		known, err := loadOrder(ctx, tx, reference)
		if err != nil {
			return err
		}
		if known != nil {
			if !known.Amount.Equal(terms.Amount) || known.Currency != terms.Currency {
				return &OrderConflictError{Reference: reference, Known: known.Terms, Asked: terms}
			}
		} else {
			if err := insertOrder(ctx, tx, reference, terms, orderFromMerchant); err != nil {
				return refusedBySchema("order", err)
			}
			known, created = &knownOrder{Terms: terms}, true
		}
		return s.settleOrder(ctx, tx, reference, *known, causeRegistered)
	})
	if err != nil {
		return false, fmt.Errorf("register order %q: %w", reference, err)
	}
	return created, nil
}

// A RefusedOrder is an order that was inserted by plain SQL with terms that no
// payment can meet. It settles nothing.
type RefusedOrder struct {
	Reference string
	Err       error
}

// SettleUnsettled settles up to limit orders that were inserted by plain SQL, and
// returns how many, and those that can't be settled for their terms: these stay
// as they are. It is safe to run in several processes at once.
func (s *Store) SettleUnsettled(ctx context.Context, limit int) (settled int, refused []RefusedOrder, err error) {
	after := ""
	for settled < limit {
		rows, err := s.pool.Query(ctx, `
			SELECT reference FROM orders WHERE settled_at IS NULL AND reference > $1 ORDER BY reference LIMIT $2`, after, limit)
		if err != nil {
			return settled, refused, fmt.Errorf("unsettled orders: %w", err)
		}
		references, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return settled, refused, fmt.Errorf("unsettled orders: %w", err)
		}
		for _, reference := range references {
			after = reference
			var invalid error
			err := s.inTx(ctx, func(tx pgx.Tx) error {
				if err := lockOrders(ctx, tx, []string{reference}); err != nil {
					return err
				}
				known, err := loadOrder(ctx, tx, reference)
				if err != nil || known == nil {
					return err
				}
				if invalid = nil; known.refused() != "" {
					invalid = known.Validate()
					return nil
				}
				return s.settleOrder(ctx, tx, reference, *known, causeRegistered)
			})
			if err != nil {
				return settled, refused, fmt.Errorf("settle order %q: %w", reference, err)
			}
			if invalid != nil {
				refused = append(refused, RefusedOrder{reference, invalid})
			} else {
				settled++
			}
		}
		if len(references) < limit {
			break
		}
	}
	return settled, refused, nil
}

// settleOrder derives one order, which the caller has locked, and its anomalies.
func (s *Store) settleOrder(ctx context.Context, tx pgx.Tx, reference string, known knownOrder, cause string) error {
	settled, _, err := s.deriveOrder(ctx, tx, reference, known, settling{cause: cause})
	if err != nil {
		return err
	}
	sync := anomalySync{references: []string{reference}, upgrade: known.settled && !known.folded}
	sync.addOrder(reference, known, settled)
	return sync.run(ctx, tx)
}

// deriveOrder derives the order from all its payments and writes what changed.
// The caller holds the order's lock.
func (s *Store) deriveOrder(ctx context.Context, tx pgx.Tx, reference string, known knownOrder, why settling) (order.Settlement, bool, error) {
	rows, err := tx.Query(ctx, `SELECT `+paymentColumns+` FROM payments WHERE order_reference = $1 ORDER BY source, payment_id`, reference)
	if err != nil {
		return order.Settlement{}, false, err
	}
	payments, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (order.Payment, error) { return scanPayment(row) })
	if err != nil {
		return order.Settlement{}, false, err
	}
	settled, err := order.Settle(known.Terms, s.rulesNow(), payments)
	if err != nil {
		return order.Settlement{}, false, fmt.Errorf("order %q: %w", reference, err)
	}
	if known.settled && why.cause != causeUpgrade {
		if moved := paymentMoved(known, settled); moved != nil {
			settled.Anomalies = append(settled.Anomalies, *moved)
		}
	}
	// An order that was just inserted is not settled yet: its first state is
	// written, and logged, even when nothing has been paid.
	changed := !known.settled || known.status != settled.Status || !known.paid.Equal(settled.Paid) || !known.refunded.Equal(settled.Refunded)
	if !changed && known.folded {
		return settled, false, nil
	}
	if _, err := tx.Exec(ctx, `
		UPDATE orders SET status = $2, paid_amount = $3, refunded_amount = $4, settled_at = CASE WHEN $5 THEN now() ELSE settled_at END,
			reference_key = $6, fold_version = $7
		WHERE reference = $1`, reference, settled.Status, settled.Paid, settled.Refunded, changed,
		order.ReferenceKey(reference), order.FoldVersion); err != nil {
		return settled, false, err
	}
	if !known.settled || !known.folded {
		if err := tellNearMisses(ctx, tx, reference); err != nil {
			return settled, false, err
		}
	}
	if !changed {
		return settled, false, nil
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO order_logs (order_reference, cause, queue_id, status, paid_amount, refunded_amount)
		VALUES ($1, $2, nullif($3, 0), $4, $5, $6)`, reference, why.cause, why.queueID, settled.Status, settled.Paid, settled.Refunded)
	return settled, true, err
}

// paymentMoved is the anomaly of an order that was paid and is no longer although
// nothing of it was given back or disputed; nil for every other.
func paymentMoved(known knownOrder, settled order.Settlement) *order.Anomaly {
	switch settled.Status {
	case order.StatusPaid, order.StatusRefunded, order.StatusPartiallyRefunded, order.StatusInMediation, order.StatusChargedBack:
		return nil
	default:
	}
	if known.status != order.StatusPaid || settled.Refunded.GreaterThan(known.refunded) {
		return nil
	}
	amount := func(d decimal.Decimal) string { return order.FormatAmount(d, known.Currency) }
	return &order.Anomaly{Kind: order.AnomalyPaymentMoved, Detail: map[string]string{
		"amount": amount(known.Amount), "currency": known.Currency, "paid": amount(settled.Paid), "refunded": amount(settled.Refunded),
		"missing": amount(known.Amount.Sub(settled.Paid.Sub(settled.Refunded))),
	}}
}

// A knownOrder is an order in the books, without its payments.
type knownOrder struct {
	order.Terms
	status         order.Status
	paid, refunded decimal.Decimal
	// settled is false for an order that was just inserted, folded when it was
	// settled under the rules of this release.
	settled, folded bool
}

// refused is the stable word for why the order is not settled: it was inserted by
// plain SQL with terms that no payment can meet. It is empty for every other.
func (o knownOrder) refused() string {
	if o.settled {
		return ""
	}
	switch err := o.Validate(); {
	case err == nil:
		return ""
	case errors.Is(err, order.ErrUnknownCurrency):
		return "currency_unknown"
	case errors.Is(err, order.ErrAmountTooFine):
		return "amount_too_fine"
	}
	return "invalid"
}

// loadOrder returns the order, nil when there is none. The caller holds its lock.
func loadOrder(ctx context.Context, tx pgx.Tx, reference string) (*knownOrder, error) {
	var o knownOrder
	var books, version int
	err := tx.QueryRow(ctx, `
		SELECT amount, currency, cancelled_at IS NOT NULL, status, paid_amount, refunded_amount, settled_at IS NOT NULL,
		       fold_version, `+foldVersion+`
		FROM orders WHERE reference = $1 FOR UPDATE`, reference).
		Scan(&o.Amount, &o.Currency, &o.Cancelled, &o.status, &o.paid, &o.refunded, &o.settled, &version, &books)
	if errors.Is(err, pgx.ErrNoRows) {
		// The order is about to be made, or is nobody's: the books' version decides
		// that as well.
		if err := tx.QueryRow(ctx, `SELECT `+foldVersion).Scan(&books); err != nil {
			return nil, err
		}
		return nil, checkFold(books)
	}
	if err != nil {
		return nil, err
	}
	o.folded = version >= order.FoldVersion
	return &o, checkFold(books)
}

// nearOrders returns the references of open orders that have the key, a few at
// most.
func nearOrders(ctx context.Context, tx pgx.Tx, key string) ([]string, error) {
	if key == "" {
		return nil, nil
	}
	rows, err := tx.Query(ctx, `
		SELECT reference FROM orders
		WHERE reference_key = $1 AND status IN ('pending', 'in_process', 'authorized', 'rejected', 'partially_paid')
		ORDER BY reference LIMIT $2`, key, mostNearOrders)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// mostNearOrders is how many orders an anomaly names that a payment may have
// meant.
const mostNearOrders = 5

// tellNearMisses names an order that has just come in the anomalies of payments
// that may have meant it.
func tellNearMisses(ctx context.Context, tx pgx.Tx, reference string) error {
	key := order.ReferenceKey(reference)
	var waiting bool
	err := tx.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM anomalies WHERE reference_key = $1 AND closed_at IS NULL AND order_reference <> $2)`,
		key, reference).Scan(&waiting)
	if err != nil || !waiting {
		return err
	}
	near, err := nearOrders(ctx, tx, key)
	if err != nil || len(near) == 0 {
		return err
	}
	_, err = tx.Exec(ctx, `
		UPDATE anomalies SET detail = detail || jsonb_build_object('near_orders', $3::text)
		WHERE reference_key = $1 AND closed_at IS NULL AND order_reference <> $2`, key, reference, strings.Join(near, ","))
	return err
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
