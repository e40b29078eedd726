package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/jobs/health"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/storetest"
)

func TestStatus_NeedsTheSchema(t *testing.T) {
	t.Parallel()
	got := execute(t, []string{"DATABASE_URL=" + storetest.EmptyURL(t)}, "status")
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.err, "run 'conciliar migrate'")
	require.Empty(t, got.out)
}

func TestStatus_TheTableShowsEveryCount(t *testing.T) {
	t.Parallel()
	retry := time.Date(2026, 3, 1, 12, 0, 0, 0, time.FixedZone("", -3*60*60))
	out := newPrintout()
	showStatus(out, api.StatusReport{
		Health: health.Degraded, Reasons: []string{"one reason", "another"},
		Queue: store.QueueStatus{
			Pending: 11, Processing: 12, Failed: 13, Held: 14, Completed: 15, DeadLetter: 16, OldestPendingSeconds: 75, NextRetryAt: &retry,
		},
		DeadLetters: store.DeadLetterStatus{Open: 17, ByReason: map[string]int64{"retries_exhausted": 5, "cancelled": 4, "deleted": 3, "permanent_failure": 2, "rescued_out": 2, "unknown_kind": 1}},
		Provider:    store.ProviderState{Circuit: store.CircuitOpen, Reason: store.ReasonCredentialsRejected, Since: &retry},
		Anomalies:   store.AnomalyStatus{Open: 18, ByKind: map[string]int64{"underpaid": 18}},
		Throughput:  store.Throughput{Received1h: 19, Completed1h: 20, Failed1h: 21},
	})
	shown := string(out.bytes())
	for _, row := range []string{
		"health +degraded", " +one reason", " +another", `provider +open \(credentials_rejected\) since 2026-03-01T15:00:00Z`, "pending +11", "processing +12", "failed +13", "held +14", "completed +15",
		`dead letters open +17 \(cancelled 4, deleted 3, permanent_failure 2, rescued_out 2, retries_exhausted 5, unknown_kind 1\)`, `anomalies open +18 \(underpaid 18\)`, "oldest pending +1m15s",
		"next retry +2026-03-01T15:00:00Z", "last hour +19 received, 20 completed, 21 died", "last reconciliation +never",
	} {
		require.Regexp(t, `(?m)^`+row+`$`, shown)
	}
}
