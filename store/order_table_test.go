package store_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// apply delivers an event about the payment and settles what was fetched for it,
// as a worker does.
func (b *bundle) apply(t *testing.T, in *store.Inbox, number int, f store.FetchedPayment) store.SettleResult {
	t.Helper()
	a := b.deliver(t, in, number, f.Payment.ID)
	start, err := b.StartAttempt(t.Context(), a.QueueID)
	require.NoError(t, err)
	require.False(t, start.Covered)
	f.Payment.FetchMark = start.Mark
	if f.Payment.FetchedAt.IsZero() {
		f.Payment.FetchedAt = start.Now
	}
	result, err := b.Settle(t.Context(), a, f, complete(a))
	require.NoError(t, err)
	return result
}

func (b *bundle) register(t *testing.T, reference, amount, currency string) {
	t.Helper()
	_, err := b.RegisterOrder(t.Context(), reference, order.Terms{Amount: decimal.RequireFromString(amount), Currency: currency})
	require.NoError(t, err)
}

// sound asserts that the ledger holds what it should.
func (b *bundle) sound(t *testing.T) store.VerifyReport {
	t.Helper()
	report, err := b.Verify(t.Context(), store.VerifyOptions{RescueAfter: time.Hour, Limit: 10})
	require.NoError(t, err)
	require.Empty(t, report.Violations)
	return report
}

func edited(f store.FetchedPayment, edit func(*order.Payment)) store.FetchedPayment {
	edit(&f.Payment)
	return f
}

func TestSettle_APaidOrderNeverFallsSilently(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.inbox(t, store.InboxOptions{})
	b.register(t, "mv-1", "100.00", "ARS")
	b.apply(t, in, 1, fetched("710", "mv-1", order.PaymentApproved, "100", 1))
	b.apply(t, in, 2, fetched("710", "mv-2", order.PaymentApproved, "100", 2))

	o := b.requireOrder(t, "mv-1", order.StatusPending, "0", "0")
	require.Len(t, o.Anomalies, 1)
	require.Equal(t, order.AnomalyPaymentMoved, o.Anomalies[0].Kind)
	require.JSONEq(t, `{"amount": "100.00", "currency": "ARS", "paid": "0.00", "refunded": "0.00", "missing": "100.00"}`, string(o.Anomalies[0].Detail))
	require.Equal(t, []string{"payment_moved", "unknown_order"}, b.openAnomalies(t))

	// It stands until the order is paid again.
	b.apply(t, in, 3, fetched("711", "mv-1", order.PaymentPending, "100", 3))
	require.Equal(t, []string{"payment_moved", "unknown_order"}, b.openAnomalies(t))
	b.apply(t, in, 4, fetched("711", "mv-1", order.PaymentApproved, "100", 4))
	require.Equal(t, []string{"unknown_order"}, b.openAnomalies(t))
	b.sound(t)
}

func TestSettle_ARefundOrADisputeIsNoPaymentThatMoved(t *testing.T) {
	t.Parallel()
	for _, status := range []order.PaymentStatus{order.PaymentRefunded, order.PaymentChargedBack, order.PaymentInMediation} {
		b := setup(t)
		in := b.inbox(t, store.InboxOptions{})
		b.register(t, "A-1", "100.00", "ARS")
		b.apply(t, in, 1, fetched("1", "A-1", order.PaymentApproved, "100", 1))
		b.apply(t, in, 2, fetched("1", "A-1", status, "100", 2))
		require.Empty(t, b.openAnomalies(t), status)
	}
}

