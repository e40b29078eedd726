package dashboard

import (
	"slices"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// told is an order of 100 ARS as the fold of its payments has it.
func told(t *testing.T, rules order.Rules, payments ...order.Payment) store.Order {
	t.Helper()
	terms := order.Terms{Amount: decimal.NewFromInt(100), Currency: "ARS"}
	settled, err := order.Settle(terms, rules, payments)
	require.NoError(t, err)
	o := store.Order{Reference: "o-1", Status: settled.Status, Terms: terms, Paid: settled.Paid, Refunded: settled.Refunded}
	for _, p := range payments {
		o.Payments = append(o.Payments, store.OrderPayment{Source: "mercadopago", Payment: p})
	}
	for _, a := range settled.Anomalies {
		o.Anomalies = append(o.Anomalies, store.Anomaly{Kind: a.Kind, Reference: "o-1", PaymentID: a.PaymentID})
	}
	return o
}

// flagged is the order with one more anomaly.
func flagged(o store.Order, kind order.AnomalyKind) store.Order {
	o.Anomalies = append(o.Anomalies, store.Anomaly{Kind: kind, Reference: o.Reference})
	return o
}

func paying(id string, status order.PaymentStatus, amount int64, change ...func(*order.Payment)) order.Payment {
	p := order.Payment{
		ID: id, Status: status, Amount: decimal.NewNullDecimal(decimal.NewFromInt(amount)), Currency: "ARS", CollectorID: "1", LiveMode: true,
		UpdatedAt: time.Date(2026, 3, 1, 0, len(id), 0, 0, time.UTC),
	}
	for _, c := range change {
		c(&p)
	}
	return p
}

// whyCases are orders with the codes of what is said about them.
func whyCases(t *testing.T) map[string]struct {
	order  store.Order
	events []store.Event
	want   []string
} {
	t.Helper()
	type whyCase = struct {
		order  store.Order
		events []store.Event
		want   []string
	}
	anyone := order.Rules{Mode: order.ModeAny}
	ours := order.Rules{CollectorID: "1", Mode: order.ModeLive}
	open, dismissed := store.DeadLetterOpen, store.DeadLetterDismissed
	event := func(id int64, payment, status string, letter *string) store.Event {
		return store.Event{QueueID: id, ResourceID: payment, Status: status, DeadLetterState: letter}
	}
	died := func(failure string) store.Event {
		e := event(7, "1", store.StatusDeadLetter, &open)
		e.LastError = &failure
		return e
	}
	cases := map[string]whyCase{
		"nobody paid": {told(t, anyone), nil, []string{"order_without_payment"}},
		"paid":        {told(t, anyone, paying("1", order.PaymentApproved, 100)), nil, []string{"order_paid", "payment_approved"}},
		"underpaid": {
			told(t, anyone, paying("1", order.PaymentApproved, 40)), nil,
			[]string{"order_partially_paid", "payment_approved", "underpaid"},
		},
		"overpaid": {told(t, anyone, paying("1", order.PaymentApproved, 140)), nil, []string{"order_paid", "payment_approved", "overpaid"}},
		"paid twice": {
			told(t, anyone, paying("1", order.PaymentApproved, 100), paying("22", order.PaymentApproved, 100)), nil,
			[]string{"order_paid", "payment_approved", "payment_approved", "duplicate_payment"},
		},
		"paid, and another payment disputed": {
			told(t, anyone, paying("1", order.PaymentApproved, 100), paying("22", order.PaymentChargedBack, 100)), nil,
			[]string{"order_paid", "payment_approved", "payment_charged_back", "disputed_payment"},
		},
		"paid after the shop cancelled it": {
			flagged(told(t, anyone, paying("1", order.PaymentApproved, 100)), order.AnomalyPaidAfterCancel), nil,
			[]string{"order_paid", "payment_approved", "paid_after_cancel"},
		},
		"its payment moved": {
			flagged(told(t, anyone), order.AnomalyPaymentMoved), nil,
			[]string{"order_without_payment", "payment_moved"},
		},
		"rejected without an amount": {
			told(t, anyone, paying("1", order.PaymentRejected, 0, func(p *order.Payment) { p.Amount, p.Currency = decimal.NullDecimal{}, "" })), nil,
			[]string{"order_rejected", "payment_rejected"},
		},
		"rejected, then pending": {
			told(t, anyone, paying("1", order.PaymentRejected, 100), paying("22", order.PaymentPending, 100)), nil,
			[]string{"order_pending", "payment_rejected", "payment_pending"},
		},
		"part refunded": {
			told(t, anyone, paying("1", order.PaymentApproved, 100, func(p *order.Payment) { p.Refunded = decimal.NewFromInt(30) })), nil,
			[]string{"order_partially_refunded", "payment_part_refunded"},
		},
		"chargeback that was won": {
			told(t, anyone, paying("1", order.PaymentChargedBack, 100, func(p *order.Payment) { p.StatusDetail = "reimbursed" })), nil,
			[]string{"order_paid", "payment_reimbursed"},
		},
		"another currency": {
			told(t, anyone, paying("1", order.PaymentApproved, 100, func(p *order.Payment) { p.Currency = "BRL" })), nil,
			[]string{"order_pending", "payment_currency_mismatch"},
		},
		"another account": {
			told(t, ours, paying("1", order.PaymentApproved, 100, func(p *order.Payment) { p.CollectorID = "2" })), nil,
			[]string{"order_pending", "payment_foreign_collector"},
		},
		"a test": {
			told(t, ours, paying("1", order.PaymentApproved, 100, func(p *order.Payment) { p.LiveMode = false })), nil,
			[]string{"order_pending", "payment_wrong_mode"},
		},
		"a check of a card": {
			told(t, anyone, paying("1", order.PaymentApproved, 100, func(p *order.Payment) { p.Validation = true })), nil,
			[]string{"order_pending", "payment_moneyless"},
		},
		"events under way": {
			told(t, anyone),
			[]store.Event{
				event(9, "4", store.StatusProcessing, nil), event(8, "3", store.StatusHeld, nil), event(7, "2", store.StatusFailed, nil),
				event(6, "1", store.StatusPending, nil),
			},
			[]string{"order_without_payment", "event_waiting", "event_held", "event_retrying", "event_waiting"},
		},
		"events that name its payments": {
			told(t, anyone),
			[]store.Event{
				{QueueID: 9, ResourceID: "2170", Work: store.WorkFollow, Status: store.StatusFailed},
				{QueueID: 8, ResourceID: "52", Work: store.WorkFollow, Status: store.StatusDeadLetter, DeadLetterState: &open},
			},
			[]string{"order_without_payment", "named_waiting", "named_dead"},
		},
		"an event that died": {
			told(t, anyone), []store.Event{event(7, "1", store.StatusDeadLetter, &open)},
			[]string{"order_without_payment", "event_dead"},
		},
		"an event about a payment that can't be booked": {
			told(t, anyone), []store.Event{died("odd_payment: payment: transaction_amount is missing")},
			[]string{"order_without_payment", "event_odd"},
		},
		"an event about a payment with a status of tomorrow": {
			told(t, anyone), []store.Event{died("unknown_status: payment 1: unknown payment status")},
			[]string{"order_without_payment", "event_odd"},
		},
		"a death that somebody dealt with": {
			told(t, anyone), []store.Event{event(7, "1", store.StatusDeadLetter, &dismissed)}, []string{"order_without_payment"},
		},
		"a death that a later event made good": {
			told(t, anyone, paying("1", order.PaymentApproved, 100)),
			[]store.Event{event(8, "1", store.StatusCompleted, nil), event(7, "1", store.StatusDeadLetter, &open)},
			[]string{"order_paid", "payment_approved"},
		},
	}
	disputed := told(t, anyone, paying("1", order.PaymentChargedBack, 100))
	disputed.Chargebacks = []store.Chargeback{
		{ID: "2170", PaymentIDs: []string{"1"}, DocumentsWanted: true, DocumentationDeadline: time.Date(2026, 3, 9, 4, 0, 0, 0, time.UTC)},
		{ID: "2171", PaymentIDs: []string{"1"}, DocumentsWanted: true}, {ID: "2172", PaymentIDs: []string{"1"}},
	}
	disputed.Claims = []store.Claim{{ID: "52", PaymentID: "1"}, {ID: "53", OrderID: "31"}, {ID: "54", PaymentID: "1", Closed: true}}
	cases["disputed"] = whyCase{disputed, nil, []string{
		"order_charged_back", "payment_charged_back", "chargeback_documents", "chargeback_documents_undated", "claim_about_payment", "claim_about_order",
	}}
	resolved := told(t, anyone, paying("1", order.PaymentApproved, 40))
	resolved.Anomalies = nil
	cases["underpaid, and resolved"] = whyCase{resolved, nil, []string{"order_partially_paid", "payment_approved"}}
	for status, want := range map[order.PaymentStatus]string{
		order.PaymentPending: "order_pending", order.PaymentInProcess: "order_in_process", order.PaymentAuthorized: "order_authorized",
		order.PaymentRejected: "order_rejected", order.PaymentCancelled: "order_cancelled", order.PaymentInMediation: "order_in_mediation",
		order.PaymentRefunded: "order_refunded", order.PaymentChargedBack: "order_charged_back",
	} {
		cases[string(status)] = whyCase{told(t, anyone, paying("1", status, 100)), nil, []string{want, "payment_" + string(status)}}
	}
	ordered := func(status order.PaymentStatus) store.Order {
		o := told(t, anyone)
		o.ProvisionalPayments = []store.ProvisionalPayment{{ProviderOrderID: "ORD1", Alias: order.Alias{Payment: paying("PAY1", status, 100)}}}
		return o
	}
	cases["only its Mercado Pago order has shown a payment"] = whyCase{ordered(order.PaymentPending), nil, []string{"order_pending", "provisional"}}
	cases["and in words that settle nothing"] = whyCase{ordered(""), nil, []string{"order_pending", "provisional_unclear"}}
	off := told(t, anyone)
	off.Status, off.Terms.Cancelled = order.StatusCancelled, true
	cases["cancelled by the shop"] = whyCase{off, nil, []string{"order_called_off"}}
	for _, kind := range []order.AnomalyKind{
		order.AnomalyFraudAlert, order.AnomalyAmbiguousPayment, order.AnomalyUnsettledDifference,
		order.AnomalyReleasedDiffers, order.AnomalyNotReleased, order.AnomalyReleasedUnknown,
	} {
		o := told(t, anyone, paying("1", order.PaymentApproved, 100))
		o.Anomalies = append(o.Anomalies, store.Anomaly{Kind: kind, PaymentID: "1"})
		want := []string{"order_paid", "payment_fraud_alert"}
		if kind != order.AnomalyFraudAlert {
			want = []string{"order_paid", "payment_approved", string(kind)}
		}
		cases[string(kind)] = whyCase{o, nil, want}
	}
	return cases
}

func TestWhy_AnOrderIsAsItIs(t *testing.T) {
	t.Parallel()
	for name, c := range whyCases(t) {
		var codes []string
		for _, s := range explain(c.order, c.events) {
			codes = append(codes, s.Code)
		}
		require.Equal(t, c.want, codes, name)
	}
}

func TestWhy_NamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	o := told(t, order.Rules{Mode: order.ModeAny}, paying("1", order.PaymentApproved, 40, func(p *order.Payment) { p.Refunded = decimal.NewFromInt(15) }))
	said := explain(o, nil)
	require.Equal(t, sentence{Code: "underpaid", Amount: "75", Currency: "ARS", Do: true}, said[len(said)-1])
	require.Equal(t, "15", said[1].Amount, "what of the payment went back")

	require.Equal(t, "order_unknown", explainUnknown(nil)[0].Code)
	said = explainUnknown([]store.Event{{QueueID: 4, ResourceID: "1", Status: store.StatusFailed}})
	require.Equal(t, []string{"order_unknown_paid", "event_retrying"}, []string{said[0].Code, said[1].Code})
}

// whyCodes are the codes that the cases yield, all or those with something to
// do. Every status of an order and of a payment is among the cases.
func whyCodes(t *testing.T, do bool) []string {
	t.Helper()
	var codes []string
	note := func(said []sentence) {
		for _, s := range said {
			if (!do || s.Do) && !slices.Contains(codes, s.Code) {
				codes = append(codes, s.Code)
			}
		}
	}
	for _, c := range whyCases(t) {
		note(explain(c.order, c.events))
	}
	note(explainUnknown(nil))
	note(explainUnknown([]store.Event{{}}))
	return codes
}
