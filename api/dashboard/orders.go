package dashboard

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

const (
	// orderEvents is how many events of an order its page shows and explains.
	orderEvents = 50
	// orderLogs is how many states of its payments.
	orderLogs = 200
)

// ordersView is the body of the list of orders.
type ordersView struct {
	store.ListOf[store.OrderSummary, store.OrderPlace]

	Statuses []order.Status
	// What the list is narrowed to.
	Status           order.Status
	Currency, Change string
}

// Older is the place that the next page begins at; empty at the list's end.
func (v ordersView) Older() string { return placeText(v.Next) }

// Narrowed reports whether some orders may be left out.
func (v ordersView) Narrowed() bool { return v.Status != "" || v.Currency != "" || v.Change != "" }

// orderView is the body of an order's page.
type orderView struct {
	Reference string
	// Order is nil when none is registered under the reference.
	Order     *store.Order
	Why       []sentence
	Logs      []store.LoggedPayment
	Anomalies []store.Anomaly
	Events    []store.Event
}

// orders shows the order whose reference was asked for, or lists orders, the one
// that changed last first.
func (d *dashboard) orders(c *call) error {
	q := c.query()
	reference := c.URL.Query().Get("reference")
	if q.text("reference"); q.err != nil {
		return q.err
	}
	if reference != "" {
		return d.order(c, reference)
	}
	v := ordersView{
		Statuses: order.Statuses(), Status: oneOf(q, "status", order.Statuses()), Currency: strings.ToUpper(q.text("currency")), Change: q.get("changed_since"),
	}
	filter := store.OrderFilter{Status: v.Status, Currency: v.Currency, LatestFirst: true}
	filter.ChangedSince, _ = q.day("changed_since")
	at := store.PageOf[store.OrderPlace]{Limit: pageRows, Before: placeOf(q, store.ParseOrderPlace)}
	var err error
	if v.ListOf, err = read(c, q, d.deps.Storage.Orders, filter, at); err != nil {
		return err
	}
	return d.show(c, "orders", &page{Title: "nav.orders", Nav: "orders", Refresh: at.Before == (store.OrderPlace{}), Body: v})
}

func (d *dashboard) order(c *call, reference string) error {
	v := orderView{Reference: reference}
	known, err := d.deps.Storage.Order(c.ctx, reference)
	switch {
	case err == nil:
		v.Order = &known
	case !errors.Is(err, store.ErrOrderNotFound):
		return err
	}
	events, err := d.deps.Storage.Events(c.ctx, store.EventFilter{Order: reference}, store.Page{Limit: orderEvents})
	if err != nil {
		return err
	}
	v.Events = events.Items
	if v.Logs, err = d.deps.Storage.OrderPaymentLogs(c.ctx, reference, orderLogs); err != nil {
		return err
	}
	anomalies, err := d.deps.Storage.Anomalies(c.ctx, store.AnomalyFilter{Order: reference}, store.Page{Limit: pageRows})
	if err != nil {
		return err
	}
	v.Anomalies = anomalies.Items
	status := http.StatusOK
	if v.Order == nil {
		status = http.StatusNotFound
		v.Why = explainUnknown(v.Events)
	} else {
		v.Why = explain(known, v.Events)
	}
	return d.showStatus(c, status, "order", &page{Title: "nav.orders", Name: reference, Nav: "orders", Refresh: true, Body: v})
}

// amendOrder gives an order other terms.
func (d *dashboard) amendOrder(c *call) error {
	act, err := c.orderAct()
	if err != nil {
		return err
	}
	terms, err := order.ParseTerms(c.sent().get("amount"), c.sent().get("currency"))
	switch {
	case errors.Is(err, order.ErrUnknownCurrency):
		return errCurrency
	case errors.Is(err, order.ErrAmountTooFine):
		return errTooFine
	case err != nil:
		return errTerms
	}
	if _, err := d.deps.Storage.AmendOrder(c.ctx, act, terms); err != nil {
		return err
	}
	return c.redirect("%s", orderPath(act.Reference)+"&done=order_amended")
}

// cancelOrder calls an order off.
func (d *dashboard) cancelOrder(c *call) error {
	act, err := c.orderAct()
	if err != nil {
		return err
	}
	if _, err := d.deps.Storage.CancelOrder(c.ctx, act); err != nil {
		return err
	}
	return c.redirect("%s", orderPath(act.Reference)+"&done=order_cancelled")
}

// orderAct reads the form of what is done to an order, with its note.
func (c *call) orderAct() (store.OrderAct, error) {
	reason, err := c.note()
	if err != nil {
		return store.OrderAct{}, err
	}
	reference := c.PostForm.Get("reference")
	if !store.ValidReference(reference) {
		return store.OrderAct{}, errBadInput
	}
	return store.OrderAct{Reference: reference, Reason: reason, By: c.actor()}, nil
}

// orderPath is an order's page. Its reference may hold anything, so it is no part
// of the path.
func orderPath(reference string) string {
	return Base + "/orders?" + url.Values{"reference": {reference}}.Encode()
}
