package jobs_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// tellOf sends the notification of a resource about a payment and waits until
// everything that follows is settled.
func (w *world) tellOf(t *testing.T, kind simulator.ResourceKind, payment string) {
	t.Helper()
	id, err := w.sim.CreateResource(kind, payment)
	require.NoError(t, err)
	result := w.sim.NotifyResource(t.Context(), kind, id)
	require.True(t, result.Acknowledged(), "%+v", result)
	w.drain(t)
}

// Each of these notifications is the only one that comes for its order, or for its
// order's last change.
func TestTopics_EachNotificationAloneSettlesItsOrder(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind           simulator.ResourceKind
		status, detail string
		want           order.Status
	}{
		"chargeback":         {simulator.Chargeback, simulator.ChargedBack, "in_process", order.StatusChargedBack},
		"claim":              {simulator.Claim, simulator.InMediation, "", order.StatusInMediation},
		"authorized payment": {simulator.AuthorizedPayment, simulator.Approved, "accredited", order.StatusPaid},
		"payment intent":     {simulator.PaymentIntent, simulator.Approved, "accredited", order.StatusPaid},
		"online order":       {simulator.OnlineOrder, simulator.Approved, "accredited", order.StatusPaid},
		"qr order":           {simulator.QROrder, simulator.Approved, "accredited", order.StatusPaid},
		"fraud alert":        {simulator.FraudAlert, simulator.Approved, "accredited", order.StatusPaid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, worldSpec{})
			w.register(t, "A-1")
			id := w.pay("A-1")
			w.start(t)
			if c.want != order.StatusPaid {
				w.notify(t, id)
				require.NoError(t, w.sim.Move(id, c.status, c.detail, money("0")))
			}

			w.tellOf(t, c.kind, id)

			settled, err := w.Order(t.Context(), "A-1")
			require.NoError(t, err)
			require.Equal(t, c.want, settled.Status)
			w.requireTruth(t)
			require.Zero(t, look[int](t, w, `SELECT count(*) FROM webhook_dead_letter`))
		})
	}
}

// openFraudAlerts are the references of the open fraud alerts.
func (w *world) openFraudAlerts(t *testing.T) []string {
	t.Helper()
	found, err := w.Anomalies(t.Context(), store.AnomalyFilter{State: store.AnomalyOpen, Kind: string(order.AnomalyFraudAlert)}, store.Page{Limit: 10})
	require.NoError(t, err)
	references := []string{}
	for _, a := range found.Items {
		references = append(references, a.Reference)
	}
	return references
}

// A payment that was just fetched covers its own webhook; it never covers the alert,
// which comes once.
func TestFraudAlert_IsRaisedOnceForAPaymentAndClosedByAPersonOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldSpec{})
	w.register(t, "A-1")
	id := w.pay("A-1")
	w.start(t)
	w.notify(t, id)

	w.tellOf(t, simulator.FraudAlert, id)

	require.Equal(t, []string{"A-1"}, w.openFraudAlerts(t))
	require.Equal(t, store.OutcomeSettled, look[string](t, w, `SELECT outcome FROM webhook_queue WHERE work = 'fraud_alert'`))
	require.NoError(t, w.sim.Move(id, simulator.Refunded, "refunded", money("100")))
	w.notify(t, id)
	require.Equal(t, []string{"A-1"}, w.openFraudAlerts(t), "no state of the payment closes it")
	w.tellOf(t, simulator.FraudAlert, id)
	require.Equal(t, []string{"A-1"}, w.openFraudAlerts(t))

	note, err := store.ParseNote("the carrier brought it back")
	require.NoError(t, err)
	_, err = w.ResolveAnomaly(t.Context(), look[int64](t, w, `SELECT id FROM anomalies WHERE kind = 'fraud_alert'`), note, store.Actor{Name: "ana"})
	require.NoError(t, err)
	w.tellOf(t, simulator.FraudAlert, id)
	require.Empty(t, w.openFraudAlerts(t), "a second alert about the payment says nothing new")
}

