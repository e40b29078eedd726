package jobs_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// What the release before left as unhandled is settled after the upgrade, once: in
// the queue and in the archive, also where the body names what the query doesn't.
func TestUnhandled_EventsOfTheReleaseBeforeAreReplayedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldSpec{})
	w.register(t, "A-1", "A-2", "A-3")
	paid, flagged := w.pay("A-1"), w.pay("A-2")
	claim, err := w.sim.CreateResource(simulator.Claim, paid)
	require.NoError(t, err)
	w.exec(t, `INSERT INTO webhook_queue (source, topic, resource_id, payload, signed, completed_at, outcome, work) VALUES
		('mercadopago', 'claim', $1, '', true, now(), 'unhandled', 'unhandled'),
		('mercadopago', 'payment', 'PAY01', '', true, now(), 'unhandled', 'unhandled')`, claim)
	w.exec(t, `INSERT INTO webhook_archive (id, source, topic, resource_id, payload, signed, completed_at, outcome, work)
		SELECT nextval('webhook_queue_id_seq'), 'mercadopago', 'stop_delivery_op_wh', '99100200304',
		       convert_to('{"type":"stop_delivery_op_wh","data":{"payment_id":' || $1::text || '},"live_mode":true}', 'UTF8'), true, now(), 'unhandled', 'unhandled'`, flagged)

	w.start(t)

	settled := func() bool {
		for _, reference := range []string{"A-1", "A-2"} {
			known, err := w.Order(t.Context(), reference)
			if err != nil || known.Status != order.StatusPaid {
				return false
			}
		}
		return true
	}
	fixture.Await(t, settled)
	w.drain(t)
	require.Equal(t, []string{"A-2"}, w.openFraudAlerts(t))
	const replays = `SELECT count(*) FROM webhook_queue WHERE origin = 'replay'`
	require.Equal(t, 2, look[int](t, w, replays))
	require.Equal(t, 2, look[int](t, w, `SELECT count(*) FROM webhook_queue q JOIN river_job j ON j.id = q.job_id WHERE q.origin = 'replay' AND j.priority = 3`))

	// The next hour's job finds nothing to do.
	_, replayed, done, err := w.ReplayUnhandled(t.Context(), 0, 100, true, w.readAgain)
	require.NoError(t, err)
	require.True(t, done)
	require.Zero(t, replayed)
	require.Equal(t, 2, look[int](t, w, replays))

	// What a process of the release before adds is seen without the archive, too.
	w.exec(t, `INSERT INTO webhook_queue (source, topic, resource_id, payload, signed, completed_at, outcome, work)
		VALUES ('mercadopago', 'payment', $1, '', true, now(), 'unhandled', 'unhandled')`, w.pay("A-3"))
	_, replayed, done, err = w.ReplayUnhandled(t.Context(), 0, 100, false, w.readAgain)
	require.NoError(t, err)
	require.True(t, done)
	require.Equal(t, 1, replayed)
	_, replayed, done, err = w.ReplayUnhandled(t.Context(), 0, 2, true, w.readAgain)
	require.NoError(t, err)
	require.False(t, done, "more than two are unhandled, replayed or not")
	require.Zero(t, replayed)
}

// readAgain reads a delivery as the job does.
func (w *world) readAgain(ev store.NewEvent) (resourceID, work string, known bool) {
	resourceID, asks := w.client.ReadEvent(ev.Topic, ev.Payload, ev.ResourceID)
	return resourceID, string(asks), true
}
