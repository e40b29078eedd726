package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

func TestDeliveries_AreListedAndShown(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	require.NoError(t, b.store.DeliverOrderEvents(t.Context()))
	for _, reference := range []string{"A-1", "A-2"} {
		fixture.Register(t, b.store, reference, "100")
	}
	_, err := b.store.SequenceOrderEvents(t.Context())
	require.NoError(t, err)
	_, err = b.store.QueueOrderEvents(t.Context())
	require.NoError(t, err)
	for _, statement := range []string{
		`UPDATE deliveries SET state = 'dead', attempts = 2, error_class = 'refused', job_id = NULL, ended_at = now() WHERE id = 1`,
		`INSERT INTO delivery_attempts (delivery_id, number, duration_ms, status, error_class, answer) VALUES (1, 1, 12, 500, 'refused', 'no ana@example.com here')`,
		`INSERT INTO delivery_attempts (delivery_id, number, duration_ms, error_class, error) VALUES (1, 2, 15000, 'timeout', 'deadline exceeded')`,
	} {
		_, err := b.pool.Exec(t.Context(), statement)
		require.NoError(t, err)
	}
	all := walk[store.Delivery](t, b, "/api/webhooks/deliveries")
	require.Len(t, all, 2)
	require.Equal(t, "A-2", all[0].Reference, "newest first")
	require.Equal(t, "order.registered", all[0].Type)
	require.NotNil(t, all[0].OrderEventID)
	for query, want := range map[string]int{"state=dead": 1, "state=delivered": 0, "receiver=order_events": 2, "receiver=source:x": 0,
		"order_reference=A-1": 1, "order_event_id=1": 1, "queue_id=1": 0, "since=2999-01-01": 0, "until=2020-01-01": 0} {
		require.Len(t, walk[store.Delivery](t, b, "/api/webhooks/deliveries?"+query), want, query)
	}
	for _, query := range []string{"state=lost", "receiver=", "order_event_id=0", "queue_id=x", "cursor=x", "since=soon"} {
		requireProblem(t, b.do(t, get("/api/webhooks/deliveries?"+query)), http.StatusBadRequest, "invalid_parameter")
	}
	one := answered[store.DeliveryDetail](t, b, get("/api/webhooks/deliveries/1"), http.StatusOK)
	require.Equal(t, store.DeliveryDead, one.State)
	require.Len(t, one.Log, 2)
	require.Equal(t, http.StatusInternalServerError, *one.Log[0].Status)
	require.Empty(t, one.Log[0].Answer, "what a receiver answered may name a payer")
	whole := get("/api/webhooks/deliveries/1")
	whole.header = bearer(processToken)
	require.Equal(t, "no ana@example.com here", answered[store.DeliveryDetail](t, b, whole, http.StatusOK).Log[0].Answer)
	for _, id := range []string{"9", "0", "x"} {
		requireProblem(t, b.do(t, get("/api/webhooks/deliveries/"+id)), http.StatusNotFound, "not_found")
	}
}
