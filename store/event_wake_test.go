package store_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// retryJob makes a job due as River does, and remembers which.
func retryJob(retried *[]int64) store.RetryJob {
	return func(ctx context.Context, tx pgx.Tx, jobID int64) error {
		*retried = append(*retried, jobID)
		_, err := tx.Exec(ctx, `UPDATE river_job SET state = 'available', scheduled_at = now() WHERE id = $1`, jobID)
		return err
	}
}

// becomes puts the event's job into a state.
func (b *bundle) becomes(t *testing.T, queueID int64, change string) {
	t.Helper()
	b.exec(t, `UPDATE river_job SET `+change+` WHERE id = (SELECT job_id FROM webhook_queue WHERE id = $1)`, queueID)
}

const inAnHour = `scheduled_at = now() + interval '1 hour'`

func TestWakeEvents_WakesWhatWaitsAndNothingElse(t *testing.T) {
	t.Parallel()
	b := setup(t)
	pending := b.accept(t, signed(1, "1"))
	failed := b.accept(t, signed(2, "2"))
	b.becomes(t, failed, `state = 'retryable', attempt = 3, `+inAnHour)
	running := b.accept(t, signed(3, "3"))
	b.startAttempt(t, running)
	held := b.accept(t, signed(4, "4"))
	b.becomes(t, held, `state = 'scheduled', metadata = '{"snoozes": 1}', `+inAnHour)
	_, dead := b.deadLetter(t, 5, "5")
	done := b.accept(t, signed(6, "6"))
	a := b.startAttempt(t, done)
	require.NoError(t, b.Complete(t.Context(), a, store.OutcomeCovered, complete(a)))
	late := b.accept(t, signed(7, "7"))

	var retried []int64
	woken, err := b.WakeEvents(t.Context(), 2, ana, retryJob(&retried))
	require.NoError(t, err)
	require.Len(t, woken, 2, "the limit holds")
	require.Equal(t, pending, woken[0].QueueID)
	require.Equal(t, failed, woken[1].QueueID)
	require.Equal(t, 3, woken[1].Attempt)
	require.Equal(t, []int64{woken[1].JobID}, retried, "one that is due already is left in its place")
	require.Equal(t, []auditRow{byAna(store.ActionProcessQueue, store.TargetQueue, 0, 2, "", pending, failed)}, b.actions(t))
	require.Len(t, b.event(t, failed).Actions, 1)

	woken, err = b.WakeEvents(t.Context(), 100, ana, retryJob(&retried))
	require.NoError(t, err)
	var ids []int64
	for _, w := range woken {
		ids = append(ids, w.QueueID)
	}
	require.Equal(t, []int64{pending, failed, late}, ids)
	require.Len(t, retried, 1)
	for id, status := range map[int64]string{running: store.StatusProcessing, held: store.StatusHeld, dead: store.StatusDeadLetter, done: store.StatusCompleted} {
		require.Equal(t, status, b.event(t, id).Status)
	}
}

// A job that is being fetched is not waited for: it is being worked.
func TestWakeEvents_LeavesAJobThatIsBeingFetchedAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.accept(t, signed(1, "1"))
	tx, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(context.WithoutCancel(t.Context()))) }()
	_, err = tx.Exec(t.Context(), `UPDATE river_job SET state = 'running' WHERE id = (SELECT job_id FROM webhook_queue WHERE id = $1)`, id)
	require.NoError(t, err)

	var retried []int64
	woken, err := b.WakeEvents(t.Context(), 10, ana, retryJob(&retried))

	require.NoError(t, err)
	require.Empty(t, woken)
	require.Empty(t, retried)
}

func TestWokenProgress_CountsEachEventOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	waits, runs := b.accept(t, signed(1, "1")), b.accept(t, signed(2, "2"))
	again, retried, dies := b.accept(t, signed(3, "3")), b.accept(t, signed(4, "4")), b.accept(t, signed(5, "5"))
	held, done, archived, gone := b.accept(t, signed(6, "6")), b.accept(t, signed(7, "7")), b.accept(t, signed(8, "8")), b.accept(t, signed(9, "9"))
	woken, err := b.WakeEvents(t.Context(), 100, ana, nil)
	require.NoError(t, err)
	require.Len(t, woken, 9)
	progress, err := b.WokenProgress(t.Context(), woken)
	require.NoError(t, err)
	require.Equal(t, store.WakeProgress{Waiting: 9}, progress)

	b.startAttempt(t, runs)
	b.becomes(t, again, `state = 'running', attempt = 2`)
	b.becomes(t, retried, `state = 'retryable', attempt = 1, `+inAnHour)
	b.die(t, dies)
	b.becomes(t, held, `state = 'scheduled', metadata = '{"snoozes": 1}', `+inAnHour)
	for _, id := range []int64{done, archived} {
		a := b.startAttempt(t, id)
		require.NoError(t, b.Complete(t.Context(), a, store.OutcomeCovered, complete(a)))
	}
	fixture.Archive(t, b.pool, archived)
	b.exec(t, `DELETE FROM river_job WHERE id = (SELECT job_id FROM webhook_queue WHERE id = $1)`, gone)

	progress, err = b.WokenProgress(t.Context(), woken)
	require.NoError(t, err)
	require.Equal(t, store.WakeProgress{Waiting: 2, Processed: 2, Failed: 4, Held: 1}, progress)
	require.Equal(t, store.StatusPending, b.event(t, waits).Status)
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	last, err := b.WaitWoken(stopped, woken)
	require.NoError(t, err, "whoever's time is up is told how far it came")
	require.Equal(t, progress, last)
}

func TestWokenProgress_EndsWithTheLastAttempt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.accept(t, signed(1, "1"))
	woken, err := b.WakeEvents(t.Context(), 100, ana, nil)
	require.NoError(t, err)
	a := b.startAttempt(t, id)
	waited := make(chan store.WakeProgress, 1)
	go func() {
		progress, err := b.WaitWoken(t.Context(), woken)
		if err == nil {
			waited <- progress
		}
		close(waited)
	}()
	require.NoError(t, b.Complete(t.Context(), a, store.OutcomeCovered, complete(a)))
	require.Equal(t, store.WakeProgress{Processed: 1}, <-waited)
}
