package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"github.com/conciliar/conciliar/store"
)

const (
	// fenceTimeout bounds one look at the job's state.
	fenceTimeout = 2 * time.Second
	// leavePoll is how often a stale worker looks whether it may leave.
	leavePoll = 500 * time.Millisecond
)

// attemptOf is the attempt that a job's row runs.
func attemptOf(job *rivertype.JobRow) store.Attempt {
	a := store.Attempt{JobID: job.ID, Number: job.Attempt}
	if job.AttemptedAt != nil {
		a.At = *job.AttemptedAt
	}
	return a
}

// isStale reports whether the attempt, which ended with err, lost its job. A
// failure must be fenced like a success: River files it by the job's id alone.
func isStale(ctx context.Context, s *store.Store, a store.Attempt, err error) bool {
	if errors.Is(err, store.ErrStaleAttempt) {
		return true
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fenceTimeout)
	defer cancel()
	current, checkErr := s.AttemptIsCurrent(ctx, a)
	return checkErr == nil && !current
}

// leave ends a stale attempt without an effect. Whatever a worker returns,
// River applies to the job if it is running, and now it would be another
// worker's attempt: so this one waits until the job does not run any more. It
// gives up waiting when its own context ends; then the newer attempt is put
// back and done again, which costs time and nothing else.
func leave(ctx context.Context, s *store.Store, a store.Attempt) error {
	poll := time.Tick(leavePoll)
	for {
		running, err := s.JobIsRunning(ctx, a.JobID)
		if err == nil && !running {
			return river.JobSnooze(0)
		}
		select {
		case <-poll:
		case <-ctx.Done():
			return river.JobSnooze(0)
		}
	}
}

// completeJob completes the job as the last statement of tx. River answers a
// job that is not running with its row and no error, so the state is checked.
func completeJob[T river.JobArgs](ctx context.Context, tx pgx.Tx, job *river.Job[T]) error {
	done, err := river.JobCompleteTx[*riverpgxv5.Driver](ctx, tx, job)
	if err != nil {
		return fmt.Errorf("complete job %d: %w", job.ID, err)
	}
	if done.State != rivertype.JobStateCompleted {
		return fmt.Errorf("complete job %d: it is %s: %w", job.ID, done.State, store.ErrStaleAttempt)
	}
	return nil
}
