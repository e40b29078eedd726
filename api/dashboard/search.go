package dashboard

import (
	"errors"
	"net/url"
	"strconv"

	"github.com/conciliar/conciliar/store"
)

// searchView is the body of what a search found when it is not one thing.
type searchView struct {
	Asked string
	// Order is true when an order has that reference, or payments name it.
	Order bool
	// Event is true when an event has that number.
	Event bool
	// Payment is true when a payment has that id.
	Payment bool
	// Payments are the newest events about the payment of that id, Requests
	// those whose delivery had that request id.
	Payments, Requests []store.Event
	// Refused are the newest deliveries that were refused and name it.
	Refused []store.RefusedDelivery
	// Like are orders that it may mean, looked for where nothing else has the name.
	Like store.OrdersLike
	// Email is true when it is an e-mail address. Payer stands for it where a payment was
	// made by it; InAddress is true where it was not looked for because it stood in the
	// page's address.
	Email, InAddress bool
	Payer            store.PayerKey
}

// Found reports whether anything has the name.
func (v searchView) Found() bool {
	return v.Order || v.Event || v.Payment || v.Payer != "" || len(v.Payments)+len(v.Requests)+len(v.Refused) > 0
}

// searchRows is how many events of each kind a search shows.
const searchRows = 20

// search finds what the text in the page's address can name. When only one thing has the
// name, it leads there.
func (d *dashboard) search(c *call) error { return d.searchFor(c, c.query(), false) }

// searchByForm finds what the text in the box can name. An e-mail address is taken from
// there alone, and what is found by it is shown under an address that does not have it.
func (d *dashboard) searchByForm(c *call) error {
	if err := c.form(); err != nil {
		return err
	}
	return d.searchFor(c, c.sent(), true)
}

func (d *dashboard) searchFor(c *call, q *query, form bool) error {
	v := searchView{Asked: q.text("q")}
	if q.err != nil {
		return q.err
	}
	if v.Asked == "" {
		return c.redirect("/dashboard/events")
	}
	if v.Email = store.IsEmail(v.Asked); form && !v.Email {
		return c.redirect("/dashboard/search?%s", url.Values{"q": {v.Asked}}.Encode())
	}
	v.InAddress = v.Email && !form
	places, err := d.find(c, &v)
	if err != nil {
		return err
	}
	if len(places) == 1 {
		return c.redirect("%s", places[0])
	}
	if len(places) == 0 {
		if v.Like, err = d.deps.Storage.OrdersLike(c.ctx, v.Asked, searchRows); err != nil {
			return err
		}
		if same := v.Like.Same; len(same) == 1 {
			return c.redirect("%s", orderPath(same[0].Reference))
		}
	}
	return d.show(c, "search", &page{Title: "search.title", Body: v})
}

// Similar are lists of orders that the text may mean.
func (v searchView) Similar() []table {
	var tables []table
	for _, list := range []struct {
		caption string
		orders  []store.OrderSummary
	}{{"search.same", v.Like.Same}, {"search.beginning", v.Like.Beginning}, {"search.within", v.Like.Within}} {
		if len(list.orders) > 0 {
			tables = append(tables, tableOf(list.caption, "", list.orders, orderColumns...))
		}
	}
	return tables
}

// Looked is how many orders were looked through for a part of a reference.
func (v searchView) Looked() int { return store.SearchedOrders }

// findPayer finds the payments of the payer with an e-mail address. Whom a payment is of
// is hidden from roles that see no payer's data.
func (d *dashboard) findPayer(c *call, v *searchView) error {
	if !v.Email || v.InAddress || c.hidesPayerData() {
		return nil
	}
	payer, err := d.deps.Storage.PayerKeyOf(c.ctx, v.Asked)
	if err != nil {
		return err
	}
	found, err := d.deps.Storage.Payments(c.ctx, store.PaymentFilter{Payer: payer}, store.PageOf[store.PaymentPlace]{Limit: 1})
	if len(found.Items) > 0 {
		v.Payer = payer
	}
	return err
}

// find fills the view and returns the places that the text names.
func (d *dashboard) find(c *call, v *searchView) (places []string, err error) {
	if store.ValidReference(v.Asked) {
		_, err := d.deps.Storage.Order(c.ctx, v.Asked)
		if err != nil && !errors.Is(err, store.ErrOrderNotFound) {
			return nil, err
		}
		v.Order = err == nil
		if !v.Order {
			named, err := d.deps.Storage.Events(c.ctx, store.EventFilter{Order: v.Asked}, store.Page{Limit: 1})
			if err != nil {
				return nil, err
			}
			v.Order = len(named.Items) > 0
		}
		if v.Order {
			places = append(places, Base+"/orders?"+url.Values{"reference": {v.Asked}}.Encode())
		}
	}
	if n, err := strconv.ParseInt(v.Asked, 10, 64); err == nil && n > 0 {
		_, err := d.deps.Storage.Event(c.ctx, n)
		if err != nil && !errors.Is(err, store.ErrEventNotFound) {
			return nil, err
		}
		if v.Event = err == nil; v.Event {
			places = append(places, Base+"/events/"+strconv.FormatInt(n, 10))
		}
	}
	source, err := d.deps.Storage.PaymentSource(c.ctx, v.Asked)
	if err != nil {
		return nil, err
	}
	if v.Payment = source != ""; v.Payment {
		places = append(places, paymentPath(v.Asked))
	}
	for _, by := range []struct {
		filter store.EventFilter
		found  *[]store.Event
		param  string
	}{
		{store.EventFilter{ResourceID: v.Asked}, &v.Payments, "payment"},
		{store.EventFilter{RequestID: v.Asked}, &v.Requests, "request"},
	} {
		events, err := d.deps.Storage.Events(c.ctx, by.filter, store.Page{Limit: searchRows})
		if err != nil {
			return nil, err
		}
		*by.found = events.Items
		switch {
		case len(events.Items) == 0, v.Payment && by.filter.ResourceID != "": // the payment's page has them
		case len(events.Items) == 1:
			places = append(places, Base+"/events/"+strconv.FormatInt(events.Items[0].QueueID, 10))
		default:
			places = append(places, Base+"/events?"+url.Values{by.param: {v.Asked}}.Encode())
		}
	}
	if err := d.findPayer(c, v); err != nil {
		return nil, err
	}
	if v.Payer != "" {
		places = append(places, payerPath(v.Payer))
	}
	refused, err := d.deps.Storage.RefusedDeliveries(c.ctx, store.RefusedFilter{Named: v.Asked}, store.Page{Limit: searchRows})
	if err != nil {
		return nil, err
	}
	v.Refused = refused.Items
	for _, r := range v.Refused {
		places = append(places, Base+"/refused/"+strconv.FormatInt(r.ID, 10))
	}
	return places, nil
}
