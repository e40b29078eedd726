package store_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

const (
	storeWait = 20 * time.Second
	storeTick = 5 * time.Millisecond
)

func TestSettle_APaymentPaysItsOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.inbox(t, store.InboxOptions{})
	created, err := b.RegisterOrder(t.Context(), "o-1", terms("150.00"))
	require.NoError(t, err)
	require.True(t, created)
	a := b.deliver(t, in, 1, "42")

	result, err := b.Settle(t.Context(), a, fetched("42", "o-1", order.PaymentApproved, "150.00", 1), complete(a))

	require.NoError(t, err)
	require.Equal(t, store.SettleResult{Outcome: store.OutcomeSettled, Reference: "o-1", OrderStatus: order.StatusPaid}, result)
	o := b.requireOrder(t, "o-1", order.StatusPaid, "150", "0")
	require.Len(t, o.Payments, 1)
	require.Len(t, o.Timeline, 2, "registered, then paid")
	require.Equal(t, a.QueueID, *o.Timeline[1].QueueID)
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM payment_logs WHERE queue_id = $1`, a.QueueID))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM webhook_queue_status WHERE id = $1 AND status = 'completed' AND outcome = 'settled' AND attempts = 1`, a.QueueID))
}

func TestSettle_TheSameStateAgainChangesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.inbox(t, store.InboxOptions{})
	_, err := b.RegisterOrder(t.Context(), "o-1", terms("150.00"))
	require.NoError(t, err)
	state := fetched("42", "o-1", order.PaymentApproved, "150.00", 1)
	state.Payment.UpdatedAt = state.Payment.UpdatedAt.Add(635_090_485) // nanoseconds, as Mercado Pago sends them
	for i, want := range []string{store.OutcomeSettled, store.OutcomeUnchanged, store.OutcomeUnchanged} {
		a := b.deliver(t, in, i, "42")
		state.Payment.FetchedAt = time.Now()
		result, err := b.Settle(t.Context(), a, state, complete(a))
		require.NoError(t, err)
		require.Equal(t, want, result.Outcome)
	}
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM payment_logs`))
	require.Equal(t, 2, b.count(t, `SELECT count(*) FROM order_logs`))
}

func TestSettle_AnOlderStateNeverReplacesANewer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.inbox(t, store.InboxOptions{})
	_, err := b.RegisterOrder(t.Context(), "o-1", terms("150.00"))
	require.NoError(t, err)
	settle := func(number int, p store.FetchedPayment) {
		a := b.deliver(t, in, number, p.Payment.ID)
		_, err := b.Settle(t.Context(), a, p, complete(a))
		require.NoError(t, err)
	}
	refund := fetched("42", "o-1", order.PaymentRefunded, "150.00", 9)
	refund.Payment.Refunded = decimal.RequireFromString("150.00")
	settle(1, refund)
	settle(2, fetched("42", "o-1", order.PaymentApproved, "150.00", 5))
	settle(3, fetched("42", "o-1", order.PaymentPending, "150.00", 1))
	b.requireOrder(t, "o-1", order.StatusRefunded, "150", "150")
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM payment_logs`), "only what was applied is logged")
}

func TestSettle_AStaleAttemptChangesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.inbox(t, store.InboxOptions{})
	_, err := b.RegisterOrder(t.Context(), "o-1", terms("150.00"))
	require.NoError(t, err)
	state := fetched("42", "o-1", order.PaymentApproved, "150.00", 1)
	number := 0
	for name, lose := range map[string]string{
		"another attempt runs": `UPDATE river_job SET attempt = attempt + 1 WHERE id = $1`,
		"it waits for a retry": `UPDATE river_job SET state = 'retryable' WHERE id = $1`,
		"the job was deleted":  `DELETE FROM river_job WHERE id = $1`,
	} {
		number++
		a := b.deliver(t, in, number, "42")
		_, err := b.pool.Exec(t.Context(), lose, a.JobID)
		require.NoError(t, err)
		_, err = b.Settle(t.Context(), a, state, complete(a))
		require.ErrorIs(t, err, store.ErrStaleAttempt, name)
		require.ErrorIs(t, b.Complete(t.Context(), a, store.OutcomeCovered, complete(a)), store.ErrStaleAttempt, name)
	}
	b.requireOrder(t, "o-1", order.StatusPending, "0", "0")
	require.Zero(t, b.count(t, `SELECT count(*) FROM payments`))
	require.Zero(t, b.count(t, `SELECT count(*) FROM webhook_queue WHERE completed_at IS NOT NULL`))
}

