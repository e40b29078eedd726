package api_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/store"
)

func TestStatusHasItsShape(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	requireReceipt(t, b.do(t, signed("1", "1742505638")))
	w := b.do(t, call{method: http.MethodGet, target: "/api/webhooks/status", header: bearer(statusToken)})
	require.Equal(t, http.StatusOK, w.Code)
	require.JSONEq(t, `{
		"health": "healthy", "reasons": [],
		"queue": {"pending": 1, "processing": 0, "failed": 0, "held": 0, "completed": 0, "dead_letter": 0,
			"oldest_pending_seconds": 0, "next_retry_at": null},
		"dead_letters": {"open": 0, "by_reason": {}, "last_24h": 0},
		"throughput": {"received_1h": 1, "completed_1h": 0, "failed_1h": 0},
		"provider": {"circuit": "closed", "since": null},
		"reconciliation": {"last_success_at": null, "next_run_at": null, "recent": []},
		"anomalies": {"open": 0, "by_kind": {}},
		"version": "v1.2.3"
	}`, w.Body.String())
}

func TestStatusTimesAreInUTC(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("ART", -3*3600)
	at := time.Date(2026, 3, 1, 9, 0, 0, 0, zone)
	st := store.Status{
		Queue: store.QueueStatus{NextRetryAt: &at}, LastSuccessAt: &at,
		RecentRuns: []store.Run{{ID: 1, Status: "succeeded", StartedAt: at, FinishedAt: &at, WindowStart: &at, WindowEnd: &at}},
	}
	report := api.NewStatusReport(st, api.StatusExtras{CircuitSince: &at, NextRunAt: &at, Now: at})
	raw, err := json.Marshal(report)
	require.NoError(t, err)
	require.NotContains(t, string(raw), "-03:00")
	require.Contains(t, string(raw), `"next_retry_at":"2026-03-01T12:00:00Z"`)
	require.Contains(t, string(raw), `"by_reason":{}`)
	require.Contains(t, string(raw), `"by_kind":{}`)
	require.Equal(t, zone, st.RecentRuns[0].StartedAt.Location(), "what it is made from stays as it is")
}

func TestHealthIsJudgedByRules(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) *time.Time { at := now.Add(-d); return &at }
	pending := func(seconds int64) store.Status {
		return store.Status{Queue: store.QueueStatus{Pending: 1, OldestPendingSeconds: seconds}}
	}
	anomaly := func(kind string) store.Status {
		return store.Status{Anomalies: store.AnomalyStatus{Open: 1, ByKind: map[string]int64{kind: 1}}}
	}
	deaths := func(failed, received int64) store.Status {
		return store.Status{Throughput: store.Throughput{Failed1h: failed, Received1h: received}}
	}
	runs := func(states ...string) store.Status {
		st := store.Status{}
		for _, s := range states {
			run := store.Run{Status: s, StartedAt: *ago(time.Minute), FinishedAt: ago(0)}
			if s == "running" {
				run.FinishedAt = nil
			}
			st.RecentRuns = append(st.RecentRuns, run)
		}
		return st
	}
	hourly := api.StatusExtras{RunEvery: time.Hour}
	used := map[string]bool{}
	for name, c := range map[string]struct {
		st     store.Status
		extras api.StatusExtras
		want   api.Health
		reason string
	}{
		"nothing yet":                        {store.Status{}, hourly, api.Healthy, ""},
		"a short queue":                      {pending(300), hourly, api.Healthy, ""},
		"a queue that waits":                 {pending(301), hourly, api.Degraded, "more than 5 minutes"},
		"a queue that waits, still":          {pending(1800), hourly, api.Degraded, "more than 5 minutes"},
		"a queue that nobody works":          {pending(1801), hourly, api.Unhealthy, "more than 30 minutes"},
		"retries":                            {store.Status{Queue: store.QueueStatus{Failed: 100}}, hourly, api.Healthy, ""},
		"held events":                        {store.Status{Queue: store.QueueStatus{Held: 100}}, hourly, api.Healthy, ""},
		"a dead letter":                      {store.Status{DeadLetters: store.DeadLetterStatus{Open: 1}}, hourly, api.Degraded, "Dead letters are open"},
		"dead letters that were dealt with":  {store.Status{DeadLetters: store.DeadLetterStatus{Last24h: 5}}, hourly, api.Healthy, ""},
		"few deaths":                         {deaths(9, 9), hourly, api.Healthy, ""},
		"deaths among many":                  {deaths(10, 101), hourly, api.Healthy, ""},
		"many deaths":                        {deaths(10, 100), hourly, api.Unhealthy, "One event in ten"},
		"underpaid":                          {anomaly("underpaid"), hourly, api.Degraded, "money does not fit"},
		"a kind that a newer release writes": {anomaly("novelty"), hourly, api.Degraded, "money does not fit"},
		"no reference":                       {anomaly("no_reference"), hourly, api.Healthy, ""},
		"a test payment":                     {anomaly("wrong_mode"), hourly, api.Healthy, ""},
		"an outage":                          {store.Status{}, api.StatusExtras{Circuit: api.CircuitOpen}, api.Degraded, "circuit is open"},
		"an unknown circuit":                 {store.Status{}, api.StatusExtras{Circuit: "melted"}, api.Degraded, "circuit is open"},
		"after an outage":                    {store.Status{}, api.StatusExtras{Circuit: api.CircuitHalfOpen}, api.Degraded, "tried again"},
		"a failed run":                       {runs("failed", "succeeded"), hourly, api.Degraded, "latest reconciliation failed"},
		"a failed run, and another begun":    {runs("running", "failed"), hourly, api.Degraded, "latest reconciliation failed"},
		"a failure that was made good":       {runs("succeeded", "failed"), hourly, api.Healthy, ""},
		"the first run":                      {runs("running"), hourly, api.Healthy, ""},
		"a late run":                         {store.Status{LastSuccessAt: ago(119 * time.Minute)}, hourly, api.Healthy, ""},
		"an overdue run":                     {store.Status{LastSuccessAt: ago(2 * time.Hour)}, hourly, api.Degraded, "for two periods"},
		"no run for long":                    {store.Status{LastSuccessAt: ago(6 * time.Hour)}, hourly, api.Unhealthy, "for six periods"},
		"nothing scheduled":                  {store.Status{LastSuccessAt: ago(1000 * time.Hour)}, api.StatusExtras{}, api.Healthy, ""},
	} {
		c.extras.Now = now
		report := api.NewStatusReport(c.st, c.extras)
		require.Equal(t, c.want, report.Health, name)
		if c.reason == "" {
			require.Equal(t, []string{}, report.Reasons, name)
			continue
		}
		require.Len(t, report.Reasons, 1, name)
		require.Contains(t, report.Reasons[0], c.reason, name)
		used[report.Reasons[0]] = true
	}
	for _, rule := range api.HealthRules() {
		require.True(t, used[rule.Reason], "no case for: "+rule.Reason)
	}

	everything := pending(9999)
	everything.DeadLetters.Open = 1
	report := api.NewStatusReport(everything, api.StatusExtras{Circuit: api.CircuitOpen, Now: now})
	require.Equal(t, api.Unhealthy, report.Health)
	require.Len(t, report.Reasons, 3)
	require.Contains(t, report.Reasons[0], "30 minutes", "the worst first")
}
