package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/jobs/circuit"
	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

var (
	down       = &provider.Error{Kind: provider.Unavailable, StatusCode: 503}
	shutOut    = &provider.Error{Kind: provider.Unauthorized, StatusCode: 401}
	barred     = &provider.Error{Kind: provider.Forbidden, StatusCode: 403}
	unreadable = &provider.Error{Kind: provider.Unreadable, StatusCode: 200, Err: errors.New("unexpected end")}
)

// awaitCircuit waits until the database says so of the provider.
func (b *bundle) awaitCircuit(t *testing.T, state store.CircuitState) store.ProviderState {
	t.Helper()
	var p store.ProviderState
	fixture.Await(t, func() bool {
		var err error
		p, err = b.Provider(t.Context())
		require.NoError(t, err)
		return p.Circuit == state
	})
	return p
}

// awaitOutage waits until the provider is held to be down, tried or not.
func (b *bundle) awaitOutage(t *testing.T) store.ProviderState {
	t.Helper()
	var p store.ProviderState
	fixture.Await(t, func() bool {
		var err error
		p, err = b.Provider(t.Context())
		require.NoError(t, err)
		return p.Circuit != store.CircuitClosed
	})
	return p
}

// awaitProbes waits until a provider that is down was tried so often again.
func (b *bundle) awaitProbes(t *testing.T, n int64) {
	t.Helper()
	// A probe is claimed, and then given back.
	revision := func() int64 { return scan[int64](t, b, `SELECT revision FROM provider_state`) }
	until := revision() + 2*n + 1
	fixture.Await(t, func() bool { return revision() >= until })
}

func (b *bundle) outages(t *testing.T) []store.Outage {
	t.Helper()
	outages, err := b.Outages(t.Context(), time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	require.NoError(t, err)
	return outages
}

// awaitReleased waits until all that waited out the only outage was let go.
func (b *bundle) awaitReleased(t *testing.T) store.Outage {
	t.Helper()
	fixture.Await(t, func() bool { o := b.outages(t); return len(o) == 1 && o[0].ReleasedAt != nil })
	return b.outages(t)[0]
}

// sales delivers n events about payments that pay an order each.
func (b *bundle) sales(t *testing.T, n int) []int64 {
	t.Helper()
	events := make([]int64, n)
	for i := range events {
		reference := fmt.Sprintf("A-%d", i)
		b.register(t, reference, "10")
		b.fake.isPaid(fmt.Sprint(1000+i), reference, "10")
		events[i] = b.accept(t, fmt.Sprint(1000+i))
	}
	return events
}

func (b *bundle) requireAllPaid(t *testing.T, n int) {
	t.Helper()
	require.Equal(t, n, scan[int](t, b, `SELECT count(*) FROM orders WHERE status = $1`, string(order.StatusPaid)))
	require.Zero(t, scan[int](t, b, `SELECT count(*) FROM webhook_queue WHERE completed_at IS NULL`))
}

// The backoff is over within a tenth of the outage: without holding, every event
// would die.
func TestOutage_IsWaitedOut(t *testing.T) {
	t.Parallel()
	for name, failure := range map[string]error{"no answer": down, "nonsense": unreadable} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(c *jobs.Config) { c.Backoff.Waits = []time.Duration{time.Millisecond} })
			b.fake.goesDown(failure)
			b.start(t)
			events := b.sales(t, 30)
			for _, e := range events {
				b.awaitStatus(t, e, store.StatusHeld)
			}
			state := b.awaitOutage(t)
			require.Equal(t, store.ReasonUnavailable, state.Reason)
			require.Equal(t, "mercadopago", state.Source)
			st, err := b.Status(t.Context())
			require.NoError(t, err)
			require.EqualValues(t, 30, st.Queue.Held)
			require.Zero(t, st.Queue.Pending+st.Queue.Failed)
			require.NotEqual(t, store.CircuitClosed, st.Provider.Circuit)
			b.awaitProbes(t, 3)
			require.Nil(t, b.outages(t)[0].ClosedAt)

			b.fake.comesBack()

			for _, e := range events {
				b.awaitStatus(t, e, store.StatusCompleted)
			}
			b.requireAllPaid(t, 30)
			require.Zero(t, scan[int](t, b, `SELECT count(*) FROM webhook_dead_letter`))
			// The failures that opened the circuit were of five events, and each
			// worker may have been at another; a held event spends no attempt.
			require.LessOrEqual(t, scan[int](t, b, `SELECT count(*) FROM webhook_queue WHERE attempts > 1`), 5+b.config.Workers)
			outage := b.awaitReleased(t)
			require.EqualValues(t, 30, outage.HeldReleased)
			require.Zero(t, outage.DeadLettersReplayed)
			require.False(t, outage.FirstFailureAt.After(outage.OpenedAt))
			require.True(t, outage.ClosedAt.After(outage.OpenedAt))
		})
	}
}

