package store_test

import (
	"encoding/json"
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

// A backlog makes the jobs of one queue most of the table, and a queue that has none is
// looked for in it every second and a half.
func TestLookOut_ReadsJobsByTheirIndexHoweverManyAreDue(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `INSERT INTO river_job (kind, args, queue, max_attempts, state) SELECT 'webhook_payment', '{}', 'webhooks', 3, 'available' FROM generate_series(1, 5000)`)
	b.exec(t, `ANALYZE river_job`)
	logged, log := (&crowd{bundle: b}).logged(t)
	queues := []string{"idle", "webhooks"}
	pending, err := logged.LookOut(t.Context(), nil, queues)
	require.NoError(t, err)
	require.Equal(t, []string{"webhooks"}, pending.Queues)

	statements, _ := log.take()
	var plans []struct{ Plan planNode }
	var text []byte
	require.NoError(t, b.pool.QueryRow(t.Context(), `EXPLAIN (FORMAT JSON) `+statements[len(statements)-1], queues).Scan(&text))
	require.NoError(t, json.Unmarshal(text, &plans))
	jobs := 0
	plans[0].Plan.each(func(n planNode) {
		if n.Table == "river_job" {
			require.Equal(t, "river_job_prioritized_fetching_index", n.Index, n.Type)
			jobs++
		}
	})
	require.Equal(t, 2, jobs)
}
