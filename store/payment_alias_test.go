package store_test

import (
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// ordered is a payment as the provider's order has it, which changed at the given
// minute. The payments' side does not show it.
func ordered(alias, reference string, status order.PaymentStatus, amount string, minute int) store.OrderedPayment {
	at := epoch.Add(time.Duration(minute) * time.Minute)
	return store.OrderedPayment{
		Order: store.Ref{Topic: "order", ID: "ORD" + alias}, Reference: reference, Said: "said", UpdatedNanos: at.UnixNano(),
		Alias: order.Alias{
			Source: "mercadopago", OrderCreatedAt: epoch, Provisional: true, Awaited: status == "" || status.HasMoney(),
			Payment: order.Payment{
				ID: alias, Status: status, Amount: decimal.NewNullDecimal(decimal.RequireFromString(amount)), Currency: "ARS",
				CollectorID: "1", LiveMode: true, UpdatedAt: at, FetchedAt: at,
			},
		},
	}
}

func orders(o *store.Options) {
	o.WorkOf = func(_, topic, _ string) (string, bool) {
		return map[string]string{"payment": store.WorkPayment, "order": store.WorkFollow}[topic], true
	}
}

// told applies what a provider's order says of its payments, as an event's attempt
// does.
func (b *bundle) told(t *testing.T, in *store.Inbox, number int, payments ...store.OrderedPayment) store.SettleResult {
	t.Helper()
	event := signed(number, payments[0].Order.ID)
	event.Topic, event.Work = "order", store.WorkFollow
	receipt, err := in.Accept(t.Context(), event)
	require.NoError(t, err)
	a := b.startAttempt(t, receipt.QueueID)
	start, err := b.StartAttempt(t.Context(), a.QueueID)
	require.NoError(t, err)
	result, err := b.Apply(t.Context(), a, store.Fetched{Event: start, Ordered: payments, Wait: time.Minute}, complete(a))
	require.NoError(t, err)
	return result
}

func TestProvisional_CountsUntilThePaymentIsKnown(t *testing.T) {
	t.Parallel()
	b := setup(t, orders)
	in := b.inbox(t, store.InboxOptions{})
	b.register(t, "A-1", "100", "ARS")

	result := b.told(t, in, 1, ordered("PAY1", "A-1", order.PaymentApproved, "100", 1))

	require.Equal(t, store.SettleResult{Outcome: store.OutcomeProvisional, Reference: "A-1", OrderStatus: order.StatusPaid}, result)
	b.requireOrder(t, "A-1", order.StatusPaid, "100", "0")
	require.Zero(t, b.count(t, `SELECT count(*) FROM payments`))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM payment_aliases WHERE payment_id IS NULL AND next_look_at BETWEEN now() AND now() + interval '1 minute'`))
	b.sound(t)

	paid := b.apply(t, in, 2, fetched("77", "A-1", order.PaymentApproved, "100", 2))

	require.Equal(t, store.OutcomeSettled, paid.Outcome)
	b.requireOrder(t, "A-1", order.StatusPaid, "100", "0")
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM payment_aliases WHERE payment_id = '77' AND next_look_at IS NULL`))
	require.Equal(t, 2, b.count(t, `SELECT count(*) FROM order_logs`), "registered, and paid once")
	b.sound(t)

	// However often it is told, and in whichever way.
	require.Equal(t, store.OutcomeFollowed, b.told(t, in, 3, ordered("PAY1", "A-1", order.PaymentApproved, "100", 3)).Outcome)
	b.requireOrder(t, "A-1", order.StatusPaid, "100", "0")
	b.apply(t, in, 4, fetched("77", "A-1", order.PaymentRefunded, "100", 4))
	b.told(t, in, 5, ordered("PAY1", "A-1", order.PaymentApproved, "100", 1))
	b.requireOrder(t, "A-1", order.StatusRefunded, "100", "100")
	require.Empty(t, b.openAnomalies(t))
	b.sound(t)
}

