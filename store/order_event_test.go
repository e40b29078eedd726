package store_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// A toldEvent is an order event as it is sent.
type toldEvent struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Data      struct {
		Order          json.RawMessage `json:"order"`
		PreviousStatus string          `json:"previous_status"`
		Cause          string          `json:"cause"`
		QueueID        *int64          `json:"queue_id"`
		Anomaly        *struct {
			ID       int64             `json:"id"`
			Kind     order.AnomalyKind `json:"kind"`
			ClosedAt *time.Time        `json:"closed_at"`
		} `json:"anomaly"`
	} `json:"data"`
}

// eventsOf are the order events of an order, by their ids.
func (b *bundle) eventsOf(t *testing.T, reference string) []toldEvent {
	t.Helper()
	rows, _ := b.pool.Query(t.Context(), `SELECT body FROM order_events WHERE order_reference = $1 ORDER BY id`, reference)
	bodies, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	require.NoError(t, err)
	events := make([]toldEvent, len(bodies))
	for i, body := range bodies {
		require.NoError(t, json.Unmarshal(body, &events[i]))
	}
	return events
}

// news says in a line each what an order's events tell.
func (b *bundle) news(t *testing.T, reference string) []string {
	t.Helper()
	lines := []string{}
	for _, e := range b.eventsOf(t, reference) {
		line := fmt.Sprintf("%s by %s", e.Type, e.Data.Cause)
		if e.Data.Anomaly != nil {
			line += " " + string(e.Data.Anomaly.Kind)
		}
		if e.Data.PreviousStatus != "" {
			line += ", was " + e.Data.PreviousStatus
		}
		lines = append(lines, line)
	}
	return lines
}

func actOn(t *testing.T, reference string) store.OrderAct {
	t.Helper()
	return store.OrderAct{Reference: reference, Reason: note(t, "why"), By: ana}
}

func TestOrderEvents_TellTheLifeOfAnOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.inbox(t, store.InboxOptions{})
	b.register(t, "A-1", "100", "ARS")
	b.register(t, "A-1", "100", "ARS")
	for i, f := range []store.FetchedPayment{
		fetched("70", "A-1", order.PaymentRejected, "100", 1),
		fetched("71", "A-1", order.PaymentPending, "100", 2),
		fetched("71", "A-1", order.PaymentInProcess, "100", 3),
		fetched("71", "A-1", order.PaymentAuthorized, "100", 4),
		fetched("71", "A-1", order.PaymentApproved, "100", 5),
		fetched("71", "A-1", order.PaymentApproved, "100", 5),
		fetched("71", "A-1", order.PaymentAuthorized, "100", 4),
		edited(fetched("71", "A-1", order.PaymentApproved, "100", 6), func(p *order.Payment) { p.Refunded = decimal.NewFromInt(30) }),
		edited(fetched("71", "A-1", order.PaymentApproved, "100", 7), func(p *order.Payment) { p.Refunded = decimal.NewFromInt(40) }),
		fetched("71", "A-1", order.PaymentInMediation, "100", 8),
		fetched("71", "A-1", order.PaymentChargedBack, "100", 9),
		fetched("71", "A-1", order.PaymentRefunded, "100", 10),
	} {
		b.apply(t, in, i, f)
	}

	require.Equal(t, []string{
		"order.registered by merchant",
		"order.rejected by payment, was pending",
		"order.pending by payment, was rejected",
		"order.in_process by payment, was pending",
		"order.authorized by payment, was in_process",
		"order.paid by payment, was authorized",
		"order.partially_refunded by payment, was paid",
		"order.partially_refunded by payment, was partially_refunded",
		"order.in_mediation by payment, was partially_refunded",
		"order.charged_back by payment, was in_mediation",
		"order.refunded by payment, was charged_back",
	}, b.news(t, "A-1"))
	events := b.eventsOf(t, "A-1")
	require.Nil(t, events[0].Data.QueueID)
	require.Equal(t, one[int64](t, b, `SELECT min(queue_id) FROM payment_logs`), *events[1].Data.QueueID)
	require.WithinDuration(t, time.Now(), events[0].Timestamp, time.Minute)
	o, err := b.Order(t.Context(), "A-1")
	require.NoError(t, err)
	document, err := json.Marshal(store.NewOrderDocument(o))
	require.NoError(t, err)
	require.JSONEq(t, string(document), string(events[len(events)-1].Data.Order), "it is what GET answers")
	b.sound(t)
}

