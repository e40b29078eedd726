package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// gated is a Mercado Pago that does what it is told before it answers a search.
type gated struct {
	*mercadopago.Client
	before func(ctx context.Context, q provider.SearchQuery) error
}

func (g *gated) SearchPayments(ctx context.Context, q provider.SearchQuery) (provider.SearchPage, error) {
	if err := g.before(ctx, q); err != nil {
		return provider.SearchPage{}, err
	}
	return g.Client.SearchPayments(ctx, q)
}

// crowdedWorld has n payments that nobody was told of, and steps that try again
// at once.
func crowdedWorld(t *testing.T, n int) *world {
	t.Helper()
	w := newWorld(t, worldSpec{jobs: func(c *jobs.Config) { c.Backoff = jobs.Backoff{Waits: []time.Duration{time.Millisecond}, Attempts: 7} }})
	for i := range n {
		reference := fmt.Sprintf("order-%03d", i)
		w.register(t, reference)
		w.sim.CreatePayment(simulator.PaymentSpec{
			Reference: reference, Amount: money("100"), Status: simulator.Approved,
			CreatedAt: time.Now().Add(-time.Duration(n-i) * time.Minute),
		})
	}
	return w
}

// startGated starts workers whose searches pass the gate, and gives back the
// world as it was.
func (w *world) startGated(t *testing.T, before func(ctx context.Context, q provider.SearchQuery) error) *jobs.Runner {
	t.Helper()
	open := w.deps.Searches
	w.deps.Searches = map[string]jobs.PaymentSearcher{mercadopago.Source: &gated{Client: w.client, before: before}}
	defer func() { w.deps.Searches = open }()
	return w.start(t)
}

// requireOnce asserts that the run found every payment, and each once.
func (w *world) requireOnce(t *testing.T, run store.Run, n int) {
	t.Helper()
	require.Equal(t, store.RunSucceeded, run.Status, "%s", deref(run.Error))
	require.Equal(t, found{missing: int64(n)}, foundBy(run))
	require.Equal(t, n, look[int](t, w, `SELECT count(*) FROM webhook_queue`))
	require.Equal(t, n, look[int](t, w, `SELECT count(*) FROM payment_logs`))
	require.Equal(t, 1, look[int](t, w, `SELECT count(*) FROM webhook_reconciliation_logs`))
	w.requireTruth(t)
}

// A worker hangs between two pages, its step is taken up by another process, and
// then it wakes.
func TestReconcile_AnotherProcessGoesOn(t *testing.T) {
	t.Parallel()
	const payments = 130
	w := crowdedWorld(t, payments)
	hangs, wakes := make(chan struct{}), make(chan struct{})
	var searches atomic.Int64
	w.startGated(t, func(context.Context, provider.SearchQuery) error {
		if searches.Add(1) == 2 {
			close(hangs)
			<-wakes
		}
		return nil
	})
	run := w.begin(t)
	select {
	case <-hangs:
	case <-time.After(fixture.Patience):
		require.FailNow(t, "the second page was not asked for")
	}
	seen := look[int64](t, w, `SELECT missing_found FROM webhook_reconciliation_logs`)
	require.Equal(t, int64(50), seen, "the first page is kept")

	// What the rescuer does. The first process has room for the step too, but
	// not with the gate open.
	w.start(t)
	w.exec(t, `UPDATE river_job SET state = 'available' WHERE kind = 'reconcile_step' AND state = 'running'`)
	run = w.ended(t, run.ID)
	w.requireOnce(t, run, payments)
	close(wakes)
	require.Equal(t, int64(payments), run.PaymentsChecked)
	require.Equal(t, found{}, foundBy(w.reconcile(t)))
}

// A process that is told to stop gives its step back, and the next goes on.
func TestReconcile_AStoppedProcessGivesTheRunBack(t *testing.T) {
	t.Parallel()
	const payments = 130
	w := crowdedWorld(t, payments)
	hangs := make(chan struct{})
	var searches atomic.Int64
	runner := w.startGated(t, func(ctx context.Context, _ provider.SearchQuery) error {
		if searches.Add(1) == 2 {
			close(hangs)
			<-ctx.Done()
			return &provider.Error{Kind: provider.Unavailable, Err: ctx.Err()}
		}
		return nil
	})
	run := w.begin(t)
	<-hangs
	stop(t, runner)
	require.Equal(t, 0, look[int](t, w, `SELECT attempt FROM river_job WHERE kind = 'reconcile_step'`), "no attempt is spent")
	w.start(t)
	w.requireOnce(t, w.ended(t, run.ID), payments)
}

