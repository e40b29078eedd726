package jobs_test

import (
	"errors"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/jobs/provider"
)

// failing is the bundle of a provider that answers nothing but errors.
func failing(t *testing.T, change ...func(*jobs.Config)) *bundle {
	t.Helper()
	b := setup(t, change...)
	b.fake.fails("77", &provider.Error{Kind: provider.Unavailable, StatusCode: 503})
	return b
}

const unavailable = "provider_unavailable: HTTP 503"

func TestDeadLetter_AfterTheLastAttempt(t *testing.T) {
	t.Parallel()
	b := failing(t, func(c *jobs.Config) { c.Backoff = jobs.Backoff{Waits: []time.Duration{time.Millisecond}, Attempts: 2} })
	event := b.accept(t, "77")
	b.start(t)

	b.awaitStatus(t, event, "dead_letter")

	require.Equal(t, &deadLetter{
		Reason: "retries_exhausted", Class: "provider_unavailable", Error: unavailable, State: "open", Attempts: 2, Deaths: 1,
		Errors: []string{unavailable, unavailable},
	}, b.letter(t, event))
}

func TestDeadLetter_ByTheWorkersWord(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fake.fails("77", &provider.Error{Kind: provider.Forbidden, StatusCode: 403})
	event := b.accept(t, "77")
	b.start(t)

	b.awaitStatus(t, event, "dead_letter")

	require.Equal(t, &deadLetter{
		Reason: "permanent_failure", Class: "forbidden", Error: "forbidden: HTTP 403", State: "open", Attempts: 1, Deaths: 1,
		Errors: []string{"JobCancelError: forbidden: HTTP 403"},
	}, b.letter(t, event))
}

func TestDeadLetter_ByAnOperatorWhileItWaits(t *testing.T) {
	t.Parallel()
	b := failing(t)
	event := b.accept(t, "77")
	runner := b.start(t)
	b.awaitJob(t, event, rivertype.JobStateRetryable)
	stop(t, runner)
	fresh := b.accept(t, "78")

	for _, e := range []int64{event, fresh} {
		_, err := b.operator.JobCancel(t.Context(), b.jobID(t, e))
		require.NoError(t, err)
	}

	require.Equal(t, &deadLetter{
		Reason: "cancelled", Class: "provider_unavailable", Error: unavailable, State: "open", Attempts: 1, Deaths: 1, Errors: []string{unavailable},
	}, b.letter(t, event))
	require.Equal(t, &deadLetter{Reason: "cancelled", State: "open", Deaths: 1}, b.letter(t, fresh))
	require.Equal(t, "dead_letter", b.status(t, fresh))
}

func TestDeadLetter_ByAnOperatorWhileItRuns(t *testing.T) {
	t.Parallel()
	b := setup(t)
	asked, _ := b.fake.held("77", func() (provider.Payment, error) { return provider.Payment{}, errors.New("never") })
	event := b.accept(t, "77")
	b.start(t)
	<-asked

	_, err := b.operator.JobCancel(t.Context(), b.jobID(t, event))
	require.NoError(t, err)

	b.awaitJob(t, event, rivertype.JobStateCancelled)
	letter := b.letter(t, event)
	require.Len(t, letter.Errors, 1)
	require.Equal(t, &deadLetter{
		Reason: "cancelled", Error: letter.Error, State: "open", Attempts: 1, Deaths: 1, Errors: letter.Errors,
	}, letter)
}

// strand makes the event's job look as if its worker had been silent for so
// many minutes.
func (b *bundle) strand(t *testing.T, event int64, attempt, minutes int, metadata string) {
	t.Helper()
	b.exec(t, `
		UPDATE river_job SET state = 'running', attempt = $2, attempted_at = now() - make_interval(mins => $3), metadata = $4
		WHERE id = (SELECT job_id FROM webhook_queue WHERE id = $1)`, event, attempt, minutes, metadata)
}

