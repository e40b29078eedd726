package jobs_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// A counter is a world with an order that one payment of 100.00 has paid, and workers
// that send refunds.
type counter struct {
	*world

	payment string
}

func newCounter(t *testing.T) *counter {
	t.Helper()
	c := idleCounter(t)
	c.start(t)
	return c
}

// idleCounter is a counter whose workers are yet to be started.
func idleCounter(t *testing.T) *counter {
	t.Helper()
	c := &counter{world: newWorld(t, worldSpec{
		jobs: func(cfg *jobs.Config) { cfg.Backoff.Waits = []time.Duration{10 * time.Millisecond} },
		deps: func(d *jobs.Deps) { d.Refunds = true; *d = d.WithProbeEvery(probeEvery) },
	})}
	amount := decimal.NewFromInt(100)
	_, err := c.RegisterOrder(t.Context(), "A-1", order.Terms{Amount: amount, Currency: "ARS"})
	require.NoError(t, err)
	c.payment = c.sim.CreatePayment(simulator.PaymentSpec{Reference: "A-1", Amount: amount, Status: simulator.Approved, StatusDetail: "accredited"})
	fetched, err := c.client.Payment(t.Context(), c.payment)
	require.NoError(t, err)
	settling, err := jobs.NewRunner(c.pool, c.config, c.deps)
	require.NoError(t, err)
	require.NoError(t, settling.Start(t.Context()))
	fixture.Accept(t, c.Store, store.NewEvent{
		Source: mercadopago.Source, Topic: "payment", ResourceID: fetched.ID, Work: store.WorkPayment, Origin: store.OriginWebhook, Payload: []byte(`{}`), Signed: true,
	})
	c.awaitOrder(t, order.StatusPaid, "0")
	stop(t, settling)
	return c
}

// ask asks for a refund as the page does.
func (c *counter) ask(t *testing.T, amount string) (store.RefundRequest, store.Refund) {
	t.Helper()
	req := c.request(t, amount)
	refund, err := c.RequestRefund(t.Context(), req)
	require.NoError(t, err)
	return req, refund
}

func (c *counter) request(t *testing.T, amount string) store.RefundRequest {
	t.Helper()
	o, err := c.Order(t.Context(), "A-1")
	require.NoError(t, err)
	_, left, err := c.OrderRefunds(t.Context(), "A-1", o.Payments)
	require.NoError(t, err)
	require.Len(t, left, 1)
	note, err := store.ParseNote("it broke")
	require.NoError(t, err)
	return store.RefundRequest{
		ID: left[0].ID, Source: left[0].Source, PaymentID: left[0].PaymentID, Amount: decimal.RequireFromString(amount), Seen: left[0].Left,
		Note: note, By: store.Actor{Name: "ana"},
	}
}

// ended waits for a refund's end.
func (c *counter) ended(t *testing.T, id string) store.Refund {
	t.Helper()
	var refund store.Refund
	fixture.Await(t, func() bool {
		var err error
		refund, err = c.Refund(t.Context(), id)
		require.NoError(t, err)
		return !refund.Open()
	})
	return refund
}

func (c *counter) awaitState(t *testing.T, id, state string) store.Refund {
	t.Helper()
	fixture.Await(t, func() bool {
		refund, err := c.Refund(t.Context(), id)
		require.NoError(t, err)
		return refund.State == state
	})
	refund, err := c.Refund(t.Context(), id)
	require.NoError(t, err)
	return refund
}

func (c *counter) awaitOrder(t *testing.T, status order.Status, refunded string) {
	t.Helper()
	fixture.Await(t, func() bool {
		o, err := c.Order(t.Context(), "A-1")
		require.NoError(t, err)
		return o.Status == status && o.Refunded.Equal(decimal.RequireFromString(refunded))
	})
}

// given is the sum that the provider's ledger gave back, in as many refunds.
func (c *counter) given() (sum string, n int) {
	total := decimal.Zero
	for _, g := range c.sim.GivenRefunds() {
		total = total.Add(g.Amount)
	}
	return total.String(), len(c.sim.GivenRefunds())
}

func TestRefund_PartAndRestAreGivenBackAndSettled(t *testing.T) {
	t.Parallel()
	c := newCounter(t)
	_, part := c.ask(t, "40.50")
	require.Equal(t, store.RefundRequested, part.State)
	require.False(t, part.Whole)
	part = c.ended(t, part.ID)
	require.Equal(t, store.RefundDone, part.State)
	require.Equal(t, c.sim.GivenRefunds()[0].ID, *part.ProviderID)
	require.Equal(t, c.sim.GivenRefunds()[0].Key, part.ID, "the row's id is the key")
	require.True(t, part.Confirmed.Decimal.Equal(part.Amount))
	require.Equal(t, 1, part.Tries)
	c.awaitOrder(t, order.StatusPartiallyRefunded, "40.5")
	require.Equal(t, 1, fixture.Count(t, c.pool, `
		SELECT count(*) FROM operator_actions WHERE action = 'refund' AND target_kind = 'order' AND order_reference = 'A-1' AND actor = 'ana'
		AND note LIKE 'payment % 40.50 ARS: it broke'`))

	fixture.Await(t, func() bool { return c.request(t, "1").Seen.Equal(decimal.RequireFromString("59.5")) })
	_, rest := c.ask(t, "59.50")
	require.Equal(t, store.RefundDone, c.ended(t, rest.ID).State)
	c.awaitOrder(t, order.StatusRefunded, "100")
	sum, n := c.given()
	require.Equal(t, "100", sum)
	require.Equal(t, 2, n)
}

