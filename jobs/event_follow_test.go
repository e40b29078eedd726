package jobs_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// merchantOrder makes an event about a merchant order.
func merchantOrder(e *store.NewEvent) {
	e.Topic, e.Work, e.RequestID = "merchant_order", store.WorkFollow, "delivery-1"
}

// follows makes the bank answer about a merchant order with its payments.
func (k *fakeProvider) follows(id string, payments ...string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.names == nil {
		k.names = map[provider.Ref][]provider.Ref{}
	}
	refs := []provider.Ref{}
	for _, payment := range payments {
		refs = append(refs, provider.Ref{Topic: "payment", ID: payment})
	}
	k.names[provider.Ref{Topic: "merchant_order", ID: id}] = refs
}

func TestFollow_EachPaymentOfAMerchantOrderIsSettled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register(t, "A-1", "100")
	b.fake.isPaid("77", "A-1", "60")
	b.fake.isPaid("78", "A-1", "40")
	b.fake.follows("5", "77", "78")
	event := b.accept(t, "5", merchantOrder)
	b.start(t)

	job := b.awaitJob(t, event, rivertype.JobStateCompleted)

	require.Equal(t, "webhook_follow", job.Kind)
	require.Equal(t, store.OutcomeFollowed, scan[string](t, b, `SELECT outcome FROM webhook_queue WHERE id = $1 AND attempts = 1`, event))
	const followed = `SELECT count(*) FROM webhook_queue q JOIN river_job j ON j.id = q.job_id
		WHERE origin = 'follow' AND topic = 'payment' AND work = 'payment' AND resource_id IN ('77', '78')
		  AND q.request_id = 'delivery-1' AND j.kind = 'webhook_payment' AND j.priority = 1`
	require.Equal(t, 2, scan[int](t, b, followed))
	fixture.Await(t, func() bool {
		paid, err := b.Order(t.Context(), "A-1")
		return err == nil && paid.Status == order.StatusPaid
	})
	require.Equal(t, 0, scan[int](t, b, `SELECT count(*) FROM payments WHERE payment_id = '5'`))
	report, err := b.Verify(t.Context(), store.VerifyOptions{RescueAfter: time.Hour, Limit: 5})
	require.NoError(t, err)
	require.Empty(t, report.Violations)
}

// What follows is in the transaction that ends the event: neither is there
// without the other.
func TestFollow_IsAllOrNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *jobs.Config) { c.Backoff.Attempts = 1 })
	b.fake.follows("5", "77", "78")
	b.exec(t, `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not 78'; END $$`)
	b.exec(t, `CREATE TRIGGER refuse BEFORE INSERT ON webhook_queue FOR EACH ROW WHEN (NEW.resource_id = '78') EXECUTE FUNCTION refuse()`)
	event := b.accept(t, "5", merchantOrder)
	b.start(t)

	b.awaitStatus(t, event, "dead_letter")

	require.Equal(t, 1, scan[int](t, b, `SELECT count(*) FROM webhook_queue`))
	require.Equal(t, 1, scan[int](t, b, `SELECT count(*) FROM river_job WHERE kind LIKE 'webhook\_%'`))
}

// An event of a topic that only a newer release knows waits for it.
func TestFollow_AnUnknownTopicIsPutOff(t *testing.T) {
	t.Parallel()
	log := newOutcomes()
	b := setup(t, func(c *jobs.Config) { c.Logger = slog.New(log) })
	event := b.accept(t, "5", merchantOrder)
	b.start(t)

	log.await(t, "put_off")

	require.Nil(t, b.letter(t, event))
	fixture.Await(t, func() bool { return b.job(t, event).State == rivertype.JobStateAvailable })
	require.Empty(t, b.job(t, event).Errors)
	require.Zero(t, b.job(t, event).Attempt)
}

// A process of the release before knows payments alone. It leaves the rest to a
// newer one, and does not bury it.
func TestFollow_AMerchantOrderThatDiedOfAnOldReleaseIsReopened(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fake.follows("5")
	event := b.accept(t, "5", merchantOrder)
	b.exec(t, `UPDATE river_job SET state = 'discarded', finalized_at = now(), attempt = 1,
		errors = ARRAY[jsonb_build_object('at', now(), 'attempt', 1, 'error', 'Stuck job rescued by JobRescuer', 'trace', '')] WHERE id = $1`, b.jobID(t, event))
	require.Equal(t, "unknown_kind", b.letter(t, event).Reason)

	b.start(t)

	b.awaitStatus(t, event, "completed")
	require.Equal(t, "reopened", b.letter(t, event).State)
}

// From the signed webhook about a merchant order to the paid order, by a payment
// that was rejected and one that was approved.
func TestFollow_AMerchantOrdersWebhookPaysItsOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldSpec{})
	w.register(t, "A-1")
	w.sim.CreatePayment(simulator.PaymentSpec{Reference: "A-1", Amount: money("100"), Status: simulator.Rejected, StatusDetail: "cc_rejected_other_reason"})
	id, err := w.sim.MerchantOrderOf(w.pay("A-1"))
	require.NoError(t, err)
	w.start(t)

	result := w.sim.NotifyMerchantOrder(t.Context(), id)

	require.True(t, result.Acknowledged(), "%+v", result)
	w.drain(t)
	w.requireTruth(t)
	require.Equal(t, "follow/followed payment/settled payment/settled",
		look[string](t, w, `SELECT string_agg(work || '/' || outcome, ' ' ORDER BY id) FROM webhook_queue`))
	require.Equal(t, int64(1), w.sim.Stats().MerchantOrders)
}

// Each month's charge of a subscription comes under the one reference that its
// subscription has.
func TestFollow_ChargesOfOneSubscriptionAreInstalments(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register(t, "S-1", "100")
	b.start(t)
	for number, id := range map[int64]string{1: "77", 2: "78"} {
		charge := approved(id, "S-1", "100")
		charge.SubscriptionID, charge.SubscriptionNumber = "2c93", number
		b.fake.says(id, func(context.Context, int) (provider.Payment, error) { return charge, nil })
		b.fake.follows("6"+id, id)
		b.accept(t, "6"+id, merchantOrder)
	}

	fixture.Await(t, func() bool { return scan[int](t, b, `SELECT count(*) FROM payments`) == 2 })

	paid, err := b.Order(t.Context(), "S-1")
	require.NoError(t, err)
	require.Equal(t, order.StatusPaid, paid.Status)
	require.Equal(t, "200", paid.Paid.String())
	require.Empty(t, paid.Anomalies)
}
