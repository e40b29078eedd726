package store_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

func TestReplay_IsANewEventOfTheSameDelivery(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ev := signed(1, "77")
	live := true
	ev.Payload, ev.Query, ev.RequestID, ev.LiveMode = []byte{0xff, 0x00}, "data.id=77", "delivery-1", &live
	id := b.accept(t, ev)
	a := b.startAttempt(t, id)
	require.NoError(t, b.Complete(t.Context(), a, store.OutcomeCovered, complete(a)))

	for _, archived := range []bool{false, true} {
		if archived {
			fixture.Archive(t, b.pool, id)
		}
		replay, err := b.ReplayEvent(t.Context(), id, ana)
		require.NoError(t, err)
		require.Equal(t, id, replay.ReplayOf)

		d := b.event(t, replay.QueueID)
		require.Equal(t, store.OriginReplay, d.Origin)
		require.Equal(t, store.StatusPending, d.Status)
		require.Equal(t, id, *d.ReplayOf)
		require.Equal(t, "payment", d.Topic)
		require.Equal(t, "payment.updated", d.Action)
		require.Equal(t, "77", d.ResourceID)
		require.Equal(t, "data.id=77", d.Query)
		require.Equal(t, "delivery-1", d.RequestID)
		require.True(t, *d.LiveMode)
		require.True(t, d.Signed)
		require.Equal(t, "/wA=", d.Payload.Data)
		require.Equal(t, 1, b.count(t, `SELECT count(*) FROM river_job j JOIN webhook_queue q ON q.job_id = j.id WHERE q.id = $1`, replay.QueueID))
		original := b.event(t, id)
		require.Equal(t, archived, original.Archived)
		require.Equal(t, replay.QueueID, original.Replays[len(original.Replays)-1].QueueID)
		require.Equal(t, "replay", original.Actions[len(original.Actions)-1].Action)
		require.Equal(t, "a1b2c3d4", d.Actions[0].Actor, "shown with the event that it made, too")

		end := b.startAttempt(t, replay.QueueID)
		require.NoError(t, b.Complete(t.Context(), end, store.OutcomeUnchanged, complete(end)))
	}
	replays := b.event(t, id).Replays
	require.Len(t, replays, 2)
	require.Equal(t, []auditRow{
		byAna(store.ActionReplay, store.TargetEvent, id, 1, "", id, replays[0].QueueID),
		byAna(store.ActionReplay, store.TargetEvent, id, 1, "", id, replays[1].QueueID),
	}, b.actions(t))
}

func TestReplay_ThatHasNotEndedIsNotReplayedAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.accept(t, signed(1, "77"))
	first, err := b.ReplayEvent(t.Context(), id, ana)
	require.NoError(t, err)

	_, err = b.ReplayEvent(t.Context(), id, ana)
	var waits *store.ReplayWaitsError
	require.ErrorAs(t, err, &waits)
	require.Equal(t, store.ReplayWaitsError{QueueID: id, Replay: first.QueueID}, *waits)
	require.Len(t, b.actions(t), 1)

	b.die(t, first.QueueID)
	_, err = b.ReplayEvent(t.Context(), id, ana)
	require.NoError(t, err, "a dead replay does no work")

	_, err = b.ReplayEvent(t.Context(), 404, ana)
	require.ErrorIs(t, err, store.ErrEventNotFound)
}

func TestReplay_OfWhatHadNoWorkHasNone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i, outcome := range []string{store.OutcomeKept, store.OutcomeUnhandled, store.OutcomeTest} {
		ev := signed(i, "77")
		ev.Work = map[string]string{store.OutcomeKept: store.WorkKeep, store.OutcomeUnhandled: store.WorkUnhandled, store.OutcomeTest: store.WorkTest}[outcome]

		replay, err := b.ReplayEvent(t.Context(), b.accept(t, ev), ana)

		require.NoError(t, err)
		require.Equal(t, outcome, *b.event(t, replay.QueueID).Outcome)
	}
	require.Zero(t, b.count(t, `SELECT count(*) FROM river_job`))
}

func TestReplay_OfADeadLetterIsDoneOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	letter, event := b.deadLetter(t, 1, "77")

	errs := race(t, 8, func(ctx context.Context) error {
		_, err := b.ReplayDeadLetter(ctx, letter, ana)
		return err
	})

	won := 0
	for _, err := range errs {
		var state *store.StateError
		switch {
		case err == nil:
			won++
		default:
			require.ErrorAs(t, err, &state)
			require.Equal(t, store.StateError{What: "dead letter", ID: letter, State: store.DeadLetterReplayed}, *state)
		}
	}
	require.Equal(t, 1, won)
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM webhook_queue WHERE replay_of = $1`, event))
	replay := b.event(t, event).Replays[0].QueueID
	require.Equal(t, []auditRow{byAna(store.ActionReplay, store.TargetDeadLetter, letter, 1, "", event, replay)}, b.actions(t))
	require.Equal(t, store.DeadLetterReplayed, b.event(t, event).DeadLetter.State)
}

// One operator has the event before them, the other its dead letter.
func TestReplay_OfAnEventAndItsDeadLetterIsDoneOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i := range 10 {
		letter, event := b.deadLetter(t, i, "77")
		turn := make(chan int, 2)
		turn <- 0
		turn <- 1
		errs := race(t, 2, func(ctx context.Context) error {
			if <-turn == 0 {
				_, err := b.ReplayEvent(ctx, event, ana)
				return err
			}
			_, err := b.ReplayDeadLetter(ctx, letter, ana)
			return err
		})
		require.NotEqual(t, (errs[0] == nil), (errs[1] == nil), "%v", errs)
		require.Equal(t, 1, b.count(t, `SELECT count(*) FROM webhook_queue WHERE replay_of = $1`, event))
		require.Equal(t, store.DeadLetterReplayed, b.event(t, event).DeadLetter.State)
	}
}

func TestReplay_LeavesAReopenedDeadLetterReopened(t *testing.T) {
	t.Parallel()
	b := setup(t)
	letter, event := b.deadLetter(t, 1, "77")
	b.exec(t, `UPDATE river_job SET state = 'available', finalized_at = NULL`)
	require.Equal(t, store.DeadLetterReopened, b.event(t, event).DeadLetter.State)

	_, err := b.ReplayDeadLetter(t.Context(), letter, ana)

	require.NoError(t, err)
	d := b.event(t, event)
	require.Equal(t, store.DeadLetterReopened, d.DeadLetter.State)
	require.Equal(t, store.StatusFailed, d.Status, "its own job lives")
	_, err = b.ReplayDeadLetter(t.Context(), letter, ana)
	var waits *store.ReplayWaitsError
	require.ErrorAs(t, err, &waits)
}

func TestReplay_OfADismissedDeadLettersEventIsDone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	letter, event := b.deadLetter(t, 1, "77")
	require.NoError(t, b.DismissDeadLetter(t.Context(), letter, note(t, "the shopper paid in cash"), ana))

	_, err := b.ReplayDeadLetter(t.Context(), letter, ana)
	var state *store.StateError
	require.ErrorAs(t, err, &state)
	require.Equal(t, store.DeadLetterDismissed, state.State)
	_, err = b.ReplayEvent(t.Context(), event, ana)
	require.NoError(t, err, "every event can be replayed by hand")
	require.Equal(t, store.DeadLetterDismissed, b.event(t, event).DeadLetter.State)
}

// What cannot be written into the audit trail is not done.
func TestReplay_WithoutAnActorIsNotDone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	letter, event := b.deadLetter(t, 1, "77")
	nobody := store.Actor{}
	for name, do := range map[string]func() error{
		"replay":  func() error { _, err := b.ReplayEvent(t.Context(), event, nobody); return err },
		"dead":    func() error { _, err := b.ReplayDeadLetter(t.Context(), letter, nobody); return err },
		"dismiss": func() error { return b.DismissDeadLetter(t.Context(), letter, note(t, "because"), nobody) },
		"bulk": func() error {
			_, err := b.StartBulkReplay(t.Context(), store.BulkReplayRequest{By: nobody, AtOnce: 10})
			return err
		},
		"wake": func() error { _, err := b.WakeEvents(t.Context(), 10, nobody, nil); return err },
	} {
		require.ErrorContains(t, do(), "needs the name of who acts", name)
	}
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM webhook_queue`))
	require.Equal(t, store.DeadLetterOpen, b.event(t, event).DeadLetter.State)
	require.Zero(t, b.count(t, `SELECT count(*) FROM webhook_bulk_replays`))
	require.Empty(t, b.actions(t))
}

func TestReplay_NeedsAStoreThatInsertsJobs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.accept(t, signed(1, "77"))
	reader := onPool(t, b.pool, func(o *store.Options) { o.FormJob = nil })
	_, err := reader.ReplayEvent(t.Context(), id, ana)
	require.ErrorContains(t, err, "cannot accept events")
	require.NotErrorIs(t, err, store.ErrEventNotFound)
}
