package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// insertStep inserts a step as a job that waits.
func insertStep(ctx context.Context, tx pgx.Tx, bulkID int64, at time.Time) (jobID int64, err error) {
	err = tx.QueryRow(ctx, `
		INSERT INTO river_job (kind, args, state, max_attempts, queue, scheduled_at)
		VALUES ('replay_step', jsonb_build_object('bulk_replay_id', $1::bigint), 'available', 7, 'operations', $2) RETURNING id`, bulkID, at).Scan(&jobID)
	return jobID, err
}

// startStep makes the bulk replay's step run, as River's fetch does.
func (b *bundle) startStep(t *testing.T, id int64) store.Attempt {
	t.Helper()
	a, err := fixture.Fetch(t.Context(), b.pool, `SELECT job_id FROM webhook_bulk_replays WHERE id = $1`, id)
	require.NoError(t, err)
	return a
}

func (b *bundle) step(t *testing.T, id int64, batch int) (store.BulkReplay, error) {
	t.Helper()
	a := b.startStep(t, id)
	return b.StepBulkReplay(t.Context(), a, id, batch, insertStep, complete(a))
}

func (b *bundle) letterState(t *testing.T, letter int64) string {
	t.Helper()
	d, err := b.DeadLetter(t.Context(), letter)
	require.NoError(t, err)
	return d.State
}

func TestBulkReplay_FewAreReplayedAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, e1 := b.deadLetter(t, 1, "77")
	second, e2 := b.deadLetter(t, 2, "78")
	other, _ := b.deadLetter(t, 3, "79")
	b.exec(t, `UPDATE webhook_dead_letter SET error_class = 'timeout' WHERE id = $1`, other)
	filter := store.DeadLetterFilter{ErrorClass: "forbidden"}
	n, err := b.CountReplayable(t.Context(), filter)
	require.NoError(t, err)
	require.EqualValues(t, 2, n)
	require.Empty(t, b.actions(t), "counting is not an action")

	bulk, err := b.StartBulkReplay(t.Context(), store.BulkReplayRequest{Filter: filter, By: ana, AtOnce: 2})

	require.NoError(t, err)
	require.Equal(t, store.BulkReplayDone, bulk.State)
	require.EqualValues(t, 2, bulk.Total)
	require.EqualValues(t, 2, bulk.Replayed)
	require.Equal(t, filter, bulk.Filter)
	require.NotNil(t, bulk.FinishedAt)
	require.False(t, bulk.FinishedAt.Before(bulk.StartedAt))
	require.Equal(t, "a1b2c3d4", bulk.RequestedBy)
	require.Equal(t, store.DeadLetterReplayed, b.letterState(t, first))
	require.Equal(t, store.DeadLetterReplayed, b.letterState(t, second))
	require.Equal(t, store.DeadLetterOpen, b.letterState(t, other))
	r1, r2 := b.event(t, e1).Replays[0].QueueID, b.event(t, e2).Replays[0].QueueID
	require.Equal(t, []auditRow{
		byAna(store.ActionBulkReplay, store.TargetBulkReplay, bulk.ID, 2, `{"error_class":"forbidden"}`),
		byAna(store.ActionBulkReplayStep, store.TargetBulkReplay, bulk.ID, 2, "", e1, e2, r1, r2),
	}, b.actions(t))
	require.Equal(t, store.ActionBulkReplayStep, b.event(t, e1).Actions[0].Action)

	again, err := b.StartBulkReplay(t.Context(), store.BulkReplayRequest{Filter: filter, By: ana, AtOnce: 2})
	require.NoError(t, err)
	require.Equal(t, store.BulkReplayDone, again.State)
	require.Zero(t, again.Total)
}

