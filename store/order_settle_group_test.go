package store_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// A crowd is a hundred orders, each with an event about its payment that waits for its
// end.
type crowd struct {
	*bundle
	waiting []store.Waiting
}

const crowdSize = 100

func newCrowd(t *testing.T) *crowd {
	t.Helper()
	c := &crowd{bundle: setup(t)}
	in := c.inbox(t, store.InboxOptions{})
	for i := range crowdSize {
		reference := fmt.Sprintf("o-%d", i)
		c.register(t, reference, "10", "ARS")
		c.waiting = append(c.waiting, c.waits(t, in, i, fetched(strconv.Itoa(1000+i), reference, order.PaymentApproved, "10", 1)))
	}
	return c
}

// waits accepts an event, starts its attempt, and fetches a payment for it.
func (b *bundle) waits(t *testing.T, in *store.Inbox, number int, f store.FetchedPayment) store.Waiting {
	t.Helper()
	a := b.deliver(t, in, number, f.Payment.ID)
	event, err := b.StartAttempt(t.Context(), a.QueueID)
	require.NoError(t, err)
	f.Payment.FetchedAt, f.Payment.FetchMark = event.Now, event.Mark
	return store.Waiting{Attempt: a, Fetched: &store.Fetched{Event: event, Payment: &f}}
}

func (c *crowd) requirePaid(t *testing.T, want int) {
	t.Helper()
	require.Equal(t, want, c.count(t, `SELECT count(*) FROM orders WHERE status = 'paid'`))
	require.Equal(t, want, c.count(t, `SELECT count(*) FROM webhook_queue_status WHERE status = 'completed' AND outcome = 'settled'`))
	require.Equal(t, want, c.count(t, `SELECT count(*) FROM order_events WHERE type = 'order.paid'`))
	require.Equal(t, want, c.count(t, `SELECT count(*) FROM payment_logs`))
	c.sound(t)
}

func TestGroup_AHundredEventsShareATransaction(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)

	for _, e := range c.settler(t, store.SettlerOptions{}).EndTogether(t.Context(), c.waiting) {
		require.NoError(t, e.Err)
		require.False(t, e.Alone)
		require.Equal(t, []string{store.OutcomeSettled, string(order.StatusPaid)}, []string{e.Result.Outcome, string(e.Result.OrderStatus)})
	}

	c.requirePaid(t, crowdSize)
	require.Equal(t, 1, c.count(t, `SELECT count(DISTINCT xmin::text) FROM payments`))
}

// A value that PostgreSQL refuses is its own event's matter.
func TestGroup_ABadEventFailsNoOther(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	c.waiting[7].Fetched.Payment.Payment.StatusDetail = "a NUL \x00 is no text"

	for i, e := range c.settler(t, store.SettlerOptions{}).EndTogether(t.Context(), c.waiting) {
		require.True(t, e.Alone)
		require.Equal(t, i == 7, e.Err != nil, "event %d: %v", i, e.Err)
	}

	c.requirePaid(t, crowdSize-1)
}

// What the fold refuses is left out before anything is written.
func TestGroup_APaymentThatCannotBeFoldedFailsNoOther(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	c.waiting[7].Fetched.Payment.Payment.Status = "expropriated"

	for i, e := range c.settler(t, store.SettlerOptions{}).EndTogether(t.Context(), c.waiting) {
		require.Equal(t, i == 7, e.Alone)
		require.Equal(t, i == 7, e.Err != nil, "event %d: %v", i, e.Err)
	}

	c.requirePaid(t, crowdSize-1)
}

func TestGroup_AStaleAttemptChangesNothing(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	c.exec(t, `UPDATE river_job SET attempt = attempt + 1 WHERE id = $1`, c.waiting[7].Attempt.JobID)

	for i, e := range c.settler(t, store.SettlerOptions{}).EndTogether(t.Context(), c.waiting) {
		require.False(t, e.Alone)
		if i == 7 {
			require.ErrorIs(t, e.Err, store.ErrStaleAttempt)
			continue
		}
		require.NoError(t, e.Err)
	}

	c.requirePaid(t, crowdSize-1)
	c.requireOrder(t, "o-7", order.StatusPending, "0", "0")
}

