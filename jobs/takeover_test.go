package jobs_test

import (
	"context"
	"testing"
	"time"

	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// startWatchful starts workers that wait for nothing before they take up what is
// nobody's.
func (b *bundle) startWatchful(t *testing.T) *jobs.Runner {
	t.Helper()
	deps := jobs.Deps{Store: b.Store, Providers: map[string]jobs.Fetcher{"mercadopago": b.fake}}
	runner, err := jobs.NewRunner(b.pool, b.config, deps.WithOrphanTimes(20*time.Millisecond, time.Millisecond, 200*time.Millisecond))
	require.NoError(t, err)
	require.NoError(t, runner.Start(t.Context()))
	t.Cleanup(func() { stop(t, runner) })
	return runner
}

// fetchedBy makes the event's job run its next attempt under a process's id.
func (b *bundle) fetchedBy(t *testing.T, event int64, process string) {
	t.Helper()
	b.exec(t, `
		UPDATE river_job SET state = 'running', attempt = attempt + 1, attempted_at = now(), attempted_by = array_append(attempted_by, $2)
		WHERE id = $1`, b.jobID(t, event), process)
}

const (
	deadProcess = jobs.ProcessPrefix + "dead"
	orphaned    = "orphaned: the process that worked it is gone"
)

func TestTakeover_AbandonedJobsAreTakenUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fake.isPaid("77", "A-1", "150.05")
	event := b.accept(t, "77")
	b.fetchedBy(t, event, deadProcess)

	b.startWatchful(t)

	b.awaitStatus(t, event, "completed")
	job := b.job(t, event)
	require.Equal(t, 2, job.Attempt, "the attempt stays spent")
	require.Len(t, job.Errors, 1)
	require.Equal(t, orphaned, job.Errors[0].Error)
	require.Equal(t, 1, job.Errors[0].Attempt)
	require.Nil(t, b.letter(t, event))
}

// A job whose process lives, or may live without our knowing, is left alone.
func TestTakeover_LeavesTheJobsOfTheLivingAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const living, older = jobs.ProcessPrefix + "living", "host_2026_01_02T03_04_05"
	hold, err := b.LockProcess(t.Context(), living)
	require.NoError(t, err)
	released := false
	defer func() {
		if !released {
			hold.Release()
		}
	}()
	theirs, foreign, orphan := b.accept(t, "77"), b.accept(t, "77"), b.accept(t, "77")
	b.fetchedBy(t, theirs, living)
	b.fetchedBy(t, foreign, older)
	b.fetchedBy(t, orphan, deadProcess)

	b.startWatchful(t)

	b.awaitJob(t, orphan, rivertype.JobStateRetryable)
	for _, event := range []int64{theirs, foreign} {
		require.Equal(t, rivertype.JobStateRunning, b.job(t, event).State)
		require.Empty(t, b.job(t, event).Errors)
	}
	hold.Release()
	released = true
	b.awaitJob(t, theirs, rivertype.JobStateRetryable)
	require.Equal(t, rivertype.JobStateRunning, b.job(t, foreign).State)
}

// A job that kills its process comes to an end, and before it does, leaves time
// to what runs beside it.
func TestTakeover_AbandonedJobsEnd(t *testing.T) {
	t.Parallel()
	b := setup(t)
	last, again, cancelled := b.accept(t, "77"), b.accept(t, "77"), b.accept(t, "77")
	b.exec(t, `UPDATE river_job SET attempt = 6 WHERE id = $1`, b.jobID(t, last))
	b.exec(t, `
		UPDATE river_job SET attempt = 1, errors = ARRAY['{"at": "2026-01-02T03:04:05Z", "attempt": 1, "error": "orphaned: before", "trace": ""}'::jsonb]
		WHERE id = $1`, b.jobID(t, again))
	b.exec(t, `UPDATE river_job SET metadata = '{"cancel_attempted_at": "2026-01-02T03:04:05Z"}' WHERE id = $1`, b.jobID(t, cancelled))
	for _, event := range []int64{last, again, cancelled} {
		b.fetchedBy(t, event, deadProcess)
	}

	b.startWatchful(t)

	b.awaitStatus(t, last, "dead_letter")
	require.Equal(t, &deadLetter{
		Reason: "rescued_out", Class: "worker_died", Error: orphaned, State: "open", Attempts: 7, Deaths: 1, Errors: []string{orphaned},
	}, b.letter(t, last))
	job := b.awaitJob(t, again, rivertype.JobStateRetryable)
	require.Len(t, job.Errors, 2)
	require.True(t, job.ScheduledAt.After(time.Now().Add(time.Minute)), "the second step of the backoff is two minutes")
	b.awaitStatus(t, cancelled, "dead_letter")
	require.Equal(t, "cancelled", b.letter(t, cancelled).Reason)
}

