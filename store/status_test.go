package store_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
)

// The status counts by a query of its own what the view says of each event.
func TestStatus_CountsWhatTheViewSays(t *testing.T) {
	t.Parallel()
	l := newVerifyFixture(t)
	n := 2000
	odd := func(damage string) {
		t.Helper()
		n++
		l.behind(t, damage, l.accept(t, signed(n, "6")))
	}
	const jobOf = `(SELECT job_id FROM webhook_queue WHERE id = $1)`
	odd(`UPDATE river_job SET state = 'scheduled', metadata = '{"snoozes": 1}', scheduled_at = now() + interval '1 hour' WHERE id = ` + jobOf)
	odd(`UPDATE river_job SET state = 'available', metadata = '{"snoozes": 1}', scheduled_at = now() + interval '1 hour' WHERE id = ` + jobOf)
	odd(`UPDATE river_job SET state = 'retryable', attempt = 2, metadata = '{"snoozes": 1}', scheduled_at = now() + interval '1 hour' WHERE id = ` + jobOf)
	odd(`UPDATE river_job SET state = 'scheduled', scheduled_at = now() + interval '2 hours' WHERE id = ` + jobOf)
	odd(`WITH old AS (UPDATE webhook_queue SET received_at = now() - interval '3 days' WHERE id = $1)
		UPDATE river_job SET state = 'completed', attempt = 1, finalized_at = now() WHERE id = ` + jobOf)
	odd(`UPDATE river_job SET state = 'completed', attempt = 0, finalized_at = now() WHERE id = ` + jobOf)
	odd(`UPDATE river_job SET state = 'discarded', attempt = 7, finalized_at = now() WHERE id = ` + jobOf)
	odd(`DELETE FROM river_job WHERE id = ` + jobOf)
	_, again := l.bundle.deadLetter(t, 3000, "6")
	l.behind(t, `UPDATE webhook_dead_letter SET state = 'reopened' WHERE queue_id = $1`, again)

	rows, err := l.pool.Query(t.Context(), `SELECT status, count(*) FROM webhook_queue_status GROUP BY status`)
	require.NoError(t, err)
	want := map[string]int64{}
	var status string
	var events int64
	_, err = pgx.ForEachRow(rows, []any{&status, &events}, func() error {
		want[status] = events
		return nil
	})
	require.NoError(t, err)
	var oldest, next time.Time
	require.NoError(t, l.pool.QueryRow(t.Context(), `
		SELECT min(received_at) FILTER (WHERE status = 'pending'), min(next_retry_at) FILTER (WHERE status = 'failed')
		FROM webhook_queue_status`).Scan(&oldest, &next))

	st, err := l.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, want, map[string]int64{
		"pending": st.Queue.Pending, "processing": st.Queue.Processing, "failed": st.Queue.Failed, "held": st.Queue.Held,
		"completed": st.Queue.Completed, "dead_letter": st.Queue.DeadLetter,
	})
	require.Len(t, want, 6, "every state is there")
	require.True(t, next.Equal(*st.Queue.NextRetryAt))
	require.InDelta(t, time.Since(oldest).Seconds(), st.Queue.OldestPendingSeconds, 30)
	require.Equal(t, store.CircuitClosed, st.Provider.Circuit)
}
