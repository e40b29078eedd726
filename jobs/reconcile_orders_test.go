package jobs_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// unlisted makes an approved payment of 100 ARS that the search does not show, inside an
// order of Mercado Pago's. Nobody is told.
func (w *world) unlisted(t *testing.T, kind simulator.ResourceKind, reference string) (payment, in string) {
	t.Helper()
	payment = w.sim.CreatePayment(simulator.PaymentSpec{
		Reference: reference, Amount: money("100"), Status: simulator.Approved, StatusDetail: "accredited", Unlisted: true,
	})
	in, err := w.sim.CreateResource(kind, payment)
	require.NoError(t, err)
	return payment, in
}

func TestReconcile_SettlesOrdersOfWhichNoWebhookCame(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldSpec{})
	w.register(t, "A-1", "A-2", "A-3")
	w.start(t)
	online, _ := w.unlisted(t, simulator.OnlineOrder, "A-1")
	w.unlisted(t, simulator.QROrder, "A-2")

	run := w.reconcile(t)

	// What follows from the run's events has ended with it.
	require.Zero(t, look[int](t, w, `SELECT count(*) FROM webhook_queue WHERE completed_at IS NULL`))
	require.Equal(t, 2, look[int](t, w, `SELECT count(*) FROM orders WHERE status = 'paid'`))
	require.Equal(t, found{missing: 2}, foundBy(run))
	require.EqualValues(t, 2, run.PaymentsChecked)
	require.Empty(t, run.Note)
	require.Equal(t, 1, look[int](t, w, `SELECT count(*) FROM payments`), "the one whose number its order says")
	require.Equal(t, 2, look[int](t, w, `SELECT count(*) FROM webhook_queue WHERE origin = 'reconciliation'`))

	// The same again costs a look at what is provisional, and nothing else.
	w.exec(t, `UPDATE payment_aliases SET next_look_at = NULL`)
	require.Equal(t, found{}, foundBy(w.reconcile(t)))
	w.drain(t)
	require.Equal(t, 3, look[int](t, w, `SELECT count(*) FROM webhook_queue WHERE origin = 'reconciliation'`))

	// The payment's side shows it, and the order that changed is read.
	w.sim.List(online)
	require.NoError(t, w.sim.Move(online, simulator.Refunded, "refunded", money("100")))
	w.reconcile(t)
	w.drain(t)
	settled, err := w.Order(t.Context(), "A-1")
	require.NoError(t, err)
	require.Equal(t, order.StatusRefunded, settled.Status)
	require.Zero(t, look[int](t, w, `SELECT count(*) FROM payment_aliases WHERE payment_id IS NULL`))
	require.Equal(t, found{}, foundBy(w.reconcile(t)))
	require.Empty(t, w.violations(t))
}

func TestReconcile_OrdersThatThePaymentsSideHasToldAreNotRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldSpec{})
	w.register(t, "A-1", "A-2")
	w.start(t)
	for kind, reference := range map[simulator.ResourceKind]string{simulator.OnlineOrder: "A-1", simulator.QROrder: "A-2"} {
		id := w.pay(reference)
		_, err := w.sim.CreateResource(kind, id)
		require.NoError(t, err)
		w.notify(t, id)
	}

	require.Equal(t, found{}, foundBy(w.reconcile(t)))

	require.Zero(t, look[int](t, w, `SELECT count(*) FROM webhook_queue WHERE origin = 'reconciliation'`))
	checker, err := jobs.NewChecker(w.deps)
	require.NoError(t, err)
	report, err := checker.Check(t.Context(), jobs.CheckRequest{})
	require.NoError(t, err)
	require.True(t, report.Clean())
}

func TestReconcile_GoesOnWhereOrdersAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldSpec{sim: simulator.Config{TestCredentials: true}})
	w.register(t, "A-1")
	id := w.pay("A-1")
	_, err := w.sim.CreateResource(simulator.OnlineOrder, id)
	require.NoError(t, err)
	w.start(t)

	run := w.reconcile(t)

	w.requireTruth(t)
	require.Equal(t, found{missing: 1}, foundBy(run))
	require.Contains(t, run.Note, "HTTP 401")
	require.Equal(t, "closed", look[string](t, w, `SELECT coalesce(max(circuit), 'closed') FROM provider_state`))
	require.Zero(t, look[int](t, w, `SELECT count(*) FROM provider_outages`))
}

func TestReconcile_TheWalkThroughOrdersIsPaged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldSpec{})
	const orders = 110 // more than a page
	for range orders {
		w.unlisted(t, simulator.OnlineOrder, "A-1")
	}
	w.start(t)

	run := w.reconcile(t)

	require.Equal(t, found{missing: orders}, foundBy(run))
	require.Equal(t, orders, look[int](t, w, `SELECT count(*) FROM payment_aliases WHERE provisional`))
}

func TestCheck_NamesTheOrdersThatAreMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldSpec{})
	w.register(t, "A-1")
	_, in := w.unlisted(t, simulator.OnlineOrder, "A-1")
	checker, err := jobs.NewChecker(w.deps)
	require.NoError(t, err)

	report, err := checker.Check(t.Context(), jobs.CheckRequest{})

	require.NoError(t, err)
	require.Len(t, report.Differences, 1)
	require.Equal(t, "A-1", report.Differences[0].Reference)
	require.Equal(t, map[string]string{"against": "orders", "provider_order_id": in, "found_status": "processed/accredited"}, report.Differences[0].Detail)
	require.Zero(t, look[int](t, w, `SELECT count(*) FROM webhook_queue`))
}

// violations are what conciliar verify would tell.
func (w *world) violations(t *testing.T) []store.Violation {
	t.Helper()
	report, err := w.Verify(t.Context(), store.VerifyOptions{RescueAfter: time.Hour, Limit: 5})
	require.NoError(t, err)
	return report.Violations
}
