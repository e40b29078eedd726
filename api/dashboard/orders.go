package dashboard

import (
	"errors"
	"net/http"

	"github.com/conciliar/conciliar/store"
)

const (
	// recentOrders is how many orders the page without a reference shows.
	recentOrders = 25
	// orderEvents is how many events of an order its page shows and explains.
	orderEvents = 50
	// orderLogs is how many states of its payments.
	orderLogs = 200
)

// ordersView is the body of the page on which orders are looked up.
type ordersView struct {
	Reference string
	Recent    []store.OrderSummary
}

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

// orders looks an order up, or shows those that changed last.
func (d *dashboard) orders(c *call) error {
	q := c.query()
	reference := c.URL.Query().Get("reference")
	if q.text("reference"); q.err != nil {
		return q.err
	}
	if reference != "" {
		return d.order(c, reference)
	}
	recent, err := d.deps.Storage.RecentOrders(c.ctx, recentOrders)
	if err != nil {
		return err
	}
	return d.show(c, "orders", &page{Title: "nav.orders", Nav: "orders", Refresh: true, Body: ordersView{Recent: recent}})
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
