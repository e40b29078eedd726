package store

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/store/order"
)

// An OrderSummary is an order in one line.
type OrderSummary struct {
	Reference string
	Status    order.Status
	Terms     order.Terms
	Paid      decimal.Decimal
	Refunded  decimal.Decimal
	CreatedAt time.Time
	UpdatedAt time.Time
	// CancelledAt is when the merchant called the order off; nil unless they did.
	CancelledAt *time.Time
	// Anomalies are the kinds of those that are open about it, sorted; nil when there
	// are none.
	Anomalies []order.AnomalyKind
	// Surplus and Missing are what is too much and what is missing by an open anomaly.
	Surplus, Missing decimal.NullDecimal
}

const orderSummaryColumns = `reference, status, amount, currency, cancelled_at IS NOT NULL, collector_id, paid_amount, refunded_amount,
	created_at, updated_at, cancelled_at, flags.kinds, flags.surplus, flags.missing`

// orderSummaryFrom has the orders with what is open about each.
var orderSummaryFrom = ` FROM orders LEFT JOIN LATERAL (
		SELECT array_agg(DISTINCT a.kind ORDER BY a.kind) AS kinds, max((a.detail ->> 'surplus')::numeric) AS surplus, max((a.detail ->> 'missing')::numeric) AS missing
		FROM anomalies a WHERE a.order_reference = orders.reference AND ` + checked(`a.closed_at IS NULL`) + `) flags ON true`

func scanOrderSummary(row pgx.CollectableRow) (OrderSummary, error) {
	var o OrderSummary
	err := row.Scan(&o.Reference, &o.Status, &o.Terms.Amount, &o.Terms.Currency, &o.Terms.Cancelled, &o.Terms.CollectorID, &o.Paid, &o.Refunded,
		&o.CreatedAt, &o.UpdatedAt, &o.CancelledAt, &o.Anomalies, &o.Surplus, &o.Missing)
	toUTC(&o.CreatedAt, &o.UpdatedAt, o.CancelledAt)
	return o, err
}

// An OrderFilter selects orders; an empty field selects all.
type OrderFilter struct {
	Status   order.Status
	Currency string
	// ChangedSince and ChangedUntil bound when an order changed last: [ChangedSince,
	// ChangedUntil).
	ChangedSince, ChangedUntil time.Time
	// AmountFrom and AmountTo bound the amount, both included; nil means no bound. They mean
	// little without a currency.
	AmountFrom, AmountTo *decimal.Decimal
	// LatestFirst lists what changed last at the beginning.
	LatestFirst bool
}

func (f OrderFilter) narrow(c *conditions) {
	c.equal("status", string(f.Status))
	c.equal("currency", f.Currency)
	c.between("updated_at", f.ChangedSince, f.ChangedUntil)
	c.amounts("amount", f.AmountFrom, f.AmountTo)
}

// An OrderPlace is where an order stands in the list of orders: when it changed
// last, and its reference.
type OrderPlace struct {
	ChangedAt time.Time
	Reference string
}

// String is the place as one word of an address or a cursor.
func (p OrderPlace) String() string {
	return strconv.FormatInt(p.ChangedAt.UnixMicro(), 10) + "." + p.Reference
}

// ParseOrderPlace reads what String makes, and nothing else.
func ParseOrderPlace(text string) (OrderPlace, bool) {
	at, reference, _ := strings.Cut(text, ".")
	micros, err := strconv.ParseInt(at, 10, 64)
	place := OrderPlace{ChangedAt: time.UnixMicro(micros).UTC(), Reference: reference}
	return place, err == nil && micros >= 0 && ValidReference(reference) && place.String() == text
}

// Place is where the order stands in the list.
func (o OrderSummary) Place() OrderPlace { return OrderPlace{o.UpdatedAt, o.Reference} }

// Orders returns one page of the orders that the filter selects, by their last
// change, the oldest first unless the filter says otherwise. An order that changes
// while pages are read oldest first comes once more at the end; latest first it may
// be passed over, being at the beginning now. A change is as old as its transaction's
// begin: one that began before the page was read and was committed afterwards may be
// passed over, too.
func (s *Store) Orders(ctx context.Context, filter OrderFilter, page PageOf[OrderPlace]) (ListOf[OrderSummary, OrderPlace], error) {
	var c conditions
	filter.narrow(&c)
	return readOrdered(ctx, s, ordered[OrderSummary, OrderPlace]{
		what: "orders", statement: `SELECT ` + orderSummaryColumns + orderSummaryFrom, columns: []string{"updated_at", "reference"}, ascending: !filter.LatestFirst,
		scan: scanOrderSummary, placeOf: OrderSummary.Place, values: func(p OrderPlace) []any { return []any{p.ChangedAt, text(p.Reference)} },
	}, c, page)
}