func TestSettle_ANearMissIsNamedWhicheverComesFirst(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.inbox(t, store.InboxOptions{})
	near := func(paymentID string) string {
		var detail json.RawMessage
		require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT detail FROM anomalies WHERE payment_id = $1 AND closed_at IS NULL`, paymentID).Scan(&detail))
		var named struct {
			NearOrders string `json:"near_orders"`
		}
		require.NoError(t, json.Unmarshal(detail, &named))
		return named.NearOrders
	}
	b.register(t, "Near-1", "100.00", "ARS")
	b.apply(t, in, 1, fetched("590", "near-1 ", order.PaymentApproved, "100", 1))
	require.Equal(t, "Near-1", near("590"))
	b.requireOrder(t, "Near-1", order.StatusPending, "0", "0")

	b.apply(t, in, 2, fetched("591", "42", order.PaymentApproved, "100", 1))
	require.Empty(t, near("591"))
	b.register(t, "0042", "100.00", "ARS")
	require.Equal(t, "0042", near("591"))
	_, err := b.pool.Exec(t.Context(), `INSERT INTO orders (reference, amount, currency) VALUES (' 042', 5, 'ARS')`)
	require.NoError(t, err)
	_, _, err = b.SettleUnsettled(t.Context(), 10)
	require.NoError(t, err)
	require.Equal(t, " 042,0042", near("591"), "also of orders that were inserted by SQL")

	// A paid order is none that waits.
	b.apply(t, in, 3, fetched("592", "Near-1", order.PaymentApproved, "100", 1))
	b.apply(t, in, 4, fetched("593", "NEAR-1", order.PaymentApproved, "100", 1))
	require.Empty(t, near("593"))
	b.sound(t)
}

func TestSettle_MoneylessStatesMaySayNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.inbox(t, store.InboxOptions{})
	b.register(t, "m-1", "100.00", "ARS")
	silent := func(p *order.Payment) { p.Amount, p.Currency, p.UpdatedAt = decimal.NullDecimal{}, "", time.Time{} }
	rejected := edited(fetched("530", "m-1", order.PaymentRejected, "0", 1), silent)
	require.Equal(t, store.OutcomeSettled, b.apply(t, in, 1, rejected).Outcome)
	o := b.requireOrder(t, "m-1", order.StatusRejected, "0", "0")
	require.False(t, o.Payments[0].Amount.Valid)
	require.True(t, o.Payments[0].UpdatedAt.IsZero())
	logs, err := b.OrderPaymentLogs(t.Context(), "m-1", 10)
	require.NoError(t, err)
	require.Nil(t, logs[0].Amount)
	require.Nil(t, logs[0].Currency)
	require.Nil(t, logs[0].DateLastUpdated)

	require.Equal(t, store.OutcomeUnchanged, b.apply(t, in, 2, rejected).Outcome, "the same again changes nothing")
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM payment_logs`))
	b.sound(t)

	approved := fetched("530", "m-1", order.PaymentApproved, "100", 0)
	approved.Payment.UpdatedAt = time.Now().Add(time.Minute)
	require.Equal(t, store.OutcomeSettled, b.apply(t, in, 3, approved).Outcome)
	b.requireOrder(t, "m-1", order.StatusPaid, "100", "0")
	b.sound(t)
}

func TestSettle_ShippingAndMoreRefundedThanPaidAreKept(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.inbox(t, store.InboxOptions{})
	b.register(t, "sh-110", "110.00", "ARS")
	shipped := func(p *order.Payment) { p.Shipping = decimal.NewFromInt(10) }
	b.apply(t, in, 1, edited(fetched("500", "sh-110", order.PaymentApproved, "100", 1), shipped))
	o := b.requireOrder(t, "sh-110", order.StatusPaid, "110", "0")
	require.Equal(t, "10", o.Payments[0].Shipping.String())
	b.apply(t, in, 2, edited(fetched("500", "sh-110", order.PaymentRefunded, "100", 2), func(p *order.Payment) {
		shipped(p)
		p.Refunded = decimal.NewFromInt(115)
	}))
	b.requireOrder(t, "sh-110", order.StatusRefunded, "110", "110")
	require.Empty(t, b.openAnomalies(t))
	b.sound(t)
}

