package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

func TestAnomalies_AreListedAndResolved(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	first, second := b.anomaly(t, "A/1"), b.anomaly(t, "A-2")
	target := fmt.Sprintf("/api/webhooks/anomalies/%d/resolve", first)
	requireProblem(t, b.do(t, post(target, `{}`)), http.StatusBadRequest, "invalid_field")

	resolved := answered[api.AnomalyDocument](t, b, post(target, `{"note":"refunded by hand"}`), http.StatusOK)

	require.Equal(t, first, resolved.ID)
	require.Equal(t, order.AnomalyUnderpaid, resolved.Kind)
	require.Equal(t, "A/1", *resolved.OrderReference)
	require.Nil(t, resolved.PaymentID)
	require.JSONEq(t, `{"missing":"1.00"}`, string(resolved.Detail))
	require.Equal(t, actor(processToken), *resolved.ClosedBy)
	require.NotNil(t, resolved.ClosedAt)
	require.Equal(t, "refunded by hand", resolved.Note)
	p := requireProblem(t, b.do(t, post(target, `{"note":"again"}`)), http.StatusConflict, "state_conflict")
	require.Equal(t, fmt.Sprintf("Anomaly %d is already closed.", first), p.Detail)
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM operator_actions WHERE action = 'resolve' AND target_id = $1 AND note = 'refunded by hand'`, first))

	for query, want := range map[string][]int64{
		"": {second}, "?state=open": {second}, "?state=closed": {first}, "?state=all": {second, first},
		"?state=all&order_reference=A%2F1": {first}, "?kind=underpaid": {second}, "?kind=overpaid": nil, "?payment_id=77": nil, "?since=2999-01-01": nil,
	} {
		var ids []int64
		for _, a := range walk[api.AnomalyDocument](t, b, "/api/webhooks/anomalies"+query) {
			ids = append(ids, a.ID)
		}
		require.Equal(t, want, ids, query)
	}
	for _, query := range []string{"state=ajar", "kind=odd"} {
		requireProblem(t, b.do(t, get("/api/webhooks/anomalies?"+query)), http.StatusBadRequest, "invalid_parameter")
	}
}

func TestRefused_AreListedAndShown(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	first := b.refuse(t, store.Refused{Reason: "malformed", Query: "data.id=1", Body: []byte{0xff, 0x00}, BodyBytes: 2})
	second := b.refuse(t, store.Refused{Reason: "signature_mismatch", XSignature: "ts=1742505638,v1=" + strings.Repeat("deadbeef", 8), Body: []byte(`{"a":1}`), BodyBytes: 7})
	for query, want := range map[string][]int64{"": {second, first}, "?reason=malformed": {first}, "?until=2026-01-01": nil} {
		var ids []int64
		for _, r := range walk[store.RefusedDelivery](t, b, "/api/webhooks/refused"+query) {
			ids = append(ids, r.ID)
		}
		require.Equal(t, want, ids, query)
	}
	d := answered[store.RefusedDetail](t, b, getWhole(fmt.Sprintf("/api/webhooks/refused/%d", first)), http.StatusOK)
	require.Equal(t, store.Content{Encoding: store.EncodingBase64, Data: "/wA=", Bytes: 2}, *d.Body)
	d = answered[store.RefusedDetail](t, b, getWhole(fmt.Sprintf("/api/webhooks/refused/%d", second)), http.StatusOK)
	require.Equal(t, store.Content{Encoding: store.EncodingText, Data: `{"a":1}`, Bytes: 7}, *d.Body)
	require.EqualValues(t, "ts=1742505638,v1=dead…", d.XSignature, "it may be a genuine one")
}
