package dashboard

import (
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

var errAmountAgain = &failure{status: http.StatusUnprocessableEntity, key: "amount_again"}

// refunds lists refunds, newest first.
func (d *dashboard) refunds(c *call) error {
	f := c.filters()
	filter := store.RefundFilter{
		State: choice(f, "state", "field.state", "refund_state", store.RefundStates()), OrderReference: f.typed("order", "field.order", 16),
		PaymentID: f.typed("payment", "field.payment", 16),
	}
	found, err := read(c, f, d.deps.Storage.Refunds, filter, f.page())
	if err != nil {
		return err
	}
	v := f.listed("/dashboard/refunds", tableOf("refunds.caption", "refunds.none", found.Items, refundColumns...).unseen(), idText(found.Next))
	return d.show(c, "list", &page{Title: "nav.refunds", Nav: "refunds", Refresh: v.First, Body: v})
}

// Link is the reader's, but to no page of refunds where there is none.
func (p *page) Link(family string, word any) string {
	link := p.reader.Link(family, word)
	if link == "/dashboard/refunds" && !p.Refunds {
		return ""
	}
	return link
}

// RefundTable is a list of refunds as a part of a page.
func (p *page) RefundTable(refunds []store.Refund) table {
	return tableOf("refunds.caption", "", refunds, refundColumns...).unseen()
}

var refundColumns = []column[store.Refund]{
	{"field.payment", partTitle, func(r store.Refund) cell { return linkCell(r.PaymentID, paymentPath) }},
	{"field.state", partState, func(r store.Refund) cell { return badgeCell("refund_state", r.State) }},
	{"field.amount", partNumber, func(r store.Refund) cell {
		amount := moneyCell(r.Amount, r.Currency)
		if r.Confirmed.Valid && !r.Confirmed.Decimal.Equal(r.Amount) {
			amount = amount.over(moneyCell(r.Confirmed, r.Currency).after("field.refunded"))
		}
		return amount
	}},
	{"field.cause", partCause, refundReason},
	{"field.order", "", func(r store.Refund) cell { return linkCell(r.OrderReference, orderPath) }},
	{"field.asked", "", func(r store.Refund) cell { return timeCell(r.RequestedAt).over(plainCell(r.RequestedBy)) }},
	{"field.ended", partMinor, func(r store.Refund) cell { return timeCell(r.EndedAt) }},
	{"field.note", "", func(r store.Refund) cell { return plainCell(r.Note) }},
	{"refund.key", partTopic, func(r store.Refund) cell { return plainCell(r.ID).leading(refundPath(r.ID)) }},
}

func refundPath(id string) string { return Base + "/refunds/" + url.PathEscape(id) }

// showRefund shows one refund: what was asked for, and what came of it.
func (d *dashboard) showRefund(c *call) error {
	refund, err := d.deps.Storage.Refund(c.ctx, c.PathValue("id"))
	if err != nil {
		return err
	}
	return d.show(c, "refund", &page{Title: "nav.refunds", Name: refund.ID, Nav: "refunds", Refresh: refund.Open(), Body: refund})
}

// RefundCause is why a refund failed or is not known, in words; empty where there is
// nothing to say.
func (p *page) RefundCause(r store.Refund) string {
	cause := refundReason(r)
	if cause.Of == "" {
		return ""
	}
	return p.Word(cause.Of, cause.Value)
}

// refundReason says why a refund failed, or is not known.
func refundReason(r store.Refund) cell {
	switch {
	case r.Reason == "":
		return cell{}
	case slices.Contains(refundReasons(), r.Reason):
		return wordCell("refund_reason", r.Reason).over(plainCell(r.Error))
	}
	return wordCell("error_class", r.Reason)
}

// refundReasons are those that have a word of their own beside the classes of errors.
func refundReasons() []string {
	reasons := []string{store.RefundExpired, string(provider.RefundUnderWay)}
	for _, reason := range provider.RefundReasons() {
		reasons = append(reasons, string(reason))
	}
	return reasons
}

// RefundOf is what can be given back of a payment; nil when nothing can.
func (v orderView) RefundOf(paymentID string) *store.Refundable {
	i := slices.IndexFunc(v.Refundable, func(r store.Refundable) bool { return r.PaymentID == paymentID })
	if i < 0 {
		return nil
	}
	return &v.Refundable[i]
}

// refund asks for a refund of a payment: the amount was typed twice, and is at most what
// the page showed.
func (d *dashboard) refund(c *call) error {
	note, err := c.note()
	if err != nil {
		return err
	}
	sent := c.sent()
	amount, wrong := order.ParseAmount(sent.get("amount"))
	again, wrongAgain := order.ParseAmount(sent.get("again"))
	seen, wrongSeen := order.ParseAmount(sent.get("seen"))
	id, source, paymentID, reference := sent.text("id"), sent.text("source"), sent.text("payment"), c.PostForm.Get("reference")
	switch {
	case sent.err != nil || wrongSeen != nil || !store.ValidRefundID(id) || source == "" || paymentID == "" || !store.ValidReference(reference):
		return errBadInput
	case wrong != nil:
		return errTerms
	case wrongAgain != nil || !again.Equal(amount):
		return errAmountAgain
	}
	_, err = d.deps.Storage.RequestRefund(c.ctx, store.RefundRequest{
		ID: id, Source: source, PaymentID: paymentID, Amount: amount, Seen: seen, Note: note, By: c.actor(),
	})
	switch {
	case errors.Is(err, order.ErrAmountTooFine):
		return errTooFine
	case err != nil:
		return err
	}
	return c.done(orderPath(reference), "refund_requested")
}