func TestProvisional_ThePaymentsOwnWebhookMayComeFirst(t *testing.T) {
	t.Parallel()
	b := setup(t, orders)
	in := b.inbox(t, store.InboxOptions{})
	b.register(t, "A-1", "100", "ARS")
	b.apply(t, in, 1, fetched("77", "A-1", order.PaymentApproved, "100", 1))

	// The search lags all the same.
	result := b.told(t, in, 2, ordered("PAY1", "A-1", order.PaymentApproved, "100", 1))

	require.Equal(t, store.OutcomeFollowed, result.Outcome)
	b.requireOrder(t, "A-1", order.StatusPaid, "100", "0")
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM payment_aliases WHERE payment_id = '77' AND next_look_at IS NULL`))
	require.Empty(t, b.openAnomalies(t))
	b.sound(t)
}

func TestProvisional_WaitsForItsOrderLikeAPayment(t *testing.T) {
	t.Parallel()
	b := setup(t, orders)
	in := b.inbox(t, store.InboxOptions{})
	require.Equal(t, store.OutcomeProvisional, b.told(t, in, 1, ordered("PAY1", "A-1", order.PaymentApproved, "100", 1)).Outcome)
	require.Empty(t, b.openAnomalies(t))
	b.register(t, "A-1", "100", "ARS")
	b.requireOrder(t, "A-1", order.StatusPaid, "100", "0")
	b.sound(t)

	// And one that is known before its order is nobody's any more.
	b.told(t, in, 2, ordered("PAY2", "A-2", order.PaymentApproved, "100", 1))
	b.apply(t, in, 3, fetched("78", "A-2", order.PaymentApproved, "100", 1))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM payment_aliases WHERE payment_id = '78'`))
	b.register(t, "A-2", "100", "ARS")
	b.requireOrder(t, "A-2", order.StatusPaid, "100", "0")
	b.sound(t)
}

func TestProvisional_MakesAnOrderWhereOrdersAreMade(t *testing.T) {
	t.Parallel()
	b := setup(t, orders, func(o *store.Options) { o.UnknownOrder = store.UnknownOrderCreate })
	in := b.inbox(t, store.InboxOptions{})
	b.told(t, in, 1, ordered("PAY1", "A-1", order.PaymentApproved, "100", 1))
	b.requireOrder(t, "A-1", order.StatusPaid, "100", "0")
	b.told(t, in, 2, ordered("PAY2", "A-2", order.PaymentPending, "100", 1))
	_, err := b.Order(t.Context(), "A-2")
	require.ErrorIs(t, err, store.ErrOrderNotFound)
	b.sound(t)
}

func TestProvisional_IsHeldToTheRulesOfPayments(t *testing.T) {
	t.Parallel()
	b := setup(t, orders, func(o *store.Options) { o.Rules = order.Rules{CollectorID: "1", Mode: order.ModeLive} })
	in := b.inbox(t, store.InboxOptions{})
	number := 0
	for reference, edit := range map[string]func(*order.Payment){
		"wrong_mode":        func(p *order.Payment) { p.LiveMode = false },
		"foreign_collector": func(p *order.Payment) { p.CollectorID = "2" },
		"currency_mismatch": func(p *order.Payment) { p.Currency = "BRL" },
	} {
		b.register(t, reference, "100", "ARS")
		p := ordered("PAY-"+reference, reference, order.PaymentApproved, "100", 1)
		edit(&p.Payment)
		number++
		b.told(t, in, number, p)
		o := b.requireOrder(t, reference, order.StatusPending, "0", "0")
		require.Len(t, o.Anomalies, 1)
		require.EqualValues(t, reference, o.Anomalies[0].Kind)
	}
	b.sound(t)
}

func TestProvisional_WordsThatSettleNothingPayNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, orders)
	in := b.inbox(t, store.InboxOptions{})
	b.register(t, "A-1", "100", "ARS")
	b.told(t, in, 1, ordered("PAY1", "A-1", order.PaymentChargedBack, "100", 1))
	b.requireOrder(t, "A-1", order.StatusChargedBack, "0", "0")
	require.Equal(t, store.OutcomeProvisional, b.told(t, in, 2, ordered("PAY1", "A-1", "", "100", 1)).Outcome)
	b.requireOrder(t, "A-1", order.StatusPending, "0", "0")
	b.apply(t, in, 3, edited(fetched("77", "A-1", order.PaymentChargedBack, "100", 2), func(p *order.Payment) { p.StatusDetail = "reimbursed" }))
	b.requireOrder(t, "A-1", order.StatusPaid, "100", "0")
	b.sound(t)
}

