package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// hourSpan is the hours of a day that are over, and the one that is not.
func hourSpan() store.Span {
	now := time.Now().UTC().Truncate(time.Hour)
	return store.Span{Since: now.Add(-23 * time.Hour), Until: now.Add(time.Hour), Step: time.Hour}
}

func TestActivity_EveryBucketIsThere(t *testing.T) {
	t.Parallel()
	b := setup(t)
	span := hourSpan()
	at := func(bucket int) time.Duration { // ago, in the middle of the bucket
		return time.Since(span.Since.Add(time.Duration(bucket)*time.Hour + 30*time.Minute))
	}
	// Of an hour that is over, in order.
	fixture.Archive(t, b.pool, b.happened(t, "webhook_queue", past{received: at(3), completed: at(4)}))
	b.happened(t, "webhook_queue", past{received: at(3), completed: at(3), outcome: store.OutcomeUnhandled, topic: "claims"})
	b.happened(t, "webhook_queue", past{received: at(3), completed: at(4), origin: store.OriginReplay})
	dead := b.happened(t, "webhook_queue", past{received: at(5), topic: "claims"})
	b.exec(t, `INSERT INTO webhook_dead_letter (queue_id, reason, died_at) VALUES ($1, 'permanent_failure', now() - make_interval(secs => $2))`, dead, at(7).Seconds())
	b.rollUpAll(t, 24*time.Hour)

	empty := func(bucket int) store.ActivityPoint {
		return store.ActivityPoint{
			At: span.Since.Add(time.Duration(bucket) * time.Hour), ByOrigin: map[string]int64{}, Others: map[string]int64{},
		}
	}
	want := make([]store.ActivityPoint, 24)
	for i := range want {
		want[i] = empty(i)
	}
	want[3].Received, want[3].ByOrigin = 3, map[string]int64{"webhook": 2, "replay": 1}
	want[3].Others = map[string]int64{"unhandled": 1}
	want[4].Settled = 2
	want[5].Received, want[5].ByOrigin = 1, map[string]int64{"webhook": 1}
	want[7].Failed = 1
	points, err := b.Activity(t.Context(), span)
	require.NoError(t, err)
	require.Equal(t, want, points)

	// By the minute the same, twelve to an hour.
	fine := span
	fine.Step = 5 * time.Minute
	points, err = b.Activity(t.Context(), fine)
	require.NoError(t, err)
	require.Len(t, points, 24*12)
	var received, settled int64
	for _, p := range points[3*12 : 5*12] {
		received += p.Received
		settled += p.Settled
	}
	require.Equal(t, [2]int64{3, 2}, [2]int64{received, settled})
}

func TestActivity_RefusesWhatItCannotShow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	now := time.Now().UTC().Truncate(time.Hour)
	day := 24 * time.Hour
	for name, span := range map[string]store.Span{
		"no step":                    {Since: now.Add(-day), Until: now},
		"a step of seconds":          {Since: now.Add(-day), Until: now, Step: 90 * time.Second},
		"backwards":                  {Since: now, Until: now.Add(-day), Step: time.Hour},
		"nothing":                    {Since: now, Until: now, Step: time.Hour},
		"too many":                   {Since: now.Add(-365 * day), Until: now, Step: time.Hour},
		"minutes of weeks ago":       {Since: now.Add(-9 * day), Until: now, Step: 30 * time.Minute},
		"hours that begin in others": {Since: now.Add(-9*day + 30*time.Minute), Until: now, Step: time.Hour},
	} {
		_, err := b.Activity(t.Context(), span)
		require.ErrorIs(t, err, store.ErrSpan, name)
		_, err = b.LatencyOver(t.Context(), span)
		require.ErrorIs(t, err, store.ErrSpan, name)
	}
	_, err := b.Latency(t.Context(), now, now)
	require.ErrorIs(t, err, store.ErrSpan)
	points, err := b.Activity(t.Context(), store.Span{Since: now.Add(-365 * day), Until: now.Add(time.Minute), Step: day})
	require.NoError(t, err)
	require.Len(t, points, 366, "the last one is not whole")
	// What begins within a minute begins with it.
	points, err = b.Activity(t.Context(), store.Span{Since: now.Add(17 * time.Second), Until: now.Add(time.Hour), Step: 30 * time.Minute})
	require.NoError(t, err)
	require.Equal(t, now, points[0].At)
}

