package jobs_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// Of a thousand payments some notifications are never sent and some come after
// the run, the search lags by minutes and its pages shift.
func TestLoad_ReconcileFindsWhatWasNeverTold(t *testing.T) {
	t.Parallel()
	payments := 2000
	if testing.Short() {
		payments = 120
	}
	const lag = 5 * time.Minute
	clock := fixture.ClockAt(time.Now().Add(-time.Hour))
	w := newWorld(t, worldSpec{sim: simulator.Config{
		Seed: 7, Clock: clock.Now, Faults: simulator.Faults{SearchLag: lag, UnstablePages: true},
	}})
	w.start(t)
	late := w.trade(t, clock, payments)
	w.drain(t)
	clock.Add(lag + time.Minute)

	behind := w.behind(t)
	require.Greater(t, behind, payments/20, "the scene is set")
	w.traffic.forget()
	run := w.reconcile(t)
	require.Equal(t, found{missing: int64(behind)}, foundBy(run))
	require.Equal(t, int64(payments), run.PaymentsChecked, "each payment was looked at once")
	require.LessOrEqual(t, w.traffic.mostGets(), 2)
	w.requireTruth(t)
	require.Zero(t, w.behind(t))
	require.Equal(t, behind, look[int](t, w, `SELECT count(*) FROM webhook_queue WHERE origin = 'reconciliation'`))

	run = w.reconcile(t)
	require.Equal(t, found{}, foundBy(run), "nothing is left for a second run")

	for _, id := range late {
		require.True(t, w.sim.Notify(t.Context(), id).Acknowledged())
	}
	w.drain(t)
	w.requireTruth(t)
	require.Equal(t, found{}, foundBy(w.reconcile(t)))
	require.Zero(t, look[int](t, w, `SELECT count(*) FROM webhook_dead_letter`))
}

// trade makes n payments, each with an order of its own, walks them through
// their lives and sends three of four notifications. It returns the payments
// whose last notification is still to be sent.
func (w *world) trade(t *testing.T, clock *fixture.Clock, n int) (late []string) {
	t.Helper()
	type state struct {
		status, detail string
		refunded       int64
	}
	lives := [][]state{
		{{simulator.Approved, "accredited", 0}},
		{{simulator.Pending, "pending_waiting_payment", 0}, {simulator.Approved, "accredited", 0}},
		{{simulator.InProcess, "pending_contingency", 0}, {simulator.Rejected, "cc_rejected_high_risk", 0}},
		{{simulator.Approved, "accredited", 0}, {simulator.Approved, "partially_refunded", 30}, {simulator.Refunded, "refunded", 100}},
		{{simulator.Approved, "accredited", 0}, {simulator.ChargedBack, "in_process", 0}, {simulator.ChargedBack, "reimbursed", 0}},
		{{simulator.Pending, "pending_waiting_payment", 0}, {simulator.Cancelled, "expired", 0}},
	}
	chance := rand.New(rand.NewPCG(1, 7))
	var sends errgroup.Group
	sends.SetLimit(8)
	for i := range n {
		reference := fmt.Sprintf("order-%06d", i)
		w.register(t, reference)
		var id string
		for step, s := range lives[chance.IntN(len(lives))] {
			if step == 0 {
				id = w.sim.CreatePayment(simulator.PaymentSpec{
					Reference: reference, Amount: money("100"), Status: s.status, StatusDetail: s.detail,
				})
			} else {
				require.NoError(t, w.sim.Move(id, s.status, s.detail, decimal.NewFromInt(s.refunded)))
			}
			clock.Add(time.Duration(chance.IntN(3)) * time.Millisecond)
			switch fate := chance.IntN(100); {
			case fate < 15:
			case fate < 25:
				late = append(late, id)
			default:
				sends.Go(func() error { return w.tell(t, id) })
			}
		}
	}
	require.NoError(t, sends.Wait())
	return late
}

// tell sends a notification from whatever goroutine.
func (w *world) tell(t *testing.T, id string) error {
	t.Helper()
	if result := w.sim.Notify(t.Context(), id); !result.Acknowledged() {
		return fmt.Errorf("payment %s: status %d: %w", id, result.StatusCode, result.Err)
	}
	return nil
}

// behind counts the payments whose latest state the database do not have.
func (w *world) behind(t *testing.T) (n int) {
	t.Helper()
	rows, err := w.pool.Query(t.Context(), `SELECT payment_id, date_last_updated FROM payments`)
	require.NoError(t, err)
	known := map[string]time.Time{}
	for rows.Next() {
		var id string
		var at time.Time
		require.NoError(t, rows.Scan(&id, &at))
		known[id] = at
	}
	require.NoError(t, rows.Err())
	for _, truth := range w.sim.Truth() {
		last := truth.States[len(truth.States)-1]
		if !known[last.ID].Equal(last.DateLastUpdated) {
			n++
		}
	}
	return n
}

