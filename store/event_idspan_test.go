package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/conciliar/conciliar/store"
)

// However many events there are, with whatever gaps between their ids and within
// the slack out of order, a list of a time holds exactly those of the time.
func TestEventIDSpan_HoldsAllEventsOfATime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	begin := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	rapid.Check(t, func(rt *rapid.T) {
		_, err := b.pool.Exec(t.Context(), `DELETE FROM webhook_queue`)
		require.NoError(rt, err)
		gaps := rapid.SliceOfN(rapid.Int64Range(1, 9), 0, 40).Draw(rt, "gaps")
		times := make([]time.Time, len(gaps))
		id := int64(0)
		ids := make([]int64, len(gaps))
		for i, gap := range gaps {
			id += gap
			ids[i] = id
			times[i] = begin.Add(time.Duration(i)*2*time.Minute + time.Duration(rapid.IntRange(-290, 290).Draw(rt, "skew"))*time.Second)
		}
		_, err = b.pool.Exec(t.Context(), `
			INSERT INTO webhook_queue (id, received_at, source, topic, payload)
			SELECT id, at, 'mercadopago', 'payment', '' FROM unnest($1::bigint[], $2::timestamptz[]) AS e (id, at)`, ids, times)
		require.NoError(rt, err)
		at := rapid.IntRange(-15, 95)
		since := begin.Add(time.Duration(at.Draw(rt, "since")) * time.Minute)
		until := begin.Add(time.Duration(at.Draw(rt, "until")) * time.Minute)
		var want []int64
		for i := len(ids) - 1; i >= 0; i-- {
			if !times[i].Before(since) && times[i].Before(until) {
				want = append(want, ids[i])
			}
		}

		l, err := b.Events(t.Context(), store.EventFilter{Since: since, Until: until}, store.Page{Limit: 100})

		require.NoError(rt, err)
		var got []int64
		for _, e := range l.Items {
			got = append(got, e.QueueID)
		}
		require.Equal(rt, want, got)
	})
}

// A transaction that began later can be the first to draw its ids.
func TestEventIDSpan_HoldsEventsOutOfOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `INSERT INTO webhook_queue (id, received_at, source, topic, payload)
		SELECT id, at, 'mercadopago', 'payment', ''
		FROM unnest('{1,2,3}'::bigint[], '{2026-01-02 00:05Z,2026-01-02 00:00Z,2026-01-02 00:10Z}'::timestamptz[]) AS e (id, at)`)
	for filter, want := range map[store.EventFilter][]int64{
		{Since: time.Date(2026, 1, 2, 0, 5, 0, 0, time.UTC)}: {3, 1},
		{Until: time.Date(2026, 1, 2, 0, 5, 0, 0, time.UTC)}: {2},
		{Until: time.Date(2026, 1, 2, 0, 1, 0, 0, time.UTC)}: {2},
	} {
		l, err := b.Events(t.Context(), filter, store.Page{Limit: 10})
		require.NoError(t, err)
		var got []int64
		for _, e := range l.Items {
			got = append(got, e.QueueID)
		}
		require.Equal(t, want, got)
	}
}
