package jobs_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

func TestSchedule_HasALastAndANextTime(t *testing.T) {
	t.Parallel()
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339Nano, s)
		require.NoError(t, err)
		return v
	}
	for _, c := range []struct{ expression, now, last, next string }{
		{"0 * * * *", "2026-03-01T12:00:00Z", "2026-03-01T12:00:00Z", "2026-03-01T13:00:00Z"},
		{"0 * * * *", "2026-03-01T12:59:59.999Z", "2026-03-01T12:00:00Z", "2026-03-01T13:00:00Z"},
		{"@hourly", "2026-03-01T09:30:00-03:00", "2026-03-01T12:00:00Z", "2026-03-01T13:00:00Z"},
		{"30 3 * * *", "2026-03-01T03:29:59Z", "2026-02-28T03:30:00Z", "2026-03-01T03:30:00Z"},
		{"CRON_TZ=America/Argentina/Buenos_Aires 30 3 * * *", "2026-03-01T06:29:59Z", "2026-02-28T06:30:00Z", "2026-03-01T06:30:00Z"},
		{"0 0 29 2 *", "2026-03-01T00:00:00Z", "2024-02-29T00:00:00Z", "2028-02-29T00:00:00Z"},
		{"*/7 * * * 1", "2026-03-01T00:00:00Z", "2026-02-23T23:56:00Z", "2026-03-02T00:00:00Z"},
	} {
		s, err := jobs.ParseSchedule(c.expression)
		require.NoError(t, err)
		require.True(t, at(c.last).Equal(s.Last(at(c.now))), "%s: %s", c.expression, s.Last(at(c.now)))
		require.True(t, at(c.next).Equal(s.Next(at(c.now))), "%s: %s", c.expression, s.Next(at(c.now)))
	}
	for _, wrong := range []string{"", "* * * *", "61 * * * *", "0 0 30 2 *", "@never", "CRON_TZ=Nowhere 0 * * * *"} {
		_, err := jobs.ParseSchedule(wrong)
		require.Error(t, err, wrong)
	}
}

// The last tick is not to come, and none comes between it and now.
func TestSchedule_ItsLastTimeIsNeverAhead(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, err := jobs.ParseSchedule(rapid.SampledFrom([]string{"* * * * *", "0 * * * *", "17 5 * * 2", "0 0 1 */5 *", "*/13 */5 * * *"}).Draw(t, "schedule"))
		require.NoError(t, err)
		now := time.Unix(0, rapid.Int64Range(1_700_000_000e9, 1_900_000_000e9).Draw(t, "now"))
		last := s.Last(now)
		require.False(t, last.After(now))
		require.True(t, s.Next(last).After(now))
	})
}

// journal keeps what is logged.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) has(text string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Contains(j.text.String(), text)
}

func (j *journal) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(j, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// Each of two processes leads for a while within one period.
func TestReconcile_TheScheduleRunsOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldSpec{jobs: func(c *jobs.Config) {
		// Far from every tick, so that none comes while the test goes on.
		now := time.Now().UTC().Add(-time.Hour)
		c.ReconcileSchedule = now.Format("4 15 * * *")
	}})
	const inserted = "Inserted RunOnStart jobs"
	var first, second journal
	w.config.RiverLogger = first.logger()
	leader := w.start(t)
	fixture.Await(t, func() bool { return first.has(inserted) })
	w.config.RiverLogger = second.logger()
	w.start(t)
	fixture.Await(t, func() bool {
		return look[int](t, w, `SELECT count(*) FROM webhook_reconciliation_logs WHERE status = 'succeeded'`) == 1
	})
	require.False(t, second.has(inserted), "there is one leader")
	stop(t, leader)
	fixture.Await(t, func() bool { return second.has(inserted) })
	require.Equal(t, 1, look[int](t, w, `SELECT count(*) FROM river_job WHERE kind = 'reconcile_start'`))
	require.Equal(t, []string{"start"}, look[[]string](t, w, `SELECT array_agg(trigger) FROM webhook_reconciliation_logs`))

	require.Equal(t, "manual", w.reconcile(t).Trigger, "whoever asks still gets a run")
	require.Equal(t, 2, look[int](t, w, `SELECT count(*) FROM webhook_reconciliation_logs`))
}

func TestReconcile_StartsWhatWasMissed(t *testing.T) {
	t.Parallel()
	// A schedule that does not come by itself while the test goes on.
	const period = 24 * time.Hour
	last := time.Now().UTC().Truncate(time.Second).Add(-time.Hour)
	w := newWorld(t, worldSpec{jobs: func(c *jobs.Config) { c.ReconcileSchedule = last.Format("4 15 * * *") }})
	w.start(t)
	const runs = `SELECT count(*) FROM webhook_reconciliation_logs WHERE status = 'succeeded'`
	fixture.Await(t, func() bool { return look[int](t, w, runs) == 1 })
	client, err := river.NewClient(riverpgxv5.New(w.pool), &river.Config{Logger: w.config.Logger})
	require.NoError(t, err)
	work := func(args jobs.ReconcileStartArgs) {
		t.Helper()
		inserted, err := client.Insert(t.Context(), args, nil)
		require.NoError(t, err)
		require.False(t, inserted.UniqueSkippedAsDuplicate)
		fixture.Await(t, func() bool {
			return look[string](t, w, `SELECT state FROM river_job WHERE id = $1`, inserted.Job.ID) == "completed"
		})
	}
	work(jobs.ReconcileStartArgs{At: last.Add(-period), Trigger: store.TriggerStart})
	require.Equal(t, 1, look[int](t, w, `SELECT count(*) FROM webhook_reconciliation_logs`), "the last success is younger than the period")
	w.exec(t, `UPDATE webhook_reconciliation_logs SET finished_at = now() - interval '25 hours'`)
	work(jobs.ReconcileStartArgs{At: last.Add(-2 * period), Trigger: store.TriggerStart})
	fixture.Await(t, func() bool { return look[int](t, w, runs) == 2 })
	work(jobs.ReconcileStartArgs{At: last.Add(-3 * period), Trigger: store.TriggerSchedule})
	fixture.Await(t, func() bool { return look[int](t, w, runs) == 3 })
	require.Equal(t, []string{"start", "start", "schedule"}, look[[]string](t, w, `SELECT array_agg(trigger ORDER BY id) FROM webhook_reconciliation_logs`))

	again, err := client.Insert(t.Context(), jobs.ReconcileStartArgs{At: last.Add(-3 * period), Trigger: store.TriggerStart}, nil)
	require.NoError(t, err)
	require.True(t, again.UniqueSkippedAsDuplicate, "a tick is unique by its time alone")
}

func TestRunner_NeedsAProviderForItsSchedule(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldSpec{jobs: func(c *jobs.Config) { c.ReconcileSchedule = "@hourly" }})
	searches := w.deps.Searches
	w.deps.Searches = nil
	_, err := jobs.NewRunner(w.pool, w.config, w.deps)
	require.ErrorContains(t, err, "schedule")
	w.deps.Searches, w.config.ReconcileSchedule = searches, "often"
	_, err = jobs.NewRunner(w.pool, w.config, w.deps)
	require.ErrorContains(t, err, "schedule")
}
