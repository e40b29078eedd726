package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

func TestKeepOdd_ShowsThePaymentWithItsOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.RegisterOrder(t.Context(), "A-1", terms("10"))
	require.NoError(t, err)
	in := b.inbox(t, store.InboxOptions{})
	keep := func(a store.Attempt, reference string) {
		require.NoError(t, b.KeepOdd(t.Context(), a, store.OddAnswer{
			Reference: reference, Fields: []string{"amount", "currency"}, Problem: "payment: transaction_amount is missing", Raw: []byte(`{"id":77}`),
		}))
	}
	odd := func() []store.OddPayment {
		o, err := b.Order(t.Context(), "A-1")
		require.NoError(t, err)
		return o.OddPayments
	}
	first, second := b.deliver(t, in, 1, "77"), b.deliver(t, in, 2, "77")
	keep(first, "A-1")
	require.Empty(t, odd(), "it isn't dead yet")
	b.die(t, first.QueueID)
	keep(second, "A-1")
	b.die(t, second.QueueID)
	elsewhere := b.deliver(t, in, 3, "78")
	keep(elsewhere, "")
	b.die(t, elsewhere.QueueID)

	got := odd()
	require.Len(t, got, 1, "a payment once, as it was fetched last")
	require.False(t, got[0].FetchedAt.IsZero())
	require.Equal(t, store.OddPayment{
		QueueID: second.QueueID, DeadLetterID: got[0].DeadLetterID, Source: "mercadopago", PaymentID: "77", Class: "forbidden",
		Fields: []string{"amount", "currency"}, Problem: "payment: transaction_amount is missing", FetchedAt: got[0].FetchedAt,
	}, got[0])
	events, err := b.Events(t.Context(), store.EventFilter{Order: "A-1"}, store.Page{Limit: 10})
	require.NoError(t, err)
	require.Len(t, events.Items, 2, "its events are the order's")

	settled := b.deliver(t, in, 4, "77")
	state := fetched("77", "A-1", order.PaymentApproved, "10", 1)
	state.Payment.FetchedAt = time.Now().Add(time.Minute)
	_, err = b.Settle(t.Context(), settled, state, complete(settled))
	require.NoError(t, err)
	require.Empty(t, odd(), "it was booked since")
}

func TestKeepOdd_KeepsNothingOfAStaleAttempt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.deliver(t, b.inbox(t, store.InboxOptions{}), 1, "77")
	a.Number++
	require.NoError(t, b.KeepOdd(t.Context(), a, store.OddAnswer{Fields: []string{"amount"}, Raw: []byte("x")}))
	require.Zero(t, b.count(t, `SELECT count(*) FROM odd_payments`))
	require.Zero(t, b.count(t, `SELECT count(*) FROM webhook_queue WHERE resource IS NOT NULL`))
}
