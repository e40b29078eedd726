package api

import (
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/conciliar/conciliar/store"
)

const eventsPath = "/api/webhooks/events"

// eventQuery are the parameters of the list of events.
var eventQuery = []string{"status", "topic", "origin", "resource_id", "order_reference", "request_id", "since", "until", "limit", "cursor"}

// listEvents answers events, newest first, archived ones included.
func (a *api) listEvents() handler {
	return list(listSpec[store.EventFilter, store.Event, store.Event, int64]{
		name: "events", places: byID, read: a.deps.Storage.Events, show: as[store.Event],
		filter: func(q *filters) store.EventFilter {
			return store.EventFilter{
				Status: q.word("status", store.EventStatuses()), Topic: q.text("topic"), Origin: q.word("origin", store.EventOrigins()),
				ResourceID: q.text("resource_id"), Order: q.text("order_reference"), RequestID: q.text("request_id"),
				Since: q.time("since"), Until: q.time("until"),
			}
		},
	})
}

// showEvent answers an event with its whole history.
func (a *api) showEvent(c *gin.Context, ev *requestEvent) error {
	id, err := idOf(c, "queue_id", problemEventNotFound, "an event")
	if err != nil {
		return err
	}
	ev.queueID = id
	ctx, cancel := bounded(c)
	defer cancel()
	event, err := a.deps.Storage.Event(ctx, id)
	if err != nil {
		return err
	}
	if !ev.seesContent() {
		event = event.WithoutContent()
	}
	return answerJSON(c, http.StatusOK, event)
}

// seesContent reports whether the caller may see what senders and the provider
// wrote: it may hold a payer's data.
func (ev *requestEvent) seesContent() bool { return ev.list == accessProcessQueue }

// replayEvent makes a new event of the same delivery: 202, as its work is still
// to be done.
func (a *api) replayEvent(c *gin.Context, ev *requestEvent) error {
	id, err := idOf(c, "queue_id", problemEventNotFound, "an event")
	if err != nil {
		return err
	}
	ev.queueID = id
	ctx, cancel := bounded(c)
	defer cancel()
	replay, err := a.deps.Storage.ReplayEvent(ctx, id, actorOf(ev))
	if err != nil {
		return err
	}
	return answerReplay(c, ev, replay)
}

func answerReplay(c *gin.Context, ev *requestEvent, replay store.Replay) error {
	ev.outcome, ev.queueID = "replayed", replay.QueueID
	c.Writer.Header()["Location"] = []string{eventsPath + "/" + strconv.FormatInt(replay.QueueID, 10)}
	return answerJSON(c, http.StatusAccepted, replay)
}
