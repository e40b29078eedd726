package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
)

func (b *bundle) signals(t *testing.T) store.Signals {
	t.Helper()
	st, err := b.Status(t.Context())
	require.NoError(t, err)
	return st.Signals
}

// receive puts n webhooks into the queue, or another table like it, that came so
// long ago.
func (b *bundle) receive(t *testing.T, table string, n int, ago time.Duration, origin string) {
	t.Helper()
	b.exec(t, `INSERT INTO `+table+` (id, source, topic, payload, origin, received_at, completed_at, outcome)
		SELECT nextval('webhook_queue_id_seq'), 'mercadopago', 'payment', '', $3, now() - make_interval(secs => $2), now(), 'settled' FROM generate_series(1, $1)`,
		n, ago.Seconds(), origin)
}

// rollUpByTheClock counts everything, and no more for good than a service would have by
// now. Counted ahead of the clock, minutes before a full hour, what comes next would lie in
// an hour that is over.
func (b *bundle) rollUpByTheClock(t *testing.T) store.RollUp {
	t.Helper()
	rolled, err := b.RollUp(t.Context(), 100*24*time.Hour)
	require.NoError(t, err)
	for !rolled.Complete {
		rolled, err = b.RollUpHistory(t.Context(), 100*24*time.Hour)
		require.NoError(t, err)
	}
	return rolled
}

// The hours are those that were rolled up whole: what came since the newest of
// them is seen in the events themselves.
func TestSignals_ReadTheHoursWhenNothingCame(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.Empty(t, b.signals(t).ReceivedHours, "nothing is rolled up")
	b.receive(t, "webhook_queue", 9, 31*24*time.Hour, store.OriginWebhook)
	b.receive(t, "webhook_queue", 11, 5*time.Hour, store.OriginWebhook)
	b.receive(t, "webhook_queue", 3, 30*time.Hour, store.OriginWebhook)
	b.receive(t, "webhook_archive", 4, 30*time.Hour, store.OriginWebhook)
	b.receive(t, "webhook_queue", 50, 30*time.Hour, store.OriginReconciliation)
	rolled := b.rollUpByTheClock(t)

	g := b.signals(t)

	require.Len(t, g.ReceivedHours, 29*24)
	seen := map[int64]int{}
	for _, n := range g.ReceivedHours {
		seen[n]++
	}
	require.Equal(t, map[int64]int{0: 29*24 - 2, 11: 1, 7: 1}, seen, "webhooks alone, archived or not")
	end := rolled.Until.Truncate(time.Hour)
	require.EqualValues(t, 11, g.ReceivedHours[int(end.Sub(time.Now().Add(-5*time.Hour).Truncate(time.Hour))/time.Hour)-1], "the newest hour is the first")
	b.receive(t, "webhook_queue", 1, 0, store.OriginReconciliation)
	require.False(t, b.signals(t).ReceivedSince)
	b.receive(t, "webhook_archive", 1, 0, store.OriginWebhook)
	require.True(t, b.signals(t).ReceivedSince)
	require.Empty(t, b.signals(t).ReceivedHours)
}

func TestSignals_CountWhatIsRecent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	refuse := func(n int, ago time.Duration, signature string) {
		b.exec(t, `INSERT INTO webhook_refused (source, reason, method, x_signature, refused_at)
			SELECT 'mercadopago', 'signature_mismatch', 'POST', $3, now() - make_interval(secs => $2) FROM generate_series(1, $1)`, n, ago.Seconds(), signature)
	}
	refuse(3, time.Minute, "ts=1,v1=00")
	refuse(5, 16*time.Minute, "ts=1,v1=00")
	refuse(7, 25*time.Hour, "ts=1,v1=00")
	refuse(11, time.Minute, "")
	b.receive(t, "webhook_queue", 2, time.Minute, store.OriginWebhook)
	b.receive(t, "webhook_queue", 9, 16*time.Minute, store.OriginWebhook)
	b.exec(t, `INSERT INTO anomalies (kind, order_reference, opened_at) VALUES
		('not_released', 'A-1', now()), ('unknown_order', 'A-1', now() - interval '4 minutes'), ('unknown_order', 'A-2', now() - interval '6 minutes'), ('underpaid', 'A-3', now())`)
	b.exec(t, `INSERT INTO anomalies (kind, order_reference, detail, closed_at, closed_by) VALUES
		('not_released', 'A-2', '{"reason": "dispute"}', NULL, NULL), ('not_released', 'A-3', '{"reason": "block"}', now(), 'reconciliation')`)
	b.exec(t, `INSERT INTO processes (id, host, role, version, pool_max, pool_in_use, pool_wait_ms, pool_gave_up, account_known, seen_at) VALUES
		('a', 'h', 'all', 'v', 1, 1, 40, 2, false, now()), ('b', 'h', 'all', 'v', 1, 1, 30, 3, true, now()),
		('c', 'h', 'all', 'v', 1, 1, 900, 900, false, now() - interval '2 minutes')`)

	g := b.signals(t)

	require.EqualValues(t, 3, g.RefusedLately, "those that came with a signature")
	require.EqualValues(t, 5, g.RefusedBefore)
	require.EqualValues(t, 2, g.AcceptedLately)
	require.EqualValues(t, 1, g.UnknownOrdersFresh)
	require.EqualValues(t, 1, g.ReleasesHeld, "open ones with a reason")
	require.Equal(t, 40*time.Millisecond, g.PoolWait, "of living processes")
	require.EqualValues(t, 3, g.PoolGaveUp)
	require.EqualValues(t, 1, g.AccountUnknown)
	require.Nil(t, g.EvaluatedAt)
	require.Nil(t, g.UndeliveredSince)
	require.WithinDuration(t, time.Now(), g.At, time.Hour)
	b.receive(t, "webhook_queue", 2, time.Minute, store.OriginWebhook)
	require.EqualValues(t, 3, b.signals(t).AcceptedLately, "no more are counted than were refused")
}

// What other senders deliver must not hide that the provider has fallen silent.
func TestSignals_OtherSendersHideNoSilence(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *store.Options) { o.Providers = []string{"mercadopago"} })
	other := func(ago time.Duration) {
		b.exec(t, `INSERT INTO webhook_queue (source, topic, payload, work, origin, signed, received_at, completed_at, outcome)
			SELECT 'github', 'push', '', 'keep', 'webhook', true, now() - make_interval(secs => $1), now(), 'kept' FROM generate_series(1, 5)`, ago.Seconds())
	}
	b.receive(t, "webhook_queue", 11, 5*time.Hour, store.OriginWebhook)
	other(5 * time.Hour)
	other(0)
	b.rollUpByTheClock(t)

	g := b.signals(t)

	require.False(t, g.ReceivedSince)
	var sum int64
	for _, n := range g.ReceivedHours {
		sum += n
	}
	require.EqualValues(t, 11, sum)
	require.Zero(t, g.Arrivals.Webhooks)
	arrivals, err := b.Arrivals(t.Context())
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(-5*time.Hour), *arrivals.LastAt, time.Minute)
	b.receive(t, "webhook_queue", 1, 0, store.OriginWebhook)
	require.True(t, b.signals(t).ReceivedSince)
}
