package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

func TestOrderStandings_HaveThePaymentsOfEachOrderAndOfNone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.inbox(t, store.InboxOptions{})
	for _, reference := range []string{"paid", "new", "another"} {
		_, err := b.RegisterOrder(t.Context(), reference, terms("150.00"))
		require.NoError(t, err)
	}
	for i, payment := range []struct{ id, reference string }{{"42", "paid"}, {"41", "paid"}, {"43", "unregistered"}, {"44", "another"}} {
		a := b.deliver(t, in, i, payment.id)
		_, err := b.Settle(t.Context(), a, fetched(payment.id, payment.reference, order.PaymentApproved, "150.00", 1), complete(a))
		require.NoError(t, err)
	}
	b.exec(t, `INSERT INTO payment_aliases (source, alias, provider_order_id, provider_order_topic, order_reference, currency, said, live_mode, provisional, awaited, fetched_at)
		VALUES ('mercadopago', 'PAY1', 'ORD1', 'order', 'new', 'ARS', 'processing/in_process', true, true, true, now())`)

	found, err := b.OrderStandings(t.Context(), []string{"new", "paid", "unregistered", "nowhere", "", "a\x00"})

	require.NoError(t, err)
	require.Len(t, found, 3)
	paid := found["paid"]
	require.True(t, paid.Known)
	require.Equal(t, order.StatusPaid, paid.Status)
	require.Equal(t, "300", paid.Paid.String())
	require.Equal(t, []order.AnomalyKind{order.AnomalyDuplicatePayment}, paid.Anomalies)
	require.Len(t, paid.Payments, 2)
	require.Equal(t, "41", paid.Payments[0].ID)
	require.Equal(t, "approved", paid.Payments[0].Status)
	require.Equal(t, "150", paid.Payments[0].Amount.Decimal.String())
	require.Equal(t, order.StatusPending, found["new"].Status)
	require.Len(t, found["new"].Payments, 1)
	shown := found["new"].Payments[0]
	require.Equal(t, [3]string{"PAY1", "processing/in_process", "ARS"}, [3]string{shown.ID, shown.Status, shown.Currency})
	require.False(t, shown.Amount.Valid)
	require.False(t, found["unregistered"].Known)
	require.Equal(t, "43", found["unregistered"].Payments[0].ID)
}
