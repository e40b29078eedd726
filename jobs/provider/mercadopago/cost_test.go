package mercadopago

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider"
)

// told writes a cost in one line: fee, application, financing, shipping, taxes, net.
func told(c provider.Cost) string {
	var words []string
	for _, d := range []decimal.NullDecimal{c.Fee, c.ApplicationFee, c.FinancingFee, c.ShippingFee, c.Taxes, c.Net} {
		word := "?"
		if d.Valid {
			word = d.Decimal.String()
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

func costOf(t *testing.T, fields ...string) provider.Cost {
	t.Helper()
	return decode(t, append([]string{"transaction_amount", "100.00"}, fields...)...).Cost
}

func left(amount string) string { return `{"net_received_amount":` + amount + `}` }

func charge(kind, name, from, amount string) string {
	return fmt.Sprintf(`{"type":%q,"name":%q,"accounts":{"from":%q,"to":"mp"},"amounts":{"original":%s,"refunded":0}}`, kind, name, from, amount)
}

func TestReadCost_OnlyWhatTheCollectorPays(t *testing.T) {
	t.Parallel()
	fees := `[{"type":"mercadopago_fee","fee_payer":"collector","amount":4.10},
		{"type":"financing_fee","fee_payer":"payer","amount":12.00},
		{"type":"financing_fee","fee_payer":"collector","amount":2.50},
		{"type":"application_fee","fee_payer":"collector","amount":1.00},
		{"type":"shipping_fee","fee_payer":"collector","amount":"3.00"},
		{"type":"discount_fee","fee_payer":"collector","amount":0.10}]`
	require.Equal(t, "4.2 1 2.5 3 0 89.3", told(costOf(t, "fee_details", fees, "transaction_details", left("89.30"))))
}

func TestReadCost_ChargesSayWhatFeesDoNot(t *testing.T) {
	t.Parallel()
	charges := "[" + strings.Join([]string{
		charge("fee", "mercadopago_fee", "collector", "6.29"), charge("fee", "third_payment", "payer", "5"),
		charge("tax", "tax_withholding-iibb", "collector", "1.40"), charge("tax", "tax_withholding-iva", "collector", "0.10"),
		charge("shipping", "shp", "collector", "2"), charge("coupon", "off", "collector", "3"),
	}, ",") + "]"
	require.Equal(t, "6.29 0 0 2 1.5 90.21", told(costOf(t, "charges_details", charges, "transaction_details", left("90.21"))))
	// The same fee in both lists is one.
	require.Equal(t, "6.29 0 0 0 1.5 92.21", told(costOf(t, "charges_details", charges, "transaction_details", left("92.21"),
		"fee_details", `[{"type":"mercadopago_fee","fee_payer":"collector","amount":6.29}]`)))
}

func TestReadCost_TheNetAmountSaysWhichSignAndWhichTaxes(t *testing.T) {
	t.Parallel()
	positive, negative := `[{"type":"mercadopago_fee","fee_payer":"collector","amount":6.00}]`, `[{"type":"mercadopago_fee","fee_payer":"collector","amount":-6.00}]`
	for name, c := range map[string]struct{ fees, taxes, amount, net, want string }{
		"costs":                  {positive, "null", "0", "94", "6 0 0 0 0 94"},
		"costs as negative":      {negative, "null", "0", "94", "6 0 0 0 0 94"},
		"money that is added":    {negative, "null", "0", "106", "-6 0 0 0 0 106"},
		"taxes of the price":     {positive, `[{"type":"IVA","value":16}]`, "16", "94", "6 0 0 0 0 94"},
		"taxes that are listed":  {positive, `[{"type":"IVA","value":16}]`, "0", "78", "6 0 0 0 16 78"},
		"an amount of taxes":     {positive, "null", "16", "78", "6 0 0 0 16 78"},
		"taxes that fit nothing": {positive, `[{"type":"IVA","value":16}]`, "9", "50", "6 0 0 0 ? 50"},
		"through a float":        {positive, "null", "0", "93.99999999999999", "6 0 0 0 0 93.99999999999999"},
	} {
		got := costOf(t, "fee_details", c.fees, "taxes", c.taxes, "taxes_amount", c.amount, "transaction_details", left(c.net))
		require.Equal(t, c.want, told(got), name)
	}
}

// What can't be read is not said, and never keeps a payment from being booked.
func TestReadCost_WhatIsNotSaidIsNotNothing(t *testing.T) {
	t.Parallel()
	require.Equal(t, "? ? ? ? ? ?", told(costOf(t)))
	require.Equal(t, "? ? ? ? ? 94", told(costOf(t, "transaction_details", left("94.0"))))
	require.Equal(t, "0 0 0 0 0 100", told(costOf(t, "fee_details", "[]", "transaction_details", left("100"))))
	for _, odd := range []string{`"a lot"`, "7", `[7]`, `[{"fee_payer":"collector","amount":"much"}]`, `[{"fee_payer":"collector"}]`, `[{"fee_payer":"collector","amount":1e15}]`} {
		require.Equal(t, "? ? ? ? ? ?", told(costOf(t, "fee_details", odd, "transaction_details", `"none"`)), odd)
	}
	for _, status := range []string{"pending", "in_process", "authorized", "rejected", "cancelled"} {
		got := costOf(t, "status", `"`+status+`"`, "fee_details", "[]", "transaction_details", left("0"))
		require.Equal(t, "? ? ? ? ? ?", told(got), "no money has come: %s", status)
	}
}

func TestReadCost_WhenTheMoneyIsReleased(t *testing.T) {
	t.Parallel()
	got := costOf(t, "money_release_date", `"2026-11-13T10:30:00.000-04:00"`, "money_release_status", `"Released"`)
	require.Equal(t, time.Date(2026, 11, 13, 14, 30, 0, 0, time.UTC), got.ReleaseDate)
	require.Equal(t, "released", got.ReleaseStatus)
	got = costOf(t, "money_release_date", `""`, "money_release_status", "null")
	require.Zero(t, got.ReleaseDate)
	require.Empty(t, got.ReleaseStatus)
}