func TestSettle_ADateOfTheNextCenturyPinsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.inbox(t, store.InboxOptions{})
	b.register(t, "ff-1", "100.00", "ARS")
	far := time.Date(2099, 1, 1, 4, 0, 0, 0, time.UTC)
	wrong := edited(fetched("550", "ff-1", order.PaymentApproved, "100", 1), func(p *order.Payment) {
		p.UpdatedAt, p.FetchedAt = far, time.Now().Add(-3*time.Hour)
	})
	b.apply(t, in, 1, wrong)
	wrong.Payment.FetchedAt = wrong.Payment.FetchedAt.Add(time.Hour)
	require.Equal(t, store.OutcomeUnchanged, b.apply(t, in, 2, wrong).Outcome)
	o := b.requireOrder(t, "ff-1", order.StatusPaid, "100", "0")
	require.True(t, far.Equal(o.Payments[0].UpdatedAt), "it is stored as reported")

	refund := fetched("550", "ff-1", order.PaymentRefunded, "100", 1)
	refund.Payment.UpdatedAt, refund.Payment.FetchedAt = time.Now().Add(-time.Hour), time.Now()
	b.apply(t, in, 3, refund)
	b.requireOrder(t, "ff-1", order.StatusRefunded, "100", "100")
	b.sound(t)
}

// A state whose date cannot be read counts from its fetch where it says something
// new, and as what is known where it does not.
func TestSettle_AStateWithoutADateIsAsOldAsItsFetchWhereItDiffers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.inbox(t, store.InboxOptions{})
	b.register(t, "ud-1", "100.00", "ARS")
	begin, number := time.Now().Add(-time.Hour), 0
	says := func(status order.PaymentStatus, after time.Duration, dated bool) string {
		f := fetched("551", "ud-1", status, "100", 1)
		f.Payment.UpdatedAt, f.Payment.FetchedAt = time.Time{}, begin.Add(after)
		if dated {
			f.Payment.UpdatedAt = begin.Add(after - time.Second)
		}
		number++
		return b.apply(t, in, number, f).Outcome
	}
	require.Equal(t, store.OutcomeSettled, says(order.PaymentPending, time.Minute, true))
	require.Equal(t, store.OutcomeUnchanged, says(order.PaymentPending, 2*time.Minute, false), "it says nothing new")
	require.Equal(t, store.OutcomeSettled, says(order.PaymentApproved, 3*time.Minute, false))
	require.Equal(t, store.OutcomeUnchanged, says(order.PaymentApproved, 9*time.Minute, false))
	b.requireOrder(t, "ud-1", order.StatusPaid, "100", "0")
	require.Equal(t, store.OutcomeSettled, says(order.PaymentRefunded, 5*time.Minute, true), "the repetition moved nothing")
	b.requireOrder(t, "ud-1", order.StatusRefunded, "100", "100")
	require.Equal(t, store.OutcomeUnchanged, says(order.PaymentApproved, 4*time.Minute, false), "its fetch began before")
	b.requireOrder(t, "ud-1", order.StatusRefunded, "100", "100")
	require.Equal(t, 3, one[int](t, b, `SELECT count(*) FROM payment_logs`))
	b.sound(t)
}

func TestStartAttempt_IsCoveredByMarksAndByNoClock(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.inbox(t, store.InboxOptions{})
	b.register(t, "A-1", "100.00", "ARS")
	first := b.deliver(t, in, 1, "77")
	before := b.deliver(t, in, 2, "77")
	start, err := b.StartAttempt(t.Context(), first.QueueID)
	require.NoError(t, err)
	require.Equal(t, before.QueueID, start.Mark)
	after := b.deliver(t, in, 3, "77")
	// PostgreSQL's clock was a day ahead.
	f := fetched("77", "A-1", order.PaymentApproved, "100", 1)
	f.Payment.FetchMark, f.Payment.FetchedAt = start.Mark, time.Now().Add(24*time.Hour)
	_, err = b.Settle(t.Context(), first, f, complete(first))
	require.NoError(t, err)

	covered := func(a store.Attempt) bool {
		start, err := b.StartAttempt(t.Context(), a.QueueID)
		require.NoError(t, err)
		return start.Covered
	}
	require.True(t, covered(before), "it came before the fetch began")
	require.False(t, covered(after), "it came after")
	b.exec(t, `UPDATE payments SET fetch_mark = 1000000`)
	require.False(t, covered(before), "a mark above every id that was drawn proves nothing")
}

