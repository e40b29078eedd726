package store_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/storetest"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// stepArgs is a step's job as the store sees one.
type stepArgs struct {
	RunID int64 `json:"run_id"`
}

func (stepArgs) Kind() string { return "reconcile_step" }

// setupRuns is a store that can start runs.
func setupRuns(t *testing.T) *bundle {
	t.Helper()
	pool := storetest.Pool(t)
	return onPool(t, pool, func(o *store.Options) { o.InsertStep = stepInserter(t, pool) })
}

func stepInserter(t *testing.T, pool *pgxpool.Pool) store.InsertStep {
	t.Helper()
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	return func(ctx context.Context, tx pgx.Tx, runID int64, _ time.Time) (int64, error) {
		inserted, err := client.InsertTx(ctx, tx, stepArgs{RunID: runID}, nil)
		if err != nil {
			return 0, err
		}
		return inserted.Job.ID, nil
	}
}

var (
	regular  = store.RunRequest{Trigger: store.TriggerManual, Scope: store.ScopeRegular}
	backfill = store.RunRequest{Trigger: store.TriggerCLI, Scope: store.ScopeBackfill, Since: time.Now().Add(-1000 * time.Hour)}
)

func (b *bundle) startRun(t *testing.T, req store.RunRequest) (store.Run, bool) {
	t.Helper()
	run, joined, err := b.StartRun(t.Context(), req)
	require.NoError(t, err)
	return run, joined
}

// openStep makes the run's step run, as River's fetch does, and opens it.
func (b *bundle) openStep(t *testing.T, run store.Run) (*store.RunStep, store.Attempt) {
	t.Helper()
	a, err := fixture.Fetch(t.Context(), b.pool, `SELECT job_id FROM webhook_reconciliation_logs WHERE id = $1`, run.ID)
	require.NoError(t, err)
	step, err := b.OpenStep(t.Context(), run.ID, a)
	require.NoError(t, err)
	return step, a
}

// finish ends the run, with its window's end as long ago as given.
func (b *bundle) finish(t *testing.T, run store.Run, status string, ago time.Duration) {
	t.Helper()
	_, err := b.pool.Exec(t.Context(), `
		UPDATE webhook_reconciliation_logs SET status = $2, finished_at = now(), window_start = '2020-01-01',
			window_end = now() - make_interval(secs => $3) WHERE id = $1`, run.ID, status, ago.Seconds())
	require.NoError(t, err)
}

func TestStartRun_TheWindowBeginsWhereTheLastSuccessEnded(t *testing.T) {
	t.Parallel()
	b := setupRuns(t)
	since := func(want time.Duration) store.Run {
		t.Helper()
		run, joined := b.startRun(t, regular)
		require.False(t, joined)
		require.WithinDuration(t, time.Now(), *run.WindowEnd, time.Minute)
		require.WithinDuration(t, run.WindowEnd.Add(-want), *run.WindowStart, time.Second)
		return run
	}
	b.finish(t, since(72*time.Hour), store.RunFailed, 0)
	b.finish(t, since(72*time.Hour), store.RunSucceeded, 10*time.Hour)
	b.finish(t, since(12*time.Hour), store.RunStoppedByCap, 0)
	fill, _ := b.startRun(t, backfill)
	b.finish(t, fill, store.RunSucceeded, 0)
	run := since(12 * time.Hour)
	require.Empty(t, run.Note)
	b.finish(t, run, store.RunSucceeded, 400*24*time.Hour)
	_, err := b.pool.Exec(t.Context(), `UPDATE webhook_reconciliation_logs SET window_end = '2020-01-02' WHERE window_end > '2020-01-02' AND scope = 'regular'`)
	require.NoError(t, err)
	run = since(364 * 24 * time.Hour)
	require.Contains(t, run.Note, "further back than searches reach")
}

