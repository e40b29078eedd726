package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
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
	causeAmended    = "amended"
	causeCancelled  = "cancelled"
	causePayment    = "payment"
	causeRepair     = "repair"
	causeUpgrade    = "upgrade"
)

// What changed an order's anomalies and nothing else of it.
const (
	causeReconciliation = "reconciliation"
	causeOperator       = "operator"
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

// ReservedReference reports whether the reference is kept for something else: a
// word of the API's paths, or what shops write where they have no reference.
func ReservedReference(reference string) bool {
	return reference == "changes" || reference == "latest" || !order.NamesOrder(reference)
}

// A derivedOrder is what an order's payments make of it.
type derivedOrder struct {
	order.Settlement
	// paired are its aliases, as order.Pair returns them.
	paired []order.Alias
	// changed is true when something was written of it.
	changed bool
	// news are what is to be told of it, see tellOrders.
	news []orderNews
}

// settleOrder derives one order, which the caller has locked, and its anomalies.
func (s *Store) settleOrder(ctx context.Context, tx pgx.Tx, reference string, known knownOrder, why settling) (derivedOrder, error) {
	settled, err := s.deriveOrder(ctx, tx, reference, known, why)
	if err != nil {
		return settled, err
	}
	sync := anomalySync{references: []string{reference}, upgrade: known.settled && !known.folded}
	sync.addOrder(reference, known, settled.Settlement)
	anomalies, err := sync.run(ctx, tx)
	if err != nil {
		return settled, err
	}
	return settled, s.tellOrders(ctx, tx, why, sync.references, settled.news, anomalies)
}

// deriveOrder derives the order from all its payments, and from what the provider's
// own orders say of those that are not known, and writes what changed. The caller
// holds the order's lock. It is the one place where an order is folded to be written.
func (s *Store) deriveOrder(ctx context.Context, tx pgx.Tx, reference string, known knownOrder, why settling) (settled derivedOrder, err error) {
	input, err := loadFold(ctx, tx, reference)
	if err != nil {
		return settled, err
	}
	settled.Settlement, settled.paired, err = order.Fold(known.Terms, s.rulesNow(), input.known, input.aliases)
	if err != nil {
		return settled, fmt.Errorf("order %q: %w", reference, err)
	}
	if err := keepPairs(ctx, tx, input.aliases, settled.paired); err != nil {
		return settled, err
	}
	if known.settled && why.cause != causeUpgrade && !why.act {
		if moved := paymentMoved(known, settled.Settlement); moved != nil {
			settled.Anomalies = append(settled.Anomalies, *moved)
		}
	}
	sqlDid := ""
	if known.stored && !known.settled && why.actor != actorSQL {
		if sqlDid, err = causeOfSQL(ctx, tx, reference, known); err != nil {
			return settled, err
		}
	}
	// The first state of an order is written, and logged, even when nothing has been
	// paid. So is what a person did.
	settled.changed = why.act || sqlDid != "" || !known.stored || known.moves(settled.Settlement)
	if !settled.changed && known.settled && known.folded {
		return settled, nil
	}
	row := settledOrder{reference: reference, Settlement: settled.Settlement, moved: settled.changed || !known.settled}
	if _, err := settleOrders.exec(ctx, tx, []settledOrder{row}); err != nil {
		return settled, err
	}
	if !known.settled || !known.folded {
		if err := tellNearMisses(ctx, tx, reference); err != nil {
			return settled, err
		}
	}
	if !settled.changed {
		return settled, nil
	}
	settled.news = newsOf(reference, known, settled.Settlement, why, sqlDid)
	sql, args := logOrders.of([]orderLog{{reference, why, settled.Settlement, known.Terms, len(settled.news) > 0}})
	var logID int64
	err = tx.QueryRow(ctx, sql, args...).Scan(&logID, nil, nil)
	for i := range settled.news {
		settled.news[i].logID = logID
	}
	return settled, err
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

// A knownOrder is an order in the ledger, without its payments.
type knownOrder struct {
	order.Terms
	status         order.Status
	paid, refunded decimal.Decimal
	origin         string
	// stored is false for an order that the transaction makes itself, settled for one
	// that plain SQL inserted or gave other terms, and folded true when it was settled
	// under the rules of this release.
	stored, settled, folded bool
}

const knownOrderColumns = `amount, currency, cancelled_at IS NOT NULL, collector_id, status, paid_amount, refunded_amount, origin,
	settled_at IS NOT NULL, fold_version`

func (o *knownOrder) fields(version *int) []any {
	return []any{
		&o.Amount, &o.Currency, &o.Cancelled, &o.CollectorID, &o.status, &o.paid, &o.refunded, &o.origin, &o.settled, version,
	}
}

// moves reports whether a settlement is another state of the order.
func (o knownOrder) moves(settled order.Settlement) bool {
	return o.status != settled.Status || !o.paid.Equal(settled.Paid) || !o.refunded.Equal(settled.Refunded)
}

// refused is the stable word for why the order is not settled: it has terms from
// plain SQL that no payment can meet. It is empty for every other.
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
	var ledger, version int
	err := tx.QueryRow(ctx, `SELECT `+knownOrderColumns+`, `+foldVersion+` FROM orders WHERE reference = $1 FOR UPDATE`, reference).
		Scan(append(o.fields(&version), &ledger)...)
	if errors.Is(err, pgx.ErrNoRows) {
		// The order is about to be made, or is nobody's: the ledger's version decides
		// that as well.
		if err := tx.QueryRow(ctx, `SELECT `+foldVersion).Scan(&ledger); err != nil {
			return nil, err
		}
		return nil, checkFold(ledger)
	}
	if err != nil {
		return nil, err
	}
	o.stored, o.folded = true, version >= order.FoldVersion
	return &o, checkFold(ledger)
}

// nearOrders returns the references of open orders that have the key, a few at
// most.
func nearOrders(ctx context.Context, tx pgx.Tx, key string) ([]string, error) {
	if key == "" {
		return nil, nil
	}
	rows, err := tx.Query(ctx, `
		SELECT reference FROM orders
		WHERE reference_key = $1 AND `+checked(`status IN ('pending', 'in_process', 'authorized', 'rejected', 'partially_paid')`)+`
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
		SELECT EXISTS (SELECT FROM anomalies WHERE reference_key = $1 AND `+checked(`closed_at IS NULL`)+` AND order_reference <> $2)`,
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
		WHERE reference_key = $1 AND `+checked(`closed_at IS NULL`)+` AND order_reference <> $2`, key, reference, strings.Join(near, ","))
	return err
}

func insertOrder(ctx context.Context, tx pgx.Tx, reference string, terms order.Terms, origin string) error {
	_, err := insertOrders.exec(ctx, tx, []newOrder{{reference, terms, origin}})
	return err
}

// A LoggedChange is an entry of any order's timeline.
type LoggedChange struct {
	ID        int64
	Reference string
	OrderChange
}

// ChangesSince returns up to limit changes of orders with an id above after,
// the oldest first.
func (s *Store) ChangesSince(ctx context.Context, after int64, limit int) ([]LoggedChange, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT l.id, l.order_reference, coalesce(l.currency, o.currency), l.changed_at, l.cause, l.queue_id, l.status, l.paid_amount, l.refunded_amount
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
