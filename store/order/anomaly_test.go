package order

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAnomalyKinds(t *testing.T) {
	t.Parallel()
	kinds := AnomalyKinds()
	require.ElementsMatch(t, []AnomalyKind{
		"underpaid", "overpaid", "duplicate_payment", "currency_mismatch", "foreign_collector",
		"wrong_mode", "unknown_order", "no_reference", "fraud_alert", "unsettled_difference",
	}, kinds)
	require.True(t, slices.IsSorted(kinds))
}

func TestOrphan(t *testing.T) {
	t.Parallel()

	t.Run("a payment whose order is not known is an unknown order", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, []Anomaly{{
			Kind: "unknown_order", PaymentID: "1",
			Detail: map[string]string{"amount": "150.50", "currency": "ARS", "status": "approved"},
		}}, Unmatched(rules, pay("1", PaymentApproved, "150.50"), true))
	})

	t.Run("a payment that names no order has no reference", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, []Anomaly{{
			Kind: "no_reference", PaymentID: "1",
			Detail: map[string]string{"amount": "15990", "currency": "CLP", "status": "pending"},
		}}, Unmatched(rules, pay("1", PaymentPending, "15990", currency("CLP")), false))
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
		require.Equal(t, []Anomaly{foreign, {Kind: "unknown_order", PaymentID: "1", Detail: plain}, wrongMode}, Unmatched(rules, p, true))
		require.Equal(t, []Anomaly{foreign, {Kind: "no_reference", PaymentID: "1", Detail: plain}, wrongMode}, Unmatched(rules, p, false))
	})

	t.Run("a check of a card and a payment of nothing yield nothing, whoever they belong to", func(t *testing.T) {
		t.Parallel()
		for _, hasReference := range []bool{true, false} {
			require.Nil(t, Unmatched(rules, pay("1", PaymentApproved, "0", collector(theirs), testMode), hasReference))
			require.Nil(t, Unmatched(rules, pay("1", PaymentApproved, "0.00"), hasReference))
			require.Nil(t, Unmatched(rules, pay("1", PaymentApproved, "150", validation, collector(theirs)), hasReference))
		}
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
			require.Equal(t, c.live, !yields(Unmatched(Rules{Mode: c.mode}, live, true), AnomalyWrongMode), "%q live", c.mode)
			require.Equal(t, c.test, !yields(Unmatched(Rules{Mode: c.mode}, test, true), AnomalyWrongMode), "%q test", c.mode)
		}
	})

	t.Run("without a collector in the rules any collector is ours, with one a payment that names none is not", func(t *testing.T) {
		t.Parallel()
		for _, id := range []string{"", ours, theirs} {
			p := pay("1", PaymentApproved, "150", collector(id))
			require.False(t, yields(Unmatched(Rules{Mode: ModeAny}, p, true), AnomalyForeignCollector), "%q", id)
			require.Equal(t, id != ours, yields(Unmatched(Rules{CollectorID: ours, Mode: ModeAny}, p, true), AnomalyForeignCollector), "%q", id)
		}
	})
}

func yields(anomalies []Anomaly, kind AnomalyKind) bool {
	return slices.ContainsFunc(anomalies, func(a Anomaly) bool { return a.Kind == kind })
}
