package jobs_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
)

// Two releases that run side by side must not open and close each other's alerts
// by turns; and no alert may stay open for ever.
func TestAlertsOfAnotherRelease_StayOpenWhileItEvaluatesThem(t *testing.T) {
	t.Parallel()
	w := newWatchman(t, true)
	w.exec(t, `INSERT INTO alerts (code, opened_at, last_sent_at) VALUES ('told', $1, $1), ('untold', $1, NULL)`, w.now)
	watched := func(ago string) {
		w.exec(t, `DELETE FROM alert_watches WHERE code IN ('told', 'untold', 'calm')`)
		w.exec(t, `INSERT INTO alert_watches (code, holds, since, updated_at)
			SELECT code, code <> 'calm', $1, now() - $2::interval FROM unnest('{told, untold, calm}'::text[]) code`, w.now, ago)
	}
	watched("9 minutes")
	for range 3 {
		w.pass(t, time.Minute, store.Status{})
	}
	require.Equal(t, []string{"told", "untold"}, w.open(t))
	require.Empty(t, w.told(t))

	// The processes that evaluated them are gone.
	watched("11 minutes")
	w.pass(t, time.Minute, store.Status{})
	require.Empty(t, w.open(t))
	require.Equal(t, [][]string{{"ended told"}}, w.told(t), "what was told to begin is told to end")
	require.Contains(t, w.messages(t)[0].Text, "told: No running release evaluates this condition any more. (since 2026-03-01 12:00 UTC)")
	require.Zero(t, scan[int](t, w.bundle, `SELECT count(*) FROM alert_watches WHERE code IN ('told', 'untold', 'calm')`))
	w.pass(t, time.Minute, store.Status{})
	require.Len(t, w.told(t), 1)
}

// What a process of the release before the codes were renamed writes once the
// migration is done, and what becomes of it.
func TestAlertsOfAnotherRelease_AnOldCodeEndsWithItsProcess(t *testing.T) {
	t.Parallel()
	w := newWatchman(t, true)
	stalled := store.Status{Queue: store.QueueStatus{Pending: 1, OldestPendingSeconds: 1801}}
	w.pass(t, time.Minute, stalled)
	w.pass(t, time.Minute, stalled)
	w.exec(t, `INSERT INTO alert_watches (code, holds, since, evaluations, updated_at) VALUES ('pending_stalled', true, $1, 2, now() - interval '11 minutes')`, w.now)
	w.exec(t, `INSERT INTO alerts (code, opened_at, last_sent_at) VALUES ('pending_stalled', $1, $1)`, w.now)
	require.Equal(t, []string{"queue_stalled", "pending_stalled"}, w.open(t))
	w.pass(t, time.Minute, stalled)
	require.Equal(t, []string{"queue_stalled"}, w.open(t))
	require.Equal(t, [][]string{{"began queue_stalled"}, {"ended pending_stalled"}}, w.told(t))
}
