package order

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAnomalyKinds_AreSortedAndKnowTheirOrigin(t *testing.T) {
	t.Parallel()
	kinds := AnomalyKinds()
	require.ElementsMatch(t, []AnomalyKind{
		"underpaid", "overpaid", "duplicate_payment", "disputed_payment", "paid_after_cancel", "payment_moved", "ambiguous_payment", "currency_mismatch",
		"foreign_collector", "wrong_mode", "unknown_order", "no_reference", "fraud_alert", "unsettled_difference",
		"released_differs", "not_released", "released_unknown",
	}, kinds)
	require.True(t, slices.IsSorted(kinds))
	for _, kind := range kinds {
		own := slices.Contains([]AnomalyKind{
			"payment_moved", "ambiguous_payment", "fraud_alert", "unsettled_difference", "released_differs", "not_released", "released_unknown",
		}, kind)
		require.Equal(t, !own, kind.IsFolded(), kind)
	}
}

func TestUnmatched_NamesWhatIsMissing(t *testing.T) {
	t.Parallel()

	t.Run("a payment whose order is not known is an unknown order", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, []Anomaly{{
			Kind: "unknown_order", PaymentID: "1",
			Detail: map[string]string{"amount": "150.50", "currency": "ARS", "status": "approved"},
		}}, Unmatched(rules, pay("1", PaymentApproved, "150.50"), "shop-1", nil))
	})

	t.Run("a payment that names no order has no reference", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, []Anomaly{{
			Kind: "no_reference", PaymentID: "1",
			Detail: map[string]string{"amount": "15990", "currency": "CLP", "status": "authorized"},
		}}, Unmatched(rules, pay("1", PaymentAuthorized, "15990", currency("CLP")), "", nil))
	})

	t.Run("somebody else's test payment is that as well", func(t *testing.T) {
		t.Parallel()
		p := pay("1", PaymentApproved, "150", collector(theirs), testMode)
		foreign := Anomaly{Kind: "foreign_collector", PaymentID: "1", Detail: map[string]string{
			"amount": "150.00", "currency": "ARS", "status": "approved", "collector_id": theirs, "expected_collector_id": ours,
		}}
		wrongMode := Anomaly{Kind: "wrong_mode", PaymentID: "1", Detail: map[string]string{
			"amount": "150.00", "currency": "ARS", "status": "approved", "mode": "test", "allowed_mode": "live",
		}}
		plain := map[string]string{"amount": "150.00", "currency": "ARS", "status": "approved"}
		require.Equal(t, []Anomaly{foreign, {Kind: "unknown_order", PaymentID: "1", Detail: plain}, wrongMode}, Unmatched(rules, p, "shop-1", nil))
		require.Equal(t, []Anomaly{foreign, {Kind: "no_reference", PaymentID: "1", Detail: plain}, wrongMode}, Unmatched(rules, p, "", nil))
	})

	t.Run("a check of a card and a payment of nothing yield nothing, whoever they belong to", func(t *testing.T) {
		t.Parallel()
		for _, reference := range []string{"shop-1", ""} {
			require.Nil(t, Unmatched(rules, pay("1", PaymentApproved, "0", collector(theirs), testMode), reference, nil))
			require.Nil(t, Unmatched(rules, pay("1", PaymentApproved, "0.00"), reference, nil))
			require.Nil(t, Unmatched(rules, pay("1", PaymentApproved, "150", validation, collector(theirs)), reference, nil))
		}
	})

	t.Run("one that names a near miss of open orders names them", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, "Near-1,NEAR-1", Unmatched(rules, pay("1", PaymentApproved, "150"), "near-1 ", []string{"Near-1", "NEAR-1"})[0].Detail["near_orders"])
	})

	t.Run("a blank reference and the word null name no order", func(t *testing.T) {
		t.Parallel()
		for _, reference := range []string{"", " ", "\u00a0\t", "\u200b", "null", " null "} {
			require.True(t, yields(Unmatched(rules, pay("1", PaymentApproved, "150"), reference, nil), AnomalyNoReference), "%q", reference)
		}
		for _, reference := range []string{"nullify", "0", "-", "n ull"} {
			require.True(t, yields(Unmatched(rules, pay("1", PaymentApproved, "150"), reference, nil), AnomalyUnknownOrder), "%q", reference)
		}
	})

	t.Run("what has no money yields nothing, and what is disputed or reserved does", func(t *testing.T) {
		t.Parallel()
		for status, expected := range map[PaymentStatus]bool{
			PaymentPending: false, PaymentInProcess: false, PaymentAuthorized: true, PaymentRejected: false, PaymentCancelled: false,
			PaymentApproved: true, PaymentInMediation: true, PaymentRefunded: false, PaymentChargedBack: true,
		} {
			require.Equal(t, expected, Unmatched(rules, pay("1", status, "150", collector(theirs)), "shop-1", nil) != nil, status)
		}
		require.Nil(t, Unmatched(rules, pay("1", PaymentApproved, "150", refunded("160")), "shop-1", nil))
		require.Nil(t, Unmatched(rules, pay("1", PaymentChargedBack, "150", detail("reimbursed"), refunded("150")), "shop-1", nil))
		require.NotNil(t, Unmatched(rules, pay("1", PaymentApproved, "150", refunded("149.99")), "shop-1", nil))
	})

	t.Run("each mode allows its payments, and an unknown mode none", func(t *testing.T) {
		t.Parallel()
		live, test := pay("1", PaymentApproved, "150"), pay("1", PaymentApproved, "150", testMode)
		for _, c := range []struct {
			mode       Mode
			live, test bool
		}{
			{ModeAny, true, true},
			{ModeLive, true, false},
			{ModeTest, false, true},
			{"", false, false},
			{"Live", false, false},
		} {
			require.Equal(t, c.live, !yields(Unmatched(Rules{Mode: c.mode}, live, "shop-1", nil), AnomalyWrongMode), "%q live", c.mode)
			require.Equal(t, c.test, !yields(Unmatched(Rules{Mode: c.mode}, test, "shop-1", nil), AnomalyWrongMode), "%q test", c.mode)
		}
	})

	t.Run("without a collector in the rules any collector is ours, with one a payment that names none is not", func(t *testing.T) {
		t.Parallel()
		for _, id := range []string{"", ours, theirs} {
			p := pay("1", PaymentApproved, "150", collector(id))
			require.False(t, yields(Unmatched(Rules{Mode: ModeAny}, p, "shop-1", nil), AnomalyForeignCollector), "%q", id)
			require.Equal(t, id != ours, yields(Unmatched(Rules{CollectorID: ours, Mode: ModeAny}, p, "shop-1", nil), AnomalyForeignCollector), "%q", id)
		}
	})
}

