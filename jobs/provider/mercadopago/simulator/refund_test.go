package simulator

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// askRefund asks for a refund of a payment, with a key and a body.
func askRefund(t *testing.T, s *Simulator, id, key, body string) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/payments/"+id+"/refunds", strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+testToken)
	if key != "" {
		req.Header.Set("X-Idempotency-Key", key)
	}
	rec := httptest.NewRecorder()
	s.Handler().ServeHTTP(rec, req)
	return rec
}

// approved makes a payment with money.
func approved(s *Simulator, amount string) string {
	return s.CreatePayment(PaymentSpec{Reference: "A-1", Amount: money(amount), Status: Approved, StatusDetail: "accredited"})
}

func TestRefund_OneKeyIsOneRefund(t *testing.T) {
	t.Parallel()
	s := setup(t, Config{})
	id := approved(s, "100.00")
	first := askRefund(t, s, id, "k1", `{"amount":40.5}`)
	require.Equal(t, http.StatusCreated, first.Code)
	again := askRefund(t, s, id, "k1", `{"amount":40.5}`)
	require.Equal(t, first.Body.String(), again.Body.String())
	require.Equal(t, http.StatusConflict, askRefund(t, s, id, "k1", `{"amount":41}`).Code)
	require.Len(t, s.GivenRefunds(), 1)
	body := decode(t, get(t, s, "/v1/payments/"+id).Body)
	require.Equal(t, json.Number("40.5"), body["transaction_amount_refunded"])
	require.Equal(t, "partially_refunded", body["status_detail"])

	require.Equal(t, http.StatusCreated, askRefund(t, s, id, "k2", "").Code, "the rest")
	require.Equal(t, Refunded, decode(t, get(t, s, "/v1/payments/"+id).Body)["status"])
	require.Equal(t, "59.5", s.GivenRefunds()[1].Amount.String())
	require.EqualValues(t, 4, s.RefundCalls())
	var list []map[string]any
	require.NoError(t, json.Unmarshal(get(t, s, "/v1/payments/"+id+"/refunds").Body.Bytes(), &list))
	require.Len(t, list, 2)

	s.ForgetRefundKeys()
	require.Contains(t, askRefund(t, s, id, "k1", `{"amount":40.5}`).Body.String(), "2063")
}

func TestRefund_RefusesWhatMercadoPagoRefuses(t *testing.T) {
	t.Parallel()
	s := setup(t, Config{})
	id := approved(s, "100.00")
	pending := s.CreatePayment(PaymentSpec{Reference: "A-2", Amount: money("5")})
	for _, tt := range []struct{ id, key, body, code string }{
		{id, "", "", "4292"}, {id, "k", `{"amount":100.01}`, "2085"}, {id, "k", `{"amount":0}`, "4040"}, {pending, "k", "", "2063"}, {"999", "k", "", "2000"},
	} {
		require.Contains(t, askRefund(t, s, tt.id, tt.key, tt.body).Body.String(), tt.code)
	}
	require.Empty(t, s.GivenRefunds())
}

func TestRefund_FaultsBefallOneCallEach(t *testing.T) {
	t.Parallel()
	s := setup(t, Config{})
	id := approved(s, "100.00")
	s.FailRefunds(RefundFault{Status: 400, Code: 2024}, RefundFault{Cut: true, Made: true}, RefundFault{UnderWay: true})
	require.Contains(t, askRefund(t, s, id, "k", `{"amount":1}`).Body.String(), "2024")
	require.Empty(t, s.GivenRefunds())
	require.PanicsWithError(t, http.ErrAbortHandler.Error(), func() { askRefund(t, s, id, "k", `{"amount":1}`) })
	require.Len(t, s.GivenRefunds(), 1)

	require.Contains(t, askRefund(t, s, id, "later", `{"amount":2}`).Body.String(), `"status":"in_process"`)
	require.Equal(t, json.Number("1"), decode(t, get(t, s, "/v1/payments/"+id).Body)["transaction_amount_refunded"])
	require.NoError(t, s.DecideRefund(s.GivenRefunds()[1].ID, true))
	require.Equal(t, json.Number("3"), decode(t, get(t, s, "/v1/payments/"+id).Body)["transaction_amount_refunded"])
	require.Error(t, s.DecideRefund(s.GivenRefunds()[1].ID, true))
}