func TestSettle_AnUnchangedFetchMovesTheMark(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.inbox(t, store.InboxOptions{})
	b.apply(t, in, 1, fetched("77", "A-1", order.PaymentApproved, "100", 1))
	older := b.deliver(t, in, 2, "77")
	b.apply(t, in, 3, fetched("77", "A-1", order.PaymentApproved, "100", 1))
	start, err := b.StartAttempt(t.Context(), older.QueueID)
	require.NoError(t, err)
	require.True(t, start.Covered)
}

func TestSettleUnsettled_TermsThatNoPaymentCanMeetSettleNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.inbox(t, store.InboxOptions{})
	b.exec(t, `INSERT INTO orders (reference, amount, currency) VALUES ('a-clp', 15990.50, 'CLP'), ('b-xyz', 10, 'XYZ'), ('c-good', 10, 'ARS')`)
	n, refused, err := b.SettleUnsettled(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, 1, n, "the others go on")
	require.Len(t, refused, 2)
	require.ErrorIs(t, refused[0].Err, order.ErrAmountTooFine)
	require.ErrorIs(t, refused[1].Err, order.ErrUnknownCurrency)
	require.Equal(t, 2, b.count(t, `SELECT count(*) FROM orders WHERE settled_at IS NULL`))

	report, err := b.Verify(t.Context(), store.VerifyOptions{RescueAfter: time.Hour, Limit: 10})
	require.NoError(t, err)
	require.Len(t, report.Violations, 1)
	require.Equal(t, "order_terms", report.Violations[0].Invariant)
	require.JSONEq(t, `{"order_reference": "a-clp", "amount": "15990.5", "currency": "CLP", "problem": "amount_too_fine"}`, string(report.Violations[0].Rows[0]))

	// A payment of it ends as one without an order, and says why.
	clp := edited(fetched("1", "a-clp", order.PaymentApproved, "15991", 1), func(p *order.Payment) { p.Currency = "CLP" })
	require.Equal(t, store.OutcomeSettled, b.apply(t, in, 1, clp).Outcome)
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM anomalies WHERE kind = 'unknown_order' AND detail ->> 'order_terms' = 'amount_too_fine'`))
	b.exec(t, `UPDATE orders SET amount = 15991 WHERE reference = 'a-clp'`)
	b.exec(t, `UPDATE orders SET currency = 'UYU' WHERE reference = 'b-xyz'`)
	_, refused, err = b.SettleUnsettled(t.Context(), 10)
	require.NoError(t, err)
	require.Empty(t, refused)
	b.requireOrder(t, "a-clp", order.StatusPaid, "15991", "0")
	require.Empty(t, b.openAnomalies(t))
	b.sound(t)
}

func TestCloseStaleAnomalies_ClosesWhatNothingYields(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.inbox(t, store.InboxOptions{})
	b.register(t, "A-1", "100.00", "ARS")
	b.apply(t, in, 1, fetched("1", "A-1", order.PaymentApproved, "100", 1))
	b.apply(t, in, 2, fetched("2", "unknown", order.PaymentApproved, "100", 1))
	b.apply(t, in, 3, fetched("3", "A-1", order.PaymentPending, "100", 1))
	b.exec(t, `INSERT INTO anomalies (kind, source, order_reference, payment_id) VALUES
		('overpaid', NULL, 'A-1', NULL), ('wrong_mode', 'mercadopago', 'A-1', '3'), ('foreign_collector', 'mercadopago', 'unknown', '2'),
		('unknown_order', 'mercadopago', 'gone', '4'), ('fraud_alert', 'mercadopago', 'A-1', '1'), ('payment_moved', NULL, 'A-1', NULL)`)

	report, err := b.Verify(t.Context(), store.VerifyOptions{RescueAfter: time.Hour, Limit: 10})
	require.NoError(t, err)
	require.Len(t, report.Violations, 1)
	require.Equal(t, "anomaly_stands", report.Violations[0].Invariant)
	require.EqualValues(t, 4, report.Violations[0].Total)

	n, err := b.CloseStaleAnomalies(t.Context())
	require.NoError(t, err)
	require.Equal(t, 4, n)
	require.Equal(t, []string{"fraud_alert", "unknown_order"}, b.openAnomalies(t))
	b.sound(t)
	n, err = b.CloseStaleAnomalies(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)
}
