package api_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/jobs/health"
)

func TestAlerts_AreListedByWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	require.Empty(t, walk[api.AlertDocument](t, b, "/api/webhooks/alerts"))
	_, err := b.pool.Exec(t.Context(), `INSERT INTO alerts (code, opened_at, closed_at, last_sent_at, reminders, detail) VALUES
		('queue_latency_high', '2026-03-01T09:00:00-03:00', '2026-03-01T10:00:00-03:00', '2026-03-01T10:00:00-03:00', 2, '{"pending": 5}'),
		('dead_letters_open', '2026-03-01T13:00:00Z', NULL, NULL, 0, '{"open": 1}'),
		('of_a_later_release', '2026-03-01T14:00:00Z', NULL, NULL, 0, '{}')`)
	require.NoError(t, err)

	w := b.do(t, get("/api/webhooks/alerts?state=all&code=queue_latency_high"))
	require.Equal(t, http.StatusOK, w.Code)
	require.JSONEq(t, `{"next_cursor": null, "items": [{"id": 1, "code": "queue_latency_high", "health": "degraded",
		"reason": "Events have waited more than 5 minutes for their first attempt.",
		"opened_at": "2026-03-01T12:00:00Z", "closed_at": "2026-03-01T13:00:00Z", "last_sent_at": "2026-03-01T13:00:00Z",
		"reminders": 2, "detail": {"pending": 5}}]}`, w.Body.String())

	codes := func(target string) []string {
		codes := []string{}
		for _, a := range walk[api.AlertDocument](t, b, target) {
			codes = append(codes, a.Code)
			require.True(t, json.Valid(a.Detail))
		}
		return codes
	}
	require.Equal(t, []string{"of_a_later_release", "dead_letters_open"}, codes("/api/webhooks/alerts"), "open ones, the newest first")
	require.Equal(t, []string{"queue_latency_high"}, codes("/api/webhooks/alerts?state=closed"))
	require.Len(t, codes("/api/webhooks/alerts?state=all"), 3)
	require.Equal(t, []string{"of_a_later_release"}, codes("/api/webhooks/alerts?since=2026-03-01T13:30:00Z"))
	require.Equal(t, health.Level(""), walk[api.AlertDocument](t, b, "/api/webhooks/alerts?since=2026-03-01T13:30:00Z")[0].Health)

	for _, wrong := range []string{"state=ajar", "code=boredom", "since=soon", "limit=0", "cursor=x", "until="} {
		requireProblem(t, b.do(t, get("/api/webhooks/alerts?"+wrong)), http.StatusBadRequest, "invalid_parameter")
	}
	requireProblem(t, b.do(t, get("/api/webhooks/alerts?kind=x")), http.StatusBadRequest, "unknown_parameter")
	requireProblem(t, b.do(t, call{method: http.MethodGet, target: "/api/webhooks/alerts", header: bearer(ordersToken)}), http.StatusUnauthorized, "unauthorized")
}
