package mercadopago

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider"
)

const madeRefund = `{"id":9876543210,"payment_id":7,"amount":25.50,"date_created":"2026-05-25T14:10:00.000-03:00","status":"approved"}`

func TestRefund_SendsTheKeyAndTheExactAmount(t *testing.T) {
	t.Parallel()
	var asked []string
	client := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusTeapot)
		}
		asked = append(asked, r.Method+" "+r.URL.Path+" "+r.Header.Get("X-Idempotency-Key")+" "+r.Header.Get("X-Render-In-Process-Refunds")+" "+string(body))
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, madeRefund)
	})
	refund, err := client.Refund(t.Context(), provider.RefundRequest{PaymentID: "7", Key: "k", Amount: decimal.RequireFromString("25.50")})
	require.NoError(t, err)
	require.Equal(t, provider.RefundMade, refund.State)
	require.Equal(t, "9876543210", refund.ID)
	require.Equal(t, "25.5", refund.Amount.Normalize().String())
	require.Equal(t, time.Date(2026, 5, 25, 17, 10, 0, 0, time.UTC), refund.CreatedAt)
	_, err = client.Refund(t.Context(), provider.RefundRequest{PaymentID: "7", Key: "k", Whole: true, Amount: decimal.RequireFromString("99")})
	require.NoError(t, err)
	require.Equal(t, []string{`POST /v1/payments/7/refunds k true {"amount":25.5}`, "POST /v1/payments/7/refunds k true "}, asked)
	for _, wrong := range []provider.RefundRequest{{PaymentID: "7/x", Key: "k", Whole: true}, {PaymentID: "7", Whole: true}, {PaymentID: "7", Key: "k"}} {
		_, err = client.Refund(t.Context(), wrong)
		require.ErrorContains(t, err, "not asked")
	}
	require.Len(t, asked, 2)
}

func TestRefund_ARefusalIsAnAnswerAndTheRestAnError(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		status int
		body   string
		reason provider.RefundReason // empty for an error
		kind   provider.ErrorKind
	}{
		{status: 400, body: `{"message":"old","cause":[{"code":2024}]}`, reason: provider.RefundTooOld},
		{status: 404, body: `{"message":"old","cause":{"code":"15016"}}`, reason: provider.RefundTooOld},
		{status: 400, body: `{"message":"state","cause":[{"code":2063,"description":"buyer@example.com"}]}`, reason: provider.RefundWrongState},
		{status: 400, body: `{"error":"bad_request","cause":[{"code":2085}]}`, reason: provider.RefundWrongAmount},
		{status: 400, body: `{"message":"whole","cause":[{"code":3024}]}`, reason: provider.RefundWholeOnly},
		{status: 404, body: `{"message":"Payment not found","error":"not_found","cause":[]}`, reason: provider.RefundNoPayment},
		{status: 422, body: `{"message":"no"}`, reason: provider.RefundRefusedOtherwise},
		{status: 201, body: `{"id":1,"amount":1,"status":"rejected"}`, reason: provider.RefundRejected},
		{status: 404, body: `<html>`, kind: provider.Unexpected},
		{status: 400, body: `{}`, kind: provider.Unexpected},
		{status: 401, body: `{"message":"no"}`, kind: provider.Unauthorized},
		{status: 403, body: `{"message":"no"}`, kind: provider.Forbidden},
		{status: 408, body: `{"message":"no"}`, kind: provider.Unavailable},
		{status: 409, body: `{"message":"no"}`, kind: provider.Unexpected},
		{status: 423, body: `{"message":"no"}`, kind: provider.Locked},
		{status: 429, body: `{"message":"no"}`, kind: provider.RateLimited},
		{status: 500, body: `{"message":"no"}`, kind: provider.Unavailable},
		{status: 201, body: `{"id":1,"amount":1,"sta`, kind: provider.Unreadable},
		{status: 201, body: `{"id":1,"amount":1,"status":"new"}`, kind: provider.Unexpected},
		{status: 201, body: `{"amount":1}`, kind: provider.Unexpected},
	} {
		client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(tt.status)
			_, _ = io.WriteString(w, tt.body)
		})
		refund, err := client.Refund(t.Context(), provider.RefundRequest{PaymentID: "7", Key: "k", Whole: true})
		if tt.reason == "" {
			requireError(t, err, tt.kind, tt.status)
			continue
		}
		require.NoError(t, err, tt.body)
		require.Equal(t, provider.RefundRefused, refund.State)
		require.Equal(t, tt.reason, refund.Reason, tt.body)
		require.NotContains(t, refund.Said, "example.com")
	}
}

func TestRefunds_ListsWhatThereIs(t *testing.T) {
	t.Parallel()
	body := `[` + madeRefund + `,{"id":"2","amount":"1.00","status":"in_process"}]`
	client := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
	refunds, err := client.Refunds(t.Context(), "7")
	require.NoError(t, err)
	require.Len(t, refunds, 2)
	require.Equal(t, provider.RefundUnderWay, refunds[1].State)
	for _, wrong := range []string{`{}`, `[{"id":1}]`, `[{"id":`} {
		body = wrong
		_, err = client.Refunds(t.Context(), "7")
		require.Error(t, err)
	}
}
