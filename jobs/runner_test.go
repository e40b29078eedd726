package jobs_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/storetest"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

func TestNewRunner_ReportsAllProblemsOfItsConfigTogether(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t)
	_, err := jobs.NewInserter(pool, jobs.Config{})
	require.Error(t, err)
	require.Len(t, strings.Split(err.Error(), "\n"), 7)
	_, runnerErr := jobs.NewRunner(pool, jobs.Config{}, jobs.Deps{})
	require.Equal(t, err, runnerErr)

	config := jobs.Config{
		Workers: 1, JobTimeout: time.Second, RescueAfter: time.Second, Retention: time.Hour, PayloadRetention: 90 * 24 * time.Hour,
		Backoff: jobs.Backoff{Waits: []time.Duration{time.Minute}, Attempts: 7}, Logger: slog.New(slog.DiscardHandler),
	}
	_, err = jobs.NewInserter(pool, config)
	require.EqualError(t, err, "jobs may be rescued only after their timeout")
	config.RescueAfter *= 2
	_, err = jobs.NewRunner(pool, config, jobs.Deps{})
	require.EqualError(t, err, "a store and at least one provider are required")
}

func TestRunner_StopsWithoutAStart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	runner, err := jobs.NewRunner(b.pool, b.config, jobs.Deps{Store: b.Store, Providers: map[string]jobs.Fetcher{"mercadopago": b.fake}})
	require.NoError(t, err)
	require.NoError(t, runner.Stop(t.Context()))
}

// An order that a merchant inserts by plain SQL finds the payment that came
// before it.
func TestRunner_SettlesAnOrderOfPlainSQL(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fake.isPaid("77", "A-1", "150.05")
	event := b.accept(t, "77")
	b.start(t)
	b.awaitStatus(t, event, "completed")

	b.exec(t, `INSERT INTO orders (reference, amount, currency) VALUES ('A-1', 150.05, 'ARS')`)

	fixture.Await(t, func() bool { return scan[string](t, b, `SELECT status FROM orders`) == string(order.StatusPaid) })
}

// After a rollback the queue may hold what only the newer release knows.
func TestRunner_LeavesAJobOfALaterReleaseAlone(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *jobs.Config) { c.Workers = 1 })
	later, known := b.accept(t, "77"), b.accept(t, "78")
	b.exec(t, `UPDATE river_job SET kind = 'webhook_of_a_later_release' WHERE id = $1`, b.jobID(t, later))
	b.start(t)

	b.awaitJob(t, known, rivertype.JobStateRetryable)

	job := b.job(t, later)
	require.Equal(t, rivertype.JobStateAvailable, job.State)
	require.Zero(t, job.Attempt)
	require.Nil(t, b.letter(t, later))
}

// A job outlives its event by a day, so that the event is never without one.
func TestRunner_KeepsEndedJobs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ended := map[string]string{"completed": "25 hours 1 minute", "cancelled": "25 hours 2 minutes", "discarded": "25 hours 3 minutes"}
	old, recent := map[string]int64{}, map[string]int64{}
	end := func(state, ago string) int64 {
		id := b.jobID(t, b.accept(t, "77"))
		b.exec(t, `UPDATE river_job SET state = $2::river_job_state, finalized_at = now() - $3::interval WHERE id = $1`, id, state, ago)
		return id
	}
	for state, ago := range ended {
		old[state], recent[state] = end(state, ago), end(state, "24 hours 59 minutes")
	}
	letters := scan[int](t, b, `SELECT count(*) FROM webhook_dead_letter`)
	b.start(t)

	fixture.Await(t, func() bool {
		return scan[int](t, b, `SELECT count(*) FROM river_job WHERE kind = 'webhook_payment'`) <= len(recent)
	})

	for state := range ended {
		require.Equal(t, 1, scan[int](t, b, `SELECT count(*) FROM river_job WHERE id = $1`, recent[state]), state)
	}
	require.Equal(t, letters, scan[int](t, b, `SELECT count(*) FROM webhook_dead_letter`), "to tidy up is not a death")
	require.Equal(t, letters, scan[int](t, b, `SELECT count(*) FROM webhook_dead_letter WHERE state = 'open' AND deaths = 1 AND reason = 'cancelled'`))
}

// Jobs in another queue are taken for somebody else's when an installation is moved.
func TestQueues_AreThoseOfARunner(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldSpec{})
	runner, err := jobs.NewRunner(w.pool, w.config, w.deps)
	require.NoError(t, err)
	require.NoError(t, runner.Start(t.Context()))
	t.Cleanup(func() { stop(t, runner) })
	foreign := func(also string) bool {
		return fixture.Count(t, w.pool, `SELECT count(*) FROM (SELECT name FROM river_queue UNION SELECT $2) q (name) WHERE name NOT LIKE ALL ($1)`, jobs.Queues(), also) > 0
	}
	fixture.Await(t, func() bool { return fixture.Count(t, w.pool, `SELECT count(*) FROM river_queue`) == 3 })
	require.False(t, foreign(jobs.DeliveryQueue("orders")))
	require.True(t, foreign("deliveries"))
}

func TestRunner_RebuildsIndexesThatAreThere(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.config.Reindex = true
	names := b.config.Reindexed()
	require.Len(t, names, scan[int](t, b, `SELECT count(*) FROM pg_indexes WHERE schemaname = current_schema() AND indexname = ANY ($1)`, names))
	require.Contains(t, names, "river_job_prioritized_fetching_index")
	b.config.Reindex = false
	require.NotNil(t, b.config.Reindexed(), "nil would be River's own choice")
	require.Empty(t, b.config.Reindexed())
}