// A quiet shop has one event in the whole outage.
func TestOutage_ALoneEventWaitsItOut(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *jobs.Config) { c.Backoff.Waits = []time.Duration{time.Millisecond} })
	b.fake.goesDown(down)
	b.start(t)
	event := b.sales(t, 1)[0]
	b.awaitStatus(t, event, store.StatusHeld)
	require.LessOrEqual(t, b.job(t, event).Attempt, 2)
	b.fake.comesBack()
	b.awaitStatus(t, event, store.StatusCompleted)
	b.requireAllPaid(t, 1)
}

// Its last attempt is not spent on a provider that is seen to be down.
func TestOutage_SpendsNoLastAttempt(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *jobs.Config) { c.Backoff.Attempts = 1 })
	b.fake.goesDown(down)
	b.start(t)
	event := b.sales(t, 1)[0]
	b.awaitStatus(t, event, store.StatusHeld)
	require.Zero(t, b.job(t, event).Attempt)
	b.fake.comesBack()
	b.awaitStatus(t, event, store.StatusCompleted)
	require.Nil(t, b.letter(t, event))
}

// One payment that always fails is its own trouble, however often it does.
func TestOutage_OnePaymentsFaultIsNone(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *jobs.Config) { c.Backoff.Waits = []time.Duration{time.Millisecond} })
	b.fake.fails("77", down)
	event := b.accept(t, "77")
	b.start(t)
	b.awaitStatus(t, event, store.StatusDeadLetter)
	require.Equal(t, 7, b.fake.calls("77"))
	require.Equal(t, "provider_unavailable", b.letter(t, event).Class)
	require.Empty(t, b.outages(t))
}

// The provider answers who we are, and searches, and no payment: the circuit opens
// by the payments, and stays open until one can be read.
func TestOutage_OfPaymentsAloneIsWaitedOut(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.start(t)
	events := make([]int64, 8)
	for i := range events {
		b.fake.fails(fmt.Sprint(i), down)
		b.fake.shows(fmt.Sprint(i))
		events[i] = b.accept(t, fmt.Sprint(i))
	}
	b.awaitOutage(t)
	b.awaitProbes(t, 3)
	require.Len(t, b.outages(t), 1)
	require.Nil(t, b.outages(t)[0].ClosedAt)
	fixture.Await(t, func() bool {
		return scan[int](t, b, `SELECT count(*) FROM webhook_queue_status WHERE status = 'held'`) > 0
	})
	for i := range events {
		b.fake.isPaid(fmt.Sprint(i), fmt.Sprintf("A-%d", i), "10")
	}
	b.awaitCircuit(t, store.CircuitClosed)
}

func TestOutage_ARevokedTokenSpendsNoAttempt(t *testing.T) {
	t.Parallel()
	for name, refusal := range map[string]error{"401": shutOut, "403": barred} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(c *jobs.Config) { c.Workers = 20 })
			b.fake.goesDown(refusal)
			events := b.sales(t, 40)
			runner := b.start(t)
			for _, e := range events {
				b.awaitStatus(t, e, store.StatusHeld)
				require.Zero(t, b.job(t, e).Attempt)
			}
			require.Equal(t, store.ReasonCredentialsRejected, b.awaitOutage(t).Reason)
			stop(t, runner)
			require.Less(t, b.fake.credentialChecks(), 40, "a storm of refusals is few probes")

			// The token works again, and the process is started with it.
			b.fake.comesBack()
			b.start(t)

			for _, e := range events {
				b.awaitStatus(t, e, store.StatusCompleted)
			}
			b.requireAllPaid(t, 40)
			require.Equal(t, 1, scan[int](t, b, `SELECT max(attempts) FROM webhook_queue`))
			require.Equal(t, store.ReasonCredentialsRejected, b.awaitReleased(t).Reason)
		})
	}
}

