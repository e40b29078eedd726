package dashboard

import (
	"context"

	"github.com/conciliar/conciliar/store"
)

// deliveriesView is the body of the page of what went out.
type deliveriesView struct {
	store.List[store.Delivery]

	// Receivers are who is told.
	Receivers              []store.Receiver
	States                 []string
	State, Receiver, Order string
}

// deliveries lists who is told, and what they were told, newest first.
func (d *dashboard) deliveries(c *call) error {
	q := c.query()
	v := deliveriesView{States: store.DeliveryStates(), State: q.word("state", store.DeliveryStates()), Receiver: q.text("receiver"), Order: q.text("order")}
	at := q.page()
	if q.err != nil {
		return q.err
	}
	var err error
	if v.Receivers, err = d.deps.Storage.Receivers(c.ctx); err != nil {
		return err
	}
	filter := store.DeliveryFilter{State: v.State, Receiver: v.Receiver, Reference: v.Order}
	if v.List, err = d.deps.Storage.Deliveries(c.ctx, filter, at); err != nil {
		return err
	}
	return d.show(c, "deliveries", &page{Title: "nav.deliveries", Nav: "deliveries", Refresh: at.Before == 0, Body: v})
}

// delivery shows one message on its way, with what its receiver answered.
func (d *dashboard) delivery(c *call, id int64) error {
	found, err := d.deps.Storage.Delivery(c.ctx, id)
	if err != nil {
		return err
	}
	if c.hidesPayerData() {
		for i := range found.Log {
			found.Log[i].Answer = ""
		}
	}
	return d.show(c, "delivery", &page{Title: "nav.deliveries", About: "delivery.name", ID: id, Nav: "deliveries", Refresh: found.State == store.DeliveryPending, Body: found})
}

// replayDelivery sends a message once more.
func (d *dashboard) replayDelivery(c *call, id int64) error {
	replay, err := d.deps.Storage.ReplayDelivery(c.ctx, id, c.actor())
	if err != nil {
		return err
	}
	return c.redirect("/dashboard/deliveries/%d?done=delivery_replayed", replay.DeliveryID)
}

// dismissDelivery takes a message that was given up for dealt with.
func (d *dashboard) dismissDelivery(c *call, id int64) error {
	return c.actNoted("/dashboard/deliveries/%d?done=dismissed", id, d.deps.Storage.DismissDelivery)
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
	return c.redirect("/dashboard/deliveries?done=%s", done)
}