func TestReconcile_GoesOnAfterErrors(t *testing.T) {
	t.Parallel()
	const payments = 130
	w := crowdedWorld(t, payments)
	var searches atomic.Int64
	w.startGated(t, func(context.Context, provider.SearchQuery) error {
		if n := searches.Add(1); n == 1 || n == 3 {
			return &provider.Error{Kind: provider.Unavailable, StatusCode: 503}
		}
		return nil
	})
	w.requireOnce(t, w.ended(t, w.begin(t).ID), payments)
}

// The steps of a run are short however long the run is.
func TestReconcile_IsAChainOfSteps(t *testing.T) {
	t.Parallel()
	const payments = 130
	w := crowdedWorld(t, payments)
	w.deps = w.deps.WithStepBudget(0)
	w.start(t)
	w.requireOnce(t, w.ended(t, w.begin(t).ID), payments)
	require.GreaterOrEqual(t, look[int](t, w, `SELECT count(*) FROM river_job WHERE kind = 'reconcile_step' AND state = 'completed'`), 9)
}

func TestReconcile_TheLastAttemptEndsTheRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldSpec{})
	w.register(t, "order")
	w.pay("order")
	var fails atomic.Bool
	fails.Store(true)
	w.startGated(t, func(context.Context, provider.SearchQuery) error {
		if fails.Load() {
			return &provider.Error{Kind: provider.Unavailable, StatusCode: 503}
		}
		return nil
	})
	run := w.ended(t, w.begin(t).ID)
	require.Equal(t, store.RunFailed, run.Status)
	require.Equal(t, "provider_unavailable: HTTP 503", *run.Error)
	require.Equal(t, store.PhaseMissing, run.Phase)
	require.NotNil(t, run.FinishedAt)
	fixture.Await(t, func() bool {
		return look[string](t, w, `SELECT state FROM river_job WHERE kind = 'reconcile_step'`) == "discarded"
	})
	require.Zero(t, look[int](t, w, `SELECT count(*) FROM webhook_dead_letter`), "a step is not an event")

	fails.Store(false)
	require.Equal(t, found{missing: 1}, foundBy(w.reconcile(t)))
}

// A provider that says when is not asked before.
func TestReconcile_WaitsAsLongAsItIsTold(t *testing.T) {
	t.Parallel()
	w := crowdedWorld(t, 1)
	w.startGated(t, func(context.Context, provider.SearchQuery) error {
		return &provider.Error{Kind: provider.RateLimited, StatusCode: 429, RetryAfter: time.Hour}
	})
	w.begin(t)
	fixture.Await(t, func() bool {
		return look[string](t, w, `SELECT state FROM river_job WHERE kind = 'reconcile_step'`) == "retryable"
	})
	require.Greater(t, look[float64](t, w, `SELECT extract(epoch FROM scheduled_at - now())::float8 FROM river_job WHERE kind = 'reconcile_step'`), 3500.0)
}

// Whoever waits for a run whose step was taken away is told.
func TestReconcile_NobodyWaitsForADeadRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldSpec{})
	run := w.begin(t)
	w.exec(t, `DELETE FROM river_job WHERE kind = 'reconcile_step'`)
	run = w.ended(t, run.ID)
	require.Equal(t, store.RunFailed, run.Status)
	require.Equal(t, "its step died", *run.Error)
	w.start(t)
	w.reconcile(t)
}

// Who waits gets the run as it stands when the time is up.
func TestReconcile_WaitingEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldSpec{})
	id := w.begin(t).ID
	ctx, cancel := context.WithCancel(t.Context())
	observed := 0
	run, err := w.WaitRun(ctx, id, func(store.Run) { observed++; cancel() })
	require.NoError(t, err)
	require.Equal(t, store.RunRunning, run.Status)
	require.Equal(t, 1, observed)
	_, err = w.WaitRun(t.Context(), id+1, nil)
	require.ErrorIs(t, err, store.ErrRunNotFound)
}

// A failure that says nothing of its kind is still filed.
func TestReconcile_FilesWhateverFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldSpec{})
	w.startGated(t, func(context.Context, provider.SearchQuery) error { return errors.New("odd") })
	run := w.ended(t, w.begin(t).ID)
	require.Equal(t, "internal: odd", *run.Error)
}