// The rescuer tells no error handler and emits no event, and is mirrored too.
func TestRescuer_EndsWhatIsStuck(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *jobs.Config) {
		c.RescueAfter = 10 * time.Minute
		c.Backoff.Waits = []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute, 32 * time.Minute}
	})
	exhausted, cancelled, alive, unknown, running := b.accept(t, "1"), b.accept(t, "2"), b.accept(t, "3"), b.accept(t, "4"), b.accept(t, "5")
	b.strand(t, exhausted, 7, 11, `{}`)
	b.strand(t, cancelled, 3, 11, `{"cancel_attempted_at": "2026-01-02T03:04:05Z"}`)
	b.strand(t, alive, 6, 11, `{}`)
	b.strand(t, unknown, 1, 11, `{}`)
	b.strand(t, running, 7, 5, `{}`)
	b.exec(t, `UPDATE river_job SET kind = 'webhook_of_a_later_release' WHERE id = $1`, b.jobID(t, unknown))
	b.start(t)

	b.awaitStatus(t, exhausted, "dead_letter")
	b.awaitStatus(t, cancelled, "dead_letter")
	b.awaitStatus(t, unknown, "dead_letter")
	job := b.awaitJob(t, alive, rivertype.JobStateRetryable)

	const stuck = "Stuck job rescued by JobRescuer"
	require.Equal(t, &deadLetter{
		Reason: "rescued_out", Class: "worker_died", Error: stuck, State: "open", Attempts: 7, Deaths: 1, Errors: []string{stuck},
	}, b.letter(t, exhausted))
	require.Equal(t, &deadLetter{
		Reason: "cancelled", Error: stuck, State: "open", Attempts: 3, Deaths: 1, Errors: []string{stuck},
	}, b.letter(t, cancelled))
	require.Equal(t, &deadLetter{
		Reason: "unknown_kind", Class: "unknown_kind", Error: stuck, State: "open", Attempts: 1, Deaths: 1, Errors: []string{stuck},
	}, b.letter(t, unknown))
	require.Nil(t, b.letter(t, alive))
	require.False(t, job.ScheduledAt.Before(job.Errors[0].At.Add(32*time.Minute)), "our backoff, not River's")
	require.Equal(t, rivertype.JobStateRunning, b.job(t, running).State, "another process may be at it")
	for _, paymentID := range []string{"1", "2", "3", "4", "5"} {
		require.Zero(t, b.fake.calls(paymentID))
	}
}

func TestDeadLetter_ByDeletion(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one, many := b.accept(t, "77"), []int64{b.accept(t, "78"), b.accept(t, "79")}

	_, err := b.operator.JobDelete(t.Context(), b.jobID(t, one))
	require.NoError(t, err)
	_, err = b.operator.JobDeleteMany(t.Context(), river.NewJobDeleteManyParams().Kinds(jobs.PaymentArgs{}.Kind()))
	require.NoError(t, err)

	for _, event := range append(many, one) {
		require.Equal(t, &deadLetter{Reason: "deleted", State: "open", Deaths: 1}, b.letter(t, event))
		require.Equal(t, "dead_letter", b.status(t, event))
	}
}

func TestDeadLetter_GoesWithTheOperatorsTransaction(t *testing.T) {
	t.Parallel()
	b := setup(t)
	event := b.accept(t, "77")
	jobID := b.jobID(t, event)
	tx, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = b.operator.JobCancelTx(t.Context(), tx, jobID)
	require.NoError(t, err)
	var letters int
	require.NoError(t, tx.QueryRow(t.Context(), `SELECT count(*) FROM webhook_dead_letter`).Scan(&letters))
	require.Equal(t, 1, letters)

	require.NoError(t, tx.Rollback(t.Context()))

	require.Nil(t, b.letter(t, event))
	require.Equal(t, "pending", b.status(t, event))
}