func TestOrderEvents_AnActComesBeforeWhatFollowsFromIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.pay(t, 1, "A-1", "80")
	require.Empty(t, b.news(t, "A-1"), "nobody knows the order")
	b.register(t, "A-1", "100", "ARS")
	for _, amount := range []string{"80", "80", "70"} {
		_, err := b.AmendOrder(t.Context(), actOn(t, "A-1"), terms(amount))
		require.NoError(t, err)
	}
	for range 2 {
		_, err := b.CancelOrder(t.Context(), actOn(t, "A-1"))
		require.NoError(t, err)
	}
	require.Equal(t, []string{
		"order.registered by merchant",
		"order.partially_paid by merchant, was pending",
		"order.flagged by merchant underpaid, was partially_paid",
		"order.amended by merchant, was partially_paid",
		"order.paid by merchant, was partially_paid",
		"order.cleared by merchant underpaid, was paid",
		"order.amended by merchant, was paid",
		"order.flagged by merchant overpaid, was paid",
		"order.cancelled by merchant, was paid",
		"order.cleared by merchant overpaid, was paid",
		"order.flagged by merchant paid_after_cancel, was paid",
	}, b.news(t, "A-1"))
	events := b.eventsOf(t, "A-1")
	require.Nil(t, events[2].Data.Anomaly.ClosedAt)
	require.NotNil(t, events[5].Data.Anomaly.ClosedAt)

	b.register(t, "A-2", "10", "ARS")
	_, err := b.CancelOrder(t.Context(), actOn(t, "A-2"))
	require.NoError(t, err)
	require.Equal(t, []string{"order.registered by merchant", "order.cancelled by merchant, was pending"}, b.news(t, "A-2"), "one event is enough")

	b.register(t, "A-3", "10", "ARS")
	b.apply(t, b.inbox(t, store.InboxOptions{}), 5, fetched("80", "A-3", order.PaymentCancelled, "10", 1))
	require.Equal(t, []string{"order.registered by merchant", "order.cancelled by payment, was pending"}, b.news(t, "A-3"))
	b.sound(t)
}

func TestOrderEvents_TellWhatPlainSQLDid(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.inbox(t, store.InboxOptions{})
	sweep := func() {
		t.Helper()
		_, _, err := b.SettleUnsettled(t.Context(), 10)
		require.NoError(t, err)
	}
	b.exec(t, `INSERT INTO orders (reference, amount, currency) VALUES ('A-1', 100, 'ARS'), ('A-2', 100, 'ARS'), ('A-3', 100, 'ARS')`)
	// One is settled by a payment before the sweep comes, one is confirmed, and one amended.
	b.apply(t, in, 1, fetched("71", "A-1", order.PaymentApproved, "100", 1))
	b.register(t, "A-2", "100", "ARS")
	_, err := b.AmendOrder(t.Context(), actOn(t, "A-3"), terms("90"))
	require.NoError(t, err)
	sweep()
	require.Equal(t, []string{"order.registered by sql", "order.paid by payment, was pending"}, b.news(t, "A-1"))
	require.Equal(t, []string{"order.registered by sql"}, b.news(t, "A-2"))
	require.Equal(t, []string{"order.registered by sql", "order.amended by merchant, was pending"}, b.news(t, "A-3"))

	b.exec(t, `UPDATE orders SET amount = 50 WHERE reference = 'A-2'`)
	sweep()
	b.exec(t, `UPDATE orders SET cancelled_at = now() WHERE reference = 'A-2'`)
	sweep()
	require.Equal(t, []string{
		"order.registered by sql", "order.amended by sql, was pending", "order.cancelled by sql, was pending",
	}, b.news(t, "A-2"))

	// What is only settled again, and comes to the same, is not news.
	b.exec(t, `UPDATE orders SET settled_at = NULL`)
	sweep()
	require.Len(t, b.news(t, "A-1"), 2)
	require.Zero(t, b.count(t, `SELECT count(*) FROM orders WHERE settled_at IS NULL`))
	b.sound(t)
}

func TestOrderEvents_AnOrderMadeFromAPayment(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *store.Options) { o.UnknownOrder = store.UnknownOrderCreate })
	b.pay(t, 1, "A-1", "80")
	b.register(t, "A-1", "100", "ARS")
	require.Equal(t, []string{
		"order.paid by payment",
		"order.registered by merchant, was paid",
		"order.partially_paid by merchant, was paid",
		"order.flagged by merchant underpaid, was partially_paid",
	}, b.news(t, "A-1"))
	b.sound(t)
}

