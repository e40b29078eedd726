package dashboard

import (
	"context"
	"strconv"

	"github.com/conciliar/conciliar/store"
)

// deliveriesView is the body of the page of what went out.
type deliveriesView struct {
	listing

	// Receivers are who is told.
	Receivers []store.Receiver
}

// deliveries lists who is told, and what they were told, newest first.
func (d *dashboard) deliveries(c *call) error {
	receivers, err := d.deps.Storage.Receivers(c.ctx)
	if err != nil {
		return err
	}
	f := c.filters()
	filter := store.DeliveryFilter{
		State:    choice(f, "state", "field.state", "delivery_state", store.DeliveryStates()),
		Receiver: f.named("receiver", "field.receiver", receiverNames(receivers)), Reference: f.typed("order", "field.order", 16),
	}
	found, err := read(c, f, d.deps.Storage.Deliveries, filter, f.page())
	if err != nil {
		return err
	}
	t := tableOf("deliveries.caption", "deliveries.none", found.Items, deliveryColumns...).unseen()
	v := deliveriesView{listing: f.listed("/dashboard/deliveries", t, idText(found.Next)), Receivers: receivers}
	return d.show(c, "deliveries", &page{Title: "nav.deliveries", Nav: "deliveries", Refresh: v.First, Body: v})
}

func receiverNames(receivers []store.Receiver) []string {
	names := make([]string, len(receivers))
	for i, r := range receivers {
		names[i] = r.Name
	}
	return names
}

var deliveryColumns = []column[store.Delivery]{
	{"field.delivery", partTitle, func(d store.Delivery) cell {
		return plainCell(d.ID).leading(Base + "/deliveries/" + strconv.FormatInt(d.ID, 10))
	}},
	{"field.time", "", func(d store.Delivery) cell { return timeCell(d.CreatedAt) }},
	{"field.state", partState, func(d store.Delivery) cell { return badgeCell("delivery_state", d.State) }},
	{"field.receiver", "", func(d store.Delivery) cell { return plainCell(d.Receiver) }},
	{"deliveries.said", "", func(d store.Delivery) cell { return idCell(d.Type) }},
	{"field.order", "", func(d store.Delivery) cell { return linkCell(d.Reference, orderPath) }},
	{"field.attempts", partMinorNumber, func(d store.Delivery) cell { return numberCell(d.Attempts) }},
	{"field.error", partCause, func(d store.Delivery) cell {
		cause := wordCell("delivery_class", d.Class)
		if d.NextAttemptAt != nil {
			cause = cause.over(timeCell(d.NextAttemptAt).after("events.next"))
		}
		return cause
	}},
}

// delivery shows one message on its way, with what its receiver answered.
func (d *dashboard) delivery(c *call, id int64) error {
	found, err := d.deps.Storage.Delivery(c.ctx, id)
	if err != nil {
		return err
	}
	if c.hidesPayerData() {
		found = found.WithoutContent()
	}
	return d.show(c, "delivery", &page{Title: "nav.deliveries", About: "delivery.name", ID: id, Nav: "deliveries", Refresh: found.State == store.DeliveryPending, Body: found})
}

// replayDelivery sends a message once more.
func (d *dashboard) replayDelivery(c *call, id int64) error {
	replay, err := d.deps.Storage.ReplayDelivery(c.ctx, id, c.actor())
	if err != nil {
		return err
	}
	return c.done(Base+"/deliveries/"+idText(replay.DeliveryID), "delivery_replayed")
}

// dismissDelivery takes a message that was given up for dealt with.
func (d *dashboard) dismissDelivery(c *call, id int64) error {
	return c.actNoted(Base+"/deliveries/"+idText(id), "dismissed", id, d.deps.Storage.DismissDelivery)
}

// changeReceiver stops or starts a receiver.
type changeReceiver func(ctx context.Context, name string, by store.Actor) error

// stopReceiver has a receiver told nothing, startReceiver told again.
func (d *dashboard) stopReceiver(c *call) error {
	return d.changeReceiver(c, d.deps.Storage.StopReceiver, "receiver_stopped")
}

func (d *dashboard) startReceiver(c *call) error {
	return d.changeReceiver(c, d.deps.Storage.StartReceiver, "receiver_started")
}

func (d *dashboard) changeReceiver(c *call, change changeReceiver, done string) error {
	if err := c.form(); err != nil {
		return err
	}
	if err := change(c.ctx, c.sent().text("receiver"), c.actor()); err != nil {
		return err
	}
	return c.done("/dashboard/deliveries", done)
}
