package api_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/jobs/health"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

func TestStatus_HasItsShape(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	fixture.Worker(t, b.pool)
	requireReceipt(t, b.do(t, signed("1", "1742505638")))
	w := b.do(t, call{method: http.MethodGet, target: "/api/webhooks/status", header: bearer(statusToken)})
	require.Equal(t, http.StatusOK, w.Code)
	waits := regexp.MustCompile(`"oldest_pending_seconds":\d+,"next_retry_at"`).ReplaceAllString(w.Body.String(), `"oldest_pending_seconds":0,"next_retry_at"`)
	require.JSONEq(t, `{
		"health": "healthy", "reasons": [],
		"queue": {"pending": 1, "processing": 0, "failed": 0, "held": 0, "completed": 0, "dead_letter": 0,
			"oldest_pending_seconds": 0, "next_retry_at": null},
		"dead_letters": {"open": 0, "by_reason": {}, "last_24h": 0},
		"throughput": {"received_1h": 1, "completed_1h": 0, "failed_1h": 0},
		"provider": {"circuit": "closed", "since": null, "reason": ""},
		"sellers": [],
		"order_events": {"pending": 0, "failed": 0, "dead_letter": 0, "oldest_pending_seconds": 0},
		"reconciliation": {"last_success_at": null, "next_run_at": null, "recent": []},
		"anomalies": {"open": 0, "by_kind": {}},
		"version": "v1.2.3"
	}`, waits)
}

func TestStatus_TimesAreInUTC(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("ART", -3*3600)
	at := time.Date(2026, 3, 1, 9, 0, 0, 0, zone)
	st := store.Status{
		Queue: store.QueueStatus{NextRetryAt: &at}, LastSuccessAt: &at,
		Provider:   store.ProviderState{Circuit: store.CircuitOpen, Since: &at},
		RecentRuns: []store.Run{{ID: 1, Status: "succeeded", StartedAt: at, FinishedAt: &at, WindowStart: &at, WindowEnd: &at}},
	}
	report := api.NewStatusReport(st, api.StatusExtras{NextRunAt: &at, Now: at})
	raw, err := json.Marshal(report)
	require.NoError(t, err)
	require.NotContains(t, string(raw), "-03:00")
	require.Contains(t, string(raw), `"next_retry_at":"2026-03-01T12:00:00Z"`)
	require.Contains(t, string(raw), `"by_reason":{}`)
	require.Contains(t, string(raw), `"by_kind":{}`)
	require.Equal(t, zone, st.RecentRuns[0].StartedAt.Location(), "what it is made from stays as it is")
}

func TestStatus_SaysWhyItIsNotHealthy(t *testing.T) {
	t.Parallel()
	st := store.Status{
		Queue:       store.QueueStatus{OldestPendingSeconds: 9999},
		DeadLetters: store.DeadLetterStatus{Open: 1},
		Provider:    store.ProviderState{Circuit: store.CircuitClosed},
	}
	report := api.NewStatusReport(st, api.StatusExtras{})
	require.Equal(t, health.Unhealthy, report.Health)
	require.Len(t, report.Reasons, 2)
	require.Contains(t, report.Reasons[0], "30 minutes", "the worst first")
}