func TestFraudAlert_StandsBeforeItsOrderComes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldSpec{})
	w.start(t)

	w.tellOf(t, simulator.FraudAlert, w.pay("A-1"))
	require.Equal(t, []string{"A-1"}, w.openFraudAlerts(t))
	w.register(t, "A-1")

	known, err := w.Order(t.Context(), "A-1")
	require.NoError(t, err)
	require.Equal(t, order.StatusPaid, known.Status)
	require.Len(t, known.Anomalies, 1)
	require.Equal(t, order.AnomalyFraudAlert, known.Anomalies[0].Kind)
}

// An online order names no payment's number, and the search lags: the order is
// settled by what its Mercado Pago order says, until the payment is found.
func TestOrders_AnOrderIsSettledBeforeTheSearchShowsItsPayment(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldSpec{jobs: func(c *jobs.Config) { c.Backoff.Waits = []time.Duration{time.Millisecond, time.Millisecond} }})
	w.register(t, "A-1")
	id := w.sim.CreatePayment(simulator.PaymentSpec{
		Reference: "A-1", Amount: money("100"), Status: simulator.Approved, StatusDetail: "accredited", Unlisted: true,
	})
	told, err := w.sim.CreateResource(simulator.OnlineOrder, id)
	require.NoError(t, err)
	require.True(t, w.sim.NotifyResource(t.Context(), simulator.OnlineOrder, told).Acknowledged())
	w.start(t)

	fixture.Await(t, func() bool {
		return look[int](t, w, `SELECT looks FROM payment_aliases UNION ALL SELECT 0 LIMIT 1`) > 0
	})
	w.drain(t)

	w.requireTruth(t)
	require.Zero(t, look[int](t, w, `SELECT count(*) FROM payments`))
	require.Equal(t, store.OutcomeProvisional, look[string](t, w, `SELECT DISTINCT outcome FROM webhook_queue`))
	w.sim.List(id)

	fixture.Await(t, func() bool { return look[int](t, w, `SELECT count(*) FROM payments`) == 1 })

	w.drain(t)
	w.requireTruth(t)
	require.Equal(t, id, look[string](t, w, `SELECT payment_id FROM payment_aliases`))
	require.Equal(t, "100", look[decimal.Decimal](t, w, `SELECT paid_amount FROM orders`).String())
	require.Equal(t, 2, look[int](t, w, `SELECT count(*) FROM order_logs`), "paid once")
	require.Zero(t, look[int](t, w, `SELECT count(*) FROM webhook_dead_letter`))
}

// What looks again is an event of our own: that the order can't be read any more is
// no matter for a person.
func TestOrders_LookingAgainIsNeverADeadLetter(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldSpec{jobs: func(c *jobs.Config) { c.Backoff.Waits = []time.Duration{time.Millisecond} }})
	w.register(t, "A-1")
	w.exec(t, `INSERT INTO payment_aliases (source, alias, provider_order_id, provider_order_topic, order_reference, collector_id, currency,
			amount, status, live_mode, provisional, awaited, fetched_at, next_look_at)
		VALUES ('mercadopago', 'PAY01', 'ORD01GONE', 'order', 'A-1', '1', 'ARS', 100, 'approved', true, true, true, now(), now())`)
	w.start(t)

	fixture.Await(t, func() bool {
		return look[int](t, w, `SELECT count(*) FROM webhook_queue WHERE completed_at IS NOT NULL`) == 1
	})

	require.Equal(t, store.OutcomeProvisional, look[string](t, w, `SELECT outcome FROM webhook_queue`))
	require.Zero(t, look[int](t, w, `SELECT count(*) FROM webhook_dead_letter`))
}

// The same money is told by its own webhook and by its order's, in any order and
// however often: it counts once.
func TestOrders_OneMoneyFromTwoSidesCountsOnce(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]simulator.ResourceKind{"online": simulator.OnlineOrder, "qr": simulator.QROrder} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, worldSpec{})
			w.register(t, "A-1", "A-2")
			w.start(t)
			first, second := w.pay("A-1"), w.pay("A-2")

			w.notify(t, first)
			for range 2 {
				w.tellOf(t, kind, first)
				w.tellOf(t, kind, second)
			}
			w.notify(t, second)
			w.requireTruth(t)
			require.NoError(t, w.sim.Move(second, simulator.ChargedBack, "in_process", money("0")))
			require.NoError(t, w.sim.Move(first, simulator.Approved, "partially_refunded", money("40")))
			w.tellOf(t, kind, first)
			w.tellOf(t, kind, second)

			w.requireTruth(t)
			require.Equal(t, 2, look[int](t, w, `SELECT count(*) FROM payments`))
			require.Zero(t, look[int](t, w, `SELECT count(*) FROM anomalies WHERE kind IN ('overpaid', 'duplicate_payment')`))
		})
	}
}