// An order's state is dated to the nanosecond: of two within a microsecond the later
// one counts, whichever comes last.
func TestProvisional_TheLaterWordCountsWhateverCameLast(t *testing.T) {
	t.Parallel()
	b := setup(t, orders)
	in := b.inbox(t, store.InboxOptions{})
	b.register(t, "A-1", "100", "ARS")
	refunded, approved := ordered("PAY1", "A-1", order.PaymentRefunded, "100", 1), ordered("PAY1", "A-1", order.PaymentApproved, "100", 1)
	refunded.UpdatedNanos++
	b.told(t, in, 1, refunded)
	b.told(t, in, 2, approved)
	b.requireOrder(t, "A-1", order.StatusRefunded, "100", "100")
	approved.UpdatedNanos++ // equal, and of a lower rank
	b.told(t, in, 3, approved)
	b.requireOrder(t, "A-1", order.StatusRefunded, "100", "100")
	b.sound(t)
}

func TestProvisional_ThePaymentThatItsOrderNamesIsThatOne(t *testing.T) {
	t.Parallel()
	b := setup(t, orders)
	in := b.inbox(t, store.InboxOptions{})
	b.register(t, "A-1", "200", "ARS")
	b.told(t, in, 1, ordered("PAY1", "A-1", order.PaymentApproved, "100", 1))
	b.apply(t, in, 2, fetched("77", "A-1", order.PaymentApproved, "100", 1))
	named := ordered("PAY2", "A-1", order.PaymentApproved, "100", 1)
	named.PaymentID, named.Numbered, named.Provisional, named.Awaited = "77", true, false, false

	b.told(t, in, 3, named)

	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM payment_aliases WHERE alias = 'PAY2' AND payment_id = '77'`))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM payment_aliases WHERE alias = 'PAY1' AND payment_id IS NULL`))
	b.requireOrder(t, "A-1", order.StatusPaid, "200", "0")
	b.sound(t)
}

func TestProvisional_StaysWithThePaymentThatMoved(t *testing.T) {
	t.Parallel()
	b := setup(t, orders)
	in := b.inbox(t, store.InboxOptions{})
	b.register(t, "A-1", "100", "ARS")
	b.register(t, "A-2", "100", "ARS")
	b.told(t, in, 1, ordered("PAY1", "A-1", order.PaymentApproved, "100", 1))
	b.told(t, in, 2, ordered("PAY2", "A-2", order.PaymentApproved, "100", 1))
	b.apply(t, in, 3, fetched("77", "A-1", order.PaymentApproved, "100", 1))
	b.apply(t, in, 4, fetched("77", "A-2", order.PaymentApproved, "100", 2))
	b.requireOrder(t, "A-1", order.StatusPending, "0", "0")
	b.requireOrder(t, "A-2", order.StatusPaid, "200", "0") // 77 is another order's, and PAY2 is still to come
	b.sound(t)
	b.apply(t, in, 5, fetched("78", "A-2", order.PaymentApproved, "100", 2))
	b.requireOrder(t, "A-2", order.StatusPaid, "200", "0")
	b.sound(t)
}

func TestLookAgain_AfterEachWait(t *testing.T) {
	t.Parallel()
	b := setup(t, orders)
	in := b.inbox(t, store.InboxOptions{})
	b.register(t, "A-1", "100", "ARS")
	first := b.told(t, in, 1, ordered("PAY1", "A-1", order.PaymentApproved, "100", 1))
	require.Equal(t, store.OutcomeProvisional, first.Outcome)
	waits := []time.Duration{time.Minute, 2 * time.Minute}
	look := func() int {
		n, err := b.LookAgain(t.Context(), waits, 10)
		require.NoError(t, err)
		return n
	}
	due := func() { b.exec(t, `UPDATE payment_aliases SET next_look_at = now() WHERE next_look_at IS NOT NULL`) }
	require.Zero(t, look())
	due()
	require.Equal(t, 1, look())
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM webhook_queue WHERE origin = 'follow' AND topic = 'order' AND resource_id = 'ORDPAY1' AND completed_at IS NULL`))
	due()
	require.Zero(t, look(), "an event is about it already")
	b.exec(t, `UPDATE webhook_queue SET completed_at = now(), outcome = 'provisional' WHERE origin = 'follow'`)
	require.Equal(t, 1, look())
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM payment_aliases WHERE looks = 2 AND next_look_at IS NULL`))
	due()
	require.Zero(t, look())
}