func TestStartRun_LooksDeeperOnceADay(t *testing.T) {
	t.Parallel()
	b := setupRuns(t)
	ended := func(start, end time.Duration) {
		t.Helper()
		run, _ := b.startRun(t, regular)
		_, err := b.pool.Exec(t.Context(), `
			UPDATE webhook_reconciliation_logs SET status = 'succeeded', finished_at = now(),
				window_start = now() - make_interval(secs => $2), window_end = now() - make_interval(secs => $3)
			WHERE id = $1`, run.ID, start.Seconds(), end.Seconds())
		require.NoError(t, err)
	}
	begins := func(want time.Duration, why string) {
		t.Helper()
		start, end, err := b.RegularWindow(t.Context())
		require.NoError(t, err)
		require.WithinDuration(t, end.Add(-want), start, time.Second, why)
	}
	ended(100*time.Hour, 25*time.Hour)
	begins(72*time.Hour, "the last deep run is more than a day ago")
	ended(73*time.Hour, time.Hour)
	begins(3*time.Hour, "from two hours before the last one ended")
	ended(4*time.Hour, 30*time.Minute)
	begins(150*time.Minute, "a shallow one is not a deep one, and the deep one is fresh")
}

// A clock that was ahead and was put right left a window that ends in the future.
func TestStartRun_AWindowOfAClockThatWasAheadLeavesNothingOut(t *testing.T) {
	t.Parallel()
	b := setupRuns(t)
	b.finish(t, func() store.Run { run, _ := b.startRun(t, regular); return run }(), store.RunSucceeded, -24*time.Hour)
	run, _ := b.startRun(t, regular)
	require.WithinDuration(t, run.WindowEnd.Add(-72*time.Hour), *run.WindowStart, time.Second)
}

func TestStartRun_ABackfillsDates(t *testing.T) {
	t.Parallel()
	b := setupRuns(t)
	now := time.Now()
	ago := func(days int) time.Time { return now.Add(-time.Duration(days) * 24 * time.Hour) }
	for _, dates := range [][2]time.Time{
		{}, {{}, ago(1)}, {ago(366), {}}, {ago(365), ago(300)}, {ago(1), ago(2)}, {ago(1), ago(1)}, {ago(-1), {}}, {ago(-1), ago(-2)},
	} {
		_, _, err := b.StartRun(t.Context(), store.RunRequest{Trigger: store.TriggerCLI, Scope: store.ScopeBackfill, Since: dates[0], Until: dates[1]})
		require.ErrorIs(t, err, store.ErrRunWindow, "%v", dates)
	}
	run, _ := b.startRun(t, store.RunRequest{Trigger: store.TriggerCLI, Scope: store.ScopeBackfill, Since: ago(300), Until: ago(-9)})
	require.WithinDuration(t, time.Now(), *run.WindowEnd, time.Minute, "what is to come ends now")
	require.Equal(t, store.PhaseMissing, run.Phase)
}

func TestStartRun_RefusesWhatMakesNoSense(t *testing.T) {
	t.Parallel()
	b := setupRuns(t)
	for _, req := range []store.RunRequest{
		{}, {Trigger: "whim", Scope: store.ScopeRegular}, {Trigger: store.TriggerCron, Scope: "whole"},
		{Trigger: store.TriggerCron, Scope: store.ScopeRegular, Since: time.Now().Add(-time.Hour)},
		{Trigger: store.TriggerCron, Scope: store.ScopeRegular, Until: time.Now()},
	} {
		_, _, err := b.StartRun(t.Context(), req)
		require.Error(t, err)
	}
	_, _, err := setup(t).StartRun(t.Context(), regular)
	require.ErrorContains(t, err, "cannot start runs")
	require.Zero(t, b.count(t, `SELECT count(*) FROM webhook_reconciliation_logs`))
}