// A process that fetched a job and never heard of it, because its connection
// broke, gives it back; the attempt that was never made is not spent.
func TestTakeover_AJobThatWasNeverBegunIsGivenBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	asked, release := b.fake.held("78", func() (provider.Payment, error) { return approved("78", "A-2", "150.05"), nil })
	b.fake.isPaid("77", "A-1", "150.05")
	worked, unheard := b.accept(t, "78"), b.accept(t, "77")
	b.exec(t, `UPDATE river_job SET scheduled_at = now() + interval '1 hour', state = 'scheduled' WHERE id = $1`, b.jobID(t, unheard))
	b.startWatchful(t)
	<-asked
	process := b.job(t, worked).AttemptedBy[0]
	require.Contains(t, process, jobs.ProcessPrefix)

	b.fetchedBy(t, unheard, process)

	b.awaitStatus(t, unheard, "completed")
	job := b.job(t, unheard)
	require.Equal(t, 1, job.Attempt)
	require.Empty(t, job.Errors)
	require.Equal(t, rivertype.JobStateRunning, b.job(t, worked).State, "what is worked is not left over")
	close(release)
	b.awaitStatus(t, worked, "completed")
	require.Equal(t, 1, b.job(t, worked).Attempt)
}

// What an older release's rescuer buried is dug up by the first process that
// knows it, and only once.
func TestTakeover_AnUnknownKindIsReopenedOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	bury := func(event int64) {
		b.exec(t, `
			UPDATE river_job SET state = 'discarded', finalized_at = now(), attempt = 1,
				errors = array_append(errors, '{"at": "2026-01-02T03:04:05Z", "attempt": 1, "error": "Stuck job rescued by JobRescuer", "trace": ""}'::jsonb)
			WHERE id = $1`, b.jobID(t, event))
		require.Equal(t, "unknown_kind", b.letter(t, event).Reason)
	}
	b.fake.fails("77", &provider.Error{Kind: provider.Unavailable})
	b.fake.isPaid("78", "A-1", "150.05")
	event, other, later := b.accept(t, "77"), b.accept(t, "78"), b.accept(t, "78")
	for _, e := range []int64{event, other, later} {
		bury(e)
	}
	b.exec(t, `UPDATE river_job SET kind = 'webhook_of_a_later_release' WHERE id = $1`, b.jobID(t, later))

	b.startWatchful(t)

	b.awaitStatus(t, other, "completed")
	b.awaitJob(t, event, rivertype.JobStateRetryable)
	require.Equal(t, "reopened", b.letter(t, event).State)

	bury(event)
	marker := b.accept(t, "78")
	b.awaitStatus(t, marker, "completed")
	another := b.accept(t, "79")
	b.awaitJob(t, another, rivertype.JobStateRetryable)
	bury(another)
	fixture.Await(t, func() bool { return b.letter(t, another).State == "reopened" })
	for _, e := range []int64{event, later} {
		require.Equal(t, "open", b.letter(t, e).State)
		require.Equal(t, rivertype.JobStateDiscarded, b.job(t, e).State)
	}
	require.Equal(t, 2, b.letter(t, event).Deaths)
}

// A process that cannot say that it lives works nothing: its jobs would be
// anybody's.
func TestTakeover_NoWorkWithoutTheProcessLock(t *testing.T) {
	t.Parallel()
	b := setup(t)
	runner, err := jobs.NewRunner(b.pool, b.config, jobs.Deps{Store: b.Store, Providers: map[string]jobs.Fetcher{"mercadopago": b.fake}})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, runner.Start(ctx), context.Canceled)
	require.NoError(t, runner.Stop(t.Context()))
}
