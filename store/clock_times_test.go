package store_test

import (
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
)

func TestClockTimes_AreThoseOfTheCatalogue(t *testing.T) {
	t.Parallel()
	rows, err := setup(t).pool.Query(t.Context(), `
		SELECT c.table_name || '.' || c.column_name FROM information_schema.columns c
		JOIN information_schema.tables t USING (table_schema, table_name)
		WHERE c.table_schema = current_schema() AND t.table_type = 'BASE TABLE' AND c.data_type = 'timestamp with time zone'`)
	require.NoError(t, err)
	stored, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	known := store.ClockColumns()
	slices.Sort(stored)
	slices.Sort(known)
	require.Equal(t, stored, known, "say in clockTimes how far ahead a new time may be")
}

func TestClockTimes_WhatIsAheadIsTold(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.accept(t, signed(1, "77"))
	ahead, err := b.TimesAhead(t.Context())
	require.NoError(t, err)
	require.Empty(t, ahead)
	tomorrow := time.Now().Add(24 * time.Hour)
	b.exec(t, `UPDATE webhook_queue SET received_at = $1`, tomorrow)
	b.exec(t, `INSERT INTO provider_state (source, circuit, reason, next_probe_at) VALUES ('mercadopago', 'open', 'unavailable', $1)`, tomorrow)
	// The rule of a job, and of a probe.
	b.exec(t, `UPDATE river_job SET scheduled_at = $1`, tomorrow)
	b.exec(t, `INSERT INTO provider_state (source, circuit, reason, next_probe_at) VALUES ('other', 'open', 'unavailable', now() + interval '20 seconds')`)

	ahead, err = b.TimesAhead(t.Context())
	require.NoError(t, err)
	var where []string
	for _, a := range ahead {
		where = append(where, a.StoredIn)
		require.EqualValues(t, 1, a.Rows)
		require.WithinDuration(t, tomorrow, a.Furthest, time.Millisecond)
	}
	require.Equal(t, []string{"provider_state.next_probe_at", "webhook_queue.received_at"}, where)
	report, err := b.Verify(t.Context(), verifyOptions)
	require.NoError(t, err)
	require.Len(t, report.Violations, 1)
	require.Equal(t, "times_passed", report.Violations[0].Invariant)
	require.EqualValues(t, 2, report.Violations[0].Total)
	st, err := b.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, ahead, st.Signals.TimesAhead)
}

// A job that waits because its clock was ahead is due now; others wait on.
func TestWakeJobsAhead_WakesWhatAClockPutOff(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i := range 5 {
		b.accept(t, signed(i, "77"))
	}
	b.exec(t, `UPDATE river_job SET created_at = now() + interval '1 day', scheduled_at = now() + interval '1 day' WHERE id = 1`)
	b.exec(t, `UPDATE river_job SET state = 'retryable', attempted_at = now() + interval '1 day', scheduled_at = now() + interval '1 day 1 minute' WHERE id = 2`)
	b.exec(t, `UPDATE river_job SET state = 'retryable', attempted_at = now(), scheduled_at = now() + interval '1 day' WHERE id = 3`)
	b.exec(t, `UPDATE river_job SET state = 'completed', finalized_at = now() + interval '1 day', unique_key = '\\x01' WHERE id = 4`)
	b.exec(t, `UPDATE river_job SET scheduled_at = now() + interval '1 day' WHERE id = 5`)
	var woken []int64
	n, err := b.WakeJobsAhead(t.Context(), retryJob(&woken))
	require.NoError(t, err)
	require.Equal(t, 3, n)
	require.Equal(t, []int64{1, 2, 5}, woken)
	require.Zero(t, b.count(t, `SELECT count(*) FROM river_job WHERE unique_key IS NOT NULL`), "a tick that is yet to come has its job")
	for ahead, leaders := range map[string]int{"10 seconds": 1, "1 day": 0} {
		b.exec(t, `DELETE FROM river_leader`)
		b.exec(t, `INSERT INTO river_leader (name, leader_id, elected_at, expires_at) VALUES ('default', 'a', now(), now() + $1::interval)`, ahead)
		_, err = b.WakeJobsAhead(t.Context(), retryJob(&woken))
		require.NoError(t, err)
		require.Equal(t, leaders, b.count(t, `SELECT count(*) FROM river_leader`), ahead)
	}
}

// Each time of ours that something waits for is bounded where it is read: PostgreSQL's
// clock was a day ahead when it was written.
func TestClockTimes_NothingWaitsForOneThatIsAhead(t *testing.T) {
	t.Parallel()
	const aDay = "1 day"
	t.Run("Tries", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		tries(t, b.Store, nil, "192.0.2.7", 3)
		b.exec(t, `UPDATE operator_login_lanes SET spent_until = spent_until + $1::interval`, aDay)
		made, _ := tries(t, b.Store, nil, "192.0.2.7", 100)
		require.Equal(t, 25, made)
	})
	t.Run("Logins", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		session := newSession("one")
		require.NoError(t, b.OpenSession(t.Context(), session, ana))
		b.exec(t, `UPDATE operator_sessions SET expires_at = expires_at + $1::interval`, aDay)
		require.ErrorIs(t, b.use(t, session), store.ErrNoSession, "it would last longer than a login may")
	})
	t.Run("Alerts", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		now := time.Now()
		evaluate := func(at time.Time) error {
			return b.EvaluateAlerts(t.Context(), at, func(store.AlertBook) (store.AlertChanges, error) { return store.AlertChanges{}, nil }, nil)
		}
		require.NoError(t, evaluate(now.Add(24*time.Hour)))
		require.NoError(t, evaluate(now))
		require.ErrorIs(t, evaluate(now.Add(-time.Second)), store.ErrEvaluatedLately)
	})
	t.Run("Counts", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		_, err := b.RollUp(t.Context(), time.Hour)
		require.NoError(t, err)
		b.exec(t, `UPDATE webhook_rollup SET covered_until = covered_until + $1::interval`, aDay)
		done, err := b.RollUp(t.Context(), time.Hour)
		require.NoError(t, err)
		require.False(t, done.Until.After(time.Now()))
		b.happened(t, "webhook_queue", past{})
		_, err = b.RollUpAhead(t.Context(), time.Hour, soon)
		require.NoError(t, err)
		require.Equal(t, 1, b.count(t, `SELECT sum(events)::int FROM webhook_activity_minutes`))
	})
	t.Run("Processes", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.exec(t, `INSERT INTO processes (id, host, role, version, pool_max, pool_in_use, seen_at)
			VALUES ('dead', 'host-1', 'all', 'v1', 10, 1, now() + $1::interval)`, aDay)
		heart := store.NewHeartbeat(b.Store, store.Process{Role: store.RoleAll}, noFiles)
		defer heart.Close()
		require.Eventually(t, func() bool { return b.count(t, `SELECT count(*) FROM processes WHERE id = 'dead'`) == 0 }, 30*time.Second, 5*time.Millisecond)
	})
	t.Run("Runs", func(t *testing.T) {
		t.Parallel()
		b := setupRuns(t)
		b.exec(t, `INSERT INTO webhook_reconciliation_logs (trigger, status, window_start, window_end, finished_at)
			VALUES ('start', 'succeeded', now(), now() + $1::interval, now())`, aDay)
		run, _, err := b.StartRun(t.Context(), store.RunRequest{Trigger: store.TriggerManual, Scope: store.ScopeRegular, By: ana})
		require.NoError(t, err)
		require.False(t, run.WindowEnd.After(time.Now().Add(time.Minute)))
	})
}
