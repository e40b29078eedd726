package main

import (
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

func TestShowOrder_NamesWhatOnlyAMercadoPagoOrderHasShown(t *testing.T) {
	t.Parallel()
	o := store.Order{Reference: "A-1", Terms: order.Terms{Amount: decimal.RequireFromString("150"), Currency: "ARS"}}
	for alias, status := range map[string]order.PaymentStatus{"PAY01": order.PaymentApproved, "PAY02": ""} {
		o.ProvisionalPayments = []store.ProvisionalPayment{{ProviderOrderID: "ORD01", Said: "processed/accredited", Alias: order.Alias{
			Payment: order.Payment{ID: alias, Status: status, Amount: decimal.NewNullDecimal(decimal.RequireFromString("150")), Currency: "ARS"},
		}}}
		r := newPrintout()
		showOrder(r, store.NewOrderDocument(o), nil)
		counts := string(status)
		if counts == "" {
			counts = "-"
		}
		require.Regexp(t, `(?m)^`+alias+` +ORD01 +processed/accredited +`+counts+` +150\.00 +0\.00 +ARS$`, string(r.bytes()))
	}
}

func TestShowOrder_NamesTheReleaseAndThePayout(t *testing.T) {
	t.Parallel()
	released, payout := time.Date(2026, 3, 13, 9, 0, 0, 0, time.UTC), "70012345"
	paidOut := released.Add(24 * time.Hour)
	o := store.Order{Reference: "A-1", Terms: order.Terms{Amount: decimal.RequireFromString("150"), Currency: "ARS"}}
	o.Payments = []store.OrderPayment{{
		Payment: order.Payment{ID: "101", Status: order.PaymentApproved, Currency: "ARS"},
		Releases: []store.PaymentRelease{
			{ReleasedAt: released, Amount: decimal.RequireFromString("92.31"), PayoutID: &payout, PaidOutAt: &paidOut},
			{ReleasedAt: paidOut, Amount: decimal.RequireFromString("0.69")},
		},
	}}
	r := newPrintout()
	showOrder(r, store.NewOrderDocument(o), nil)
	require.Contains(t, string(r.bytes()), "releases of payment 101\n")
	require.Regexp(t, `(?m)^2026-03-13T09:00:00Z +92\.31 +ARS +70012345 +2026-03-14T09:00:00Z$`, string(r.bytes()))
	require.Regexp(t, `(?m)^2026-03-14T09:00:00Z +0\.69 +ARS +- +-$`, string(r.bytes()))
}

func TestShowOrder_SaysTheVerdictAndWhatToDo(t *testing.T) {
	t.Parallel()
	o := store.Order{Reference: "A-1", Terms: order.Terms{Amount: decimal.RequireFromString("150"), Currency: "ARS"}}
	doc, err := newJudgedOrder(store.OrderFacts{Order: &o, Rules: order.Rules{Mode: order.ModeAny}, Provider: store.ProviderState{Circuit: store.CircuitClosed}, Payments: []store.OrderPayment{{Payment: order.Payment{
		ID: "101", Status: order.PaymentApproved, Amount: decimal.NewNullDecimal(decimal.RequireFromString("200")), Currency: "ARS",
	}}}})
	require.NoError(t, err)
	r := newPrintout()
	showOrder(r, doc.OrderDocument, doc.Verdict)
	require.Regexp(t, `(?m)^verdict +Paid, and ARS 50\.00 too much\.$`, string(r.bytes()))
	require.Regexp(t, `(?m)^to do +Refund ARS 50\.00 of it in Mercado Pago\.$`, string(r.bytes()))
}