func TestReconcile_WaitsForASearchThatLags(t *testing.T) {
	t.Parallel()
	const lag = 5 * time.Minute
	clock := fixture.ClockAt(time.Now().Add(-time.Hour))
	w := newWorld(t, worldSpec{sim: simulator.Config{Clock: clock.Now, Faults: simulator.Faults{SearchLag: lag}}})
	w.start(t)
	w.register(t, "early", "late")
	w.pay("early")
	clock.Add(lag)
	id := w.pay("late")
	require.Equal(t, found{missing: 1}, foundBy(w.reconcile(t)), "the search does not show the other yet")
	clock.Add(lag)
	require.Equal(t, found{missing: 1}, foundBy(w.reconcile(t)))
	w.requireTruth(t)

	// What the search still shows of a payment is older than what is known.
	require.NoError(t, w.sim.Move(id, simulator.Refunded, "refunded", money("100")))
	w.notify(t, id)
	require.Equal(t, found{}, foundBy(w.reconcile(t)))
	w.requireTruth(t)
}

func TestReconcile_ManyPaymentsOfOneInstant(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldSpec{sim: simulator.Config{Faults: simulator.Faults{UnstablePages: true}}})
	w.start(t)
	at := time.Now().Add(-3 * time.Hour)
	for i := range 130 {
		reference := fmt.Sprintf("order-%03d", i)
		w.register(t, reference)
		w.sim.CreatePayment(simulator.PaymentSpec{Reference: reference, Amount: money("100"), Status: simulator.Approved, CreatedAt: at})
	}
	run := w.reconcile(t)
	require.Equal(t, found{missing: 130}, foundBy(run))
	require.Equal(t, int64(130), run.PaymentsChecked)
	w.requireTruth(t)
}

// What a search shows of other accounts is not looked at.
func TestReconcile_LooksAtOurOwnAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldSpec{})
	w.start(t)
	w.register(t, "ours")
	w.pay("ours")
	w.sim.CreatePayment(simulator.PaymentSpec{Reference: "theirs", Amount: money("5"), Status: simulator.Approved, CollectorID: 42})
	run := w.reconcile(t)
	require.Equal(t, found{missing: 1}, foundBy(run))
	require.Equal(t, int64(1), run.PaymentsChecked)
	require.Zero(t, look[int](t, w, `SELECT count(*) FROM payments WHERE order_reference = 'theirs'`))
}

func TestReconcile_AsksAboutOrdersThatStayUnpaid(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldSpec{})
	w.start(t)
	w.register(t, "old", "odd/ref ñ", "fresh", "ancient")
	w.exec(t, `UPDATE orders SET created_at = now() - interval '4 days' WHERE reference IN ('old', 'odd/ref ñ')`)
	w.exec(t, `UPDATE orders SET created_at = now() - interval '31 days' WHERE reference = 'ancient'`)
	long := time.Now().Add(-80 * time.Hour)
	for _, reference := range []string{"old", "odd/ref ñ", "fresh", "ancient"} {
		w.sim.CreatePayment(simulator.PaymentSpec{Reference: reference, Amount: money("100"), Status: simulator.Approved, CreatedAt: long})
	}
	run := w.reconcile(t)
	require.Equal(t, found{missing: 2}, foundBy(run), "the payments changed before the window")
	for _, reference := range []string{"old", "odd/ref ñ"} {
		o, err := w.Order(t.Context(), reference)
		require.NoError(t, err)
		require.Equal(t, order.StatusPaid, o.Status)
	}
	require.Equal(t, 2, look[int](t, w, `SELECT count(*) FROM orders WHERE status = 'pending'`))

	w.register(t, "never paid")
	w.exec(t, `UPDATE orders SET created_at = now() - interval '2 hours' WHERE reference = 'never paid'`)
	changed := look[time.Time](t, w, `SELECT updated_at FROM orders WHERE reference = 'never paid'`)
	for range 2 {
		w.traffic.forget()
		require.Equal(t, found{}, foundBy(w.reconcile(t)))
	}
	require.Equal(t, 1, w.traffic.searches, "an order is asked about once a day: only the window was searched")
	require.Equal(t, changed, look[time.Time](t, w, `SELECT updated_at FROM orders WHERE reference = 'never paid'`))
	w.exec(t, `UPDATE webhook_reconciliation_inquiries SET asked_at = asked_at - interval '25 hours'`)
	w.traffic.forget()
	w.reconcile(t)
	require.Equal(t, 2, w.traffic.searches)
}

// A payment that ends in a dead letter is in a person's hands.
func TestReconcile_LeavesDeadLettersToPeople(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldSpec{})
	w.start(t)
	w.register(t, "odd")
	id := w.sim.CreatePayment(simulator.PaymentSpec{Reference: "odd", Amount: money("100"), Status: "novel"})
	run := w.reconcile(t)
	require.Equal(t, found{missing: 1}, foundBy(run))
	require.Equal(t, "unknown_status", look[string](t, w, `SELECT error_class FROM webhook_dead_letter`))
	require.Equal(t, found{}, foundBy(w.reconcile(t)))

	require.NoError(t, w.sim.Move(id, simulator.Approved, "accredited", money("0")))
	require.Equal(t, found{missing: 1}, foundBy(w.reconcile(t)), "it changed since it died")
	w.requireTruth(t)
}