func TestRefund_TheWholeNamesNoAmount(t *testing.T) {
	t.Parallel()
	c := newCounter(t)
	_, refund := c.ask(t, "100")
	require.True(t, refund.Whole)
	require.Equal(t, store.RefundDone, c.ended(t, refund.ID).State)
	c.awaitOrder(t, order.StatusRefunded, "100")
}

func TestRefund_WhateverTheAnswerItIsMadeOnce(t *testing.T) {
	t.Parallel()
	for name, faults := range map[string][]simulator.RefundFault{
		"made, and the answer lost":             {{Cut: true, Made: true}},
		"made, and answered 500, twice":         {{Status: 500, Made: true}, {Status: 503}},
		"not made, and the answer lost":         {{Cut: true}},
		"not made, and answered 500":            {{Status: 500}, {Status: 500}},
		"limited and locked":                    {{Status: 429}, {Status: 423}},
		"a conflict with itself":                {{Status: 409}},
		"made, lost, and refused the next time": {{Cut: true, Made: true}, {Status: 400, Code: 2063}},
		"made, and answered as refused":         {{Status: 400, Made: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCounter(t)
			c.sim.FailRefunds(faults...)
			_, refund := c.ask(t, "30")
			refund = c.ended(t, refund.ID)
			require.Equal(t, store.RefundDone, refund.State, "%+v", refund)
			c.awaitOrder(t, order.StatusPartiallyRefunded, "30")
			sum, n := c.given()
			require.Equal(t, "30", sum)
			require.Equal(t, 1, n)
		})
	}
}

func TestRefund_ARefusalEndsItWithItsReason(t *testing.T) {
	t.Parallel()
	c := newCounter(t)
	c.sim.FailRefunds(simulator.RefundFault{Status: http.StatusBadRequest, Code: 2024}, simulator.RefundFault{Status: http.StatusForbidden})
	_, refund := c.ask(t, "30")
	refund = c.ended(t, refund.ID)
	require.Equal(t, store.RefundFailed, refund.State)
	require.Equal(t, "payment_too_old", refund.Reason)
	require.Equal(t, "HTTP 400, code 2024", refund.Error)
	require.NotNil(t, refund.QueueID, "what the payment is now is read all the same")
	_, n := c.given()
	require.Zero(t, n)
	_, again := c.ask(t, "30")
	require.Equal(t, "forbidden", c.ended(t, again.ID).Reason)
	_, third := c.ask(t, "30")
	require.Equal(t, store.RefundDone, c.ended(t, third.ID).State, "nothing is held back by what failed")
}

func TestRefund_OneUnderWayIsFollowedToItsEnd(t *testing.T) {
	t.Parallel()
	for made, state := range map[bool]string{true: store.RefundDone, false: store.RefundFailed} {
		c := newCounter(t)
		c.sim.FailRefunds(simulator.RefundFault{UnderWay: true})
		_, refund := c.ask(t, "30")
		fixture.Await(t, func() bool { return len(c.sim.GivenRefunds()) == 1 })
		fixture.Await(t, func() bool {
			r, err := c.Refund(t.Context(), refund.ID)
			require.NoError(t, err)
			return r.ProviderID != nil
		})
		require.NoError(t, c.sim.DecideRefund(c.sim.GivenRefunds()[0].ID, made))
		require.Equal(t, state, c.ended(t, refund.ID).State)
		require.EqualValues(t, 1, c.sim.RefundCalls())
	}
}

func TestRefund_AfterADayItIsLookedForAndNotSent(t *testing.T) {
	t.Parallel()
	for made, state := range map[bool]string{true: store.RefundDone, false: store.RefundFailed} {
		c := idleCounter(t)
		_, refund := c.ask(t, "30")
		require.Equal(t, 1, fixture.Count(t, c.pool, `
			WITH old AS (UPDATE refunds SET requested_at = now() - interval '25 hours', sent_at = now() - interval '25 hours', state = 'unknown', tries = 1 RETURNING 1)
			SELECT count(*) FROM old`))
		if made {
			require.NoError(t, c.sim.Move(c.payment, simulator.Approved, "partially_refunded", decimal.NewFromInt(30)))
		}
		c.start(t)
		refund = c.ended(t, refund.ID)
		require.Equal(t, state, refund.State)
		require.Equal(t, map[bool]string{true: "", false: "expired"}[made], refund.Reason)
		require.Zero(t, c.sim.RefundCalls(), "its key may be forgotten")
	}
}

