package jobs

import (
	"context"
	"errors"
	"testing"

	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
)

// What is worked is not left over; what was begun and is not worked any more has
// an end that was not written; what was never begun is told from both.
func TestWorkLog_TellsWhatIsLeftOver(t *testing.T) {
	t.Parallel()
	l := newWorkLog()
	running := func(attempts ...store.Attempt) []store.RunningJob {
		jobs := make([]store.RunningJob, len(attempts))
		for i, a := range attempts {
			jobs[i] = store.RunningJob{ID: a.JobID, Attempt: a.Number}
		}
		return jobs
	}
	worked, ended, never := store.Attempt{JobID: 1, Number: 2}, store.Attempt{JobID: 2, Number: 1}, store.Attempt{JobID: 3, Number: 1}
	failed := errors.New("failed")
	job := func(a store.Attempt) *rivertype.JobRow { return &rivertype.JobRow{ID: a.JobID, Attempt: a.Number} }

	require.ErrorIs(t, l.Work(t.Context(), job(ended), func(context.Context) error { return failed }), failed)
	require.NoError(t, l.Work(t.Context(), job(worked), func(context.Context) error {
		require.Equal(t, map[store.Attempt]bool{ended: true, never: false}, l.unworked(running(worked, ended, never)))
		// The job's next attempt is another.
		next := store.Attempt{JobID: worked.JobID, Number: worked.Number + 1}
		require.Equal(t, map[store.Attempt]bool{next: false}, l.unworked(running(next)))
		return nil
	}))

	require.Equal(t, map[store.Attempt]bool{worked: true}, l.unworked(running(worked)))
	require.Empty(t, l.unworked(nil))
	require.Empty(t, l.begun, "an end that was written is forgotten")
}
