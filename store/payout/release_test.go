package payout_test

import (
	"testing"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store/payout"
)

func TestRelease_IsHeldToWhatThePaymentSays(t *testing.T) {
	t.Parallel()
	paid := payout.Release{Known: true, Paid: true, Net: decimal.NewNullDecimal(money("92.31")), Covered: true}
	for what, c := range map[string]struct {
		change     func(r *payout.Release)
		difference payout.Difference
		reason     string
	}{
		"nothing came although it should have": {func(*payout.Release) {}, payout.NotReleased, ""},
		"no report covers the date":            {func(r *payout.Release) { r.Covered = false }, payout.NoDifference, ""},
		"it is in dispute":                     {func(r *payout.Release) { r.Disputed = true }, payout.NotReleased, payout.ReasonDispute},
		"it is held back":                      {func(r *payout.Release) { r.Held = money("-92.31") }, payout.NotReleased, payout.ReasonBlock},
		"it was refunded as a whole":           {func(r *payout.Release) { r.Refunded = money("100") }, payout.NoDifference, ""},
		"it never was the merchant's":          {func(r *payout.Release) { r.Paid = false }, payout.NoDifference, ""},
		"the payment does not say":             {func(r *payout.Release) { r.Net = decimal.NullDecimal{} }, payout.NoDifference, ""},
		"it came":                              {func(r *payout.Release) { r.Released, r.Rows = money("92.31"), 1 }, payout.NoDifference, ""},
		"it came in two parts":                 {func(r *payout.Release) { r.Released, r.Rows = money("92.31"), 2 }, payout.NoDifference, ""},
		"less came":                            {func(r *payout.Release) { r.Released, r.Rows = money("90"), 1 }, payout.ReleasedDiffers, ""},
		"it came without what was refunded": {
			func(r *payout.Release) { r.Released, r.Rows, r.Refunded = money("82.31"), 1, money("10") }, payout.NoDifference, "",
		},
		"it came before it was refunded": {
			func(r *payout.Release) { r.Released, r.Rows, r.Refunded = money("92.31"), 1, money("10") }, payout.NoDifference, "",
		},
		"the payment is not known":    {func(r *payout.Release) { *r = payout.Release{Rows: 1, Released: money("5")} }, payout.ReleasedUnknown, ""},
		"neither of them is anything": {func(r *payout.Release) { *r = payout.Release{} }, payout.NoDifference, ""},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := paid
			c.change(&r)
			difference, reason := r.Judge()
			require.Equal(t, c.difference, difference)
			require.Equal(t, c.reason, reason)
		})
	}
}