func TestBulkReplay_ManyAreReplayedInSteps(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var letters []int64
	for i := range 5 {
		letter, _ := b.deadLetter(t, i, "77")
		letters = append(letters, letter)
	}
	bulk, err := b.StartBulkReplay(t.Context(), store.BulkReplayRequest{By: ana, AtOnce: 4, InsertStep: insertStep})
	require.NoError(t, err)
	require.Equal(t, store.BulkReplayRunning, bulk.State)
	require.EqualValues(t, 5, bulk.Total)
	require.Zero(t, bulk.Replayed)
	// One that dies later, and one that dies once more, are not swept in.
	later, _ := b.deadLetter(t, 6, "78")
	b.exec(t, `UPDATE river_job SET state = 'available', finalized_at = NULL WHERE id = (SELECT job_id FROM webhook_queue WHERE id =
		(SELECT queue_id FROM webhook_dead_letter WHERE id = $1))`, letters[3])
	b.exec(t, `UPDATE river_job SET state = 'discarded', finalized_at = now() WHERE state = 'available' AND kind = 'webhook_payment' AND attempt > 0`)

	due := func() int {
		return b.count(t, `SELECT count(*) FROM river_job WHERE kind = 'replay_step' AND state = 'available' AND scheduled_at <= now()`)
	}
	require.Equal(t, 1, due(), "the first step begins at once")
	bulk, err = b.step(t, bulk.ID, 2)
	require.NoError(t, err)
	require.Equal(t, store.BulkReplayRunning, bulk.State)
	require.EqualValues(t, 2, bulk.Replayed)
	require.Zero(t, due(), "the next one is paced")
	bulk, err = b.step(t, bulk.ID, 2)
	require.NoError(t, err)
	require.Equal(t, store.BulkReplayRunning, bulk.State)
	require.EqualValues(t, 4, bulk.Replayed)
	bulk, err = b.step(t, bulk.ID, 2)
	require.NoError(t, err)
	require.Equal(t, store.BulkReplayDone, bulk.State)
	require.EqualValues(t, 4, bulk.Replayed)

	require.Equal(t, 4, b.count(t, `SELECT count(*) FROM webhook_queue WHERE replay_of IS NOT NULL`))
	require.Equal(t, store.DeadLetterOpen, b.letterState(t, letters[3]))
	require.Equal(t, store.DeadLetterOpen, b.letterState(t, later))
	require.Zero(t, b.count(t, `SELECT count(*) FROM river_job WHERE kind = 'replay_step' AND state <> 'completed'`), "the last step makes no other")
	require.Len(t, b.actions(t), 1+3-1, "one for the request and one for each step that did something")
}

func TestBulkReplay_StopsAtItsLimit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, _ := b.deadLetter(t, 1, "77")
	second, _ := b.deadLetter(t, 2, "78")

	bulk, err := b.StartBulkReplay(t.Context(), store.BulkReplayRequest{Limit: 1, By: ana, AtOnce: 100})

	require.NoError(t, err)
	require.EqualValues(t, 1, bulk.Total)
	require.Equal(t, store.BulkReplayDone, bulk.State)
	require.Equal(t, store.DeadLetterReplayed, b.letterState(t, first), "the oldest first")
	require.Equal(t, store.DeadLetterOpen, b.letterState(t, second))
}