// A payment of one of our sellers is not a stranger's, whichever order it pays.
func TestSettle_AnOrderBelongsToOneAccount(t *testing.T) {
	t.Parallel()
	const seller, another = "2001", "2002"
	for _, main := range []string{"", ours} {
		market := Rules{CollectorID: main, Sellers: []string{seller, another}, Mode: ModeAny}
		for of, pays := range map[string]string{"": ours, seller: seller, another: another} {
			for _, id := range []string{ours, seller, another} {
				asked := Terms{Amount: terms.Amount, Currency: terms.Currency, CollectorID: of}
				settled, err := Settle(asked, market, []Payment{pay("1", PaymentApproved, "150", collector(id))})
				require.NoError(t, err)
				require.Equal(t, id == pays, settled.Status == StatusPaid, "main account %q, order of %q, payment to %s", main, of, id)
				require.Equal(t, id != pays, yields(settled.Anomalies, AnomalyForeignCollector))
				require.False(t, yields(Unmatched(market, pay("1", PaymentApproved, "150", collector(id)), "shop-1", nil), AnomalyForeignCollector))
			}
		}
		require.Equal(t, seller, market.SellerOf(pay("1", PaymentApproved, "150", collector(seller))))
		require.Empty(t, market.SellerOf(pay("1", PaymentApproved, "150", collector(ours))))
	}
	settled, err := Settle(Terms{Amount: terms.Amount, Currency: terms.Currency, CollectorID: seller},
		Rules{CollectorID: ours, Mode: ModeAny}, []Payment{pay("1", PaymentApproved, "150", collector(ours))})
	require.NoError(t, err)
	require.Equal(t, seller, settled.Anomalies[0].Detail["expected_collector_id"], "the order's account is expected")
}

func yields(anomalies []Anomaly, kind AnomalyKind) bool {
	return slices.ContainsFunc(anomalies, func(a Anomaly) bool { return a.Kind == kind })
}