func TestOutage_OnePaymentsRefusalIsNone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fake.fails("barred", barred)
	b.fake.fails("refused", shutOut)
	forbidden, refused := b.accept(t, "barred"), b.accept(t, "refused")
	b.start(t)
	b.awaitStatus(t, forbidden, store.StatusDeadLetter)
	require.Equal(t, "forbidden", b.letter(t, forbidden).Class)
	require.Equal(t, "permanent_failure", b.letter(t, forbidden).Reason)
	b.awaitJob(t, refused, rivertype.JobStateRetryable)
	require.Empty(t, b.outages(t))
}

// A refusal is not taken for the payment's own when nobody can say whose it is.
func TestOutage_ARefusalThatCannotBeConfirmedIsRetried(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fake.refuses, b.fake.searchFails = down, down
	b.fake.fails("77", barred)
	event := b.accept(t, "77")
	b.start(t)
	job := b.awaitJob(t, event, rivertype.JobStateRetryable)
	require.Equal(t, "forbidden: HTTP 403", job.Errors[0].Error)
	require.Nil(t, b.letter(t, event))
}

func TestOutage_TooManyCallsAreNone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fake.goesDown(&provider.Error{Kind: provider.RateLimited, StatusCode: 429, RetryAfter: time.Hour})
	b.start(t)
	for _, e := range b.sales(t, 10) {
		b.awaitJob(t, e, rivertype.JobStateRetryable)
	}
	require.Empty(t, b.outages(t))
}

// What our own rate limit held back says nothing, and costs no attempt.
func TestOutage_ACallThatWasNotMadeSpendsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fake.goesDown(&provider.Error{Kind: provider.Unavailable, NotAsked: true, Err: context.DeadlineExceeded})
	b.start(t)
	events := b.sales(t, 10)
	for _, e := range events {
		fixture.Await(t, func() bool {
			job := b.job(t, e)
			return job.State == rivertype.JobStateAvailable && job.Attempt == 0 && len(job.Errors) == 0 && job.ScheduledAt.After(time.Now())
		})
		require.NotEqual(t, store.StatusHeld, b.status(t, e))
	}
	require.Empty(t, b.outages(t))
}

// Two processes: one probes at a time, and both hold.
func TestOutage_OneProcessProbesForAll(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *jobs.Config) { c.Backoff.Waits = []time.Duration{time.Millisecond} })
	b.fake.goesDown(down)
	b.start(t)
	b.start(t)
	b.sales(t, 20)
	b.awaitOutage(t)
	fixture.Await(t, func() bool {
		return scan[int](t, b, `SELECT count(*) FROM webhook_queue_status WHERE status = 'held'`) == 20
	})
	before := scan[int64](t, b, `SELECT revision FROM provider_state`)
	asked := b.fake.credentialChecks()

	fixture.Await(t, func() bool { return scan[int64](t, b, `SELECT revision FROM provider_state`) >= before+20 })

	probes := (scan[int64](t, b, `SELECT revision FROM provider_state`) - before + 1) / 2
	require.LessOrEqual(t, int64(b.fake.credentialChecks()-asked), probes+2, "each probe is claimed by one process")
	require.Equal(t, 1, scan[int](t, b, `SELECT count(*) FROM provider_outages`))
}

// The circuit stands in the database: a process that never asked the provider knows
// it, and a new one asks nothing before the outage is over.
func TestOutage_IsKnownToAProcessThatNeverAsked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, opened, err := b.OpenCircuit(t.Context(), mainAccount, store.ReasonUnavailable, time.Minute, circuit.DefaultTiming().ProbeHold)
	require.NoError(t, err)
	require.True(t, opened)
	b.start(t)
	event := b.sales(t, 1)[0]

	b.awaitStatus(t, event, store.StatusHeld)

	require.Zero(t, b.fake.calls("1000")+b.fake.credentialChecks())
	require.Zero(t, b.job(t, event).Attempt)
}

