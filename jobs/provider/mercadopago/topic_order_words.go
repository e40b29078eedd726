package mercadopago

import (
	"slices"
	"strings"

	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/jobs/provider"
)

// orderWords are a status and its detail in an order (the status pages of Orders).
type orderWords struct{ status, detail string }

func readOrderWords(fields object) orderWords {
	read := func(name string) string { return strings.ToLower(storable(fields.text(name), maxStatus)) }
	return orderWords{read("status"), read("status_detail")}
}

func (w orderWords) String() string {
	if w.detail == "" {
		return w.status
	}
	return w.status + "/" + w.detail
}

// Words that are looked at by name.
const (
	orderProcessed         = "processed"
	orderRefunded          = "refunded"
	orderChargedBack       = "charged_back"
	orderPartiallyRefunded = "partially_refunded"
)

// moneylessOrderStatuses are the statuses of an order's payment in which there may
// be no payment that a search shows.
var moneylessOrderStatuses = []string{
	"created", "action_required", "processing", "at_terminal", "failed", "canceled", "cancelled", "expired",
}

// orderStatuses are the payments' statuses that the words of orders amount to. A
// status stands for each detail that is not named beside it. What is not here settles
// nothing: charged_back/reimbursed is read both ways, back to the seller and back to
// the buyer.
var orderStatuses = map[orderWords]string{
	{orderProcessed, "accredited"}:           "approved",
	{orderProcessed, orderProcessed}:         "approved",
	{orderProcessed, orderPartiallyRefunded}: "approved",
	{orderProcessed, orderRefunded}:          "refunded",
	{orderRefunded, orderRefunded}:           "refunded",
	{orderRefunded, ""}:                      "refunded",
	{orderChargedBack, "in_process"}:         "charged_back",
	{orderChargedBack, "settled"}:            "charged_back",
	{"action_required", "waiting_capture"}:   "authorized",
	{"action_required", ""}:                  "pending",
	{"created", ""}:                          "pending",
	{"at_terminal", ""}:                      "pending",
	{"processing", ""}:                       "in_process",
	{"failed", ""}:                           "rejected",
	{"canceled", ""}:                         "cancelled",
	{"cancelled", ""}:                        "cancelled",
	{"expired", ""}:                          "cancelled",
}

// amountTo is the payment's status that the words amount to; empty where they settle
// nothing.
func (w orderWords) amountTo() string {
	if status, ok := orderStatuses[w]; ok {
		return status
	}
	if slices.Contains(moneylessOrderStatuses, w.status) {
		return orderStatuses[orderWords{w.status, ""}]
	}
	return ""
}

// judge says what the words on a payment amount to, and what of it went back. What the
// order says of itself counts for the only payment in it, where that goes further than
// what it says of the payment.
func (o *mercadoPagoOrder) judge(p *orderPayment, transactions object) {
	words := p.words
	paid := orderStatuses[words] == "approved" && words.detail != orderPartiallyRefunded
	returned := slices.Contains([]string{orderRefunded, orderChargedBack}, o.words.status) ||
		slices.Contains([]string{orderRefunded, orderPartiallyRefunded}, o.words.detail)
	if len(o.payments) == 1 && paid && returned {
		words = o.words
	}
	p.status = words.amountTo()
	if p.words.detail == "" && p.words.status == o.words.status && len(o.payments) == 1 {
		p.status = o.words.amountTo()
		words = o.words
	}
	refunds, readable := refundsOf(p, transactions, len(o.payments) == 1)
	if refunds.GreaterThan(p.refunded.Decimal) {
		p.refunded = decimal.NewNullDecimal(refunds)
	}
	unsaid := words.detail == orderPartiallyRefunded && !p.refunded.Decimal.IsPositive()
	if p.status == "approved" && (!readable || unsaid) || paymentStatuses[p.status] && (o.currency == "" || !p.amount.Valid) {
		p.status = ""
	}
}

// refundsOf adds up the refunds of a payment that were made. It is not readable where
// one of them isn't.
func refundsOf(p *orderPayment, transactions object, only bool) (sum decimal.Decimal, readable bool) {
	entries, err := transactions.list("refunds")
	readable = err == nil
	for _, entry := range entries {
		refund, err := readObject(entry)
		if err != nil {
			readable = false
			continue
		}
		of := refund.id("transaction_id")
		if of != p.id && !(of == "" && only) || !strings.EqualFold(refund.text("status"), orderProcessed) {
			continue
		}
		amount, err := readAmount(refund, "amount")
		if err != nil {
			readable = false
			continue
		}
		sum = sum.Add(amount)
	}
	return sum, readable
}

// ordered are the order's payments in our words, those without an id aside.
func (o *mercadoPagoOrder) ordered() []provider.OrderedPayment {
	var ordered []provider.OrderedPayment
	for _, p := range o.payments {
		if p.id == "" || o.reference == "" {
			continue
		}
		ordered = append(ordered, provider.OrderedPayment{
			ID: p.id, Order: provider.Ref{Topic: topicOrder, ID: o.id}, PaymentID: p.number, Reference: o.reference, Status: p.status, Said: p.words.String(),
			Amount: p.amount, Refunded: p.refunded.Decimal, Currency: o.currency, CollectorID: o.collectorID,
			// There is no live_mode: the ids of test orders tell.
			LiveMode: !strings.HasPrefix(o.id, "ORDTST"),
			Shown:    p.shown || p.number != "", Awaited: p.expected && p.number == "",
			OrderCreatedAt: o.created, OrderUpdatedAt: o.updated,
		})
	}
	return ordered
}