// From the webhook to the messages: three days and one day before the deadline, and
// the end when the chargeback was lost.
func TestChargeback_ItsDeadlineIsToldUntilItIsDecided(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldSpec{})
	w.register(t, "A-1")
	id := w.pay("A-1")
	runner := w.start(t)
	require.NoError(t, w.sim.Move(id, simulator.ChargedBack, "in_process", money("0")))

	w.tellOf(t, simulator.Chargeback, id)
	w.tellOf(t, simulator.Claim, id)

	charged, err := w.Order(t.Context(), "A-1")
	require.NoError(t, err)
	require.Equal(t, order.StatusChargedBack, charged.Status)
	require.Len(t, charged.Claims, 1)
	require.Len(t, charged.Chargebacks, 1)
	deadline := charged.Chargebacks[0].DocumentationDeadline
	require.False(t, deadline.IsZero())
	stop(t, runner)
	evaluator, err := jobs.NewEvaluator(w.Store, true, w.config.Logger)
	require.NoError(t, err)
	clock := fixture.ClockAt(deadline)
	evaluate := func(left time.Duration) string {
		t.Helper()
		clock.Add(deadline.Add(-left).Sub(clock.Now()))
		st, err := w.Status(t.Context())
		require.NoError(t, err)
		st.Signals.At = clock.Now()
		require.NoError(t, evaluator.EvaluateStatus(t.Context(), st, func(context.Context, pgx.Tx, int64, time.Time) (int64, error) { return 1, nil }))
		return look[string](t, w, `SELECT coalesce(string_agg(code, ' ' ORDER BY code), '') FROM alerts WHERE closed_at IS NULL AND code LIKE 'chargeback%'`)
	}
	require.Empty(t, evaluate(72*time.Hour+time.Minute))
	require.Equal(t, "chargeback_documents_due", evaluate(72*time.Hour))
	require.Equal(t, "chargeback_documents_due", evaluate(24*time.Hour+time.Minute))
	require.Equal(t, "chargeback_documents_due chargeback_documents_urgent", evaluate(24*time.Hour))
	told := look[string](t, w, `SELECT string_agg(body ->> 'text', '|') FROM alert_messages`)
	require.Contains(t, told, "order_reference A-1")
	require.Contains(t, told, deadline.UTC().Format(time.RFC3339))

	require.NoError(t, w.sim.Move(id, simulator.ChargedBack, "settled", money("0")))
	w.start(t)
	w.notify(t, id)
	require.Empty(t, evaluate(23*time.Hour))
}

// With test credentials no delivery about an order verifies, no chargeback can be
// read and orders can't be searched: every order is right all the same.
func TestOrders_WhoseDeliveriesDoNotVerifyAreSettledByTheRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldSpec{sim: simulator.Config{TestCredentials: true}})
	w.start(t)
	w.register(t, "A-1", "A-2")
	for reference, kind := range map[string]simulator.ResourceKind{"A-1": simulator.OnlineOrder, "A-2": simulator.QROrder} {
		id, err := w.sim.CreateResource(kind, w.pay(reference))
		require.NoError(t, err)
		require.Equal(t, http.StatusUnauthorized, w.sim.NotifyResource(t.Context(), kind, id).StatusCode)
	}

	require.Equal(t, found{missing: 2}, foundBy(w.reconcile(t)))
	w.requireTruth(t)
	disputed := w.sim.Truth()[0].States[0].ID
	require.NoError(t, w.sim.Move(disputed, simulator.ChargedBack, "in_process", money("0")))
	w.tellOf(t, simulator.Chargeback, disputed)
	w.requireTruth(t)
}
