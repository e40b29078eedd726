package api

import "github.com/conciliar/conciliar/store"

const eventsPath = "/api/webhooks/events"

// eventQuery are the parameters of the list of events.
var eventQuery = []string{"status", "source", "topic", "origin", "resource_id", "order_reference", "request_id", "since", "until", "limit", "cursor"}

// listEvents answers events, newest first, archived ones included.
func (a *api) listEvents() handler {
	return list(listSpec[store.EventFilter, store.Event, store.Event, int64]{
		name: "events", places: byID, read: a.deps.Storage.Events, show: whole[store.Event],
		filter: func(q *filters) store.EventFilter {
			return store.EventFilter{
				Status: q.word("status", store.EventStatuses()), Source: q.text("source"), Topic: q.text("topic"), Origin: q.word("origin", store.EventOrigins()),
				ResourceID: q.text("resource_id"), Order: q.text("order_reference"), RequestID: q.text("request_id"),
				Since: q.time("since"), Until: q.time("until"),
			}
		},
	})
}
