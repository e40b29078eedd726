package api

import "github.com/conciliar/conciliar/store"

// refusedQuery are the parameters of the list of refused deliveries.
var refusedQuery = []string{"reason", "since", "until", "limit", "cursor"}

// listRefused answers refused deliveries, newest first.
func (a *api) listRefused() handler {
	return list(listSpec[store.RefusedFilter, store.RefusedDelivery, store.RefusedDelivery, int64]{
		name: "refused", places: byID, read: a.deps.Storage.RefusedDeliveries, show: permitted[store.RefusedDelivery],
		filter: func(q *filters) store.RefusedFilter {
			return store.RefusedFilter{Reason: q.text("reason"), Since: q.time("since"), Until: q.time("until")}
		},
	})
}
