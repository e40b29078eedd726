package dashboard

import (
	"net/http"
	"net/url"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// payments shows the payment whose id was asked for, or lists payments, the one that
// changed last or, where days are asked for, was made last first.
func (d *dashboard) payments(c *call) error {
	f := c.filters()
	filter := paymentFilter(f)
	if id := f.text("payment"); id != "" && f.err == nil {
		return d.payment(c, filter.Source, id)
	}
	at := store.PageOf[store.PaymentPlace]{Limit: pageRows, Before: placeOf(f.query, filter.ParsePaymentPlace)}
	found, err := read(c, f, d.deps.Storage.Payments, filter, at)
	if err != nil {
		return err
	}
	caption := "payments.caption"
	if filter.ByMade() {
		caption = "payments.caption_made"
	}
	v := f.listed("/dashboard/payments", tableOf(caption, "payments.none", found.Items, paymentColumns...).unseen(), placeText(found.Next))
	v.Export = store.ExportPayments
	v.Beside = act{Label: "payments.by_day", Path: Base + "/payments/days"}
	return d.show(c, "list", &page{Title: "nav.payments", Nav: "payments", Refresh: v.First, Body: v})
}

// paymentTypes are the kinds of means that the reader can narrow the list to. What a
// provider calls others is taken as well, from an address.
var paymentTypes = []string{
	"credit_card", "debit_card", "prepaid_card", "voucher_card", "account_money", "bank_transfer", "ticket", "atm",
	"digital_currency", "digital_wallet", "crypto_transfer",
}

// Method is what a payment was made with in words; empty where that is not known.
func (r *reader) Method(m store.PaymentMethod) string {
	kind, means := r.Word("payment_type", m.Type), r.Word("payment_method", m.ID)
	switch {
	case m.Type == "" || kind == means:
		return means
	case m.ID == "":
		return kind
	}
	return kind + " · " + means
}

// paymentFilter reads what the list of payments is narrowed to.
func paymentFilter(f *filters) store.PaymentFilter {
	filter := store.PaymentFilter{Status: choice(f, "status", "field.state", "payment_status", order.PaymentStatuses()), Currency: f.currency(), LatestFirst: true}
	filter.Type = f.suggested("payment_type", "field.method", "payment_type", paymentTypes)
	filter.Method = f.typed("payment_method", "payments.method", 10)
	filter.MadeSince, _ = f.on("made_since", "payments.made_since")
	_, filter.MadeUntil = f.on("made_until", "payments.made_until")
	filter.ChangedSince, _ = f.on("changed_since", "orders.changed_since")
	_, filter.ChangedUntil = f.on("changed_until", "orders.changed_until")
	filter.AmountFrom, filter.AmountTo = f.amount("amount_from", "orders.amount_from"), f.amount("amount_to", "orders.amount_to")
	filter.Order = f.typed("order", "field.order", 16)
	filter.Payer = f.payer()
	filter.CollectorID, filter.Source = f.typed("collector_id", "field.collector", 12), f.typed("source", "field.source", 12)
	return filter
}

// paymentColumns are the list of payments.
var paymentColumns = []column[store.PaymentSummary]{
	{"field.payment", partTitle, func(p store.PaymentSummary) cell { return plainCell(p.ID).leading(paymentPath(p.ID)) }},
	{"field.state", partState, func(p store.PaymentSummary) cell {
		return badgeCell("payment_status", p.Status).over(wordCell("status_detail", p.StatusDetail))
	}},
	{"field.amount", partNumber, func(p store.PaymentSummary) cell {
		amount := moneyCell(p.Amount, p.Currency)
		if p.Refunded.IsPositive() {
			amount = amount.over(moneyCell(p.Refunded, p.Currency).after("field.refunded"))
		}
		return amount
	}},
	{"field.net", partNumber, func(p store.PaymentSummary) cell { return moneyCell(p.Cost.Net, p.Currency) }},
	{"field.method", partMinor, func(p store.PaymentSummary) cell {
		return wordCell("payment_type", p.Method.Type).over(wordCell("payment_method", p.Method.ID))
	}},
	{"field.order", "", func(p store.PaymentSummary) cell { return linkCell(p.Reference, orderPath) }},
	{"field.made", partMinor, func(p store.PaymentSummary) cell { return timeCell(p.CreatedAt) }},
	{"field.changed", "", func(p store.PaymentSummary) cell { return timeCell(p.WrittenAt) }},
}

// paymentView is the body of a payment's page.
type paymentView struct {
	store.PaymentDetail

	Story []episode
	// Order is the reference that the payment names; empty when it names none.
	Order string
	// Refunds were asked for of it, newest first, and Refundable is what can be given
	// back; nothing where nobody may refund.
	Refunds    []store.Refund
	Refundable []store.Refundable
}

// RefundPath leads to where a refund is asked for.
func (v paymentView) RefundPath() string { return orderPath(v.Order) + "#refund-" + v.ID }

// payment shows one payment. Where it was never read, its events say why.
func (d *dashboard) payment(c *call, source, id string) error {
	detail, err := d.deps.Storage.PaymentDetail(c.ctx, source, id)
	if err != nil {
		return err
	}
	v := paymentView{Story: storyOf(store.OrderFacts{Events: detail.Events, Anomalies: detail.Anomalies}, detail.Logs)}
	status := http.StatusNotFound
	if detail.Payment != nil {
		status, v.Order = http.StatusOK, detail.Payment.Reference
		if c.hidesPayerData() {
			bare := detail.Payment.WithoutContent()
			detail.Payment = &bare
		}
	}
	v.PaymentDetail = detail
	if d.deps.Refunds && detail.Payment != nil {
		if err := d.readRefunds(c, &v); err != nil {
			return err
		}
	}
	return d.showStatus(c, status, "payment", &page{Title: "nav.payments", Name: id, Nav: "payments", Refresh: true, Body: v})
}

// paymentRefunds is how many refunds a payment's page shows.
const paymentRefunds = 50

func (d *dashboard) readRefunds(c *call, v *paymentView) error {
	found, err := d.deps.Storage.Refunds(c.ctx, store.RefundFilter{PaymentID: v.ID}, store.Page{Limit: paymentRefunds})
	if err != nil {
		return err
	}
	v.Refunds = found.Items
	if v.Order != "" {
		_, v.Refundable, err = d.deps.Storage.OrderRefunds(c.ctx, v.Order, []store.OrderPayment{v.Payment.OrderPayment})
	}
	return err
}

// PaymentLink leads to a payment.
func (p *page) PaymentLink(id string) string { return paymentPath(id) }

// paymentPath is a payment's page. Its id is the provider's and may hold anything.
func paymentPath(id string) string {
	return Base + "/payments?" + url.Values{"payment": {id}}.Encode()
}

// PayerLink leads to the payments of a payer.
func (p *page) PayerLink(payer store.PayerKey) string { return payerPath(payer) }

func payerPath(payer store.PayerKey) string {
	return Base + "/payments?" + url.Values{"payer": {string(payer)}}.Encode()
}
