package simulator

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/shopspring/decimal"
)

// ordersPath is where Mercado Pago's orders are.
const ordersPath = "/v1/orders/"

// orderTime is how an order's last change is written, and the date of its
// notifications: to the nanosecond.
const orderTime = "2006-01-02T15:04:05.000000000Z"

// orderShape is how Mercado Pago's orders look, whichever their type. The
// notification of a chargeback is filed under the chargebacks' topic.
var orderShape = resourceShape{
	path: ordersPath, topic: "order", disputed: "topic_chargebacks_wh",
	id: orderID, answer: describeOrder, notification: orderNotification,
}

// orderTypes are the values of type.
var orderTypes = map[ResourceKind]string{OnlineOrder: "online", QROrder: "qr", PointOrder: "point"}

// orderID is the id of the order that holds a payment: nothing of the payment's
// stands in it. One of a test says so.
func orderID(s *Simulator, p *payment) string {
	const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	chance := draws(s.cfg.Seed, forOrderID, p.seq)
	code := make([]byte, 24)
	for i := range code {
		code[i] = alphabet[chance.IntN(len(alphabet))]
	}
	if p.liveMode {
		return "ORD01" + string(code)
	}
	return "ORDTST01" + string(code)
}

// orderLooks are what orders leave out, or write one way or another.
type orderLooks struct {
	country        string // country_code
	noCurrency     bool   // it follows from the country
	numericUser    bool   // user_id is a number
	discounted     bool   // the buyer paid less, and the order is paid all the same
	refundedAmount bool   // a payment says what was refunded, beside the list of refunds
	twoLs          bool   // cancelled, not canceled
	checkoutPro    bool   // given back in full it stays processed
	transfer       bool   // waits for a transfer and not for a payment
}

// countryCodes are what orders of a currency call their country.
var countryCodes = map[string][]string{
	"ARS": {"AR", "ARG", "MLA"}, "BRL": {"BR", "BRA", "MLB"}, "MXN": {"MX", "MEX", "MLM"}, "CLP": {"CL", "CHL", "MLC"},
	"COP": {"CO", "COL", "MCO"}, "PEN": {"PE", "PER", "MPE"}, "UYU": {"UY", "URY", "MLU"},
}

// orderLooksOf draws how the order of a payment looks.
func (s *Simulator) orderLooksOf(p *payment) orderLooks {
	chance := draws(s.cfg.Seed, forOrderLooks, p.seq)
	flag := func(of int) bool { return chance.IntN(of) == 0 }
	l := orderLooks{
		noCurrency: flag(4), numericUser: flag(2), discounted: flag(8), refundedAmount: flag(2),
		twoLs: flag(2), checkoutPro: flag(2), transfer: flag(2), country: "ARG",
	}
	codes, known := countryCodes[p.current.Load().state.Currency]
	if known {
		l.country = codes[chance.IntN(len(codes))]
	}
	l.noCurrency = l.noCurrency && known
	return l
}

// An orderWord is a status and its detail.
type orderWord struct{ status, detail string }

// orderWords are what an order says, and what it says of the payment in it where
// that differs. A status that Mercado Pago doesn't document stands as it is.
func orderWords(kind ResourceKind, l orderLooks, state PaymentState) (order, payment orderWord) {
	same := func(status, detail string) (orderWord, orderWord) {
		return orderWord{status, detail}, orderWord{status, detail}
	}
	switch state.Status {
	case Pending:
		switch {
		case kind == PointOrder:
			return same("at_terminal", "at_terminal")
		case kind == QROrder:
			return same("created", "created")
		case l.transfer:
			return same("action_required", "waiting_transfer")
		}
		return same("action_required", "waiting_payment")
	case InProcess:
		if state.StatusDetail == "pending_review_manual" {
			return same("processing", "pending_review_manual")
		}
		return same("processing", "in_process")
	case Authorized:
		return same("action_required", "waiting_capture")
	case Approved, InMediation: // a mediation doesn't show here
		if state.Refunded.IsPositive() {
			return same("processed", "partially_refunded")
		}
		if kind == QROrder {
			return orderWord{"processed", "processed"}, orderWord{"processed", "accredited"}
		}
		return same("processed", "accredited")
	case Rejected:
		return same("failed", "rejected_by_issuer")
	case Cancelled:
		switch {
		case state.StatusDetail == "expired":
			return same("expired", "expired")
		case l.twoLs:
			return orderWord{"cancelled", "cancelled"}, orderWord{"cancelled", "canceled_transaction"}
		}
		return orderWord{"canceled", "canceled"}, orderWord{"canceled", "canceled_transaction"}
	case Refunded:
		if l.checkoutPro && kind == OnlineOrder {
			return same("processed", "refunded")
		}
		return same("refunded", "refunded")
	case ChargedBack:
		return same("charged_back", cmp.Or(state.StatusDetail, "in_process"))
	}
	return same(state.Status, state.StatusDetail)
}

// An orderView is a Mercado Pago order with its payment in one state.
type orderView struct {
	r           *resource
	snap        *snapshot
	looks       orderLooks
	word, inner orderWord
	// price is what the order asks for, and paid what the buyer paid.
	price, paid string
}

