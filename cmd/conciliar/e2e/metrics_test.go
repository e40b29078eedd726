package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/jobs/health"
	"github.com/conciliar/conciliar/store/storetest"
)

// metricName finds our metrics in an expression.
var metricName = regexp.MustCompile(`\bconciliar_[a-z_]+\b`)

// metricsOf are the metrics that a text speaks of. A histogram's parts stand
// for it.
func metricsOf(text string) []string {
	names := metricName.FindAllString(text, -1)
	for i := range names {
		for _, part := range []string{"_bucket", "_sum", "_count"} {
			names[i] = strings.TrimSuffix(names[i], part)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// everyMetric are the metrics of a service that everything has happened to,
// with the page that it told them on.
func everyMetric(t *testing.T) (names []string, page string) {
	t.Helper()
	sim, provider := newProvider(t)
	senders := filepath.Join(t.TempDir(), "sources.yaml")
	require.NoError(t, os.WriteFile(senders, []byte(`version: 1
sources:
  - name: own
    verify: {scheme: bearer, secret_env: [SENDER_SECRET]}
    forward: {url: "http://127.0.0.1:1/"}
`), 0o600))
	database := storetest.URL(t)
	r, service := serve(t, environment(database, provider, map[string]string{
		"RETRY_MAX_ATTEMPTS": "1", "MONEY_REPORTS": "read", "REFUNDS": "enabled",
		"SOURCES_FILE": senders, "SENDER_SECRET": senderSecret, "ORDER_EVENTS_ALLOW_PRIVATE": "true",
	}))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, service+"/hooks/own", strings.NewReader(`{}`))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+senderSecret)
	code, said, err := answerTo(req)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, code, said)
	awaitBody(t, service+"/metrics", statusToken, `conciliar_deliveries_total{`)
	buy(t, sim, service, "order-1")
	awaitBody(t, service+"/api/orders/order-1", ordersToken, `"status":"paid"`)
	// A payment of no order is an anomaly; a webhook without a payment dies.
	stray := strayPayment(sim)
	require.NoError(t, sim.Notify(t.Context(), stray).Err)
	sendSigned(t, service, "999")
	status, _ := get(t, service+"/api/checkout/webhook?data.id=1&type=payment", "")
	require.Equal(t, 400, status)
	awaitBody(t, service+"/metrics", statusToken, `conciliar_dead_letters_open{`)
	awaitBody(t, service+"/metrics", statusToken, `conciliar_anomalies_open{`)
	// The first reconciliation starts with the service.
	awaitBody(t, service+"/metrics", statusToken, `conciliar_reconciliation_last_success_timestamp_seconds`)
	awaitBody(t, service+"/metrics", statusToken, `conciliar_report_age_seconds`)
	_, err = storetest.Open(t, database).Exec(t.Context(), `UPDATE river_queue SET paused_at = now()`)
	require.NoError(t, err)
	awaitBody(t, service+"/metrics", statusToken, `conciliar_queue_paused{`)
	_, page = get(t, service+"/metrics", statusToken)
	require.Equal(t, exitDone, r.stop())
	// A seller's are there where there are sellers.
	m := openMarket(t)
	awaitBody(t, m.service+"/metrics", statusToken, `conciliar_seller_circuit{`)
	_, market := get(t, m.service+"/metrics", statusToken)
	for line := range strings.Lines(page + market) {
		if name, found := strings.CutPrefix(line, "# TYPE conciliar_"); found {
			name, _, _ = strings.Cut(name, " ")
			names = append(names, "conciliar_"+name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), page
}

func TestMetrics_WhatIsDeployedNamesOnlyWhatIsThere(t *testing.T) {
	t.Parallel()
	names, page := everyMetric(t)

	require.Contains(t, page, `conciliar_attempts_total{error_class="",outcome="settled"} 2`+"\n")
	require.Contains(t, page, "conciliar_settlement_delay_seconds_count 2\n")
	require.Contains(t, page, `conciliar_provider_requests_total{operation="payment",result="payment_not_found"} 1`+"\n")
	require.Subset(t, names, metricsOf(readDoc(t, "deploy/prometheus/rules.yml")))
	require.Subset(t, names, metricsOf(readDoc(t, "deploy/prometheus/rules_test.yml")))
	require.Equal(t, names, metricsOf(dashboardQueries(t)), "the dashboard shows every metric")
	require.Equal(t, names, metricsOf(tableRows(readDoc(t, "docs/metrics.md"))), "the table has every metric")

	check := promtool(t, "check", "metrics")
	check.Stdin = strings.NewReader(page)
	out, err := check.CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, secret := range []string{testSecret, testAccess, statusToken, ordersToken} {
		require.NotContains(t, page, secret)
	}
}

func TestMetrics_TheRulesFireWhenTheyShouldAndNotOtherwise(t *testing.T) {
	t.Parallel()
	for _, code := range regexp.MustCompile(`code: (\w+)`).FindAllStringSubmatch(readDoc(t, "deploy/prometheus/rules.yml"), -1) {
		_, known := health.ConditionOf(code[1])
		require.True(t, known, "a rule speaks of a condition that is not there: %s", code[1])
	}
	for _, args := range [][]string{{"check", "rules", "rules.yml"}, {"test", "rules", "rules_test.yml"}, {"check", "config", "--syntax-only", "scrape.yml"}} {
		cmd := promtool(t, args...)
		cmd.Dir = repositoryPath("deploy/prometheus")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
}

// promtool is Prometheus' own checker.
func promtool(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath("promtool")
	require.NoError(t, err, "install it: apt-get install prometheus (make test does so where it may)")
	return exec.CommandContext(t.Context(), path, args...)
}

// dashboardQueries are the expressions of the Grafana dashboard.
func dashboardQueries(t *testing.T) string {
	t.Helper()
	var board struct {
		Panels []struct {
			Title       string
			Description string
			Targets     []struct{ Expr string }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(readDoc(t, "deploy/grafana/conciliar.json")), &board))
	var queries []string
	for _, panel := range board.Panels {
		for _, target := range panel.Targets {
			require.NotEmpty(t, panel.Description, panel.Title)
			queries = append(queries, target.Expr)
		}
	}
	require.NotEmpty(t, queries)
	return strings.Join(queries, "\n")
}

// tableRows are the rows of a document's tables.
func tableRows(text string) string {
	var rows strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "| `") {
			rows.WriteString(line)
		}
	}
	return rows.String()
}

// sendSigned delivers a correctly signed webhook about a payment.
func sendSigned(t *testing.T, service, paymentID string, change ...func(http.Header)) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		service+api.WebhookPath+"?data.id="+paymentID+"&type=payment", strings.NewReader(`{"type":"payment","data":{"id":"`+paymentID+`"}}`))
	require.NoError(t, err)
	sign(req.Header, testSecret, paymentID)
	for _, c := range change {
		c(req.Header)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
}