func TestBulkReplay_DoesNothingMoreWhenCancelled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i := range 3 {
		b.deadLetter(t, i, "77")
	}
	bulk, err := b.StartBulkReplay(t.Context(), store.BulkReplayRequest{By: ana, AtOnce: 1, InsertStep: insertStep})
	require.NoError(t, err)
	_, err = b.step(t, bulk.ID, 1)
	require.NoError(t, err)

	bulk, err = b.CancelBulkReplay(t.Context(), bulk.ID, ana)
	require.NoError(t, err)
	require.Equal(t, store.BulkReplayCancelled, bulk.State)
	require.EqualValues(t, 1, bulk.Replayed)
	bulk, err = b.step(t, bulk.ID, 1)
	require.NoError(t, err)
	require.Equal(t, store.BulkReplayCancelled, bulk.State)
	require.EqualValues(t, 1, bulk.Replayed)

	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM webhook_queue WHERE replay_of IS NOT NULL`))
	require.Zero(t, b.count(t, `SELECT count(*) FROM river_job WHERE kind = 'replay_step' AND state <> 'completed'`))
	audit := b.actions(t)
	require.Equal(t, byAna(store.ActionCancelBulkReplay, store.TargetBulkReplay, bulk.ID, 1, ""), audit[len(audit)-1])

	var state *store.StateError
	_, err = b.CancelBulkReplay(t.Context(), bulk.ID, ana)
	require.ErrorAs(t, err, &state)
	require.Equal(t, store.BulkReplayCancelled, state.State)
	_, err = b.CancelBulkReplay(t.Context(), 404, ana)
	require.ErrorIs(t, err, store.ErrBulkReplayNotFound)
}

// A worker that lost its step must not replay what its successor replays.
func TestBulkReplay_AStaleStepReplaysNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i := range 2 {
		b.deadLetter(t, i, "77")
	}
	bulk, err := b.StartBulkReplay(t.Context(), store.BulkReplayRequest{By: ana, AtOnce: 1, InsertStep: insertStep})
	require.NoError(t, err)
	lost := b.startStep(t, bulk.ID)
	current := b.startStep(t, bulk.ID)
	require.Equal(t, lost.Number+1, current.Number)

	_, err = b.StepBulkReplay(t.Context(), lost, bulk.ID, 1, insertStep, complete(lost))

	require.ErrorIs(t, err, store.ErrStaleAttempt)
	require.Zero(t, b.count(t, `SELECT count(*) FROM webhook_queue WHERE replay_of IS NOT NULL`))
}

func TestBulkReplay_WhoseStepIsGoneIsStalled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i := range 2 {
		b.deadLetter(t, i, "77")
	}
	bulk, err := b.StartBulkReplay(t.Context(), store.BulkReplayRequest{By: ana, AtOnce: 1, InsertStep: insertStep})
	require.NoError(t, err)
	require.Equal(t, store.BulkReplayRunning, bulk.State)
	b.exec(t, `UPDATE river_job SET state = 'discarded', finalized_at = now() WHERE kind = 'replay_step'`)

	bulk, err = b.BulkReplay(t.Context(), bulk.ID)

	require.NoError(t, err)
	require.Equal(t, store.BulkReplayStalled, bulk.State)
	bulk, err = b.CancelBulkReplay(t.Context(), bulk.ID, ana)
	require.NoError(t, err)
	require.Equal(t, store.BulkReplayCancelled, bulk.State)
	_, err = b.BulkReplay(t.Context(), 404)
	require.ErrorIs(t, err, store.ErrBulkReplayNotFound)
}

func TestBulkReplay_TakesNoState(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.StartBulkReplay(t.Context(), store.BulkReplayRequest{Filter: store.DeadLetterFilter{State: store.DeadLetterDismissed}, By: ana})
	require.ErrorContains(t, err, "takes no state")
}

// Two operators who replay everything at the same time replay it once.
func TestBulkReplay_SeveralShareTheWork(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i := range 6 {
		b.deadLetter(t, i, "77")
	}
	for _, err := range race(t, 4, func(ctx context.Context) error {
		_, err := b.StartBulkReplay(ctx, store.BulkReplayRequest{
			Filter: store.DeadLetterFilter{Until: time.Now().Add(time.Hour)}, By: ana, AtOnce: 100,
		})
		return err
	}) {
		require.NoError(t, err)
	}
	require.Equal(t, 6, b.count(t, `SELECT count(*) FROM webhook_queue WHERE replay_of IS NOT NULL`))
	require.Equal(t, 6, b.count(t, `SELECT sum(replayed) FROM webhook_bulk_replays`))
	require.Equal(t, 6, b.count(t, `SELECT count(DISTINCT replay_of) FROM webhook_queue`))
}