func TestLatency_TellsPercentilesWithinItsError(t *testing.T) {
	t.Parallel()
	b := setup(t)
	span := hourSpan()
	ended := time.Since(span.Since.Add(30 * time.Minute))
	took := []time.Duration{}
	for i := range 100 {
		took = append(took, time.Duration(i*i*i)*time.Millisecond) // 0 to 16 minutes
	}
	for _, d := range took {
		b.happened(t, "webhook_queue", past{received: ended + d, completed: ended})
	}
	// What was no webhook, or was not settled, is not part of it.
	b.happened(t, "webhook_queue", past{received: ended + time.Hour, completed: ended, origin: store.OriginReconciliation})
	b.happened(t, "webhook_queue", past{received: ended + time.Hour, completed: ended, outcome: store.OutcomeCovered})
	b.happened(t, "webhook_queue", past{received: ended + time.Hour})
	b.rollUpAll(t, 24*time.Hour)

	l, err := b.Latency(t.Context(), span.Since, span.Until)
	require.NoError(t, err)
	require.EqualValues(t, 100, l.Count)
	for rank, got := range map[int]time.Duration{50: l.P50, 90: l.P90, 99: l.P99} {
		require.InEpsilon(t, took[rank-1].Seconds(), got.Seconds(), 0.0906, "rank %d", rank)
	}
	points, err := b.LatencyOver(t.Context(), span)
	require.NoError(t, err)
	require.Len(t, points, 24)
	require.Equal(t, store.LatencyPoint{At: span.Since, Latency: l}, points[0])
	require.Equal(t, store.LatencyPoint{At: span.Since.Add(time.Hour)}, points[1])

	// A clock that was set back, and what is told as a millisecond.
	b.exec(t, `DELETE FROM webhook_queue`)
	b.exec(t, `UPDATE webhook_rollup SET covered_until = covered_from`)
	b.happened(t, "webhook_queue", past{received: 3 * time.Minute, completed: 4 * time.Minute})
	b.rollUp(t)
	l, err = b.Latency(t.Context(), time.Now().Add(-10*time.Minute), time.Now())
	require.NoError(t, err)
	require.Equal(t, store.Latency{Count: 1, P50: time.Millisecond, P90: time.Millisecond, P99: time.Millisecond}, l)
}

func TestTopReasons_AreCountedBesideWhatHealed(t *testing.T) {
	t.Parallel()
	b := setupRuns(t)
	now := time.Now()
	for i, reason := range []string{"permanent_failure", "retries_exhausted", "permanent_failure", "permanent_failure"} {
		letter, _ := b.deadLetter(t, i, "77")
		b.exec(t, `UPDATE webhook_dead_letter SET reason = $1, error_class = 'forbidden', state = $2 WHERE id = $3`, reason, []string{"open", "dismissed"}[i/2], letter)
	}
	old, _ := b.deadLetter(t, 9, "78")
	b.exec(t, `UPDATE webhook_dead_letter SET died_at = now() - interval '8 days' WHERE id = $1`, old)
	reasons, err := b.TopReasons(t.Context(), now.Add(-time.Hour), now.Add(time.Hour))
	require.NoError(t, err)
	require.Len(t, reasons, 2)
	for i := range reasons {
		require.WithinDuration(t, now, reasons[i].LastAt, time.Minute)
		reasons[i].LastAt = time.Time{}
	}
	require.Equal(t, []store.DeathReason{
		{Reason: "permanent_failure", ErrorClass: "forbidden", Count: 3, Open: 1},
		{Reason: "retries_exhausted", ErrorClass: "forbidden", Count: 1, Open: 1},
	}, reasons)

	nothing, _ := b.startRun(t, regular)
	b.finish(t, nothing, store.RunSucceeded, 0)
	run, _ := b.startRun(t, regular)
	b.exec(t, `UPDATE webhook_reconciliation_logs SET missing_found = 3, drift_found = 1 WHERE id = $1`, run.ID)
	ended := b.happened(t, "webhook_queue", past{received: time.Minute, completed: time.Second})
	archived := b.happened(t, "webhook_queue", past{received: time.Minute, completed: time.Second})
	fixture.Archive(t, b.pool, archived)
	waits := b.happened(t, "webhook_queue", past{received: time.Minute})
	b.exec(t, `INSERT INTO webhook_reconciliation_findings (run_id, kind, source, payment_id, order_reference, queue_id, repaired_at) VALUES
		($1, 'missing', 'mercadopago', '1', NULL, $2, NULL), ($1, 'missing', 'mercadopago', '2', NULL, $3, NULL),
		($1, 'missing', 'mercadopago', '3', NULL, $4, NULL), ($1, 'drift', NULL, NULL, 'A-1', NULL, now()),
		($1, 'unsettled', NULL, NULL, 'A-2', NULL, NULL)`, run.ID, ended, archived, waits)
	healed, err := b.Healed(t.Context(), now.Add(-time.Hour), now.Add(time.Hour))
	require.NoError(t, err)
	require.Len(t, healed, 1, "a run that found nothing is not shown")
	require.Equal(t, store.HealedRun{
		RunID: run.ID, Trigger: store.TriggerManual, Scope: store.ScopeRegular, Status: store.RunRunning, StartedAt: healed[0].StartedAt,
		Missing: 3, Drifted: 1, Repaired: 3, Unsettled: 1,
	}, healed[0])

	zone := time.FixedZone("-03", -3*60*60)
	night := time.Date(2026, 3, 1, 2, 30, 0, 0, time.UTC) // still February there
	days := store.HealedByDay([]store.HealedRun{
		{StartedAt: night, Missing: 1, Repaired: 1}, {StartedAt: night.Add(time.Hour), Drifted: 2}, {StartedAt: night.Add(2 * time.Hour), Stuck: 1, Unsettled: 1},
	}, zone)
	require.Equal(t, []store.HealedDay{
		{Day: time.Date(2026, 2, 28, 0, 0, 0, 0, zone), Runs: 1, Missing: 1, Repaired: 1},
		{Day: time.Date(2026, 3, 1, 0, 0, 0, 0, zone), Runs: 2, Drifted: 2, Stuck: 1, Unsettled: 1},
	}, days)
}
