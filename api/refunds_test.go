package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api"
)

// requestRefunds writes two refunds of order A-1 into the ledger.
func (b *bundle) requestRefunds(t *testing.T) (waiting, failed string) {
	t.Helper()
	waiting, failed = "9d1c3cf8-7a3d-4b29-9bd9-0e6b8a3d2a10", "0b6f4a1e-5a5e-4a37-8f52-6a2f3ac5d9c1"
	_, err := b.pool.Exec(t.Context(), `
		INSERT INTO refunds (id, source, payment_id, collector_id, order_reference, amount, currency, whole, requested_by, note, state, ended_at, reason, error, tries)
		VALUES ($1, 'mercadopago', '77', '1', 'A-1', 40.5, 'ARS', false, 'ana', 'it broke', 'requested', NULL, '', '', 0),
		       ($2, 'mercadopago', '78', '1', 'A-1', 10, 'ARS', true, 'ana', 'it broke', 'failed', now(), 'payment_too_old', 'HTTP 400, code 2024', 1)`, waiting, failed)
	require.NoError(t, err)
	return waiting, failed
}

func TestRefunds_AreListedAndShown(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	waiting, failed := b.requestRefunds(t)
	for query, want := range map[string][]string{
		"": {failed, waiting}, "?state=failed": {failed}, "?payment_id=77": {waiting}, "?order_reference=A-2": nil,
	} {
		var ids []string
		for _, r := range walk[api.RefundDocument](t, b, "/api/refunds"+query) {
			ids = append(ids, r.ID)
		}
		require.Equal(t, want, ids, query)
	}
	shown := answered[api.RefundDocument](t, b, get("/api/refunds/"+failed), http.StatusOK)
	require.Equal(t, "10.00", shown.Amount)
	require.Equal(t, "payment_too_old", *shown.Reason)
	require.Nil(t, shown.ProviderID)
	for _, none := range []string{"77", "11111111-1111-4111-8111-111111111111"} {
		requireProblem(t, b.do(t, get("/api/refunds/"+none)), http.StatusNotFound, "refund_not_found")
	}
	requireProblem(t, b.do(t, get("/api/refunds?state=lost")), http.StatusBadRequest, "invalid_parameter")
}

func TestRefunds_AreNoPathWhereNobodyMayRefund(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{deps: func(d *api.Deps) { d.Refunds = false }})
	_, failed := b.requestRefunds(t)
	for _, path := range []string{"/api/refunds", "/api/refunds/" + failed} {
		requireProblem(t, b.do(t, get(path)), http.StatusNotFound, "not_found")
	}
}
