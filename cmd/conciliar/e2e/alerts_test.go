package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/jobs/health"
	"github.com/conciliar/conciliar/store/storetest"
)

func TestAlerts_AreListed(t *testing.T) {
	t.Parallel()
	s := openDesk(t)
	s.exec(t, `INSERT INTO alerts (code, opened_at, closed_at, detail) VALUES
		('queue_latency_high', '2026-03-01T12:00:00Z', '2026-03-01T13:00:00Z', '{"pending": 5}'), ('dead_letters_open', '2026-03-01T13:00:00Z', NULL, '{"open": 1}')`)
	require.Regexp(t, `(?m)^2 +dead_letters_open +degraded +2026-03-01T13:00:00Z +- +- +0 +\{"open": 1\}$`, s.run(t, "alerts", "list"))
	require.Len(t, read[listing[api.AlertDocument]](t, s, "alerts", "list", "--state", "all").Items, 2)
	require.Equal(t, "queue_latency_high", read[listing[api.AlertDocument]](t, s, "alerts", "list", "--state", "closed", "--code", "queue_latency_high", "--until", "2026-03-01T12:30:00Z").Items[0].Code)
}

// The service itself, from a dead letter to the message, with what a process
// shows of itself.
func TestServe_SendsAlerts(t *testing.T) {
	t.Parallel()
	messages := make(chan health.Message, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m health.Message
		if json.NewDecoder(r.Body).Decode(&m) == nil {
			messages <- m
		}
		_, _ = io.WriteString(w, "ok")
	}))
	defer receiver.Close()
	_, provider := newProvider(t)
	databaseURL := storetest.URL(t)
	execSQL(t, databaseURL, `WITH dead AS (INSERT INTO webhook_queue (source, topic, payload) VALUES ('mercadopago', 'payment', '') RETURNING id)
		INSERT INTO webhook_dead_letter (queue_id, reason) SELECT id, 'deleted' FROM dead`)
	r, service := serve(t, environment(databaseURL, provider, map[string]string{"ALERT_WEBHOOK_URL": receiver.URL + "/services/secret-token"}))

	message := <-messages

	require.Equal(t, "dead_letters_open", message.Alerts[0].Code)
	awaitBody(t, service+"/api/webhooks/alerts", statusToken, `"code":"dead_letters_open"`)
	require.Equal(t, exitDone, r.stop())
	require.Contains(t, r.err.String(), `"msg":"alert began","code":"dead_letters_open"`)
	require.NotContains(t, r.err.String(), "secret-token")
	execSQL(t, databaseURL, `DO $$ BEGIN ASSERT (SELECT count(*) FROM processes) = 0, 'a process that stopped is off the list'; END $$`)
}
