package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

const mp = "mercadopago"

// mainAccount is the one that there is in most tests.
var mainAccount = store.Account{Source: mp}

func (b *bundle) open(t *testing.T, reason string, failingFor time.Duration) bool {
	t.Helper()
	_, opened, err := b.OpenCircuit(t.Context(), mainAccount, reason, failingFor, 0)
	require.NoError(t, err)
	return opened
}

func (b *bundle) close(t *testing.T) store.Outage {
	t.Helper()
	turn, claimed, err := b.ClaimProbe(t.Context(), mainAccount, time.Minute)
	require.NoError(t, err)
	require.True(t, claimed)
	outage, closed, err := b.CloseCircuit(t.Context(), mainAccount, turn.Revision)
	require.NoError(t, err)
	require.True(t, closed)
	return outage
}

func (b *bundle) provider(t *testing.T) store.ProviderState {
	t.Helper()
	st, err := b.Status(t.Context())
	require.NoError(t, err)
	p, err := b.Provider(t.Context())
	require.NoError(t, err)
	require.Equal(t, p, st.Provider)
	return p
}

func TestCircuit_OpensOnceAndOneProbeClosesIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.Equal(t, store.ProviderState{Circuit: store.CircuitClosed}, b.provider(t))
	opened := 0
	results := make(chan bool, 8)
	for _, err := range race(t, 8, func(ctx context.Context) error {
		_, opened, err := b.OpenCircuit(ctx, mainAccount, store.ReasonUnavailable, time.Second, 0)
		results <- opened
		return err
	}) {
		require.NoError(t, err)
		if <-results {
			opened++
		}
	}
	require.Equal(t, 1, opened, "whoever notices too is in the same outage")
	state := b.provider(t)
	require.Equal(t, store.CircuitOpen, state.Circuit)
	require.Equal(t, store.ReasonUnavailable, state.Reason)
	since := *state.Since

	require.False(t, b.open(t, store.ReasonCredentialsRejected, time.Minute))
	require.Equal(t, store.ReasonCredentialsRejected, b.provider(t).Reason)
	outages, err := b.Outages(t.Context(), since.Add(-time.Hour), since.Add(time.Hour))
	require.NoError(t, err)
	require.Len(t, outages, 1)
	require.Equal(t, store.ReasonCredentialsRejected, outages[0].Reason)
	require.WithinDuration(t, since.Add(-time.Minute), outages[0].FirstFailureAt, 30*time.Second, "the earliest failure begins it")

	claims := make(chan store.Circuit, 8)
	for _, err := range race(t, 8, func(ctx context.Context) error {
		c, claimed, err := b.ClaimProbe(ctx, mainAccount, time.Minute)
		if claimed {
			claims <- c
		}
		return err
	}) {
		require.NoError(t, err)
	}
	require.Len(t, claims, 1, "one probes for all")
	turn := <-claims
	require.Equal(t, store.CircuitHalfOpen, b.provider(t).Circuit)
	require.NoError(t, b.FailProbe(t.Context(), mainAccount, turn.Revision, store.ReasonUnavailable, 0))
	require.Equal(t, store.CircuitOpen, b.provider(t).Circuit)
	require.Equal(t, since, *b.provider(t).Since, "a probe is not a change")

	_, closed, err := b.CloseCircuit(t.Context(), mainAccount, turn.Revision)
	require.NoError(t, err)
	require.False(t, closed, "a probe that lost its turn closes nothing")
	ended := b.close(t)
	require.NotNil(t, ended.ClosedAt)
	state = b.provider(t)
	require.Equal(t, store.CircuitClosed, state.Circuit)
	require.Empty(t, state.Reason)
	require.True(t, state.Since.After(since))
	require.NoError(t, b.FailProbe(t.Context(), mainAccount, turn.Revision, store.ReasonUnavailable, 0))
	require.Equal(t, store.CircuitClosed, b.provider(t).Circuit)
}

