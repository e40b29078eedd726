package dashboard

import (
	"errors"

	"github.com/conciliar/conciliar/store"
)

// eventsView is the body of the list of events.
type eventsView struct {
	store.List[store.Event]

	Statuses, Origins []string
	// What the list is narrowed to.
	State, Topic, Origin, Day, Order, Payment, Request string
}

// events lists events, newest first.
func (d *dashboard) events(c *call) error {
	q := c.query()
	v := eventsView{
		Statuses: store.EventStatuses(), Origins: store.EventOrigins(),
		State: q.word("state", store.EventStatuses()), Topic: q.text("topic"), Origin: q.word("origin", store.EventOrigins()),
		Day: q.get("day"), Order: q.text("order"), Payment: q.text("payment"), Request: q.text("request"),
	}
	filter := store.EventFilter{
		Status: v.State, Topic: v.Topic, Origin: v.Origin, ResourceID: v.Payment, RequestID: v.Request, Order: v.Order,
	}
	filter.Since, filter.Until = q.day("day")
	at := q.page()
	var err error
	if v.List, err = read(c, q, d.deps.Storage.Events, filter, at); err != nil {
		return err
	}
	return d.show(c, "events", &page{Title: "nav.events", Nav: "events", Refresh: at.Before == 0, Body: v})
}

// eventView is the body of an event's page.
type eventView struct {
	store.EventDetail

	Timeline []moment
	// Payment is as it was fetched last; nil when it never was.
	Payment *store.KnownPayment
	// Orders are those that the event or its payment is about.
	Orders []string
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
	return c.redirect("/dashboard/events/%d?done=replayed&id=%d", replay.QueueID, id)
}
