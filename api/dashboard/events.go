package dashboard

import (
	"errors"
	"net/url"
	"strconv"
	"time"

	"github.com/conciliar/conciliar/store"
)

// events lists events, newest first.
func (d *dashboard) events(c *call) error {
	f := c.filters()
	found, err := read(c, f, d.deps.Storage.Events, eventFilter(f), f.page())
	if err != nil {
		return err
	}
	v := f.listed("/dashboard/events", eventTable(found.Items), idText(found.Next))
	v.Export = store.ExportEvents
	return d.show(c, "list", &page{Title: "nav.events", Nav: "events", Refresh: v.First, Body: v})
}

// eventFilter reads what the list of events is narrowed to.
func eventFilter(f *filters) store.EventFilter {
	filter := store.EventFilter{
		Status: choice(f, "state", "field.state", "event_status", store.EventStatuses()), Topic: f.typed("topic", "field.topic", 14),
		Origin: choice(f, "origin", "field.origin", "origin", store.EventOrigins()),
	}
	filter.Since, filter.Until = f.on("day", "field.day")
	if since := f.moment("since", "field.from"); since.After(filter.Since) {
		filter.Since = since
	}
	if until := f.moment("until", "field.until"); !until.IsZero() && (filter.Until.IsZero() || until.Before(filter.Until)) {
		filter.Until = until
	}
	filter.Order, filter.ResourceID = f.typed("order", "field.order", 16), f.typed("payment", "field.payment", 14)
	filter.RequestID = f.typed("request", "field.request_id", 20)
	filter.BulkReplay = f.number("bulk", "bulk.title")
	filter.Source = f.typed("source", "field.source", 14)
	return filter
}

// eventTable is a list of events.
func eventTable(events []store.Event) table {
	return tableOf("events.caption", "", events, eventColumns...).unseen()
}

var eventColumns = []column[store.Event]{
	{"field.event", partTitle, func(e store.Event) cell { return plainCell(e.QueueID).leading(eventPath(e.QueueID)) }},
	{"field.received", "", func(e store.Event) cell { return timeCell(e.ReceivedAt) }},
	{"field.state", partState, func(e store.Event) cell {
		return badgeCell("event_status", e.Status).over(wordCell("outcome", e.Outcome))
	}},
	{"field.topic", partTopic, func(e store.Event) cell { return plainCell(e.Topic) }},
	{"field.about", "", func(e store.Event) cell { return idCell(e.ResourceID) }},
	{"field.origin", partMinor, func(e store.Event) cell { return wordCell("origin", e.Origin) }},
	{"field.attempts", partMinorNumber, func(e store.Event) cell { return numberCell(e.Attempts) }},
	{"field.error", partCause, func(e store.Event) cell {
		cause := cell{Kind: cellError, Value: e.LastError}
		if e.NextRetryAt != nil && (e.Status == store.StatusFailed || e.Status == store.StatusHeld) {
			cause = cause.over(timeCell(e.NextRetryAt).after("events.next"))
		}
		return cause
	}},
}

// eventsBetween lists the events that were received in a span of time.
func eventsBetween(since, until time.Time) string {
	return Base + "/events?" + url.Values{"since": {since.UTC().Format(time.RFC3339)}, "until": {until.UTC().Format(time.RFC3339)}}.Encode()
}

// eventPath is an event's page.
func eventPath(id int64) string { return Base + "/events/" + strconv.FormatInt(id, 10) }

// eventView is the body of an event's page.
type eventView struct {
	store.EventDetail

	Timeline []moment
	// Payment is as it was fetched last; nil when it never was.
	Payment *store.KnownPayment
	// Orders are those that the event or its payment is about.
	Orders []string
}

// Wants reports whether a replay is what the event asks for: it failed for good, and
// nobody has dealt with that. One that waits is done by itself.
func (v eventView) Wants() bool {
	return v.DeadLetterState != nil && *v.DeadLetterState == store.DeadLetterOpen
}

// event shows one event with its whole history.
func (d *dashboard) event(c *call, id int64) error {
	event, err := d.deps.Storage.Event(c.ctx, id)
	if err != nil {
		return err
	}
	if c.hidesPayerData() {
		event = event.WithoutContent()
	}
	v := eventView{EventDetail: event, Timeline: timelineOf(event)}
	if event.ResourceID != "" {
		known, err := d.deps.Storage.Payment(c.ctx, event.Source, event.ResourceID)
		switch {
		case err == nil:
			if c.hidesPayerData() {
				known = known.WithoutContent()
			}
			v.Payment = &known
		case !errors.Is(err, store.ErrPaymentNotFound):
			return err
		}
	}
	v.Orders = ordersOf(v)
	return d.show(c, "event", &page{Title: "nav.events", About: "event.name", ID: id, Nav: "events", Refresh: true, Body: v})
}

// ordersOf are the orders that the event's page leads to, each once.
func ordersOf(v eventView) []string {
	var orders []string
	seen := map[string]bool{"": true}
	add := func(reference string) {
		if !seen[reference] {
			seen[reference] = true
			orders = append(orders, reference)
		}
	}
	for _, change := range v.OrderChanges {
		add(change.OrderReference)
	}
	for _, l := range v.PaymentLogs {
		if l.OrderReference != nil {
			add(*l.OrderReference)
		}
	}
	if v.Payment != nil {
		add(v.Payment.Reference)
	}
	return orders
}

// replayEvent does an event's work once more, as a new event.
func (d *dashboard) replayEvent(c *call, id int64) error {
	replay, err := d.deps.Storage.ReplayEvent(c.ctx, id, c.actor())
	if err != nil {
		return err
	}
	return c.done(eventPath(replay.QueueID), "replayed", "id", id)
}