// viewOf is an order as it is now.
func (s *Simulator) viewOf(r *resource) orderView {
	v := orderView{r: r, snap: r.payment.current.Load(), looks: s.orderLooksOf(r.payment)}
	state := v.snap.state
	v.word, v.inner = orderWords(r.kind, v.looks, state)
	v.price = orderAmount(state.Amount, state.Currency)
	v.paid = v.price
	if v.looks.discounted {
		v.paid = orderAmount(state.Amount.Mul(decimal.New(95, -2)).Truncate(scaleOf(state.Currency)), state.Currency)
	}
	return v
}

// orderAmount writes an amount as text, with the digits of its currency at least.
func orderAmount(amount decimal.Decimal, currency string) string {
	return amount.StringFixed(max(scaleOf(currency), -amount.Exponent()))
}

// id is the id of something in the order, by what ids of its kind begin with.
func (v orderView) id(beginning string) string { return beginning + strings.TrimPrefix(v.r.id, "ORD") }

// reference is what the order says of the payment in /v1/payments: its id, or a
// code that leads nowhere.
func (v orderView) reference() string {
	if v.r.kind == OnlineOrder {
		return fmt.Sprintf("000k%06s", strconv.FormatUint(v.r.payment.seq, 36))
	}
	return strconv.FormatInt(v.r.payment.id, 10)
}

// describe is the order as the API prints it: amounts are text, and there is no
// live_mode. A row of a search lacks refunds and chargebacks.
func (v orderView) describe(row bool) object {
	p, state := v.r.payment, v.snap.state
	entry := object{
		"id": v.id("PAY"), "reference_id": v.reference(), "amount": v.price, "status": v.inner.status, "status_detail": v.inner.detail,
		"payment_method": object{"id": "master", "type": "credit_card", "installments": 1},
	}
	transactions := object{}
	all := object{
		"id": v.r.id, "type": orderTypes[v.r.kind], "processing_mode": "automatic", "capture_mode": "automatic_async",
		"external_reference": p.reference, "country_code": v.looks.country, "user_id": numberOrText(v.looks.numericUser, p.collectorID),
		"total_amount": v.price, "status": v.word.status, "status_detail": v.word.detail,
		"created_date":      p.createdAt.UTC().Format("2006-01-02T15:04:05.000Z"),
		"last_updated_date": state.DateLastUpdated.UTC().Format(orderTime),
		"integration_data":  object{"application_id": applicationID},
		"transactions":      transactions,
	}
	if !v.looks.noCurrency {
		all["currency"] = state.Currency
	}
	if !v.snap.approvedAt.IsZero() {
		entry["paid_amount"], all["total_paid_amount"] = v.paid, v.paid
	}
	if !row {
		v.describeReturns(entry, transactions)
	}
	transactions["payments"] = []object{entry}
	return all
}

// describeReturns adds the money that went back.
func (v orderView) describeReturns(entry, transactions object) {
	state := v.snap.state
	if v.looks.refundedAmount && state.Refunded.IsPositive() {
		entry["refunded_amount"] = orderAmount(state.Refunded, state.Currency)
	}
	var refunds []object
	for i, r := range v.snap.refunds {
		refunds = append(refunds, object{
			"id": v.id("REF") + strconv.Itoa(i), "transaction_id": entry["id"], "reference_id": "01" + v.r.id + strconv.Itoa(i),
			"amount": orderAmount(r.amount, state.Currency), "status": "processed",
		})
	}
	if refunds != nil {
		transactions["refunds"] = refunds
	}
	if state.Status == ChargedBack {
		transactions["chargebacks"] = []object{{
			"id": v.id("CBK"), "transaction_id": entry["id"], "case_id": strconv.FormatUint(120_000_000+v.r.payment.seq, 10),
			"status": v.inner.detail, "references": []object{},
		}}
	}
}

// describeOrder answers GET /v1/orders/{id}.
func describeOrder(s *Simulator, r *resource) object { return s.viewOf(r).describe(false) }

// orderNotification has a copy of the order under other names than the answer's.
func orderNotification(s *Simulator, r *resource) object {
	v := s.viewOf(r)
	answer := v.describe(false)
	version := 0
	for snap := v.snap; snap != nil; snap = snap.previous {
		version++
	}
	entry := object{
		"id": v.id("PAY"), "amount": v.price, "status": v.inner.status, "status_detail": v.inner.detail,
		"reference": object{"id": v.reference()},
	}
	return object{
		"action": "order." + strings.Replace(v.word.status, "cancelled", "canceled", 1), "type": "order",
		"application_id": applicationID, "user_id": strconv.FormatInt(r.payment.collectorID, 10),
		"date_created": s.now().UTC().Format(orderTime), "live_mode": r.payment.liveMode,
		"data": object{
			"id": r.id, "type": answer["type"], "status": v.word.status, "status_detail": v.word.detail,
			"total_amount": v.price, "currency_id": v.snap.state.Currency, "external_reference": r.payment.reference,
			"transactions": object{"payments": []object{entry}}, "version": version,
		},
	}
}

// applicationID is the merchant's application.
const applicationID = "8100200300400"

// signOrder is the signature of a notification about an order: over its id as the
// query has it, or in lower case. The documentation says the one, the official SDKs
// the other. With test credentials it is neither.
func (s *Simulator) signOrder(chance *rand.Rand, id, requestID, ts string) string {
	secret := s.cfg.Secret
	if s.cfg.TestCredentials {
		secret = "another " + secret
	}
	if chance.IntN(2) == 0 {
		id = strings.ToLower(id)
	}
	return Sign(secret, id, requestID, ts)
}