// A process that dies while it probes keeps nobody from probing.
func TestCircuit_ProbeOfADeadProcessIsGivenAway(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.open(t, store.ReasonUnavailable, 0)
	_, claimed, err := b.ClaimProbe(t.Context(), mainAccount, 0)
	require.NoError(t, err)
	require.True(t, claimed)
	b.close(t)
}

func TestOutages_AreThoseOfATime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.open(t, store.ReasonUnavailable, 0)
	first := b.close(t)
	b.open(t, store.ReasonCredentialsRejected, 0)
	within := func(since, until time.Time) int {
		found, err := b.Outages(t.Context(), since, until)
		require.NoError(t, err)
		return len(found)
	}
	now := time.Now()
	require.Equal(t, 2, within(first.OpenedAt.Add(-time.Second), now.Add(time.Hour)))
	require.Equal(t, 1, within(*first.ClosedAt, now.Add(time.Hour)), "one that goes on touches all that comes")
	require.Zero(t, within(first.OpenedAt.Add(-time.Hour), first.OpenedAt))
}

func (b *bundle) hold(t *testing.T, id int64) {
	t.Helper()
	b.becomes(t, id, `state = 'scheduled', metadata = '{"snoozes": 1}', `+inAnHour)
}

func (b *bundle) release(t *testing.T, ahead int, retry store.RetryJob) (store.Release, error) {
	t.Helper()
	return b.ReleaseOutage(t.Context(), store.ReleaseRequest{Account: mainAccount, Queue: "webhooks", Ahead: ahead, Retry: retry})
}

// retryAtOnce is what River does to a job that is retried.
func retryAtOnce(ctx context.Context, tx pgx.Tx, jobID int64) error {
	_, err := tx.Exec(ctx, `UPDATE river_job SET state = 'available', scheduled_at = now() WHERE id = $1`, jobID)
	return err
}

func TestCircuit_ReleasesHeldEventsInSteps(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var held []int64
	for i := range 5 {
		held = append(held, b.accept(t, signed(i, "1")))
		b.hold(t, held[i])
	}
	b.exec(t, `UPDATE webhook_queue SET received_at = now() - interval '2 hours'`)
	b.open(t, store.ReasonUnavailable, 0)
	done, err := b.release(t, 10, retryAtOnce)
	require.NoError(t, err)
	require.Zero(t, done.Held, "not while the outage goes on")
	b.close(t)

	// A step that dies in the middle has done nothing.
	left := 2
	_, err = b.release(t, 10, func(ctx context.Context, tx pgx.Tx, jobID int64) error {
		if left--; left < 0 {
			return errors.New("killed")
		}
		return retryAtOnce(ctx, tx, jobID)
	})
	require.Error(t, err)
	require.Equal(t, store.StatusHeld, b.event(t, held[0]).Status)

	done, err = b.release(t, 2, retryAtOnce)
	require.NoError(t, err)
	require.EqualValues(t, 2, done.Held)
	require.Equal(t, store.StatusPending, b.event(t, held[1]).Status, "the oldest first")
	require.Equal(t, store.StatusHeld, b.event(t, held[2]).Status)
	q, err := b.Queue(t.Context())
	require.NoError(t, err)
	require.Less(t, q.OldestPendingSeconds, int64(3600), "the outage is not in the age")
	done, err = b.release(t, 2, retryAtOnce)
	require.NoError(t, err)
	require.Zero(t, done.Held, "two wait for a worker already")
	done, err = b.release(t, 100, retryAtOnce)
	require.NoError(t, err)
	require.EqualValues(t, 3, done.Held)
	require.Nil(t, done.Ended, "a process may not have heard of the end yet")

	b.exec(t, `UPDATE provider_outages SET first_failure_at = now() - interval '1 hour', opened_at = now() - interval '1 hour', closed_at = now() - interval '1 minute'`)
	done, err = b.release(t, 100, retryAtOnce)
	require.NoError(t, err)
	require.EqualValues(t, 5, done.Ended.HeldReleased)
	circuits, err := b.Circuits(t.Context())
	require.NoError(t, err)
	require.False(t, circuits[mainAccount].Unreleased)
}