func TestRefund_TwoPressesAndTwoPeopleMakeOne(t *testing.T) {
	t.Parallel()
	c := idleCounter(t)
	first, other := c.request(t, "30"), c.request(t, "30")
	require.NotEqual(t, first.ID, other.ID)
	var all sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		req := first
		if i%2 == 1 {
			req = other
		}
		all.Go(func() { _, errs[i] = c.RequestRefund(context.WithoutCancel(t.Context()), req) })
	}
	all.Wait()
	taken := 0
	for _, err := range errs {
		if err == nil {
			taken++
			continue
		}
		require.ErrorIs(t, err, store.ErrRefundChanged)
	}
	require.Equal(t, 4, taken, "the presses of one form are one refund; the other form is out of date")
	require.Equal(t, 1, fixture.Count(t, c.pool, `SELECT count(*) FROM refunds`))
	require.Equal(t, 1, fixture.Count(t, c.pool, `SELECT count(*) FROM river_job WHERE kind = 'refund'`))
	c.start(t)
	c.start(t)
	c.awaitOrder(t, order.StatusPartiallyRefunded, "30")
	_, n := c.given()
	require.Equal(t, 1, n)
	require.EqualValues(t, 1, c.sim.RefundCalls())
}

func TestRefund_AtMostWhatIsLeft(t *testing.T) {
	t.Parallel()
	c := idleCounter(t)
	var limit *store.RefundLimitError
	_, err := c.RequestRefund(t.Context(), c.request(t, "100.01"))
	require.ErrorAs(t, err, &limit)
	require.Equal(t, "at most 100.00 ARS of payment "+c.payment+" can be refunded", limit.Error())
	_, err = c.RequestRefund(t.Context(), c.request(t, "0.001"))
	require.ErrorIs(t, err, order.ErrAmountTooFine)
	first, _ := c.ask(t, "60")
	_, second := c.ask(t, "40")
	require.False(t, second.Whole)
	req := first
	req.ID, req.Seen = "9d1c3cf8-7a3d-4b29-9bd9-0e6b8a3d2a10", decimal.NewFromInt(100)
	_, err = c.RequestRefund(t.Context(), req)
	require.ErrorAs(t, err, &limit)
	require.Equal(t, "nothing of payment "+c.payment+" can be refunded", limit.Error())
	changed := first
	changed.Amount = decimal.NewFromInt(1)
	_, err = c.RequestRefund(t.Context(), changed)
	require.ErrorIs(t, err, store.ErrRefundChanged, "one form, other words")
	req.PaymentID = "404"
	_, err = c.RequestRefund(t.Context(), req)
	require.ErrorIs(t, err, store.ErrPaymentNotFound)
}

func TestRefund_WaitsWhileTheProviderIsHeldOrRefusesUs(t *testing.T) {
	t.Parallel()
	c := newCounter(t)
	c.sim.SetRevoked(true)
	_, refund := c.ask(t, "30")
	fixture.Await(t, func() bool {
		state, err := c.Provider(t.Context())
		require.NoError(t, err)
		return state.Circuit != store.CircuitClosed
	})
	refund = c.awaitState(t, refund.ID, store.RefundRequested)
	require.Equal(t, 1, fixture.Count(t, c.pool, `SELECT count(*) FROM provider_state WHERE reason = 'credentials_rejected'`))
	require.Zero(t, c.sim.RefundCalls())
	c.sim.SetRevoked(false)
	require.Equal(t, store.RefundDone, c.ended(t, refund.ID).State)
}

func TestRefund_ALostJobHasAnother(t *testing.T) {
	t.Parallel()
	c := idleCounter(t)
	_, refund := c.ask(t, "30")
	given, err := c.SweepRefunds(t.Context())
	require.NoError(t, err)
	require.Zero(t, given, "it has a job")
	require.Equal(t, 1, fixture.Count(t, c.pool, `WITH gone AS (DELETE FROM river_job WHERE kind = 'refund' RETURNING 1) SELECT count(*) FROM gone`))
	c.start(t)
	require.Equal(t, store.RefundDone, c.ended(t, refund.ID).State)
}

func TestRefund_AProcessThatMayNotSendsNone(t *testing.T) {
	t.Parallel()
	c := idleCounter(t)
	req, refund := c.ask(t, "30")
	c.deps.Refunds = false
	c.start(t)
	fixture.Accept(t, c.Store, store.NewEvent{
		Source: mercadopago.Source, Topic: "payment", ResourceID: c.payment, Work: store.WorkPayment, Origin: store.OriginWebhook, Payload: []byte(`{}`), Signed: true,
	})
	fixture.Await(t, func() bool {
		return fixture.Count(t, c.pool, `SELECT count(*) FROM webhook_queue WHERE completed_at IS NULL`) == 0
	})
	c.awaitState(t, refund.ID, store.RefundRequested)
	require.Zero(t, c.sim.RefundCalls())
	silent, err := store.New(c.pool, store.Options{UnknownOrder: store.UnknownOrderWait, Logger: c.config.Logger})
	require.NoError(t, err)
	_, err = silent.RequestRefund(t.Context(), req)
	require.Error(t, err)
	require.NotErrorIs(t, err, store.ErrRefundChanged)
}
