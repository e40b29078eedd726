package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
)

func TestRetention_OrderEventsLeaveTheFeedThenTheirBodiesThenTheyGo(t *testing.T) {
	t.Parallel()
	b := setupRuns(t)
	for _, reference := range []string{"A-1", "A-2", "A-3", "A-4", "A-5"} {
		b.register(t, reference, "100", "ARS")
	}
	b.sequence(t)
	feed, err := b.OrderFeed(t.Context(), store.FeedCursor{}, 1)
	require.NoError(t, err)
	// The first was delivered long ago, the second was given up, the third delivered
	// lately, the fourth never sent, and the last is new.
	b.exec(t, `INSERT INTO delivery_receivers (name) VALUES ('order_events')`)
	b.exec(t, `
		INSERT INTO deliveries (receiver, stream, message_id, order_event_id, state, ended_at)
		SELECT 'order_events', order_reference, id::text, id, (ARRAY['delivered', 'dead', 'delivered'])[position],
		       now() - make_interval(days => (ARRAY[95, 99, 80])[position])
		FROM order_events WHERE position < 4`)
	b.exec(t, `UPDATE order_events SET created_at = now() - interval '100 days' WHERE position < 5`)
	keep := store.Keep{Events: 1000 * 24 * time.Hour, Payloads: 90 * 24 * time.Hour}
	b.retain(t, keep)

	require.Equal(t, []int64{2, 3, 5}, one[[]int64](t, b, `SELECT array_agg(position ORDER BY position) FROM order_events WHERE body IS NOT NULL`))
	_, err = b.OrderFeed(t.Context(), feed.Next, 10)
	require.ErrorAs(t, err, new(store.CursorExpiredError))
	feed, err = b.OrderFeed(t.Context(), store.FeedCursor{}, 10)
	require.NoError(t, err)
	require.Len(t, feed.Events, 1)
	require.Equal(t, int64(5), feed.Next.Position)
	b.sound(t)

	b.exec(t, `UPDATE order_events SET created_at = now() - interval '401 days' WHERE position < 4`)
	b.exec(t, `UPDATE order_logs SET changed_at = now() - interval '401 days'`)
	b.retain(t, keep)
	require.Equal(t, []int64{2, 4, 5}, one[[]int64](t, b, `SELECT array_agg(position ORDER BY position) FROM order_events`), "what was not delivered is kept")
	b.exec(t, `UPDATE deliveries SET state = 'dismissed'`)
	b.retain(t, keep)
	require.Equal(t, []int64{4, 5}, one[[]int64](t, b, `SELECT array_agg(position ORDER BY position) FROM order_events`))
	require.Zero(t, b.count(t, `SELECT count(*) FROM deliveries`))
	b.sound(t)
}