// The backoff ran out in the streak that opened the circuit, and for another
// reason, and long before.
func TestOutage_ItsDeadLettersAreReplayedOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *jobs.Config) { c.Backoff.Attempts = 1 })
	b.fake.fails("old", down)
	b.fake.fails("other", &provider.Error{Kind: provider.NotFound, StatusCode: 404})
	b.fake.fails("casualty", down)
	runner := b.start(t)
	old, other, casualty := b.accept(t, "old"), b.accept(t, "other"), b.accept(t, "casualty")
	for _, e := range []int64{old, other, casualty} {
		b.awaitStatus(t, e, store.StatusDeadLetter)
	}
	stop(t, runner)
	b.exec(t, `UPDATE webhook_dead_letter SET died_at = now() - interval '1 hour' WHERE queue_id = $1`, old)
	_, _, err := b.OpenCircuit(t.Context(), mainAccount, store.ReasonUnavailable, time.Minute, 0)
	require.NoError(t, err)
	b.register(t, "A-1", "10")
	b.fake.isPaid("casualty", "A-1", "10")
	b.start(t)

	outage := b.awaitReleased(t)

	require.EqualValues(t, 1, outage.DeadLettersReplayed)
	require.Equal(t, "replayed", b.letter(t, casualty).State)
	require.Equal(t, "open", b.letter(t, old).State)
	require.Equal(t, "open", b.letter(t, other).State)
	replay := scan[int64](t, b, `SELECT id FROM webhook_queue WHERE replay_of = $1`, casualty)
	b.awaitStatus(t, replay, store.StatusCompleted)
	require.Equal(t, 1, scan[int](t, b, `SELECT count(*) FROM orders WHERE status = 'paid'`))
	require.Equal(t, 1, scan[int](t, b, `SELECT count(*) FROM operator_actions WHERE actor = 'outage' AND action = 'replay' AND queue_ids = ARRAY[$1::bigint, $2]`, casualty, replay))
	require.Equal(t, 1, scan[int](t, b, `SELECT count(*) FROM webhook_queue WHERE replay_of IS NOT NULL`))
}

func TestProcessQueue_WakesNothingInAnOutage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.newOperator(t)
	pending := b.sales(t, 1)[0]
	_, _, err := b.OpenCircuit(t.Context(), mainAccount, store.ReasonUnavailable, 0, time.Hour)
	require.NoError(t, err)

	done, err := o.ProcessQueue(t.Context(), 10, fixture.Patience, ana)

	require.NoError(t, err)
	require.Equal(t, store.CircuitOpen, done.Provider)
	require.Zero(t, done.Woken)
	require.Equal(t, store.StatusPending, b.status(t, pending))
}

// A released event that fails afterwards has failed, with its own attempts.
func TestOutage_AReleasedEventThatFailsHasFailed(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *jobs.Config) { c.Backoff.Waits = []time.Duration{4 * time.Second} })
	b.fake.fails("77", &provider.Error{Kind: provider.NotFound, StatusCode: 404})
	b.fake.goesDown(shutOut)
	b.start(t)
	event := b.accept(t, "77")
	b.awaitStatus(t, event, store.StatusHeld)

	b.fake.comesBack()

	b.awaitStatus(t, event, store.StatusFailed)
	require.Equal(t, 1, b.job(t, event).Attempt)
	require.Contains(t, string(b.job(t, event).Metadata), "snoozes")
}

// An attempt that was under way all through an outage, and fails over it when
// everything was let go already, must not be held for the hours of an outage
// that is over.
func TestOutage_AnAttemptThatOutlivesItComesAgainAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *jobs.Config) { c.JobTimeout, c.RescueAfter = time.Minute, 2*time.Minute })
	b.register(t, "slow", "10")
	hung := make(chan struct{})
	b.fake.says("500", func(ctx context.Context, call int) (provider.Payment, error) {
		if call > 1 {
			return approved("500", "slow", "10"), nil
		}
		select {
		case <-hung:
		case <-ctx.Done():
		}
		return provider.Payment{}, down
	})
	b.start(t)
	slow := b.accept(t, "500")
	fixture.Await(t, func() bool { return b.fake.calls("500") == 1 })
	b.fake.goesDown(down)
	b.sales(t, 8)
	b.awaitOutage(t)
	b.fake.comesBack()
	b.awaitReleased(t)

	close(hung)

	b.awaitStatus(t, slow, store.StatusCompleted)
	require.Equal(t, 1, b.job(t, slow).Attempt, "it spent nothing")
}