// ambiguous is why the open ambiguous_payment of an order is open; empty when there is
// none.
func (b *bundle) ambiguous(t *testing.T, reference string) string {
	t.Helper()
	var why string
	require.NoError(t, b.pool.QueryRow(t.Context(), `
		SELECT coalesce((SELECT detail ->> 'why' FROM anomalies WHERE kind = 'ambiguous_payment' AND order_reference = $1 AND closed_at IS NULL), '')`,
		reference).Scan(&why))
	return why
}

func TestAmbiguous_IsWhatTheTwoSidesTellApartInTheEnd(t *testing.T) {
	t.Parallel()
	b := setup(t, orders)
	in := b.inbox(t, store.InboxOptions{})
	number := 0
	tell := func(p store.OrderedPayment) {
		number++
		b.told(t, in, number, p)
	}
	over := func() { b.exec(t, `UPDATE payment_aliases SET looks = 1, next_look_at = NULL`) }

	// Words that settle nothing, once the payment was looked for.
	b.register(t, "words", "100", "ARS")
	tell(ordered("PAY1", "words", "", "100", 1))
	require.Empty(t, b.ambiguous(t, "words"), "it is looked for")
	over()
	tell(ordered("PAY1", "words", "", "100", 1))
	require.Equal(t, "words", b.ambiguous(t, "words"))
	b.requireOrder(t, "words", order.StatusPending, "0", "0")
	b.apply(t, in, 101, fetched("1", "words", order.PaymentApproved, "100", 1))
	tell(ordered("PAY1", "words", "", "100", 1))
	require.Empty(t, b.ambiguous(t, "words"))

	// Another amount on the payments' side.
	b.register(t, "amount", "100", "ARS")
	tell(ordered("PAY2", "amount", order.PaymentApproved, "100", 1))
	b.apply(t, in, 102, fetched("2", "amount", order.PaymentApproved, "90", 1))
	over()
	tell(ordered("PAY2", "amount", order.PaymentApproved, "100", 1))
	require.Equal(t, "amount", b.ambiguous(t, "amount"))

	// Nothing for 30 days.
	b.register(t, "missing", "100", "ARS")
	tell(ordered("PAY3", "missing", order.PaymentApproved, "100", 1))
	over()
	tell(ordered("PAY3", "missing", order.PaymentApproved, "100", 1))
	require.Empty(t, b.ambiguous(t, "missing"))
	b.exec(t, `UPDATE payment_aliases SET created_at = now() - interval '31 days' WHERE alias = 'PAY3'`)
	tell(ordered("PAY3", "missing", order.PaymentApproved, "100", 1))
	require.Equal(t, "missing", b.ambiguous(t, "missing"))
	b.requireOrder(t, "missing", order.StatusPaid, "100", "0")

	// Both are known, and what is left of the money differs.
	b.register(t, "state", "100", "ARS")
	b.apply(t, in, 104, fetched("4", "state", order.PaymentApproved, "100", 1))
	refunded := ordered("PAY4", "state", order.PaymentRefunded, "100", 1)
	refunded.Payment.FetchedAt = time.Now()
	tell(refunded)
	require.Empty(t, b.ambiguous(t, "state"), "a moment ago")
	b.exec(t, `UPDATE payments SET fetched_at = now() - interval '11 minutes'`)
	refunded.Payment.FetchedAt = time.Now().Add(-11 * time.Minute)
	tell(refunded)
	require.Equal(t, "state", b.ambiguous(t, "state"))
	b.requireOrder(t, "state", order.StatusPaid, "100", "0")
	// Fetched before the order changed, it proves nothing.
	b.exec(t, `UPDATE payments SET fetched_at = $1`, epoch)
	tell(refunded)
	require.Empty(t, b.ambiguous(t, "state"))
	require.Zero(t, b.count(t, `SELECT count(*) FROM anomalies WHERE kind = 'ambiguous_payment' AND closed_at IS NOT NULL AND closed_by <> 'reconciliation'`))
	b.sound(t)
}
