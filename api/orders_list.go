package api

import (
	"time"

	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// orderQuery are the parameters of the list of orders.
var orderQuery = []string{"status", "currency", "changed_since", "changed_until", "amount_from", "amount_to", "limit", "cursor"}

// An OrderSummaryDocument is an order in a list.
type OrderSummaryDocument struct {
	Reference      string       `json:"reference"`
	Status         order.Status `json:"status"`
	Amount         string       `json:"amount"`
	Currency       string       `json:"currency"`
	PaidAmount     string       `json:"paid_amount"`
	RefundedAmount string       `json:"refunded_amount"`
	CreatedAt      time.Time    `json:"created_at"`
	UpdatedAt      time.Time    `json:"updated_at"`
	// CancelledAt is when the merchant called the order off.
	CancelledAt *time.Time `json:"cancelled_at"`
	// CollectorID is the seller that the order belongs to; null for the main account.
	CollectorID *string `json:"collector_id"`
	// Anomalies are the kinds of those that are open about it.
	Anomalies []order.AnomalyKind `json:"anomalies"`
}

// NewOrderSummaryDocument returns the order's document.
func NewOrderSummaryDocument(o store.OrderSummary) OrderSummaryDocument {
	money := func(amount decimal.Decimal) string { return order.FormatAmount(amount, o.Terms.Currency) }
	return OrderSummaryDocument{
		Reference: o.Reference, Status: o.Status, Amount: money(o.Terms.Amount), Currency: o.Terms.Currency,
		PaidAmount: money(o.Paid), RefundedAmount: money(o.Refunded),
		CreatedAt: o.CreatedAt.UTC(), UpdatedAt: o.UpdatedAt.UTC(), CancelledAt: utc(o.CancelledAt),
		CollectorID: nullable(o.Terms.CollectorID), Anomalies: append([]order.AnomalyKind{}, o.Anomalies...),
	}
}

// byChange are the places of the list of orders.
var byChange = places[store.OrderPlace]{write: store.OrderPlace.String, read: store.ParseOrderPlace}

// listOrders answers orders by their last change, the oldest first.
func (a *api) listOrders() handler {
	return list(listSpec[store.OrderFilter, store.OrderSummary, OrderSummaryDocument, store.OrderPlace]{
		name: "orders", places: byChange, read: a.deps.Storage.Orders, show: document(NewOrderSummaryDocument),
		filter: func(q *filters) store.OrderFilter {
			return store.OrderFilter{
				Status: order.Status(q.word("status", order.Words(order.Statuses()))), Currency: q.text("currency"),
				ChangedSince: q.time("changed_since"), ChangedUntil: q.time("changed_until"), AmountFrom: q.amount("amount_from"), AmountTo: q.amount("amount_to"),
			}
		},
	})
}