// A group waits for nobody: what somebody has locked is settled alone, and waits there.
func TestGroup_ALockedRowDelaysNoOther(t *testing.T) {
	t.Parallel()
	for name, lock := range map[string]string{
		"order":    `SELECT FROM orders WHERE reference = 'o-7' FOR UPDATE`,
		"its lock": `SELECT pg_advisory_xact_lock(hashtextextended('o-7', 2))`,
		"payment":  `SELECT pg_advisory_xact_lock(hashtextextended('mercadopago/1007', 1))`,
		"job":      `SELECT FROM river_job WHERE id = (SELECT job_id FROM webhook_queue WHERE resource_id = '1007') FOR UPDATE`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCrowd(t)
			settler := c.settler(t, store.SettlerOptions{Lanes: 1})
			holder, err := c.pool.Begin(t.Context())
			require.NoError(t, err)
			_, err = holder.Exec(t.Context(), lock)
			require.NoError(t, err)
			var settling sync.WaitGroup
			for i, w := range c.waiting {
				settling.Go(func() {
					result, err := settler.Apply(context.WithoutCancel(t.Context()), w.Attempt, *w.Fetched)
					if err != nil || result.Outcome != store.OutcomeSettled {
						t.Errorf("event %d: %+v, %v", i, result, err)
					}
				})
			}
			require.Eventually(t, func() bool {
				return c.count(t, `SELECT count(*) FROM orders WHERE status = 'paid'`) == crowdSize-1
			}, 30*time.Second, 10*time.Millisecond)
			c.requireOrder(t, "o-7", order.StatusPending, "0", "0")

			require.NoError(t, holder.Commit(t.Context()))

			settling.Wait()
			c.requirePaid(t, crowdSize)
		})
	}
}

