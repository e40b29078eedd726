package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

func TestAccount_AnotherAccountsPaymentPaysNothingOnceOursIsKnown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	account, err := b.LoadAccount(ctx)
	require.NoError(t, err)
	require.Empty(t, account)
	done, err := b.FoldForeign(ctx)
	require.NoError(t, err)
	require.False(t, done, "there is nothing to tell apart yet")

	for _, reference := range []string{"ours", "theirs"} {
		b.exec(t, `
			INSERT INTO payments (source, payment_id, order_reference, status, status_detail, amount, currency, collector_id, live_mode, date_last_updated, fetched_at, raw)
			VALUES ('mercadopago', $1, $1, 'approved', 'accredited', 100, 'ARS', CASE $1 WHEN 'ours' THEN '1' ELSE '999' END, true, now(), now(), '')`, reference)
		_, err := b.RegisterOrder(ctx, reference, terms("100"))
		require.NoError(t, err)
		b.requireOrder(t, reference, order.StatusPaid, "100", "0")
	}

	require.NoError(t, b.KeepAccount(ctx, "1"))
	require.NoError(t, b.KeepAccount(ctx, "1"), "the same again")
	var other *store.OtherAccountError
	require.ErrorAs(t, b.KeepAccount(ctx, "2"), &other)
	require.Equal(t, store.OtherAccountError{Ledger: "1", Ours: "2"}, *other)

	done, err = b.FoldForeign(ctx)
	require.NoError(t, err)
	require.False(t, done, "other processes have yet to read it")
	b.exec(t, `UPDATE books SET collector_known_at = now() - interval '11 seconds'`)
	done, err = b.FoldForeign(ctx)
	require.NoError(t, err)
	require.True(t, done)
	n, _, err := b.SettleUnsettled(ctx, 10)
	require.NoError(t, err)
	require.Equal(t, 1, n, "the orders concerned, and no others")
	b.requireOrder(t, "ours", order.StatusPaid, "100", "0")
	b.requireOrder(t, "theirs", order.StatusPending, "0", "0")
	anomalies, err := b.Anomalies(ctx, store.AnomalyFilter{State: store.AnomalyOpen}, store.Page{Limit: 10})
	require.NoError(t, err)
	require.Len(t, anomalies.Items, 1)
	require.Equal(t, string(order.AnomalyForeignCollector), string(anomalies.Items[0].Kind))

	b.exec(t, `UPDATE books SET collector_known_at = now() - interval '1 hour'`)
	done, err = b.FoldForeign(ctx)
	require.NoError(t, err)
	require.True(t, done, "once")
}
