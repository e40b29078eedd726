package store_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// pay settles an approved payment of the order.
func (b *bundle) pay(t *testing.T, number int, reference, amount string) {
	t.Helper()
	in := b.inbox(t, store.InboxOptions{})
	id := "9" + reference[len(reference)-1:]
	a := b.deliver(t, in, number, id)
	_, err := b.Settle(t.Context(), a, fetched(id, reference, order.PaymentApproved, amount, 1), complete(a))
	require.NoError(t, err)
}

// causes are those of an order's timeline, each with who did it.
func causes(o store.Order) (said []string) {
	for _, c := range o.Timeline {
		text := c.Cause
		if c.Actor != "" {
			text += " by " + c.Actor
		}
		if c.Reason != "" {
			text += ": " + c.Reason
		}
		said = append(said, text)
	}
	return said
}

func TestAmendOrder_SettlesUnderTheNewTerms(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.RegisterOrder(t.Context(), "o-1", terms("80"))
	require.NoError(t, err)
	b.pay(t, 1, "o-1", "80")
	act := store.OrderAct{Reference: "o-1", Reason: note(t, "a larger size"), By: ana}

	o, err := b.AmendOrder(t.Context(), act, terms("100"))

	require.NoError(t, err)
	require.Equal(t, order.StatusPartiallyPaid, o.Status)
	require.True(t, o.Terms.Amount.Equal(terms("100").Amount))
	require.Equal(t, []string{"underpaid"}, b.openAnomalies(t), "a price that rose moved no payment")
	require.Equal(t, []string{"registered", "payment", "amended by a1b2c3d4: a larger size"}, causes(o))
	require.True(t, o.Timeline[1].Amount.Decimal.Equal(terms("80").Amount), "what it asked for then")
	require.Equal(t, 1, b.count(t, `
		SELECT count(*) FROM operator_actions
		WHERE action = 'amend_order' AND target_kind = 'order' AND order_reference = 'o-1' AND actor = 'a1b2c3d4' AND note = 'a larger size'`))

	again, err := b.AmendOrder(t.Context(), act, terms("100.00"))
	require.NoError(t, err)
	require.Equal(t, o, again, "the same again changes nothing")
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM operator_actions`))

	o, err = b.AmendOrder(t.Context(), act, terms("80"))
	require.NoError(t, err)
	require.Equal(t, order.StatusPaid, o.Status)
	require.Empty(t, b.openAnomalies(t))
}

func TestAmendOrder_RefusesWhatCannotBe(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.RegisterOrder(t.Context(), "o-1", terms("80"))
	require.NoError(t, err)
	act := store.OrderAct{Reference: "o-1", Reason: note(t, "why"), By: ana}

	_, err = b.AmendOrder(t.Context(), act, terms("10.005"))
	require.ErrorIs(t, err, order.ErrAmountTooFine)
	_, err = b.AmendOrder(t.Context(), store.OrderAct{Reference: "o-1", By: ana}, terms("10"))
	require.ErrorIs(t, err, store.ErrNote)
	_, err = b.AmendOrder(t.Context(), store.OrderAct{Reference: "none", Reason: act.Reason, By: ana}, terms("10"))
	require.ErrorIs(t, err, store.ErrOrderNotFound)
	changed := errors.New("it has changed")
	act.Allow = func(store.Order) error { return changed }
	_, err = b.AmendOrder(t.Context(), act, terms("10"))
	require.ErrorIs(t, err, changed)
	b.exec(t, `ALTER TABLE orders ADD CONSTRAINT orders_small CHECK (amount < 1000)`)
	act.Allow = nil
	_, err = b.AmendOrder(t.Context(), act, terms("1000"))
	var refused *store.SchemaError
	require.ErrorAs(t, err, &refused)
	_, err = b.CancelOrder(t.Context(), act)
	require.NoError(t, err)
	_, err = b.AmendOrder(t.Context(), act, terms("80"))
	var cancelled *store.OrderCancelledError
	require.ErrorAs(t, err, &cancelled)
	require.Equal(t, "order_cancelled", store.ProblemOf(err).Code)
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM operator_actions`))
	require.Equal(t, 2, b.count(t, `SELECT count(*) FROM order_logs`))
}