// One odd row neither fails its page nor is passed over: it is counted in each
// run that is shown it, and asked for once.
func TestReconcile_CountsOddPaymentsAndAsksForThemOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldSpec{})
	w.start(t)
	w.register(t, "odd", "good")
	id := w.sim.CreatePayment(simulator.PaymentSpec{Reference: "odd", Amount: money("100"), Status: simulator.Approved})
	require.NoError(t, w.sim.SetFields(id, map[string]json.RawMessage{"transaction_amount": json.RawMessage(`"***"`), "currency_id": nil}))
	w.sim.CreatePayment(simulator.PaymentSpec{Reference: "good", Amount: money("100"), Status: simulator.Approved})

	first, second := w.reconcile(t), w.reconcile(t)

	require.Equal(t, []int64{1, 1}, []int64{first.MissingFound, first.OddFound}, "the good one, and the odd one")
	require.Equal(t, []int64{0, 1}, []int64{second.MissingFound, second.OddFound})
	require.Equal(t, 1, w.traffic.gets[id])
	require.Equal(t, "odd_payment", look[string](t, w, `SELECT error_class FROM webhook_dead_letter`))
	o, err := w.Order(t.Context(), "odd")
	require.NoError(t, err)
	require.Len(t, o.OddPayments, 1)
	require.Equal(t, []string{"amount", "currency"}, o.OddPayments[0].Fields)
	require.Equal(t, "paid", look[string](t, w, `SELECT status FROM orders WHERE reference = 'good'`))

	require.NoError(t, w.sim.SetFields(id, nil))
	require.NoError(t, w.sim.Move(id, simulator.Approved, "accredited", money("0")))
	third := w.reconcile(t)
	require.Equal(t, []int64{1, 0}, []int64{third.MissingFound, third.OddFound}, "it changed, and can be booked")
	w.requireTruth(t)
}

// The search shows no reference of a payment that has it from its merchant order:
// that is not a difference.
func TestReconcile_AReferenceOfTheMerchantOrderIsNoDrift(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldSpec{})
	w.start(t)
	w.register(t, "A-1")
	id := w.sim.CreatePayment(simulator.PaymentSpec{Reference: "A-1", Amount: money("100"), Status: simulator.Approved})
	require.NoError(t, w.sim.SetFields(id, map[string]json.RawMessage{
		"external_reference": json.RawMessage("null"), "order": json.RawMessage(`{"id":"36675950009","type":"mercadopago"}`),
	}))
	w.sim.SetAnswer("/merchant_orders/36675950009", simulator.Answer{Body: []byte(`{"id":36675950009,"external_reference":"A-1","payments":[{"id":"***"}]}`)})

	require.Equal(t, found{missing: 1}, foundBy(w.reconcile(t)))
	require.Equal(t, "paid", look[string](t, w, `SELECT status FROM orders WHERE reference = 'A-1'`))
	require.Equal(t, found{}, foundBy(w.reconcile(t)))
	require.Equal(t, 1, w.traffic.gets[id])
}

func TestReconcile_BackfillLooksAtItsDatesAndHasTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldSpec{})
	w.start(t)
	w.register(t, "a", "b")
	ago := func(days int) time.Time { return time.Now().Add(-time.Duration(days) * 24 * time.Hour) }
	w.sim.CreatePayment(simulator.PaymentSpec{Reference: "a", Amount: money("100"), Status: simulator.Approved, CreatedAt: ago(200)})
	w.sim.CreatePayment(simulator.PaymentSpec{Reference: "b", Amount: money("100"), Status: simulator.Approved, CreatedAt: ago(100)})
	require.Equal(t, found{}, foundBy(w.reconcile(t)), "a regular run does not look so far back")

	run, joined, err := w.StartRun(t.Context(), store.RunRequest{
		Trigger: store.TriggerCLI, Scope: store.ScopeBackfill, Since: ago(220), Until: ago(150), By: store.Actor{Name: "operator"},
	})
	require.NoError(t, err)
	require.False(t, joined)
	run = w.ended(t, run.ID)
	require.Equal(t, store.RunSucceeded, run.Status)
	require.Equal(t, found{missing: 1}, foundBy(run))
	require.Equal(t, "operator", run.RequestedBy)
	require.NotNil(t, run.Position)
	require.WithinDuration(t, ago(150), *run.Position, time.Minute)
	require.Equal(t, []int{3}, look[[]int](t, w, `SELECT array_agg(priority) FROM river_job WHERE kind = 'webhook_payment'`))
	o, err := w.Order(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, order.StatusPaid, o.Status)
	require.Equal(t, found{}, foundBy(w.reconcile(t)))
	o, err = w.Order(t.Context(), "b")
	require.NoError(t, err)
	require.Equal(t, order.StatusPending, o.Status)
}
