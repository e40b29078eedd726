package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/health"
)

func TestAlertsTest_TellsWhatCameBack(t *testing.T) {
	t.Parallel()
	status, said := http.StatusOK, "ok"
	var got health.Message
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewDecoder(r.Body).Decode(&got)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, said)
	}))
	defer receiver.Close()
	environ := []string{"ALERT_WEBHOOK_URL=" + receiver.URL + "/services/secret-token"}

	arrived := execute(t, environ, "alerts", "test")
	require.Equal(t, exitDone, arrived.code, arrived.err)
	require.Equal(t, "delivered: HTTP 200, ok\n", arrived.out)
	require.Contains(t, got.Text, "test message")
	require.Equal(t, health.NoticeTest, got.Alerts[0].State)

	status, said = http.StatusNotFound, "no_service\x1b[2J\nmore"
	refused := execute(t, environ, "alerts", "test")
	require.Equal(t, exitFailed, refused.code)
	require.Equal(t, "not delivered: HTTP 404, no_service [2J more\n", refused.out)

	receiver.Close()
	silent := execute(t, environ, "alerts", "test", "--json")
	require.Equal(t, exitFailed, silent.code)
	var result alertTest
	require.NoError(t, json.Unmarshal([]byte(silent.out), &result))
	require.False(t, result.Delivered)
	require.Contains(t, result.Answer, "no answer")
	require.NotContains(t, silent.out+silent.err, "secret-token")
}

func TestAlerts_AreCheckedForTheirPlace(t *testing.T) {
	t.Parallel()
	for what, environ := range map[string][]string{
		"is empty":      nil,
		"must be https": {"ALERT_WEBHOOK_URL=http://hooks.example.com/services/secret-token"},
		"must be a URL": {"ALERT_WEBHOOK_URL=secret-token"},
	} {
		got := execute(t, environ, "alerts", "test")
		require.Equal(t, exitUsage, got.code)
		require.Contains(t, got.err, "ALERT_WEBHOOK_URL: "+what)
		require.NotContains(t, got.err, "secret-token")
	}
}