func TestStartRun_WhoAsksAtOnceGetsOneRun(t *testing.T) {
	t.Parallel()
	b := setupRuns(t)
	processes := []*bundle{b, {Store: b.Store, pool: b.pool}}
	var wg sync.WaitGroup
	var mu sync.Mutex
	runs, starters := map[int64]bool{}, 0
	for i := range 16 {
		wg.Go(func() {
			run, joined, err := processes[i%2].StartRun(t.Context(), regular)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				runs[run.ID] = true
			}
			if err == nil && !joined {
				starters++
			}
		})
	}
	wg.Wait()
	require.Len(t, runs, 1)
	require.Equal(t, 1, starters)
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM river_job`))

	fill, joined := b.startRun(t, backfill)
	require.False(t, joined, "a backfill and a regular run go side by side")
	other, joined := b.startRun(t, backfill)
	require.True(t, joined)
	require.Equal(t, fill.ID, other.ID)
}

func TestStartRun_ADeadRunIsNotJoined(t *testing.T) {
	t.Parallel()
	for _, end := range []string{
		`DELETE FROM river_job`,
		`UPDATE river_job SET state = 'discarded', finalized_at = now()`,
		`UPDATE river_job SET state = 'cancelled', finalized_at = now()`,
		`UPDATE river_job SET state = 'completed', finalized_at = now()`,
	} {
		b := setupRuns(t)
		first, _ := b.startRun(t, regular)
		_, err := b.pool.Exec(t.Context(), end)
		require.NoError(t, err)
		second, joined := b.startRun(t, regular)
		require.False(t, joined, end)
		require.NotEqual(t, first.ID, second.ID)
		first, err = b.Run(t.Context(), first.ID)
		require.NoError(t, err)
		require.Equal(t, store.RunFailed, first.Status)
		require.Equal(t, "its step died", *first.Error)
		for _, alive := range []string{"running", "retryable", "scheduled", "available"} {
			_, err = b.pool.Exec(t.Context(), `UPDATE river_job SET state = $1, finalized_at = NULL WHERE (args ->> 'run_id')::bigint = $2`, alive, second.ID)
			require.NoError(t, err)
			_, joined = b.startRun(t, regular)
			require.True(t, joined, alive)
		}
	}
}

// The job that asks for a run is completed with its start, or starts nothing.
func TestStartRun_CompletesWhoAsks(t *testing.T) {
	t.Parallel()
	b := setupRuns(t)
	in := b.inbox(t, store.InboxOptions{})
	asks := b.deliver(t, in, 1, "77")
	req := regular
	req.Attempt, req.Complete = asks, func(context.Context, pgx.Tx) error { return errors.New("odd") }
	_, _, err := b.StartRun(t.Context(), req)
	require.ErrorContains(t, err, "odd")
	require.Zero(t, b.count(t, `SELECT count(*) FROM webhook_reconciliation_logs`))

	req.Complete = complete(asks)
	b.startRun(t, req)
	_, _, err = b.StartRun(t.Context(), req)
	require.ErrorIs(t, err, store.ErrStaleAttempt)
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM webhook_reconciliation_logs`))
}

func TestRunStep_OnlyWhoHoldsTheRunChangesIt(t *testing.T) {
	t.Parallel()
	b := setupRuns(t)
	run, _ := b.startRun(t, regular)
	old, a := b.openStep(t, run)
	_, err := b.pool.Exec(t.Context(), `UPDATE river_job SET state = 'available'`)
	require.NoError(t, err)
	require.ErrorIs(t, old.Enter(t.Context(), store.PhaseWait), store.ErrStaleAttempt, "its job runs no more")
	step, next := b.openStep(t, run)
	require.ErrorIs(t, old.Enter(t.Context(), store.PhaseWait), store.ErrStaleAttempt, "its job runs another attempt")
	_, err = b.OpenStep(t.Context(), run.ID, store.Attempt{JobID: a.JobID + 1, Number: 1, At: a.At})
	require.ErrorIs(t, err, store.ErrStaleAttempt, "its job is not the run's")

	twin, err := b.OpenStep(t.Context(), run.ID, next)
	require.NoError(t, err)
	require.NoError(t, step.Enter(t.Context(), store.PhaseWait))
	require.ErrorIs(t, twin.Enter(t.Context(), store.PhaseDrift), store.ErrStaleAttempt, "the run has moved on")
	require.NoError(t, step.HandOver(t.Context(), complete(next)))
	require.ErrorIs(t, step.Enter(t.Context(), store.PhaseDrift), store.ErrStaleAttempt)
	require.Equal(t, 2, b.count(t, `SELECT count(*) FROM river_job`))

	step, last := b.openStep(t, run)
	require.Equal(t, store.PhaseWait, step.Run.Phase)
	require.NoError(t, step.Succeed(t.Context(), complete(last)))
	require.Equal(t, store.RunSucceeded, step.Run.Status)
	_, err = b.OpenStep(t.Context(), run.ID, last)
	require.ErrorIs(t, err, store.ErrRunEnded)
	_, err = b.OpenStep(t.Context(), run.ID+1, last)
	require.ErrorIs(t, err, store.ErrRunNotFound)
}

