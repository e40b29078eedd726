package simulator

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMerchantOrder_HoldsThePaymentsOfItsReference(t *testing.T) {
	t.Parallel()
	rc := &receiver{}
	s := setup(t, Config{LiveMode: true, TargetURL: serve(t, rc)})
	rejected := s.CreatePayment(PaymentSpec{Reference: "A-1", Amount: money("100"), Status: Rejected})
	paid := s.CreatePayment(PaymentSpec{Reference: "A-1", Amount: money("100"), Status: Approved})
	s.CreatePayment(PaymentSpec{Reference: "A-2", Amount: money("7"), Status: Approved})
	id, err := s.MerchantOrderOf(rejected)
	require.NoError(t, err)
	same, err := s.MerchantOrderOf(paid)
	require.NoError(t, err)
	require.Equal(t, id, same)

	answer := get(t, s, "/merchant_orders/"+id)

	require.Equal(t, http.StatusOK, answer.Code)
	m := decode(t, answer.Body)
	require.Equal(t, json.Number(id), m["id"])
	require.Equal(t, "closed", m["status"])
	require.Equal(t, "A-1", m["external_reference"])
	require.Equal(t, json.Number("100"), m["paid_amount"])
	payments, ok := m["payments"].([]any)
	require.True(t, ok)
	require.Len(t, payments, 2)
	for i, want := range []string{rejected, paid} {
		payment, ok := payments[i].(map[string]any)
		require.True(t, ok)
		require.Equal(t, json.Number(want), payment["id"])
	}
	require.Equal(t, http.StatusNotFound, get(t, s, "/merchant_orders/1").Code)
	require.Equal(t, int64(2), s.Stats().MerchantOrders)

	require.True(t, s.NotifyMerchantOrder(t.Context(), id).Acknowledged())
	require.True(t, s.NotifyMerchantOrder(t.Context(), id).Acknowledged())
	told := rc.seen()
	require.Len(t, told, 2)
	require.Zero(t, rc.forged)
	require.NotEqual(t, told[0].signature, told[1].signature, "a delivery of its own")
	require.Equal(t, id, told[0].id)
	require.JSONEq(t, `"`+id+`"`, string(mustField(t, told[0].body, "id")))
	require.NotContains(t, told[0].body, `"data"`)
	require.ErrorIs(t, s.NotifyMerchantOrder(t.Context(), "1").Err, ErrUnknownMerchantOrder)
	_, err = s.MerchantOrderOf("1")
	require.ErrorIs(t, err, ErrUnknownPayment)
}

// mustField is one value of a JSON object.
func mustField(t *testing.T, body, name string) json.RawMessage {
	t.Helper()
	var fields map[string]json.RawMessage
	require.NoError(t, json.Unmarshal([]byte(body), &fields))
	return fields[name]
}
