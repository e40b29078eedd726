package jobs_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// ana is an operator.
var ana = store.Actor{Name: "token:a1b2c3d4", RemoteIP: netip.MustParseAddr("203.0.113.7"), RequestID: "call-1"}

func (b *bundle) newOperator(t *testing.T) *jobs.Operator {
	t.Helper()
	o, err := jobs.NewOperator(b.pool, b.config, b.Store)
	require.NoError(t, err)
	return o
}

func TestProcessQueue_WaitsForWhatItWoke(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.newOperator(t)
	b.register(t, "A-1", "10")
	b.fake.fails("1", &provider.Error{Kind: provider.Unavailable, StatusCode: 503})
	b.fake.fails("2", &provider.Error{Kind: provider.Unavailable, StatusCode: 503})
	b.start(t)
	heals, stays := b.accept(t, "1"), b.accept(t, "2")
	b.awaitJob(t, heals, rivertype.JobStateRetryable)
	b.awaitJob(t, stays, rivertype.JobStateRetryable)
	b.fake.isPaid("1", "A-1", "10")

	done, err := o.ProcessQueue(t.Context(), 10, fixture.Patience, ana)

	require.NoError(t, err)
	require.EqualValues(t, 2, done.Woken)
	require.EqualValues(t, 1, done.Processed)
	require.EqualValues(t, 1, done.Failed)
	require.Zero(t, done.Held)
	require.False(t, done.TimedOut)
	require.EqualValues(t, 2, done.Before.Failed)
	require.Zero(t, done.Before.Completed)
	require.EqualValues(t, 1, done.After.Failed)
	require.EqualValues(t, 1, done.After.Completed)
	require.Equal(t, string(order.StatusPaid), scan[string](t, b, `SELECT status FROM orders`))
	require.Equal(t, 2, b.job(t, stays).Attempt, "the attempt is one of its seven")
	require.Equal(t, 2, scan[int](t, b, `SELECT count FROM operator_actions WHERE action = 'process_queue' AND actor = 'token:a1b2c3d4'`))
}

func TestProcessQueue_SaysWhenItsTimeIsUp(t *testing.T) {
	t.Parallel()
	b := setup(t) // nobody works
	o := b.newOperator(t)
	event := b.accept(t, "1")
	before := b.job(t, event)

	done, err := o.ProcessQueue(t.Context(), 10, 0, ana)

	require.NoError(t, err)
	require.EqualValues(t, 1, done.Woken)
	require.Zero(t, done.Processed)
	require.Zero(t, done.Failed)
	require.True(t, done.TimedOut)
	require.EqualValues(t, 1, done.After.Pending)
	require.Equal(t, before, b.job(t, event), "what is due keeps its place")
	for _, limit := range []int{0, jobs.WakeLimit + 1} {
		_, err = o.ProcessQueue(t.Context(), limit, 0, ana)
		require.ErrorContains(t, err, "limit")
	}
}

// Whoever hangs up has woken the events all the same, and waits no longer.
func TestProcessQueue_OutlivesItsCaller(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.newOperator(t)
	b.accept(t, "1")
	ctx, hangUp := context.WithCancel(t.Context())
	woken, err := o.Wake(ctx, 10, ana)
	require.NoError(t, err)
	hangUp()
	done, err := o.Await(ctx, woken, fixture.Patience)
	require.NoError(t, err)
	require.True(t, done.TimedOut)
	require.EqualValues(t, 1, done.After.Pending)
}

func TestReplay_OfADeadLetterSettlesItsOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register(t, "A-1", "10")
	b.fake.fails("1", &provider.Error{Kind: provider.Forbidden, StatusCode: 403})
	b.start(t)
	event := b.accept(t, "1")
	b.awaitStatus(t, event, store.StatusDeadLetter)
	b.fake.isPaid("1", "A-1", "10")
	letter := scan[int64](t, b, `SELECT id FROM webhook_dead_letter`)

	replay, err := b.ReplayDeadLetter(t.Context(), letter, ana)

	require.NoError(t, err)
	b.awaitStatus(t, replay.QueueID, store.StatusCompleted)
	d, err := b.Event(t.Context(), replay.QueueID)
	require.NoError(t, err)
	require.Equal(t, store.OutcomeSettled, *d.Outcome)
	require.Equal(t, "paid", d.OrderChanges[0].Status)
	require.Equal(t, store.DeadLetterReplayed, b.letter(t, event).State)
	require.Equal(t, store.StatusDeadLetter, b.status(t, event))
}

func TestBulkReplay_IsAPacedChainOfJobs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.newOperator(t)
	b.register(t, "A-1", "10")
	b.fake.isPaid("1", "A-1", "10")
	const dead = 101 // one more than a step
	for range dead {
		b.accept(t, "1")
	}
	b.exec(t, `UPDATE river_job SET state = 'discarded', attempt = 7, finalized_at = now()`)
	bulk, err := o.ReplayDeadLetters(t.Context(), store.DeadLetterFilter{}, 0, ana)
	require.NoError(t, err)
	require.Equal(t, store.BulkReplayRunning, bulk.State)
	require.EqualValues(t, dead, bulk.Total)
	look := func() store.BulkReplay {
		now, err := b.BulkReplay(t.Context(), bulk.ID)
		require.NoError(t, err)
		return now
	}
	b.start(t)

	fixture.Await(t, func() bool { return look().Replayed == 100 })
	require.Equal(t, store.BulkReplayRunning, look().State)
	const steps = ` FROM river_job j JOIN webhook_bulk_replays b ON b.job_id = j.id`
	pause := scan[time.Duration](t, b, `SELECT j.scheduled_at - b.updated_at`+steps)
	require.Greater(t, pause, 4*time.Second)
	_, err = b.operator.JobRetry(t.Context(), scan[int64](t, b, `SELECT j.id`+steps))
	require.NoError(t, err)
	fixture.Await(t, func() bool { return look().State == store.BulkReplayDone })

	require.EqualValues(t, dead, look().Replayed)
	fixture.Await(t, func() bool {
		return scan[int](t, b, `SELECT count(*) FROM webhook_queue WHERE origin = 'replay' AND completed_at IS NOT NULL`) == dead
	})
	require.Equal(t, 3, scan[int](t, b, `SELECT min(priority) FROM river_job WHERE kind = 'webhook_payment' AND state = 'completed'`), "whatever is live passes")
	require.Equal(t, dead, scan[int](t, b, `SELECT count(DISTINCT replay_of) FROM webhook_queue WHERE origin = 'replay'`))
	require.Equal(t, 2, scan[int](t, b, `SELECT count(*) FROM river_job WHERE kind = 'replay_step' AND state = 'completed'`))
}

func TestOperator_NeedsItsParts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := jobs.NewOperator(b.pool, b.config, nil)
	require.ErrorContains(t, err, "store")
	_, err = jobs.NewOperator(b.pool, jobs.Config{}, b.Store)
	require.ErrorContains(t, err, "workers")
}