// Ten events about one payment in one group are what they are one by one: the first
// settles, the others find it settled, and the shop is told once.
func TestGroup_OnePaymentTenTimes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.inbox(t, store.InboxOptions{})
	b.register(t, "A-1", "10", "ARS")
	waiting := make([]store.Waiting, 10)
	for i := range waiting {
		waiting[i] = b.waits(t, in, i, fetched("77", "A-1", order.PaymentApproved, "10", 1))
	}

	for i, e := range b.settler(t, store.SettlerOptions{}).EndTogether(t.Context(), waiting) {
		require.NoError(t, e.Err)
		require.False(t, e.Alone)
		require.Equal(t, map[bool]string{true: store.OutcomeSettled, false: store.OutcomeUnchanged}[i == 0], e.Result.Outcome)
	}

	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM payment_logs WHERE queue_id = $1`, waiting[0].Attempt.QueueID))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM order_events WHERE type = 'order.paid'`))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM payments WHERE fetch_mark = $1`, waiting[9].Fetched.Event.Mark))
	b.sound(t)
}

// Two processes settle payments of the same orders, each payment by an event in each:
// whoever comes second finds what the first has done.
func TestGroup_TwoProcessesShareTheirOrders(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.inbox(t, store.InboxOptions{})
	const orders, instalments = 12, 3
	settlers := []*store.Settler{b.settler(t, store.SettlerOptions{}), onPool(t, b.pool).settler(t, store.SettlerOptions{})}
	var settling sync.WaitGroup
	for i := range orders {
		reference := fmt.Sprintf("o-%d", i)
		b.register(t, reference, "30", "ARS")
		for j := range instalments {
			f := fetched(fmt.Sprintf("%d%02d", i+1, j), reference, order.PaymentApproved, "10", 1)
			for k, settler := range settlers {
				w := b.waits(t, in, i*100+j*10+k, f)
				settling.Go(func() {
					if _, err := settler.Apply(context.WithoutCancel(t.Context()), w.Attempt, *w.Fetched); err != nil {
						t.Errorf("%s of %s: %v", f.Payment.ID, reference, err)
					}
				})
			}
		}
	}
	settling.Wait()
	require.Equal(t, orders, b.count(t, `SELECT count(*) FROM orders WHERE status = 'paid' AND paid_amount = 30`))
	require.Equal(t, orders*instalments, b.count(t, `SELECT count(*) FROM payment_logs`))
	require.Equal(t, orders, b.count(t, `SELECT count(*) FROM order_events WHERE type = 'order.paid'`))
	require.Zero(t, b.count(t, `SELECT count(*) FROM anomalies WHERE closed_at IS NULL`))
	b.sound(t)
}

// A group whose COMMIT got no answer is tried again; where it had been done, its attempts
// are stale.
func TestGroup_IsRetriedAfterACommitWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	var cut cutter
	settler := onPool(t, cut.through(t, c.bundle)).settler(t, store.SettlerOptions{})

	cut.before.Store(true)
	for _, e := range settler.EndTogether(t.Context(), c.waiting[:50]) {
		require.NoError(t, e.Err)
	}
	cut.after.Store(true)
	for _, e := range settler.EndTogether(t.Context(), c.waiting[50:]) {
		require.ErrorIs(t, e.Err, store.ErrStaleAttempt)
	}

	require.False(t, cut.before.Load() || cut.after.Load())
	c.requirePaid(t, crowdSize)
}

// A job that is not completed with its group's events leaves them as they were.
func TestGroup_IsAllOrNothing(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	c.exec(t, `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$`)
	c.exec(t, `CREATE TRIGGER refuse BEFORE UPDATE OF state ON river_job FOR EACH ROW EXECUTE FUNCTION refuse()`)

	for _, e := range c.settler(t, store.SettlerOptions{}).EndTogether(t.Context(), c.waiting) {
		require.ErrorIs(t, e.Err, store.ErrStaleAttempt)
		require.True(t, e.Alone)
	}

	require.Equal(t, crowdSize, c.count(t, `SELECT count(*) FROM orders WHERE status = 'pending'`))
	require.Zero(t, c.count(t, `SELECT count(*) FROM payments`))
	require.Zero(t, c.count(t, `SELECT count(*) FROM webhook_queue WHERE completed_at IS NOT NULL`))
}

// A worker whose context ended waits for its group: what is committed is not a failure.
func TestGroup_IsWaitedForWhateverTheContextSays(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	settler := c.settler(t, store.SettlerOptions{})
	over, cancel := context.WithCancel(t.Context())
	cancel()

	result, err := settler.Apply(over, c.waiting[0].Attempt, *c.waiting[0].Fetched)

	require.NoError(t, err)
	require.Equal(t, store.OutcomeSettled, result.Outcome)
	settler.Close()
	_, err = settler.Apply(t.Context(), c.waiting[1].Attempt, *c.waiting[1].Fetched)
	require.NoError(t, err, "after its end each event is settled alone")
	start, err := settler.Start(t.Context(), c.waiting[1].Attempt.QueueID)
	require.NoError(t, err)
	require.True(t, start.Completed)
}

// One statement reads what several attempts begin with, each its own.
func TestGroup_AttemptsBeginTogether(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	settler := c.settler(t, store.SettlerOptions{})
	var starting sync.WaitGroup
	for i, w := range c.waiting {
		starting.Go(func() {
			start, err := settler.Start(t.Context(), w.Attempt.QueueID)
			if err != nil || start.ResourceID != strconv.Itoa(1000+i) || start.Mark < w.Fetched.Event.Mark || start.Completed {
				t.Errorf("event %d: %+v, %v", i, start, err)
			}
		})
	}
	_, err := settler.Start(t.Context(), 1<<40)
	require.ErrorIs(t, err, store.ErrEventNotFound)
	starting.Wait()
}
