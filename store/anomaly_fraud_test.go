package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// warn applies a fraud alert about the payment, as its event does.
func (b *bundle) warn(t *testing.T, n int, payment store.FetchedPayment, change ...func(*store.NewEvent)) {
	t.Helper()
	ev := signed(n, payment.Payment.ID)
	ev.Topic, ev.Work = "stop_delivery_op_wh", store.WorkFraudAlert
	for _, c := range change {
		c(&ev)
	}
	a := b.startAttempt(t, b.accept(t, ev))
	event, err := b.StartAttempt(t.Context(), a.QueueID)
	require.NoError(t, err)
	_, err = b.Apply(t.Context(), a, store.Fetched{Event: event, Payment: &payment}, complete(a))
	require.NoError(t, err)
}

func TestFraudAlert_IsRaisedByNobodyElse(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *store.Options) { o.Rules.CollectorID = "1" })
	b.warn(t, 1, fetched("77", "A-1", order.PaymentApproved, "10", 1), func(ev *store.NewEvent) { ev.Signed, ev.Signature = false, nil })
	require.Zero(t, one[int](t, b, `SELECT count(*) FROM anomalies WHERE kind = 'fraud_alert'`), "anybody may have sent it")

	foreign := fetched("78", "A-1", order.PaymentApproved, "10", 1)
	foreign.Payment.CollectorID = "666"
	b.warn(t, 2, foreign)
	require.Zero(t, one[int](t, b, `SELECT count(*) FROM anomalies WHERE kind = 'fraud_alert'`), "it is another account's payment")

	b.warn(t, 3, fetched("77", "A-1", order.PaymentApproved, "10", 1))
	b.warn(t, 4, fetched("77", "A-1", order.PaymentApproved, "10", 1))
	require.Equal(t, "A-1", one[string](t, b, `SELECT order_reference FROM anomalies WHERE kind = 'fraud_alert'`))
}

func TestFraudAlert_GoesWithItsPayment(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.warn(t, 1, fetched("77", "", order.PaymentApproved, "10", 1))
	require.Equal(t, 1, one[int](t, b, `SELECT count(*) FROM anomalies WHERE kind = 'fraud_alert' AND order_reference IS NULL`))

	a := b.startAttempt(t, b.accept(t, signed(2, "77")))
	_, err := b.Settle(t.Context(), a, fetched("77", "A-2", order.PaymentApproved, "10", 2), complete(a))
	require.NoError(t, err)

	require.Equal(t, "A-2", one[string](t, b, `SELECT order_reference FROM anomalies WHERE kind = 'fraud_alert'`))
}

// one is the one value that a query selects.
func one[T any](t *testing.T, b *bundle, query string) T {
	t.Helper()
	var value T
	require.NoError(t, b.pool.QueryRow(t.Context(), query).Scan(&value))
	return value
}