func TestOrderEvents_APaymentThatMovesTellsBothOrders(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.inbox(t, store.InboxOptions{})
	b.register(t, "A-1", "100", "ARS")
	b.register(t, "A-2", "100", "ARS")
	b.warn(t, 1, fetched("71", "A-1", order.PaymentApproved, "100", 1))
	b.apply(t, in, 2, fetched("71", "A-2", order.PaymentApproved, "100", 2))
	require.Equal(t, []string{
		"order.registered by merchant", "order.paid by payment, was pending", "order.flagged by payment fraud_alert, was paid",
		"order.pending by payment, was paid", "order.cleared by payment fraud_alert, was pending", "order.flagged by payment payment_moved, was pending",
	}, b.news(t, "A-1"))
	require.Equal(t, []string{
		"order.registered by merchant", "order.paid by payment, was pending", "order.flagged by payment fraud_alert, was paid",
	}, b.news(t, "A-2"))
	b.sound(t)
}

func TestOrderEvents_APersonAndAReconciliation(t *testing.T) {
	t.Parallel()
	b := setupRuns(t)
	in := b.inbox(t, store.InboxOptions{})
	b.register(t, "A-1", "100", "ARS")
	// A run asks for what it missed.
	event := signed(1, "71")
	event.Origin, event.Signed, event.Signature = store.OriginReconciliation, false, nil
	a := b.startAttempt(t, b.accept(t, event))
	_, err := b.Settle(t.Context(), a, fetched("71", "A-1", order.PaymentApproved, "150", 1), complete(a))
	require.NoError(t, err)
	_, err = b.ResolveAnomaly(t.Context(), one[int64](t, b, `SELECT id FROM anomalies`), note(t, "given back in cash"), ana)
	require.NoError(t, err)
	// The same facts again, and a state of which a row was lost.
	b.apply(t, in, 2, fetched("71", "A-1", order.PaymentApproved, "150", 1))
	b.exec(t, `UPDATE orders SET status = 'pending', paid_amount = 0 WHERE reference = 'A-1'`)
	run, _ := b.startRun(t, regular)
	step, _ := b.openStep(t, run)
	_, err = step.CompareLedger(t.Context())
	require.NoError(t, err)
	_, err = step.Repair(t.Context())
	require.NoError(t, err)

	require.Equal(t, []string{
		"order.registered by merchant",
		"order.paid by reconciliation, was pending",
		"order.flagged by reconciliation overpaid, was paid",
		"order.cleared by operator overpaid, was paid",
		"order.paid by repair, was pending",
	}, b.news(t, "A-1"))
	b.sound(t)
}

func TestOrderEvents_ADifferenceThatARunCannotSettle(t *testing.T) {
	t.Parallel()
	b := setupRuns(t)
	in := b.inbox(t, store.InboxOptions{})
	b.register(t, "A-1", "100", "ARS")
	b.apply(t, in, 1, fetched("71", "A-1", order.PaymentApproved, "60", 1))
	b.apply(t, in, 2, fetched("72", "A-1", order.PaymentApproved, "40", 1))
	before := b.news(t, "A-1")
	run, _ := b.startRun(t, regular)
	step, _ := b.openStep(t, run)
	// Of one the shop was told, of the other it was not.
	b.exec(t, `
		INSERT INTO anomalies (kind, source, order_reference, payment_id, flagged_order, detail)
		SELECT 'unsettled_difference', source, order_reference, payment_id, CASE payment_id WHEN '72' THEN order_reference END, '{"against": "log"}'
		FROM payments`)
	_, err := step.CompareLedger(t.Context())
	require.NoError(t, err)
	require.Empty(t, b.openAnomalies(t))
	require.Equal(t, append(before, "order.cleared by reconciliation unsettled_difference, was paid"), b.news(t, "A-1"))
}

// What happened before is not told, and what an upgrade's fold changes isn't either.
func TestOrderEvents_AnUpgradeTellsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.inbox(t, store.InboxOptions{})
	b.register(t, "A-1", "110", "ARS")
	b.apply(t, in, 1, fetched("71", "A-1", order.PaymentApproved, "100", 1))
	b.exec(t, `DELETE FROM order_events`)
	b.exec(t, `UPDATE order_logs SET told = false`)
	b.beforeFold(t)
	b.foldAll(t, func(string, []byte) (store.PaymentExtra, bool) {
		return store.PaymentExtra{Shipping: decimal.NewFromInt(10)}, true
	})
	b.requireOrder(t, "A-1", order.StatusPaid, "110", "0")
	require.Empty(t, b.openAnomalies(t))
	require.Empty(t, b.news(t, "A-1"))
	b.sound(t)

	b.apply(t, in, 2, edited(fetched("71", "A-1", order.PaymentRefunded, "100", 2), func(p *order.Payment) { p.Shipping = decimal.NewFromInt(10) }))
	require.Equal(t, []string{"order.refunded by payment, was paid"}, b.news(t, "A-1"))
	b.sound(t)
}
