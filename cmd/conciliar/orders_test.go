package main

import (
	"testing"

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
		showOrder(r, store.NewOrderDocument(o))
		counts := string(status)
		if counts == "" {
			counts = "-"
		}
		require.Regexp(t, `(?m)^`+alias+` +ORD01 +processed/accredited +`+counts+` +150\.00 +0\.00 +ARS$`, string(r.bytes()))
	}
}
