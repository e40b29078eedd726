package simulator

import (
	"fmt"
	"strconv"
	"time"
)

// ordersPath is where Mercado Pago's orders are.
const ordersPath = "/v1/orders/"

// orderID is the id of the order that holds a payment. One of a test says so.
func orderID(_ *Simulator, p *payment) string {
	if !p.liveMode {
		return fmt.Sprintf("ORDTST01%021d", p.id)
	}
	return fmt.Sprintf("ORD01%024d", p.id)
}

// An orderWord is the status and the detail of an order, by its payment's.
type orderWord struct{ status, detail string }

var orderWords = map[string]orderWord{
	Pending:     {"action_required", "waiting_payment"},
	InProcess:   {"processing", "in_process"},
	Authorized:  {"action_required", "waiting_capture"},
	Approved:    {"processed", "accredited"},
	InMediation: {"processed", "accredited"},
	Rejected:    {"failed", "failed"},
	Cancelled:   {"canceled", "canceled"},
	Refunded:    {"refunded", "refunded"},
	ChargedBack: {"charged_back", "in_process"},
}

// orderWordOf is what an order says of a payment in that state.
func orderWordOf(state PaymentState) orderWord {
	word := orderWords[state.Status]
	switch {
	case state.Status == Approved && state.Refunded.IsPositive():
		word.detail = "partially_refunded"
	case state.Status == ChargedBack && state.StatusDetail != "":
		word.detail = state.StatusDetail
	}
	return word
}

// describeOrder is an order as the API prints it: amounts are text, and there is no
// live_mode.
func describeOrder(_ *Simulator, r *resource) object {
	state := r.payment.current.Load().state
	word := orderWordOf(state)
	kind, reference := "online", "000k"+strconv.FormatUint(1_000_000+r.payment.seq, 36)
	if r.kind == QROrder {
		kind, reference = "qr", strconv.FormatInt(r.payment.id, 10)
	}
	price := state.Amount.String()
	return object{
		"id": r.id, "type": kind, "external_reference": r.payment.reference, "country_code": "ARG",
		"user_id": strconv.FormatInt(r.payment.collectorID, 10), "currency": state.Currency,
		"total_amount": price, "total_paid_amount": price, "status": word.status, "status_detail": word.detail,
		"created_date":      r.payment.createdAt.UTC().Format(time.RFC3339Nano),
		"last_updated_date": state.DateLastUpdated.UTC().Format("2006-01-02T15:04:05.000000000Z"),
		"transactions": object{"payments": []object{{
			"id": "PAY" + r.id[len("ORD"):], "reference_id": reference, "amount": price, "paid_amount": price,
			"refunded_amount": state.Refunded.String(), "status": word.status, "status_detail": word.detail,
			"payment_method": object{"id": "master", "type": "credit_card", "installments": 1},
		}}},
	}
}

// orderNotification has a copy of the order under other names than the answer's.
func orderNotification(s *Simulator, r *resource) object {
	answer := describeOrder(s, r)
	return object{
		"action": "order." + fmt.Sprint(answer["status"]), "type": "order",
		"data": object{
			"id": r.id, "type": answer["type"], "status": answer["status"], "status_detail": answer["status_detail"],
			"total_amount": answer["total_amount"], "currency_id": answer["currency"],
			"external_reference": answer["external_reference"], "version": 1,
		},
	}
}