// A dead letter lives again whenever somebody retries its job, dies again in
// the same row, and stays as it is once its event is completed.
func TestDeadLetter_IsReopenedByARetry(t *testing.T) {
	t.Parallel()
	b := failing(t, func(c *jobs.Config) { c.Backoff.Attempts = 1 })
	event := b.accept(t, "77")
	jobID := b.jobID(t, event)
	runner := b.start(t)
	b.awaitStatus(t, event, "dead_letter")
	stop(t, runner)
	retry := func() {
		_, err := b.operator.JobRetry(t.Context(), jobID)
		require.NoError(t, err)
	}
	first := b.letter(t, event)
	created := scan[time.Time](t, b, `SELECT created_at FROM webhook_dead_letter`)
	require.Equal(t, created, scan[time.Time](t, b, `SELECT died_at FROM webhook_dead_letter`))

	retry()
	reopened := *first
	reopened.State = "reopened"
	require.Equal(t, &reopened, b.letter(t, event))
	require.Equal(t, "failed", b.status(t, event))

	const refused = "forbidden: HTTP 403"
	b.fake.fails("77", &provider.Error{Kind: provider.Forbidden, StatusCode: 403})
	runner = b.start(t)
	b.awaitStatus(t, event, "dead_letter")
	stop(t, runner)
	second := &deadLetter{
		Reason: "permanent_failure", Class: "forbidden", Error: refused, State: "open", Attempts: 2, Deaths: 2,
		Errors: []string{unavailable, "JobCancelError: " + refused},
	}
	require.Equal(t, second, b.letter(t, event))
	require.Equal(t, created, scan[time.Time](t, b, `SELECT created_at FROM webhook_dead_letter WHERE died_at > created_at`))

	// From the cancelled state, and although somebody had dismissed it.
	b.exec(t, `UPDATE webhook_dead_letter SET state = 'dismissed'`)
	b.fake.isPaid("77", "A-1", "150.05")
	retry()
	require.Equal(t, "reopened", b.letter(t, event).State)
	b.start(t)
	b.awaitStatus(t, event, "completed")
	second.State = "reopened"
	require.Equal(t, second, b.letter(t, event))

	// The event has ended: what becomes of its job is not a death.
	b.awaitJob(t, event, rivertype.JobStateCompleted)
	b.exec(t, `UPDATE river_job SET state = 'available', finalized_at = NULL, scheduled_at = now() + interval '1 hour' WHERE id = $1`, jobID)
	_, err := b.operator.JobCancel(t.Context(), jobID)
	require.NoError(t, err)
	require.Equal(t, rivertype.JobStateCancelled, b.job(t, event).State)
	require.Equal(t, second, b.letter(t, event))
	require.Equal(t, "completed", b.status(t, event))
	_, err = b.operator.JobDelete(t.Context(), jobID)
	require.NoError(t, err)
	require.Equal(t, second, b.letter(t, event))
}

// The job of a completed event may be tried again, cancelled and deleted: an
// event that has ended does not die.
func TestDeadLetter_ACompletedEventDoesNotDie(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fake.isPaid("77", "A-1", "150.05")
	events := []int64{b.accept(t, "77"), b.accept(t, "77")}
	runner := b.start(t)
	for _, event := range events {
		b.awaitJob(t, event, rivertype.JobStateCompleted)
	}
	stop(t, runner)
	for _, event := range events {
		_, err := b.operator.JobRetry(t.Context(), b.jobID(t, event))
		require.NoError(t, err)
	}

	_, err := b.operator.JobCancel(t.Context(), b.jobID(t, events[0]))
	require.NoError(t, err)
	_, err = b.operator.JobDelete(t.Context(), b.jobID(t, events[1]))
	require.NoError(t, err)

	require.Zero(t, scan[int](t, b, `SELECT count(*) FROM webhook_dead_letter`))
	for _, event := range events {
		require.Equal(t, "completed", b.status(t, event))
	}
}