// Two processes at it at once: each event is let go by one of them.
func TestCircuit_OneProcessReleasesAtATime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i := range 20 {
		b.hold(t, b.accept(t, signed(i, "1")))
	}
	b.open(t, store.ReasonUnavailable, 0)
	b.close(t)
	for _, err := range race(t, 4, func(context.Context) error {
		_, err := b.ReleaseOutage(t.Context(), store.ReleaseRequest{Account: mainAccount, Queue: "webhooks", Ahead: 100, Retry: retryAtOnce})
		return err
	}) {
		require.NoError(t, err)
	}
	var released int64
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT held_released FROM provider_outages`).Scan(&released))
	require.EqualValues(t, 20, released)
}

// What an operator cancelled, or what died of something else, is not the
// outage's to bring back.
func TestCircuit_OnlyTheOutagesOwnDeadLettersAreReplayed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const class = `UPDATE webhook_dead_letter SET error_class = 'provider_unavailable', reason = 'retries_exhausted' WHERE id = $1`
	mine, event := b.deadLetter(t, 1, "1")
	b.exec(t, class, mine)
	cancelled, _ := b.deadLetter(t, 2, "2")
	b.exec(t, class, cancelled)
	b.exec(t, `UPDATE webhook_dead_letter SET reason = 'cancelled' WHERE id = $1`, cancelled)
	foreign, foreignEvent := b.deadLetter(t, 3, "3")
	b.exec(t, class, foreign)
	b.exec(t, `UPDATE webhook_queue SET source = 'elsewhere' WHERE id = $1`, foreignEvent)
	dismissed, _ := b.deadLetter(t, 4, "4")
	b.exec(t, class, dismissed)
	require.NoError(t, b.DismissDeadLetter(t.Context(), dismissed, note(t, "paid in cash"), ana))
	b.open(t, store.ReasonUnavailable, time.Minute)
	b.close(t)
	later, _ := b.deadLetter(t, 5, "5")
	b.exec(t, class, later)
	before := len(b.actions(t))

	done, err := b.release(t, 100, retryAtOnce)
	require.NoError(t, err)
	require.EqualValues(t, 1, done.Replayed)
	again, err := b.release(t, 100, retryAtOnce)
	require.NoError(t, err)
	require.Zero(t, again.Replayed, "once each")
	actions := b.actions(t)[before:]
	require.Len(t, actions, 1)
	require.Equal(t, "outage", actions[0].Actor)
	require.Equal(t, store.ActionReplay, actions[0].Action)
	require.Equal(t, mine, actions[0].Target)
	require.Equal(t, event, actions[0].Events[0])
	require.Equal(t, "payment", b.event(t, actions[0].Events[1]).Topic)
}

func TestWakeEvents_LeavesThoseOfAProviderThatIsDown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.accept(t, signed(1, "1"))
	elsewhere := b.accept(t, signed(2, "2"))
	b.exec(t, `UPDATE webhook_queue SET source = 'elsewhere' WHERE id = $1`, elsewhere)
	b.open(t, store.ReasonUnavailable, 0)
	woken, err := b.WakeEvents(t.Context(), 10, ana, retryAtOnce)
	require.NoError(t, err)
	require.Len(t, woken, 1)
	require.Equal(t, elsewhere, woken[0].QueueID)
}

func TestWaitingResources_Vary(t *testing.T) {
	t.Parallel()
	b := setup(t)
	waiting, err := b.WaitingResources(t.Context(), mainAccount, 3)
	require.NoError(t, err)
	require.Empty(t, waiting)
	for i := range 10 {
		b.hold(t, b.accept(t, signed(i, string(rune('a'+i)))))
	}
	seen := map[string]bool{}
	require.Eventually(t, func() bool {
		waiting, err := b.WaitingResources(t.Context(), mainAccount, 3)
		if err != nil || len(waiting) != 3 || waiting[0] != "j" {
			return false
		}
		for _, id := range waiting {
			seen[id] = true
		}
		return len(seen) == 10
	}, 30*time.Second, time.Millisecond)
}

// Those whose failures opened the circuit are not held, and a probe must find
// them all the same.
func TestWaitingResources_AreThoseThatFailedToo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.becomes(t, b.accept(t, signed(1, "failed")), `state = 'retryable', attempt = 1, `+inAnHour)
	b.hold(t, b.accept(t, signed(2, "held")))
	b.becomes(t, b.accept(t, signed(3, "at work")), `state = 'running', attempt = 1`)
	b.accept(t, signed(4, "never asked for"))
	waiting, err := b.WaitingResources(t.Context(), mainAccount, 3)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"held", "failed", "at work"}, waiting)
}

// Anybody may send an unsigned hint, and choose what a probe would ask for.
func TestWaitingResources_AreNotThoseOfHints(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i, change := range []func(*store.NewEvent){
		func(*store.NewEvent) {},
		func(ev *store.NewEvent) { ev.Signed, ev.Signature = false, nil },
		func(ev *store.NewEvent) { ev.Signed, ev.Signature, ev.Origin = false, nil, store.OriginReconciliation },
	} {
		ev := signed(i, fmt.Sprint(i))
		change(&ev)
		b.hold(t, b.accept(t, ev))
	}
	replay, err := b.ReplayEvent(t.Context(), 2, ana)
	require.NoError(t, err)
	b.hold(t, replay.QueueID)

	waiting, err := b.WaitingResources(t.Context(), mainAccount, 3)

	require.NoError(t, err)
	require.ElementsMatch(t, []string{"0", "2"}, waiting)
}

func TestKnownPayments_AreTheLatestThatNothingWaitsFor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	known := func() []string {
		found, err := b.KnownPayments(t.Context(), mainAccount, 2)
		require.NoError(t, err)
		return found
	}
	require.Empty(t, known())
	in := b.inbox(t, store.InboxOptions{})
	for i, id := range []string{"a", "b", "c", "d"} {
		a := b.deliver(t, in, i, id)
		_, err := b.Settle(t.Context(), a, fetched(id, "A-1", order.PaymentApproved, "10", 1), complete(a))
		require.NoError(t, err)
	}
	require.Equal(t, []string{"d", "c"}, known())

	waits := b.accept(t, signed(10, "c"))
	require.Equal(t, []string{"d", "b"}, known())
	b.exec(t, `UPDATE webhook_queue SET completed_at = now(), outcome = 'covered' WHERE id = $1`, waits)
	require.Equal(t, []string{"d", "c"}, known())
	found, err := b.KnownPayments(t.Context(), store.Account{Source: "elsewhere"}, 2)
	require.NoError(t, err)
	require.Empty(t, found)
}

// A clock that was ahead, and is set back, neither puts the next probe off nor
// keeps an outage from ending.
func TestCircuit_AClockThatIsSetBackDelaysNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	held := b.accept(t, signed(1, "1"))
	b.hold(t, held)
	b.open(t, store.ReasonUnavailable, 0)
	b.exec(t, `UPDATE provider_state SET next_probe_at = now() + interval '50 seconds'`)
	_, claimed, err := b.ClaimProbe(t.Context(), mainAccount, time.Minute)
	require.NoError(t, err)
	require.False(t, claimed, "another process may be at it")
	b.exec(t, `UPDATE provider_state SET next_probe_at = now() + interval '1 day'`)
	b.exec(t, `UPDATE provider_outages SET first_failure_at = now() + interval '1 day', opened_at = now() + interval '1 day'`)

	outage := b.close(t)

	require.Equal(t, outage.OpenedAt, *outage.ClosedAt)
	done, err := b.release(t, 100, retryAtOnce)
	require.NoError(t, err)
	require.EqualValues(t, 1, done.Held)
	require.NotNil(t, done.Ended)
}
