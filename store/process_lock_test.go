package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
)

// runs makes a new event's job run under the process's id, and returns the job.
func (b *bundle) runs(t *testing.T, number int, process string) store.Attempt {
	t.Helper()
	a := b.startAttempt(t, b.accept(t, signed(number, "1")))
	b.exec(t, `UPDATE river_job SET attempted_by = ARRAY['somebody else', $2] WHERE id = $1`, a.JobID, process)
	return a
}

func (b *bundle) deadProcesses(t *testing.T) []string {
	t.Helper()
	dead, err := b.DeadProcesses(t.Context(), "ours_", "ours_self")
	require.NoError(t, err)
	return dead
}

// lockedBy returns the session that holds the process's lock, 0 for none.
func (b *bundle) lockedBy(t *testing.T) int {
	t.Helper()
	return b.count(t, `
		SELECT coalesce(max(pid), 0) FROM pg_locks
		WHERE locktype = 'advisory' AND granted AND mode = 'ExclusiveLock' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
}

func TestProcessLock_IsTakenAgainWhenItsConnectionBreaks(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i, process := range []string{"ours_living", "ours_dead", "ours_self", "theirs"} {
		b.runs(t, i, process)
	}
	hold, err := b.LockProcess(t.Context(), "ours_living")
	require.NoError(t, err)

	require.Equal(t, []string{"ours_dead"}, b.deadProcesses(t))

	// Its connection is cut, and it says again that it lives.
	first := b.lockedBy(t)
	require.NotZero(t, first)
	b.exec(t, `SELECT pg_terminate_backend($1)`, first)
	require.Eventually(t, func() bool {
		now := b.lockedBy(t)
		return now != 0 && now != first
	}, 30*time.Second, 10*time.Millisecond)
	require.Equal(t, []string{"ours_dead"}, b.deadProcesses(t))

	hold.Release()
	require.Eventually(t, func() bool { return b.lockedBy(t) == 0 }, 30*time.Second, 10*time.Millisecond)
	require.Equal(t, []string{"ours_dead", "ours_living"}, b.deadProcesses(t))
}

// Jobs are taken from the dead only, and in the attempt that was looked at.
func TestProcessLock_AbandonedJobsAreTakenUnderTheirLocks(t *testing.T) {
	t.Parallel()
	b := setup(t)
	orphan := b.runs(t, 1, "ours_dead")
	busy := b.runs(t, 2, "ours_dead")
	theirs := b.runs(t, 3, "ours_living")
	hold, err := b.LockProcess(t.Context(), "ours_living")
	require.NoError(t, err)
	defer hold.Release()
	end := func(ctx context.Context, tx pgx.Tx, running []store.RunningJob) error {
		for _, j := range running {
			if _, err := tx.Exec(ctx, `UPDATE river_job SET state = 'available' WHERE id = $1`, j.ID); err != nil {
				return err
			}
		}
		return nil
	}
	// A settlement is under way, of a worker that is thought dead.
	tx, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `SELECT FROM river_job WHERE id = $1 FOR UPDATE`, busy.JobID)
	require.NoError(t, err)

	taken, err := b.TakeAbandoned(t.Context(), "ours_living", end)
	require.NoError(t, err)
	require.Empty(t, taken)
	refuse := errors.New("refused")
	_, err = b.TakeAbandoned(t.Context(), "ours_dead", func(context.Context, pgx.Tx, []store.RunningJob) error { return refuse })
	require.ErrorIs(t, err, refuse)
	taken, err = b.TakeAbandoned(t.Context(), "ours_dead", end)
	require.NoError(t, err)
	require.Len(t, taken, 1)
	require.Equal(t, orphan.JobID, taken[0].ID)
	require.NoError(t, tx.Rollback(t.Context()))

	running, err := b.RunningUnder(t.Context(), "ours_living")
	require.NoError(t, err)
	require.Len(t, running, 1)
	require.Equal(t, "webhook_payment", running[0].Kind)
	theirs.Number++
	taken, err = b.TakeBack(t.Context(), "ours_living", []store.Attempt{theirs, busy}, end)
	require.NoError(t, err)
	require.Empty(t, taken, "another attempt, and another's job")
	theirs.Number--
	taken, err = b.TakeBack(t.Context(), "ours_living", []store.Attempt{theirs}, end)
	require.NoError(t, err)
	require.Len(t, taken, 1)
}