func TestSettle_IsAllOrNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.inbox(t, store.InboxOptions{})
	_, err := b.RegisterOrder(t.Context(), "o-1", terms("150.00"))
	require.NoError(t, err)
	a := b.deliver(t, in, 1, "42")
	broken := errors.New("made up for the test")
	_, err = b.Settle(t.Context(), a, fetched("42", "o-1", order.PaymentApproved, "150.00", 1),
		func(context.Context, pgx.Tx) error { return broken })
	require.ErrorIs(t, err, broken)
	b.requireOrder(t, "o-1", order.StatusPending, "0", "0")
	require.Zero(t, b.count(t, `SELECT count(*) FROM payments`))
	require.Zero(t, b.count(t, `SELECT count(*) FROM payment_logs`))
	require.Zero(t, b.count(t, `SELECT count(*) FROM webhook_queue WHERE completed_at IS NOT NULL`))
}

func TestSettle_APaymentMayComeBeforeItsOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.inbox(t, store.InboxOptions{})
	a := b.deliver(t, in, 1, "42")
	_, err := b.Settle(t.Context(), a, fetched("42", "late", order.PaymentApproved, "150.00", 1), complete(a))
	require.NoError(t, err)
	require.Equal(t, []string{"unknown_order"}, b.openAnomalies(t))

	_, err = b.RegisterOrder(t.Context(), "late", terms("150.00"))

	require.NoError(t, err)
	b.requireOrder(t, "late", order.StatusPaid, "150", "0")
	require.Empty(t, b.openAnomalies(t))
}

func TestSettle_AnOrderInsertedByPlainSQLSettlesToo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.inbox(t, store.InboxOptions{})
	a := b.deliver(t, in, 1, "42")
	_, err := b.Settle(t.Context(), a, fetched("42", "late", order.PaymentApproved, "150.00", 1), complete(a))
	require.NoError(t, err)
	_, err = b.pool.Exec(t.Context(), `INSERT INTO orders (reference, amount, currency) VALUES ('late', 150, 'ARS'), ('unpaid', 10, 'ARS')`)
	require.NoError(t, err)

	n, _, err := b.SettleUnsettled(t.Context(), 10)

	require.NoError(t, err)
	require.Equal(t, 2, n)
	b.requireOrder(t, "late", order.StatusPaid, "150", "0")
	b.requireOrder(t, "unpaid", order.StatusPending, "0", "0")
	require.Empty(t, b.openAnomalies(t))
	n, _, err = b.SettleUnsettled(t.Context(), 10)
	require.NoError(t, err)
	require.Zero(t, n)
}

