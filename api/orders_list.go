package api

import (
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// orderQuery are the parameters of the list of orders.
var orderQuery = []string{"status", "currency", "changed_since", "changed_until", "amount_from", "amount_to", "limit", "cursor"}

// byChange are the places of the list of orders.
var byChange = places[store.OrderPlace]{write: store.OrderPlace.String, read: store.ParseOrderPlace}

// listOrders answers orders by their last change, the oldest first.
func (a *api) listOrders() handler {
	return list(listSpec[store.OrderFilter, store.OrderSummary, store.OrderSummaryDocument, store.OrderPlace]{
		name: "orders", places: byChange, read: a.deps.Storage.Orders, show: document(store.NewOrderSummaryDocument),
		filter: func(q *filters) store.OrderFilter {
			return store.OrderFilter{
				Status: order.Status(q.word("status", order.Words(order.Statuses()))), Currency: q.text("currency"),
				ChangedSince: q.time("changed_since"), ChangedUntil: q.time("changed_until"), AmountFrom: q.amount("amount_from"), AmountTo: q.amount("amount_to"),
			}
		},
	})
}
