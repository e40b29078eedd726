package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/store"
)

func setupMetered(t *testing.T) *bundle {
	t.Helper()
	return setup(t, setupOptions{deps: func(d *api.Deps) { d.Registry = prometheus.NewPedanticRegistry() }})
}

// scrape is what /metrics answers.
func (b *bundle) scrape(t *testing.T) string {
	t.Helper()
	w := b.do(t, call{method: http.MethodGet, target: "/metrics", header: bearer(statusToken)})
	require.Equal(t, http.StatusOK, w.Code)
	require.Contains(t, w.Header().Get("Content-Type"), "text/plain")
	return w.Body.String()
}

func TestMetrics_NeedAToken(t *testing.T) {
	t.Parallel()
	b := setupMetered(t)
	require.Equal(t, http.StatusUnauthorized, b.do(t, call{method: http.MethodGet, target: "/metrics"}).Code)
	require.Equal(t, http.StatusUnauthorized, b.do(t, call{method: http.MethodGet, target: "/metrics", header: bearer(ordersToken)}).Code)
}

func TestMetrics_CountWhatWebhooksComeTo(t *testing.T) {
	t.Parallel()
	b := setupMetered(t)
	first := signed("1", "1742505638")
	requireReceipt(t, b.do(t, first))
	requireReceipt(t, b.do(t, signed("1", "1742505638"))) // to the letter
	forged := signed("2", "1742505638")
	forged.target = strings.Replace(forged.target, "data.id=2", "data.id=3", 1)
	require.Equal(t, http.StatusUnauthorized, b.do(t, forged).Code)

	page := b.scrape(t)

	for _, line := range []string{
		`conciliar_webhooks_received_total{outcome="queued",topic="payment"} 1`,
		`conciliar_webhooks_received_total{outcome="duplicate",topic="payment"} 1`,
		`conciliar_webhooks_refused_total{reason="signature_mismatch"} 1`,
		`conciliar_webhook_acknowledgement_duration_seconds_count 2`,
		`conciliar_http_requests_total{method="POST",route="/api/checkout/webhook",status="401"} 1`,
		`conciliar_events{state="pending"} 1`,
		`conciliar_database_up 1`,
		`conciliar_provider_circuit{state="closed"} 1`,
		`conciliar_provider_circuit{state="open"} 0`,
		`conciliar_reconciliation_runs_total{status="succeeded"} 0`,
	} {
		require.Contains(t, page, line+"\n")
	}
}

func TestMetrics_TellWhatWaitsForAPerson(t *testing.T) {
	t.Parallel()
	b := setupMetered(t)
	b.deadLetter(t, "7")
	b.anomaly(t, "order-7")
	_, err := b.pool.Exec(t.Context(), `INSERT INTO webhook_reconciliation_logs (trigger, status, finished_at, missing_found, drift_found, stuck_requeued)
		VALUES ('schedule', 'succeeded', '2026-03-01T12:00:00Z', 3, 2, 1), ('cli', 'failed', now(), 4, 0, 0), ('cli', 'running', NULL, 100, 0, 0)`)
	require.NoError(t, err)

	page := b.scrape(t)

	for _, line := range []string{
		`conciliar_events{state="dead_letter"} 1`,
		`conciliar_dead_letters_open{reason="retries_exhausted"} 1`,
		`conciliar_anomalies_open{kind="underpaid"} 1`,
		`conciliar_reconciliation_runs_total{status="failed"} 1`,
		`conciliar_reconciliation_found_total{kind="missing"} 7`,
		`conciliar_reconciliation_found_total{kind="drift"} 2`,
		`conciliar_reconciliation_found_total{kind="stuck"} 1`,
		`conciliar_reconciliation_last_success_timestamp_seconds 1.7723664e+09`,
	} {
		require.Contains(t, page, line+"\n")
	}
}

// A path and a method come from outside: they must not make series.
func TestMetrics_DoNotGrowWithWhatStrangersSend(t *testing.T) {
	t.Parallel()
	b := setupMetered(t)
	for _, c := range []call{
		{method: http.MethodGet, target: "/wp-login.php"},
		{method: "BREW", target: "/pot-0"},
		{method: http.MethodGet, target: "/api/orders/one", header: bearer(ordersToken)},
		{method: http.MethodGet, target: "/api/orders/two", header: bearer(ordersToken)},
	} {
		require.Equal(t, http.StatusNotFound, b.do(t, c).Code)
	}
	page := b.scrape(t)
	require.Contains(t, page, `conciliar_http_requests_total{method="GET",route="/api/orders/:reference",status="404"} 2`)
	require.Contains(t, page, `conciliar_http_requests_total{method="other",route="unmatched",status="404"} 1`)
	for _, word := range []string{"wp-login", "BREW", "pot-0", "orders/one"} {
		require.NotContains(t, page, word)
	}
}

func TestMetrics_AreToldWithoutTheDatabase(t *testing.T) {
	t.Parallel()
	b := setupMetered(t)
	b.pool.Close()
	page := b.scrape(t)
	require.Contains(t, page, "conciliar_database_up 0\n")
	require.NotContains(t, page, "conciliar_events{", "what is not known is not told as zero")
}

func TestMetrics_AreWellFormed(t *testing.T) {
	t.Parallel()
	b := setupMetered(t)
	requireReceipt(t, b.do(t, signed("1", "1742505638")))
	problems, err := testutil.GatherAndLint(b.deps.Registry)
	require.NoError(t, err)
	require.Empty(t, problems)
	require.Equal(t, "dead_letter", store.StatusDeadLetter, "a label's value is part of the promise")
}