// The order and its payment settle side by side, many times: whoever comes
// second must see the first.
func TestSettle_AnOrderAndItsPaymentMayMeet(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.inbox(t, store.InboxOptions{})
	const rounds = 30
	var wg sync.WaitGroup
	for i := range rounds {
		reference := "meet-" + string(rune('a'+i))
		a := b.deliver(t, in, i, reference)
		ctx := context.WithoutCancel(t.Context())
		wg.Go(func() {
			if _, err := b.Settle(ctx, a, fetched(reference, reference, order.PaymentApproved, "10", 1), complete(a)); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if _, err := b.RegisterOrder(ctx, reference, terms("10")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.Equal(t, rounds, b.count(t, `SELECT count(*) FROM orders WHERE status = 'paid'`))
	require.Empty(t, b.openAnomalies(t))
}

func TestSettle_WhatBecomesOfAPaymentWithoutAnOrder(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		policy    store.UnknownOrder
		reference string
		change    func(*order.Payment)
		anomalies []string
		orders    int
	}{
		"it waits":                       {store.UnknownOrderWait, "x", nil, []string{"unknown_order"}, 0},
		"it is ignored":                  {store.UnknownOrderIgnore, "x", nil, nil, 0},
		"it makes the order":             {store.UnknownOrderCreate, "x", nil, nil, 1},
		"without a reference":            {store.UnknownOrderCreate, "", nil, []string{"no_reference"}, 0},
		"another account's makes none":   {store.UnknownOrderCreate, "x", func(p *order.Payment) { p.CollectorID = "2" }, []string{"foreign_collector", "unknown_order"}, 0},
		"a test payment makes none":      {store.UnknownOrderCreate, "x", func(p *order.Payment) { p.LiveMode = false }, []string{"unknown_order", "wrong_mode"}, 0},
		"a check of a card makes none":   {store.UnknownOrderCreate, "x", func(p *order.Payment) { p.Validation = true }, nil, 0},
		"a reference too long for ours":  {store.UnknownOrderCreate, string(make65()), nil, []string{"unknown_order"}, 0},
		"ignored, but another account's": {store.UnknownOrderIgnore, "x", func(p *order.Payment) { p.CollectorID = "2" }, []string{"foreign_collector"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(o *store.Options) {
				o.UnknownOrder = c.policy
				o.Rules = order.Rules{CollectorID: "1", Mode: order.ModeLive}
			})
			in := b.inbox(t, store.InboxOptions{})
			a := b.deliver(t, in, 1, "42")
			p := fetched("42", c.reference, order.PaymentApproved, "150.00", 1)
			if c.change != nil {
				c.change(&p.Payment)
			}
			_, err := b.Settle(t.Context(), a, p, complete(a))
			require.NoError(t, err)
			require.ElementsMatch(t, c.anomalies, b.openAnomalies(t))
			require.Equal(t, c.orders, b.count(t, `SELECT count(*) FROM orders WHERE status = 'paid'`))
			require.Equal(t, 1, b.count(t, `SELECT count(*) FROM payments`), "the payment is kept whatever the policy")
		})
	}
}

func make65() []byte {
	long := make([]byte, 65)
	for i := range long {
		long[i] = 'x'
	}
	return long
}

func TestSettle_APaymentThatChangesItsOrderLeavesTheFirstUnpaid(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.inbox(t, store.InboxOptions{})
	for _, ref := range []string{"first", "second"} {
		_, err := b.RegisterOrder(t.Context(), ref, terms("10"))
		require.NoError(t, err)
	}
	for i, ref := range []string{"first", "second"} {
		a := b.deliver(t, in, i, "42")
		_, err := b.Settle(t.Context(), a, fetched("42", ref, order.PaymentApproved, "10", i), complete(a))
		require.NoError(t, err)
	}
	b.requireOrder(t, "first", order.StatusPending, "0", "0")
	b.requireOrder(t, "second", order.StatusPaid, "10", "0")
}

func TestAnomaly_ClosesByItselfAndStaysClosedWhenAPersonClosedIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.inbox(t, store.InboxOptions{})
	_, err := b.RegisterOrder(t.Context(), "o-1", terms("100"))
	require.NoError(t, err)
	settle := func(number int, p store.FetchedPayment) {
		a := b.deliver(t, in, number, p.Payment.ID)
		_, err := b.Settle(t.Context(), a, p, complete(a))
		require.NoError(t, err)
	}
	settle(1, fetched("1", "o-1", order.PaymentApproved, "60", 1))
	require.Equal(t, []string{"underpaid"}, b.openAnomalies(t))
	_, err = b.pool.Exec(t.Context(), `UPDATE anomalies SET closed_at = now(), closed_by = 'operator', note = 'agreed by phone'`)
	require.NoError(t, err)
	settle(2, fetched("1", "o-1", order.PaymentApproved, "60", 2))
	require.Empty(t, b.openAnomalies(t), "the same facts do not open it again")
	settle(3, fetched("2", "o-1", order.PaymentApproved, "10", 3))
	require.Equal(t, []string{"underpaid"}, b.openAnomalies(t), "other facts do")
	settle(4, fetched("3", "o-1", order.PaymentApproved, "30", 4))
	require.Empty(t, b.openAnomalies(t))
	b.requireOrder(t, "o-1", order.StatusPaid, "100", "0")
}

func TestRegisterOrder_ConfirmsOrContradicts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	created, err := b.RegisterOrder(t.Context(), "o-1", terms("150.00"))
	require.NoError(t, err)
	require.True(t, created)
	created, err = b.RegisterOrder(t.Context(), "o-1", terms("150"))
	require.NoError(t, err)
	require.False(t, created)
	_, err = b.RegisterOrder(t.Context(), "o-1", terms("150.01"))
	var conflict *store.OrderConflictError
	require.ErrorAs(t, err, &conflict)
	require.Equal(t, "150", conflict.Known.Amount.String())
	_, err = b.RegisterOrder(t.Context(), "o-1", order.Terms{Amount: decimal.NewFromInt(150), Currency: "BRL"})
	require.ErrorAs(t, err, &conflict)
	_, err = b.Order(t.Context(), "nobody")
	require.ErrorIs(t, err, store.ErrOrderNotFound)
}