func TestCancelOrder_MoneyStillCounts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.RegisterOrder(t.Context(), "o-1", terms("80"))
	require.NoError(t, err)
	act := store.OrderAct{Reference: "o-1", Reason: note(t, "sold out"), By: ana}

	o, err := b.CancelOrder(t.Context(), act)

	require.NoError(t, err)
	require.Equal(t, order.StatusCancelled, o.Status)
	require.NotNil(t, o.CancelledAt)
	require.Equal(t, []string{"registered", "cancelled by a1b2c3d4: sold out"}, causes(o))
	act.Reason = note(t, "once more")
	again, err := b.CancelOrder(t.Context(), act)
	require.NoError(t, err)
	require.Equal(t, o, again)
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM operator_actions WHERE action = 'cancel_order'`))
	created, err := b.RegisterOrder(t.Context(), "o-1", terms("80"))
	require.NoError(t, err)
	require.False(t, created)
	b.requireOrder(t, "o-1", order.StatusCancelled, "0", "0")

	b.pay(t, 1, "o-1", "80")
	b.requireOrder(t, "o-1", order.StatusPaid, "80", "0")
	require.Equal(t, []string{"paid_after_cancel"}, b.openAnomalies(t))
}

func TestRegisterOrder_TheMerchantsTermsOutrankAPayments(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *store.Options) { o.UnknownOrder = store.UnknownOrderCreate })
	b.pay(t, 1, "o-1", "80")
	b.requireOrder(t, "o-1", order.StatusPaid, "80", "0")

	created, err := b.RegisterOrder(t.Context(), "o-1", terms("100"))

	require.NoError(t, err)
	require.False(t, created)
	o := b.requireOrder(t, "o-1", order.StatusPartiallyPaid, "80", "0")
	require.Equal(t, []string{"payment", "registered"}, causes(o))
	require.Equal(t, []string{"underpaid"}, b.openAnomalies(t))
	_, err = b.RegisterOrder(t.Context(), "o-1", terms("80"))
	var conflict *store.OrderConflictError
	require.ErrorAs(t, err, &conflict, "from now on they are the merchant's")

	b.pay(t, 2, "changes", "80")
	_, err = b.Order(t.Context(), "changes")
	require.ErrorIs(t, err, store.ErrOrderNotFound, "a reserved reference makes no order")
}

func TestSettleUnsettled_ChangesByPlainSQL(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `INSERT INTO orders (reference, amount, currency) VALUES ('o-1', 80, 'ARS')`)
	sweep := func(want int) (refused []store.RefusedOrder) {
		t.Helper()
		n, refused, err := b.SettleUnsettled(t.Context(), 10)
		require.NoError(t, err)
		require.Equal(t, want, n)
		return refused
	}
	sound := func() {
		t.Helper()
		report, err := b.Verify(t.Context(), verifyOptions)
		require.NoError(t, err)
		require.Empty(t, report.Violations)
	}
	sweep(1)
	b.pay(t, 1, "o-1", "80")

	b.exec(t, `UPDATE orders SET amount = 100 WHERE reference = 'o-1'`)
	sound()
	sweep(1)
	o := b.requireOrder(t, "o-1", order.StatusPartiallyPaid, "80", "0")
	require.Equal(t, []string{"registered by sql", "payment", "amended by sql"}, causes(o))
	sound()

	b.exec(t, `UPDATE orders SET currency = 'XXX' WHERE reference = 'o-1'`)
	require.ErrorIs(t, sweep(0)[0].Err, order.ErrUnknownCurrency)
	require.Len(t, b.requireOrder(t, "o-1", order.StatusPartiallyPaid, "80", "0").Timeline, 3)

	b.exec(t, `UPDATE orders SET currency = 'ARS', amount = 80, cancelled_at = now() WHERE reference = 'o-1'`)
	sweep(1)
	o = b.requireOrder(t, "o-1", order.StatusPaid, "80", "0")
	require.Equal(t, "cancelled by sql", causes(o)[3])
	require.Equal(t, []string{"paid_after_cancel"}, b.openAnomalies(t))
	sound()
	sweep(0)
}
