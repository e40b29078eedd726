package dashboard

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/conciliar/conciliar/jobs/verdict"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// orderLogs is how many states of an order's payments its page shows.
const orderLogs = 200

// orderView is the body of an order's page.
type orderView struct {
	// Order is nil in it when none is registered under the reference.
	store.OrderFacts

	Verdict verdict.Verdict
	Story   []episode
	// Refunds were asked for of its payments, and Refundable is what can be given back;
	// both are empty where nobody may refund.
	Refunds    []store.Refund
	Refundable []store.Refundable
}

// orders shows the order whose reference was asked for, or lists orders, the one
// that changed last first.
func (d *dashboard) orders(c *call) error {
	f := c.filters()
	reference := c.URL.Query().Get("reference")
	if f.typed("reference", "orders.reference", 16); f.err != nil {
		return f.err
	}
	if reference != "" {
		return d.order(c, reference)
	}
	filter := orderFilter(f)
	at := store.PageOf[store.OrderPlace]{Limit: pageRows, Before: placeOf(f.query, store.ParseOrderPlace)}
	found, err := read(c, f, d.deps.Storage.Orders, filter, at)
	if err != nil {
		return err
	}
	v := f.listed("/dashboard/orders", tableOf("orders.caption", "orders.none", found.Items, orderColumns...), placeText(found.Next))
	v.Export = store.ExportOrders
	return d.show(c, "orders", &page{Title: "nav.orders", Nav: "orders", Refresh: v.First, Body: v})
}

// orderFilter reads what the list of orders is narrowed to.
func orderFilter(f *filters) store.OrderFilter {
	filter := store.OrderFilter{Status: choice(f, "status", "field.state", "order_status", order.Statuses()), Currency: f.currency(), LatestFirst: true}
	filter.ChangedSince, _ = f.on("changed_since", "orders.changed_since")
	_, filter.ChangedUntil = f.on("changed_until", "orders.changed_until")
	filter.AmountFrom, filter.AmountTo = f.amount("amount_from", "orders.amount_from"), f.amount("amount_to", "orders.amount_to")
	return filter
}

// orderColumns are the list of orders.
var orderColumns = []column[store.OrderSummary]{
	{"field.order", partTitle, func(o store.OrderSummary) cell { return plainCell(o.Reference).leading(orderPath(o.Reference)) }},
	{"field.state", partState, func(o store.OrderSummary) cell { return badgeCell("order_status", o.Status) }},
	{"field.amount", partNumber, func(o store.OrderSummary) cell { return moneyCell(o.Terms.Amount, o.Terms.Currency) }},
	{"field.paid", partNumber, func(o store.OrderSummary) cell {
		paid := moneyCell(o.Paid, o.Terms.Currency)
		if o.Refunded.IsPositive() {
			paid = paid.over(moneyCell(o.Refunded, o.Terms.Currency).after("field.refunded"))
		}
		return paid
	}},
	{"field.mark", partCause, orderMarks},
	{"field.changed", "", func(o store.OrderSummary) cell { return timeCell(o.UpdatedAt) }},
}

// orderMarks say that the money of an order does not fit.
func orderMarks(o store.OrderSummary) cell {
	var marks cell
	for _, kind := range o.Anomalies {
		mark := wordCell("anomaly", kind)
		if kind == order.AnomalyUnderpaid && o.Missing.Valid {
			mark = moneyCell(o.Missing, o.Terms.Currency).after("anomaly." + string(kind))
		}
		if (kind == order.AnomalyOverpaid || kind == order.AnomalyDuplicatePayment) && o.Surplus.Valid {
			mark = moneyCell(o.Surplus, o.Terms.Currency).after("anomaly." + string(kind))
		}
		marks = marks.over(mark.leading(Base + "/anomalies?" + url.Values{"order": {o.Reference}}.Encode()))
	}
	return marks
}

func (d *dashboard) order(c *call, reference string) error {
	facts, err := d.deps.Storage.OrderFacts(c.ctx, reference)
	if err != nil {
		return err
	}
	logs, err := d.deps.Storage.OrderPaymentLogs(c.ctx, reference, orderLogs)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if facts.Order == nil {
		status = http.StatusNotFound
	}
	v := orderView{OrderFacts: facts, Verdict: verdict.Of(facts), Story: storyOf(facts, logs)}
	if d.deps.Refunds {
		if v.Refunds, v.Refundable, err = d.deps.Storage.OrderRefunds(c.ctx, reference, facts.Payments); err != nil {
			return err
		}
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
	return c.done(orderPath(act.Reference), "order_amended")
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
	return c.done(orderPath(act.Reference), "order_cancelled")
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
