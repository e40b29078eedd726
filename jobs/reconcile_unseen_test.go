package jobs_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// unpaidWorld has n orders, each paid without a notification, and each payment
// changed step after the one before.
func unpaidWorld(t *testing.T, n int, step time.Duration, faults simulator.Faults) *world {
	t.Helper()
	clock := fixture.ClockAt(time.Now().Add(-time.Hour))
	w := newWorld(t, worldSpec{sim: simulator.Config{Seed: 7, Clock: clock.Now, Faults: faults}})
	w.start(t)
	for i := range n {
		reference := fmt.Sprintf("order-%04d", i)
		w.register(t, reference)
		w.pay(reference)
		clock.Add(step)
	}
	return w
}

func TestReconcile_ACountBelowTheRowsHidesNothing(t *testing.T) {
	t.Parallel()
	w := unpaidWorld(t, 120, time.Second, simulator.Faults{SearchCountOff: -100})
	run := w.reconcile(t)
	require.EqualValues(t, 120, run.MissingFound)
	require.Zero(t, run.Unseen)
	w.requireTruth(t)
}

func TestReconcile_ACountAboveTheRowsIsANoteAndNoFailure(t *testing.T) {
	t.Parallel()
	w := unpaidWorld(t, 3, time.Second, simulator.Faults{SearchCountOff: 3})
	run := w.reconcile(t)
	require.EqualValues(t, 3, run.MissingFound)
	require.EqualValues(t, 3, run.Unseen)
	w.requireTruth(t)
	ranges := func() int {
		return look[int](t, w, `SELECT count(*) FROM webhook_reconciliation_unseen WHERE reason = 'counted' AND payments = 3 AND seen_at IS NULL`)
	}
	require.Equal(t, 1, ranges())

	next := w.reconcile(t)
	require.True(t, next.WindowStart.After(*run.WindowStart), "the window moves on")
	require.Equal(t, 1, look[int](t, w, `SELECT count(*) FROM webhook_reconciliation_unseen WHERE run_id = $1 AND read_at > found_at`, run.ID),
		"what was not seen is read again")

	st, err := w.Status(t.Context())
	require.NoError(t, err)
	require.Positive(t, st.Signals.Unseen[store.UnseenCounted])
	require.Len(t, st.Signals.Unseen, 1)
	require.Nil(t, st.Signals.UnseenSince, "what is merely counted is nobody's alarm")
}

// Beyond a page they are read by offset, and beyond a thousand offsets end.
func TestLoad_ReconcileFindsAThousandPaymentsOfOneMillisecond(t *testing.T) {
	t.Parallel()
	payments := 1010
	if testing.Short() {
		payments = 110
	}
	w := unpaidWorld(t, payments, 0, simulator.Faults{UnstablePages: true})
	run := w.reconcile(t)
	require.EqualValues(t, payments, run.MissingFound)
	require.Zero(t, run.Unseen)
	w.requireTruth(t)
}

func TestReconcile_ARangeThatIsSeenIsReadNoMore(t *testing.T) {
	t.Parallel()
	w := unpaidWorld(t, 3, time.Second, simulator.Faults{})
	first := w.reconcile(t)
	w.exec(t, `
		INSERT INTO webhook_reconciliation_unseen (run_id, source, begin_at, end_at, reason, payments)
		VALUES ($1, 'mercadopago', now() - interval '2 hours', now(), $2, 5)`, first.ID, store.UnseenUnstable)
	st, err := w.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[string]int64{store.UnseenUnstable: 5}, st.Signals.Unseen)
	require.WithinDuration(t, time.Now().Add(-2*time.Hour), *st.Signals.UnseenSince, time.Minute)
	w.reconcile(t)
	require.Equal(t, 1, look[int](t, w, `SELECT count(*) FROM webhook_reconciliation_unseen WHERE seen_at IS NOT NULL`))
	st, err = w.Status(t.Context())
	require.NoError(t, err)
	require.Empty(t, st.Signals.Unseen)
	require.Nil(t, st.Signals.UnseenSince)
}

// A range that a person reconciles once more is seen, and no other.
func TestReconcile_ABackfillThatSeesARangeEndsIt(t *testing.T) {
	t.Parallel()
	w := unpaidWorld(t, 3, time.Second, simulator.Faults{})
	first := w.reconcile(t)
	w.exec(t, `
		INSERT INTO webhook_reconciliation_unseen (run_id, source, begin_at, end_at, reason, payments)
		VALUES ($1, 'mercadopago', now() - interval '2 hours', now() - interval '1 hour', $2, 5),
		       ($1, 'mercadopago', now() - interval '9 hours', now() - interval '2 hours', $2, 7)`, first.ID, store.UnseenBound)
	run, _, err := w.StartRun(t.Context(), store.RunRequest{
		Trigger: store.TriggerCLI, Scope: store.ScopeBackfill, Since: time.Now().Add(-3 * time.Hour), Until: time.Now(), By: store.Actor{Name: "operator"},
	})
	require.NoError(t, err)
	require.Equal(t, store.RunSucceeded, w.ended(t, run.ID).Status)
	st, err := w.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[string]int64{store.UnseenBound: 7}, st.Signals.Unseen, "the other reaches beyond what was read")
}
