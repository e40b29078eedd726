package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
)

func TestEvents_AreListedInPages(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	first, second := b.accept(t, "77"), b.accept(t, "78")
	_, third := b.deadLetter(t, "77")
	ids := func(target string) []int64 {
		var ids []int64
		for _, e := range walk[store.Event](t, b, target) {
			ids = append(ids, e.QueueID)
		}
		return ids
	}
	require.Equal(t, []int64{third, second, first}, ids("/api/webhooks/events"))
	for query, want := range map[string][]int64{
		"resource_id=77": {third, first}, "status=dead_letter": {third}, "status=pending": {second, first}, "topic=payment&resource_id=78": {second},
		"origin=replay": nil, "request_id=" + requestID: {third, second, first}, "order_reference=A%2F1": nil,
		"since=2026-01-01": {third, second, first}, "until=2026-01-01T00:00:00Z": nil,
		"since=" + url.QueryEscape(time.Now().Add(time.Hour).Format(time.RFC3339)): nil,
	} {
		require.Equal(t, want, ids("/api/webhooks/events?"+query), query)
	}
	for _, query := range []string{"status=lost", "origin=moon", "topic=", "resource_id="} {
		p := requireProblem(t, b.do(t, get("/api/webhooks/events?"+query)), http.StatusBadRequest, "invalid_parameter")
		require.Contains(t, p.Detail, strings.Split(query, "=")[0])
	}
	w := b.do(t, get("/api/webhooks/events?topic=none"))
	require.JSONEq(t, `{"items":[],"next_cursor":null}`, w.Body.String())
	require.NotContains(t, b.do(t, get("/api/webhooks/events")).Body.String(), "payload", "bodies are shown one at a time")
}

func TestEvents_ADefaultPageHasFiftyRows(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	_, err := b.pool.Exec(t.Context(), `INSERT INTO webhook_refused (source, reason, method) SELECT 'mercadopago', 'malformed', 'POST' FROM generate_series(1, 201)`)
	require.NoError(t, err)
	for query, want := range map[string]int{"": 50, "?limit=200": 200} {
		p := answered[page[store.RefusedDelivery]](t, b, get("/api/webhooks/refused"+query), http.StatusOK)
		require.Len(t, p.Items, want)
		require.NotNil(t, p.NextCursor)
	}
}

func TestEvents_AreShownWithTheirHistory(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	letter, id := b.deadLetter(t, "77")
	replay := answered[store.Replay](t, b, post("/api/webhooks/dead-letters/"+strconv.FormatInt(letter, 10)+"/replay", ""), http.StatusAccepted)

	d := answered[store.EventDetail](t, b, getWhole("/api/webhooks/events/"+strconv.FormatInt(id, 10)), http.StatusOK)

	require.Equal(t, id, d.QueueID)
	require.Equal(t, "payment", d.Topic)
	require.Equal(t, store.StatusDeadLetter, d.Status)
	require.Equal(t, store.EncodingText, d.Payload.Encoding)
	require.JSONEq(t, `{"action":"payment.updated","data":{"id":"77"},"live_mode":true,"type":"payment"}`, d.Payload.Data)
	require.Equal(t, []store.AttemptFailure{
		{Attempt: 7, At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), ErrorClass: "timeout", Error: "timeout: late"},
	}, d.AttemptErrors)
	require.Equal(t, store.DeadLetterReplayed, d.DeadLetter.State)
	require.Equal(t, replay.QueueID, d.Replays[0].QueueID)
	require.Len(t, d.Actions, 1)
	require.Equal(t, actor(processToken), d.Actions[0].Actor)
	require.Equal(t, "203.0.113.7", *d.Actions[0].RemoteIP)
	require.Equal(t, strconv.FormatInt(id, 10), fmt.Sprint(b.logs.Last(t)["queue_id"]))

	// Lists are lists, also where there is nothing.
	var raw map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(b.do(t, get("/api/webhooks/events/"+strconv.FormatInt(replay.QueueID, 10))).Body.Bytes(), &raw))
	for _, name := range []string{"attempt_errors", "payment_logs", "order_changes", "replays"} {
		require.JSONEq(t, `[]`, string(raw[name]), name)
	}
	for _, name := range []string{"outcome", "completed_at", "dead_letter", "resource"} {
		require.JSONEq(t, `null`, string(raw[name]), name)
	}
	for name, value := range raw {
		if strings.HasSuffix(name, "_at") && string(value) != "null" {
			require.True(t, strings.HasSuffix(string(value), `Z"`), "%s is in UTC: %s", name, value)
		}
	}
}

func TestEvents_AReplayIsANewEvent(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	id := b.accept(t, "77")
	target := "/api/webhooks/events/" + strconv.FormatInt(id, 10) + "/replay"

	w := b.do(t, post(target, ""))

	require.Equal(t, http.StatusAccepted, w.Code)
	var replay store.Replay
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &replay))
	require.Equal(t, id, replay.ReplayOf)
	location := w.Header().Get("Location")
	require.Equal(t, "/api/webhooks/events/"+strconv.FormatInt(replay.QueueID, 10), location)
	require.Equal(t, store.OriginReplay, answered[store.EventDetail](t, b, get(location), http.StatusOK).Origin)
	p := requireProblem(t, b.do(t, post(target, "")), http.StatusConflict, "replay_waits")
	require.Contains(t, p.Detail, "as event "+strconv.FormatInt(replay.QueueID, 10))
}

func TestEvents_TheRequestIDIsInTheAuditTrail(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	id := b.accept(t, "77")
	c := post("/api/webhooks/events/"+strconv.FormatInt(id, 10)+"/replay", "")
	c.header["X-Request-Id"] = []string{"ticket-17"}
	require.Equal(t, http.StatusAccepted, b.do(t, c).Code)
	d := answered[store.EventDetail](t, b, get("/api/webhooks/events/"+strconv.FormatInt(id, 10)), http.StatusOK)
	require.Equal(t, "ticket-17", d.Actions[0].RequestID)
}
