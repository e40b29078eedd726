package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

func TestLookOut_SaysWhatThereIsToDo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	look := func() store.PendingWork {
		pending, err := b.LookOut(t.Context(), []time.Duration{time.Minute}, []string{"idle", "webhooks"})
		require.NoError(t, err)
		return pending
	}
	require.Equal(t, store.PendingWork{Queues: []string{}}, look())

	fixture.Register(t, b.Store, "order-1", "10")
	require.True(t, look().OrderEvents)
	_, err := b.SequenceOrderEvents(t.Context())
	require.NoError(t, err)
	require.False(t, look().OrderEvents)

	b.exec(t, `INSERT INTO orders (reference, amount, currency) VALUES ('order-2', 10, 'ARS')`)
	require.True(t, look().Orders)
	_, _, err = b.SettleUnsettled(t.Context(), 10)
	require.NoError(t, err)
	require.False(t, look().Orders)

	b.exec(t, `INSERT INTO payment_aliases (source, alias, provider_order_topic, provider_order_id, order_reference,
			currency, amount, status, said, live_mode, provisional, awaited, fetched_at, next_look_at)
		VALUES ('mercadopago', 'PAY01', 'order', 'ORD01', 'order-1', 'ARS', 10, 'approved', 'processed/accredited', true, true, true, now(), now() - interval '1 second')`)
	require.True(t, look().Looks)

	queue := b.count(t, `INSERT INTO river_job (kind, args, queue, max_attempts, state, scheduled_at)
		VALUES ('webhook_payment', '{}', 'webhooks', 3, 'available', now() + interval '4 seconds') RETURNING id`)
	require.Empty(t, look().Queues, "a retry that comes soon is available before its time")
	b.exec(t, `UPDATE river_job SET scheduled_at = now() WHERE id = $1`, queue)
	require.Equal(t, []string{"webhooks"}, look().Queues)
	require.False(t, look().Running)
	b.exec(t, `UPDATE river_job SET state = 'running' WHERE id = $1`, queue)
	require.Empty(t, look().Queues)
	require.True(t, look().Running)
}
