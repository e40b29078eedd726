package jobs_test

import (
	"testing"
	"time"

	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// A process that works counts at once, and what was there before it too.
func TestRollUp_CountsOnStart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `INSERT INTO webhook_archive (id, source, topic, payload, received_at, completed_at, outcome)
		SELECT 801 - n, 'mercadopago', 'payment', '', now() - n * interval '13 hours', now() - n * interval '13 hours', 'settled' FROM generate_series(1, 800) n`)
	b.start(t)
	fixture.Await(t, func() bool { return scan[bool](t, b, `SELECT complete FROM webhook_rollup`) })
	require.EqualValues(t, 800, scan[int64](t, b, `SELECT sum(events)::bigint FROM webhook_activity_hours WHERE outcome = ''`))
}

// One counts at a time, and the next one comes whatever became of the last.
func TestRollUp_IsOneAtATime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for state, others := range map[rivertype.JobState]bool{
		rivertype.JobStateRunning: false, rivertype.JobStateAvailable: false,
		rivertype.JobStateCompleted: true, rivertype.JobStateDiscarded: true,
	} {
		b.exec(t, `DELETE FROM river_job`)
		first, err := b.operator.Insert(t.Context(), jobs.RollUpArgs{}, nil)
		require.NoError(t, err)
		b.exec(t, `UPDATE river_job SET state = $1::river_job_state, attempt = 1, attempted_at = now(),
			finalized_at = CASE WHEN $1::river_job_state IN ('completed', 'discarded') THEN now() END WHERE id = $2`, state, first.Job.ID)
		second, err := b.operator.Insert(t.Context(), jobs.RollUpArgs{}, nil)
		require.NoError(t, err)
		require.Equal(t, others, !second.UniqueSkippedAsDuplicate, string(state))
	}
}

func TestRollUp_SpansFollowTheirTime(t *testing.T) {
	t.Parallel()
	const longest = 32 * 24 * time.Hour
	after := func(span, took, quickest time.Duration) time.Duration {
		for range 20 {
			span = jobs.NextSpan(span, took, quickest)
		}
		return span
	}
	require.Equal(t, longest, after(time.Hour, time.Millisecond, time.Millisecond))
	require.Equal(t, 4*time.Hour, after(4*time.Hour, 500*time.Millisecond, time.Millisecond))
	require.Equal(t, longest, after(time.Hour, 600*time.Millisecond, 500*time.Millisecond), "a database that is far away")
	require.Equal(t, time.Hour, after(longest, 2*time.Second, time.Millisecond))
	require.Equal(t, time.Hour, after(longest, 2*time.Second, 2*time.Second))
}

// What it finds the newest events by is looked after on start.
func TestRollUp_LooksAfterTheIndexes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	read := fixture.HalfSummarized(t, b.pool)
	b.start(t)
	fixture.Await(t, func() bool { return read() == 0 })
}
