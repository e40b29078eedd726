package store

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/store/order"
)

// A newOrder is an order that is to be made.
type newOrder struct {
	reference string
	order.Terms
	origin string
}

// insertOrders makes orders.
var insertOrders = func() rowsStatement[newOrder] {
	columns := []column[newOrder]{
		value("reference", "text", func(o newOrder) string { return o.reference }),
		money("amount", func(o newOrder) decimal.NullDecimal { return decimal.NewNullDecimal(o.Amount) }),
		value("currency", "text", func(o newOrder) string { return o.Currency }),
		value("collector_id", "text", func(o newOrder) string { return o.CollectorID }),
		value("origin", "text", func(o newOrder) string { return o.origin }),
	}
	return writeRows(columns, 0, func(x string) string {
		return `INSERT INTO orders (` + namesOf(columns, "") + `) SELECT ` + namesOf(columns, "x.") + ` FROM ` + x
	})
}()

// A settledOrder is an order with what its payments make of it.
type settledOrder struct {
	reference string
	order.Settlement
	// moved is true when it is in another state than before, or was never settled.
	moved bool
}

// settleOrders writes what orders' payments make of them, and returns the rows as
// storedOrder has them.
var settleOrders = writeRows([]column[settledOrder]{
	value("reference", "text", func(o settledOrder) string { return o.reference }),
	value("status", "text", func(o settledOrder) string { return string(o.Status) }),
	money("paid", func(o settledOrder) decimal.NullDecimal { return decimal.NewNullDecimal(o.Paid) }),
	money("refunded", func(o settledOrder) decimal.NullDecimal { return decimal.NewNullDecimal(o.Refunded) }),
	value("moved", "boolean", func(o settledOrder) bool { return o.moved }),
	value("reference_key", "text", func(o settledOrder) string { return order.ReferenceKey(o.reference) }),
}, 0, func(x string) string {
	return `
		UPDATE orders o SET status = x.status, paid_amount = x.paid, refunded_amount = x.refunded,
			settled_at = CASE WHEN x.moved THEN now() ELSE o.settled_at END,
			reference_key = x.reference_key, fold_version = ` + strconv.Itoa(order.FoldVersion) + `
		FROM ` + x + ` WHERE o.reference = x.reference
		RETURNING o.reference, o.created_at, o.updated_at, o.cancelled_at`
})

// An orderLog is an entry of an order's timeline that is to be written.
type orderLog struct {
	reference string
	settling
	order.Settlement
	order.Terms
	// told is true when order events tell of it.
	told bool
}

// logOrders writes entries of timelines, and returns their ids and times and the clock in
// the same order.
var logOrders = func() rowsStatement[orderLog] {
	columns := []column[orderLog]{
		value("order_reference", "text", func(l orderLog) string { return l.reference }),
		value("cause", "text", func(l orderLog) string { return l.cause }),
		value("queue_id", "bigint", func(l orderLog) *int64 { return idOrNull(l.queueID) }),
		value("status", "text", func(l orderLog) string { return string(l.Status) }),
		money("paid_amount", func(l orderLog) decimal.NullDecimal { return decimal.NewNullDecimal(l.Paid) }),
		money("refunded_amount", func(l orderLog) decimal.NullDecimal { return decimal.NewNullDecimal(l.Refunded) }),
		money("amount", func(l orderLog) decimal.NullDecimal { return decimal.NewNullDecimal(l.Amount) }),
		value("currency", "text", func(l orderLog) string { return l.Currency }),
		value("actor", "text", func(l orderLog) *string { return orNil(l.actor) }),
		value("reason", "text", func(l orderLog) *string { return orNil(l.reason) }),
		value("told", "boolean", func(l orderLog) bool { return l.told }),
		value("collector_id", "text", func(l orderLog) string { return l.CollectorID }),
	}
	return writeRows(columns, 0, func(x string) string {
		return `
			INSERT INTO order_logs (` + namesOf(columns, "") + `)
			SELECT ` + namesOf(columns, "x.") + ` FROM ` + x + ` ORDER BY x.n RETURNING id, changed_at, clock_timestamp()`
	})
}()

// An orderEventRow is an order event that is to be written.
type orderEventRow struct {
	orderNews
	cause   string
	queueID int64
	body    json.RawMessage
	at      time.Time
}

// insertOrderEvents writes order events. Their ids are drawn in the order of the rows,
// under their orders' locks.
var insertOrderEvents = func() rowsStatement[orderEventRow] {
	columns := []column[orderEventRow]{
		value("type", "text", func(e orderEventRow) string { return e.kind }),
		value("order_reference", "text", func(e orderEventRow) string { return e.reference }),
		value("previous_status", "text", func(e orderEventRow) *string { return (*string)(e.previous) }),
		value("cause", "text", func(e orderEventRow) string { return e.cause }),
		value("queue_id", "bigint", func(e orderEventRow) *int64 { return idOrNull(e.queueID) }),
		value("order_log_id", "bigint", func(e orderEventRow) *int64 { return idOrNull(e.logID) }),
		value("anomaly_id", "bigint", func(e orderEventRow) *int64 {
			if e.anomaly == nil {
				return nil
			}
			return &e.anomaly.ID
		}),
		value("body", "json", func(e orderEventRow) string { return string(e.body) }),
		value("created_at", "timestamptz", func(e orderEventRow) time.Time { return e.at }),
	}
	return writeRows(columns, 0, func(x string) string {
		return `
			INSERT INTO order_events (` + namesOf(columns, "") + `)
			SELECT ` + namesOf(columns, "x.") + ` FROM ` + x + ` ORDER BY x.n`
	})
}()

// idOrNull is an id, nil for 0.
func idOrNull(id int64) *int64 {
	if id == 0 {
		return nil
	}
	return &id
}
