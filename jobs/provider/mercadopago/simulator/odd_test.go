package simulator

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSetAnswer_StandsUntilItIsCleared(t *testing.T) {
	t.Parallel()
	s := setup(t, Config{})
	id := s.CreatePayment(PaymentSpec{Reference: "order-1", Amount: money("10")})
	path := "/v1/payments/" + id
	s.SetAnswer(path, Answer{Status: http.StatusAccepted, Header: http.Header{"Content-Type": {"text/html"}}, Body: []byte("\ufeff<html>")})
	s.SetAnswer("/merchant_orders/7", Answer{Body: []byte(`{"id":7}`)})

	rec := get(t, s, path)
	require.Equal(t, http.StatusAccepted, rec.Code)
	require.Equal(t, "text/html", rec.Header().Get("Content-Type"))
	require.Equal(t, "\ufeff<html>", rec.Body.String())
	rec = get(t, s, "/merchant_orders/7")
	require.Equal(t, http.StatusOK, rec.Code)
	require.Equal(t, "application/json;charset=UTF-8", rec.Header().Get("Content-Type"))

	s.SetRevoked(true)
	require.Equal(t, http.StatusUnauthorized, get(t, s, path).Code, "the token comes first")
	s.SetRevoked(false)
	s.ClearAnswer(path)
	require.Equal(t, id, decode(t, get(t, s, path).Body)["id"].(json.Number).String())
}

func TestSetFields_ChangesGetAndSearchAlike(t *testing.T) {
	t.Parallel()
	s := setup(t, Config{})
	id, other := s.CreatePayment(PaymentSpec{Reference: "order-1", Amount: money("10")}), s.CreatePayment(PaymentSpec{Reference: "order-1", Amount: money("10")})
	require.NoError(t, s.SetFields(id, map[string]json.RawMessage{
		"transaction_amount": json.RawMessage(`"***"`), "currency_id": nil, "collector": json.RawMessage(`{"id":7}`),
	}))
	bodies := func() []map[string]any {
		found := decode(t, get(t, s, "/v1/payments/search?external_reference=order-1&sort=id&criteria=asc").Body)["results"].([]any)
		require.Len(t, found, 2)
		return []map[string]any{decode(t, get(t, s, "/v1/payments/"+id).Body), found[0].(map[string]any)}
	}
	for _, status := range []string{Pending, Rejected} {
		for _, body := range bodies() {
			require.Equal(t, id, body["id"].(json.Number).String())
			require.Equal(t, status, body["status"])
			require.Equal(t, "***", body["transaction_amount"])
			require.NotContains(t, body, "currency_id")
			require.Contains(t, body, "collector")
		}
		require.NoError(t, s.Move(id, Rejected, "bank_error", money("0")))
	}
	require.Contains(t, decode(t, get(t, s, "/v1/payments/"+other).Body), "currency_id")

	require.NoError(t, s.SetFields(id, nil))
	for _, body := range bodies() {
		require.Equal(t, "ARS", body["currency_id"])
	}
	require.ErrorIs(t, s.SetFields("7", nil), ErrUnknownPayment)
	require.ErrorContains(t, s.SetFields(id, map[string]json.RawMessage{"status": json.RawMessage("x")}), "status")
}

// ClearAnswer takes a path's answer away again.
func (s *Simulator) ClearAnswer(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.answers, path)
}
