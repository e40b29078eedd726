package store_test

import (
	"testing"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// foldAll folds everything that was settled under earlier rules, a row at a time.
func (b *bundle) foldAll(t *testing.T, read store.ReadExtra) {
	t.Helper()
	behind, err := b.BeginFold(t.Context())
	require.NoError(t, err)
	require.True(t, behind)
	var at store.FoldPosition
	for done := false; !done; {
		done, err = b.FoldPayments(t.Context(), &at, 1, read)
		require.NoError(t, err)
	}
	for done := false; !done; {
		done, err = b.FoldOrders(t.Context(), &at, 1)
		require.NoError(t, err)
	}
	behind, err = b.BeginFold(t.Context())
	require.NoError(t, err)
	require.False(t, behind)
}

// beforeFold makes the ledger what the previous release left.
func (b *bundle) beforeFold(t *testing.T, statements ...string) {
	t.Helper()
	for _, statement := range append(statements,
		`UPDATE payments SET fold_version = 1, shipping = 0, subscription_id = NULL, subscription_number = 0, fetch_mark = 0, changed_at = NULL`,
		`UPDATE payment_logs SET shipping = NULL, changed_at = NULL`,
		`UPDATE orders SET fold_version = 1, reference_key = NULL`,
		`UPDATE anomalies SET reference_key = NULL`,
		`UPDATE books SET fold_version = 1`) {
		b.exec(t, statement)
	}
}

func TestFold_BringsTheEarlierLedgerUnderTheRules(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.inbox(t, store.InboxOptions{})
	for reference, amount := range map[string]string{"shipped": "110", "disputed": "100", "twice": "100", "monthly": "100", "sound": "100", "Near-1": "10"} {
		b.register(t, reference, amount, "ARS")
	}
	for i, f := range []store.FetchedPayment{
		fetched("10", "shipped", order.PaymentApproved, "100", 1),
		fetched("20", "disputed", order.PaymentApproved, "100", 1), fetched("21", "disputed", order.PaymentChargedBack, "100", 1),
		fetched("30", "twice", order.PaymentApproved, "100", 1), fetched("31", "twice", order.PaymentApproved, "100", 1),
		fetched("40", "monthly", order.PaymentApproved, "100", 1), fetched("41", "monthly", order.PaymentApproved, "100", 1),
		fetched("50", "sound", order.PaymentApproved, "100", 1),
		fetched("60", "near-1", order.PaymentApproved, "10", 1),
		fetched("61", "blank", order.PaymentApproved, "10", 1),
		fetched("62", "nobody's", order.PaymentPending, "10", 1),
	} {
		b.apply(t, in, i, f)
	}
	b.beforeFold(t,
		`UPDATE payments SET order_reference = ' ' WHERE payment_id = '61'`,
		`UPDATE payment_logs SET order_reference = ' ' WHERE payment_id = '61'`,
		`UPDATE anomalies SET order_reference = ' ' WHERE payment_id = '61'`,
		`UPDATE payments SET date_last_updated = '2099-01-01' WHERE payment_id = '50'`,
		`UPDATE payment_logs SET date_last_updated = '2099-01-01' WHERE payment_id = '50'`,
		`UPDATE orders SET status = 'charged_back' WHERE reference = 'disputed'`,
		`DELETE FROM anomalies WHERE kind <> 'unknown_order'`,
		`INSERT INTO anomalies (kind, order_reference, detail) VALUES
		   ('underpaid', 'shipped', '{}'), ('overpaid', 'twice', '{}'),
		   ('duplicate_payment', 'monthly', '{}'), ('overpaid', 'monthly', '{}')`,
		`INSERT INTO anomalies (kind, source, order_reference, payment_id) VALUES ('unknown_order', 'mercadopago', 'nobody''s', '62')`,
		// A person has dealt with this one, told in other words.
		`INSERT INTO anomalies (kind, order_reference, detail, closed_at, closed_by, note)
		 VALUES ('duplicate_payment', 'twice', '{"amount": "100", "currency": "ARS", "payment_ids": "30,31"}', now(), 'ana', 'refunded by hand')`,
	)
	report, err := b.Verify(t.Context(), store.VerifyOptions{RescueAfter: 1, Limit: 10})
	require.NoError(t, err)
	require.EqualValues(t, 11+6, report.Unfolded)
	for _, v := range report.Violations {
		require.NotContains(t, []string{"order_folds", "anomaly_stands"}, v.Invariant, "the earlier ledger is not held to the new rules")
	}

	b.foldAll(t, func(_ string, raw []byte) (store.PaymentExtra, bool) {
		switch string(raw) {
		case `{"id":"10"}`:
			return store.PaymentExtra{Shipping: decimal.NewFromInt(10)}, true
		case `{"id":"40"}`:
			return store.PaymentExtra{SubscriptionID: "s", SubscriptionNumber: 1}, true
		case `{"id":"41"}`:
			return store.PaymentExtra{SubscriptionID: "s", SubscriptionNumber: 2}, true
		}
		return store.PaymentExtra{}, false
	})

	b.requireOrder(t, "shipped", order.StatusPaid, "110", "0")
	b.requireOrder(t, "disputed", order.StatusPaid, "100", "0")
	b.requireOrder(t, "twice", order.StatusPaid, "200", "0")
	b.requireOrder(t, "monthly", order.StatusPaid, "200", "0")
	require.Equal(t, []string{"disputed_payment", "no_reference", "unknown_order"}, b.openAnomalies(t))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM anomalies WHERE kind = 'unknown_order' AND closed_at IS NULL AND detail ->> 'near_orders' = 'Near-1'`))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM anomalies WHERE note = 'refunded by hand' AND detail ->> 'payment_ids' = '31'`))
	require.Equal(t, 2, b.count(t, `SELECT count(*) FROM order_logs WHERE cause = 'upgrade'`), "only what changed is logged")
	require.Zero(t, b.sound(t).Unfolded)

	// The refund of the payment that was dated wrong is not passed over.
	b.apply(t, in, 99, fetched("50", "sound", order.PaymentRefunded, "100", 60*24*365))
	b.requireOrder(t, "sound", order.StatusRefunded, "100", "100")
	b.sound(t)
}

func TestFold_AProcessOfLowerRulesTakesNoEventAndNoOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.inbox(t, store.InboxOptions{})
	b.register(t, "A-1", "100", "ARS")
	a := b.deliver(t, in, 1, "77")
	b.exec(t, `UPDATE books SET fold_version = $1`, order.FoldVersion+1)

	var newer *store.NewerLedgerError
	_, err := b.Settle(t.Context(), a, fetched("77", "A-1", order.PaymentApproved, "100", 1), complete(a))
	require.ErrorAs(t, err, &newer)
	_, err = b.RegisterOrder(t.Context(), "A-2", terms("100"))
	require.ErrorAs(t, err, &newer)
	require.Equal(t, store.Unavailable, store.ProblemOf(err).Class)
	_, err = b.RegisterOrder(t.Context(), "A-1", terms("100"))
	require.ErrorAs(t, err, &newer)
	_, err = b.BeginFold(t.Context())
	require.ErrorAs(t, err, &newer)
	require.Zero(t, b.count(t, `SELECT count(*) FROM payments`))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM orders`))
}
