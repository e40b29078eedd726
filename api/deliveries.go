package api

import "github.com/conciliar/conciliar/store"

const deliveriesPath = "/api/webhooks/deliveries"

// deliveryQuery are the parameters of the list of outgoing deliveries.
var deliveryQuery = []string{"state", "receiver", "order_reference", "order_event_id", "queue_id", "since", "until", "limit", "cursor"}

// listDeliveries answers what was sent or is to be, newest first.
func (a *api) listDeliveries() handler {
	return list(listSpec[store.DeliveryFilter, store.Delivery, store.Delivery, int64]{
		name: "deliveries", places: byID, read: a.deps.Storage.Deliveries, show: whole[store.Delivery],
		filter: func(q *filters) store.DeliveryFilter {
			return store.DeliveryFilter{
				State: q.word("state", store.DeliveryStates()), Receiver: q.text("receiver"), Reference: q.text("order_reference"),
				OrderEventID: q.id("order_event_id"), QueueID: q.id("queue_id"), Since: q.time("since"), Until: q.time("until"),
			}
		},
	})
}
