package api

import (
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/day"
	"github.com/conciliar/conciliar/store/order"
)

// paymentQuery are the parameters of the list of payments.
var paymentQuery = []string{
	"order", "status", "payment_type", "payment_method", "currency", "collector_id", "source", "changed_since", "changed_until", "made_since", "made_until", "time_zone",
	"amount_from", "amount_to", "limit", "cursor",
}

// A paymentList is the list of payments as an endpoint.
type paymentList = listSpec[store.PaymentFilter, store.PaymentSummary, store.PaymentSummaryDocument, store.PaymentPlace]

// answerPayments answers a page of the payments that the filter selects.
func (a *api) answerPayments(c *gin.Context, ev *requestEvent, q *filters, filter store.PaymentFilter) error {
	return paymentList{
		name: "payments", places: places[store.PaymentPlace]{write: store.PaymentPlace.String, read: filter.ParsePaymentPlace},
		read: a.deps.Storage.Payments, show: document(store.NewPaymentSummaryDocument), filter: func(*filters) store.PaymentFilter { return filter },
	}.answer(c, ev, q)
}

// listPayments answers payments by their last change or, where that is bounded, by when
// they were made, the oldest first.
func (a *api) listPayments(c *gin.Context, ev *requestEvent) error {
	q := &filters{values: c.Request.URL.Query()}
	q.zone = q.location("time_zone")
	return a.answerPayments(c, ev, q, store.PaymentFilter{
		Order: q.text("order"), Status: order.PaymentStatus(q.word("status", order.Words(order.PaymentStatuses()))), Currency: q.text("currency"),
		Type: q.text("payment_type"), Method: q.text("payment_method"), CollectorID: q.text("collector_id"), Source: q.text("source"),
		ChangedSince: q.time("changed_since"), ChangedUntil: q.time("changed_until"), MadeSince: q.time("made_since"), MadeUntil: q.time("made_until"),
		AmountFrom: q.amount("amount_from"), AmountTo: q.amount("amount_to"),
	})
}

// searchPayments answers the payments of the payer with an e-mail address. It is in the
// body because addresses of pages are logged on their way.
func (a *api) searchPayments(c *gin.Context, ev *requestEvent) error {
	members, err := a.bodies.readObject(c.Request, "payer_email", "limit", "cursor")
	if err != nil {
		return err
	}
	email, err := members.text("payer_email", `"ana@example.com"`)
	if err != nil {
		return err
	}
	q := &filters{values: url.Values{}}
	for _, name := range []string{"limit", "cursor"} {
		if _, given := members[name]; !given {
			continue
		}
		value, err := members.option(name)
		if err != nil {
			return err
		}
		q.values.Set(name, value)
	}
	ctx, cancel := bounded(c)
	defer cancel()
	payer, err := a.deps.Storage.PayerKeyOf(ctx, email)
	if err != nil {
		return err
	}
	return a.answerPayments(c, ev, q, store.PaymentFilter{Payer: payer})
}

// paymentDays is how many days are summed up unless the caller says otherwise.
const paymentDays = 30

// sumPayments answers the sums of payments by day and currency.
func (a *api) sumPayments(c *gin.Context, _ *requestEvent) error {
	q := &filters{values: c.Request.URL.Query()}
	zone := q.location("time_zone")
	q.zone = zone
	since, until := q.time("since"), q.time("until")
	if until.IsZero() {
		until = a.now().UTC()
	}
	if since.IsZero() {
		since = day.Begin(until.In(zone).AddDate(0, 0, -paymentDays+1), zone)
	}
	if until.Sub(since) > store.MostPaymentDays*24*time.Hour {
		q.fail("since and until are more than %d days apart.", store.MostPaymentDays)
	}
	if q.err != nil {
		return q.err
	}
	ctx, cancel := bounded(c)
	defer cancel()
	days, err := a.deps.Storage.PaymentDays(ctx, since, until, zone)
	if err != nil {
		return fmt.Errorf("sum up payments: %w", err)
	}
	doc := listDocument[store.PaymentDayDocument]{Items: make([]store.PaymentDayDocument, len(days))}
	for i, d := range days {
		doc.Items[i] = store.NewPaymentDayDocument(d)
	}
	return answerJSON(c, http.StatusOK, doc)
}