func TestRunStep_WhatFailsChangesNothing(t *testing.T) {
	t.Parallel()
	b := setupRuns(t)
	run, _ := b.startRun(t, regular)
	step, _ := b.openStep(t, run)
	require.ErrorContains(t, step.HandOver(t.Context(), func(context.Context, pgx.Tx) error { return errors.New("odd") }), "odd")
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM river_job`))
	require.NoError(t, step.Fail(t.Context(), "what \x00 happened"))
	run, err := b.Run(t.Context(), run.ID)
	require.NoError(t, err)
	require.Equal(t, store.RunFailed, run.Status)
	require.Equal(t, "what \uFFFD happened", *run.Error)
	require.ErrorIs(t, step.Enter(t.Context(), store.PhaseDrift), store.ErrRunEnded)
}

func TestRuns_ArePaged(t *testing.T) {
	t.Parallel()
	b := setupRuns(t)
	var ids []int64
	for range 5 {
		run, _ := b.startRun(t, regular)
		b.finish(t, run, store.RunSucceeded, 0)
		ids = append(ids, run.ID)
	}
	page, err := b.Runs(t.Context(), 0, 3)
	require.NoError(t, err)
	require.Equal(t, []int64{ids[4], ids[3], ids[2]}, []int64{page[0].ID, page[1].ID, page[2].ID})
	page, err = b.Runs(t.Context(), page[2].ID, 3)
	require.NoError(t, err)
	require.Equal(t, []int64{ids[1], ids[0]}, []int64{page[0].ID, page[1].ID})
	_, err = b.Run(t.Context(), ids[4]+1)
	require.ErrorIs(t, err, store.ErrRunNotFound)
	last, now, err := b.LastSuccess(t.Context())
	require.NoError(t, err)
	require.WithinDuration(t, now, *last, time.Minute)
}

// Payments that are found while they are being settled are not found again.
func TestRunStep_FoundLeavesOpenEventsAlone(t *testing.T) {
	t.Parallel()
	b := setupRuns(t)
	in := b.inbox(t, store.InboxOptions{})
	run, _ := b.startRun(t, regular)
	step, _ := b.openStep(t, run)
	attempt := b.deliver(t, in, 1, "77")
	state := store.FoundPayment{FetchedPayment: fetched("77", "A-1", order.PaymentApproved, "10", 1)}
	find := func(f ...store.FoundPayment) store.Run {
		t.Helper()
		require.NoError(t, step.Found(t.Context(), mainAccount, f, nil, nil, time.Time{}, nil))
		return step.Run
	}
	require.Zero(t, find(state).MissingFound, "an event about it is open")
	_, err := b.Settle(t.Context(), attempt, state.FetchedPayment, complete(attempt))
	require.NoError(t, err)
	require.Zero(t, find(state).MissingFound, "it is known in that state")
	for _, older := range []order.PaymentStatus{order.PaymentApproved, order.PaymentChargedBack, order.PaymentPending} {
		before := store.FoundPayment{FetchedPayment: fetched("77", "A-1", older, "11", 0)}
		require.NoError(t, step.Found(t.Context(), mainAccount, []store.FoundPayment{before}, nil, nil, time.Time{}, nil))
		require.Zero(t, step.Run.MissingFound+step.Run.DriftFound, "a search that lags shows what was before: %s", older)
	}
	later := store.FoundPayment{FetchedPayment: fetched("77", "A-1", order.PaymentRefunded, "10", 2)}
	other := store.FoundPayment{FetchedPayment: fetched("78", "A-1", order.PaymentApproved, "10", 2)}
	require.Equal(t, int64(2), find(later, other, later).MissingFound, "a page may show one twice")
	require.Equal(t, int64(2), find(later, other).MissingFound, "a run finds each once")
	odd := store.FoundPayment{FetchedPayment: store.FetchedPayment{Source: "mercadopago", Payment: order.Payment{ID: "79"}}, Odd: "odd"}
	require.Equal(t, int64(1), find(odd, odd).OddFound, "what can't be booked is fetched")
	require.Equal(t, int64(1), find(odd).OddFound, "a run finds each once")
	nameless := store.FoundPayment{FetchedPayment: store.FetchedPayment{Source: "mercadopago"}, Odd: "odd"}
	require.Equal(t, int64(2), find(nameless).OddFound, "without an id it is only counted")
	require.Equal(t, int64(2), step.Run.MissingFound)
	require.Equal(t, int64(14), step.Run.PaymentsChecked)
	require.Equal(t, 3, b.count(t, `SELECT count(*) FROM webhook_queue WHERE origin = 'reconciliation' AND topic = 'payment'`))
	require.Equal(t, 3, b.count(t, `SELECT count(*) FROM webhook_reconciliation_findings f JOIN webhook_queue q ON q.id = f.queue_id`))
}
