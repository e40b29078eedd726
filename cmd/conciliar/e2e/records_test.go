package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/storetest"
)

// A desk is a service that receives and works nothing, with what commands need.
type desk struct {
	sim     *simulator.Simulator
	environ []string
	service string
	pool    *pgxpool.Pool
}

func openDesk(t *testing.T) *desk {
	t.Helper()
	databaseURL := storetest.URL(t)
	sim, provider := newProvider(t)
	s := &desk{sim: sim, environ: environment(databaseURL, provider, nil)}
	_, s.service = serve(t, s.environ, "--only", "api")
	s.pool = storetest.Open(t, databaseURL)
	return s
}

// A listing is what commands that list print with --json.
type listing[T any] struct {
	Items []T  `json:"items"`
	More  bool `json:"more"`
}

// run runs a command that must end well.
func (s *desk) run(t *testing.T, args ...string) string {
	t.Helper()
	got := execute(t, s.environ, args...)
	require.Equal(t, exitDone, got.code, "%v: %s", args, got.err)
	return got.out
}

// read runs a command with --json and reads what it prints.
func read[T any](t *testing.T, s *desk, args ...string) T {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(s.run(t, append(args, "--json")...)))
	dec.DisallowUnknownFields()
	var v T
	require.NoError(t, dec.Decode(&v))
	return v
}

func (s *desk) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	_, err := s.pool.Exec(t.Context(), query, args...)
	require.NoError(t, err)
}

// die makes a dead letter of every event that waits.
func (s *desk) die(t *testing.T) {
	t.Helper()
	s.exec(t, `UPDATE river_job SET state = 'discarded', attempt = 7, finalized_at = now(),
		errors = ARRAY['{"at": "2026-01-02T03:04:05Z", "attempt": 7, "error": "timeout: late", "trace": ""}']::jsonb[]
		WHERE kind = 'webhook_payment' AND state = 'available'`)
}

func TestProcessQueue_NeedsNoService(t *testing.T) {
	t.Parallel()
	s := openDesk(t)
	for i := range 3 {
		buy(t, s.sim, s.service, fmt.Sprintf("order-%d", i))
	}
	s.exec(t, `UPDATE river_job SET state = 'retryable', attempt = 1, scheduled_at = now() + interval '1 hour'
		WHERE id = (SELECT max(job_id) FROM webhook_queue)`)

	done := read[jobs.QueueProcessed](t, s, "process-queue")

	require.EqualValues(t, 3, done.Woken)
	require.EqualValues(t, 3, done.Processed)
	require.EqualValues(t, 2, done.Before.Pending)
	require.EqualValues(t, 1, done.Before.Failed)
	require.EqualValues(t, 3, done.After.Completed)
	require.False(t, done.TimedOut)
	for i := range 3 {
		_, body := get(t, fmt.Sprintf("%s/api/orders/order-%d", s.service, i), ordersToken)
		require.Contains(t, body, `"status":"paid"`)
	}
	out := s.run(t, "process-queue")
	require.Regexp(t, `(?m)^woken +0$`, out)
	require.Regexp(t, `(?m)^after +0 +0 +0 +0 +3 +0$`, out)
}

func TestProcessQueue_FailsWhenItsTimeIsUp(t *testing.T) {
	t.Parallel()
	s := openDesk(t)
	buy(t, s.sim, s.service, "order-1")
	s.exec(t, `UPDATE river_job SET kind = 'webhook_of_a_later_release'`)

	got := execute(t, s.environ, "process-queue", "--wait", "1ms")

	require.Equal(t, exitFailed, got.code)
	require.Regexp(t, `(?m)^timed out +true$`, got.out)
}

func TestEvents_AreLookedUpAndReplayed(t *testing.T) {
	t.Parallel()
	s := openDesk(t)
	for i := range 2 {
		buy(t, s.sim, s.service, fmt.Sprintf("order-%d", i))
	}
	s.run(t, "process-queue")

	found := read[listing[store.Event]](t, s, "events", "list", "--order", "order-1")
	require.Len(t, found.Items, 1)
	require.False(t, found.More)
	event := found.Items[0]
	id := strconv.FormatInt(event.QueueID, 10)
	for flag, want := range map[string]int{
		"--status=completed": 2, "--status=pending": 0, "--topic=payment": 2, "--origin=replay": 0, "--since=1h": 2, "--since=1d": 2, "--since=2999-01-01": 0,
		"--until=2026-01-01": 0, "--payment=" + event.ResourceID: 1, "--request-id=" + event.RequestID: 1,
	} {
		require.Len(t, read[listing[store.Event]](t, s, "events", "list", flag).Items, want, flag)
	}
	first := execute(t, s.environ, "events", "list", "--limit", "1")
	require.Regexp(t, `^EVENT +RECEIVED +TOPIC`, first.out)
	require.Equal(t, 2, strings.Count(first.out, "\n"))
	require.Contains(t, first.err, "--limit shows more")

	replay := read[store.Replay](t, s, "events", "replay", id)
	require.Equal(t, event.QueueID, replay.ReplayOf)
	s.run(t, "process-queue")
	d := read[store.EventDetail](t, s, "events", "show", id)
	require.Equal(t, "paid", d.OrderChanges[0].Status)
	require.Equal(t, replay.QueueID, d.Replays[0].QueueID)
	require.Equal(t, store.OutcomeUnchanged, *d.Replays[0].Outcome)
	require.True(t, strings.HasPrefix(d.Actions[0].Actor, "cli:"), d.Actions[0].Actor)
	out := s.run(t, "events", "show", id)
	for _, pattern := range []string{
		`(?m)^status +completed$`, `(?m)^outcome +settled$`, `(?m)^order-1 +paid +150`, `(?m)^cli:.*$|cli:`, `replay +event ` + id,
		`(?m)^payload \(\d+ bytes\)$`, `"data":\{"id":"` + event.ResourceID,
	} {
		require.Regexp(t, pattern, out)
	}

	// The endpoint and the command show the same.
	_, body := get(t, s.service+"/api/webhooks/events/"+id, processToken)
	require.JSONEq(t, body, s.run(t, "events", "show", id, "--json"))

	got := execute(t, s.environ, "events", "show", "404")
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.err, "There is no event 404.")
}

func TestDeadLetters_AreHandled(t *testing.T) {
	t.Parallel()
	s := openDesk(t)
	for i := range 4 {
		buy(t, s.sim, s.service, fmt.Sprintf("order-%d", i))
	}
	s.die(t)

	letters := read[listing[store.DeadLetter]](t, s, "dead-letters", "list", "--reason", "retries_exhausted").Items
	require.Len(t, letters, 4)
	id := func(i int) string { return strconv.FormatInt(letters[i].ID, 10) }
	require.Contains(t, s.run(t, "dead-letters", "show", id(0)), "timeout: late")
	require.Equal(t, "the shopper paid in cash", read[store.DeadLetterDetail](t, s, "dead-letters", "dismiss", id(0), "--note", "the shopper paid in cash").Note)
	require.Equal(t, letters[1].QueueID, read[store.Replay](t, s, "dead-letters", "replay", id(1)).ReplayOf)
	for _, handled := range []string{id(0), id(1)} {
		got := execute(t, s.environ, "dead-letters", "replay", handled)
		require.Equal(t, exitFailed, got.code)
		require.Regexp(t, `is already (dismissed|replayed)`, got.err)
	}
	require.Len(t, read[listing[store.DeadLetter]](t, s, "dead-letters", "list").Items, 2, "open ones")
	require.Len(t, read[listing[store.DeadLetter]](t, s, "dead-letters", "list", "--state", "all").Items, 4)

	require.Equal(t, "1 of 2 dead letters would be replayed\n", s.run(t, "dead-letters", "replay", "--error-class", "timeout", "--limit", "1", "--dry-run"))
	require.Equal(t, api.ReplayCount{DryRun: true}, read[api.ReplayCount](t, s, "dead-letters", "replay", "--topic", "claim", "--dry-run"))
	bulk := read[store.BulkReplay](t, s, "dead-letters", "replay", "--all")
	require.Equal(t, store.BulkReplayDone, bulk.State)
	require.EqualValues(t, 2, bulk.Replayed)
	require.True(t, strings.HasPrefix(bulk.RequestedBy, "cli:"))
	require.Equal(t, "3", strconv.FormatInt(read[jobs.QueueProcessed](t, s, "process-queue").Processed, 10))
	for i, status := range map[int]string{0: "paid", 1: "paid", 2: "paid", 3: "pending"} {
		_, body := get(t, fmt.Sprintf("%s/api/orders/order-%d", s.service, i), ordersToken)
		require.Contains(t, body, `"status":"`+status+`"`, "order %d", i)
	}
	got := execute(t, s.environ, "dead-letters", "replay", "--cancel", strconv.FormatInt(bulk.ID, 10))
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.err, "is already done.")
}

func TestDeadLetters_ManyAreLeftToTheService(t *testing.T) {
	t.Parallel()
	s := openDesk(t)
	s.exec(t, `WITH dead AS (INSERT INTO webhook_queue (source, topic, payload) SELECT 'mercadopago', 'payment', '' FROM generate_series(1, 101) RETURNING id)
		INSERT INTO webhook_dead_letter (queue_id, reason) SELECT id, 'deleted' FROM dead`)

	got := execute(t, s.environ, "dead-letters", "replay", "--reason", "deleted")

	require.Equal(t, exitDone, got.code, got.err)
	require.Equal(t, "bulk replay 1 is running: 0 of 101 dead letters replayed\n", got.out)
	require.Contains(t, got.err, "--cancel 1")
	require.Equal(t, store.BulkReplayCancelled, read[store.BulkReplay](t, s, "dead-letters", "replay", "--cancel", "1").State)
}

func TestOrders_AreHandledByCommand(t *testing.T) {
	t.Parallel()
	s := openDesk(t)
	s.exec(t, `INSERT INTO orders (reference, amount, currency, settled_at) VALUES ('order-1', 80, 'ARS', now())`)

	amended := read[store.OrderDocument](t, s, "orders", "amend", "order-1", "--amount", "100.00", "--currency", "ARS", "--reason", "a larger size")
	require.Equal(t, "100.00", amended.Amount)
	require.True(t, strings.HasPrefix(*amended.Timeline[len(amended.Timeline)-1].Actor, "cli:"))
	require.Regexp(t, `(?m)^status +cancelled$(?s:.*)^\S+Z +cancelled +- +cancelled +100.00 +0.00 +0.00 +cli:\S+ +sold out$`,
		s.run(t, "orders", "cancel", "order-1", "--reason", "sold out"))
	require.Equal(t, "order-1", read[listing[store.OrderSummaryDocument]](t, s, "orders", "list", "--status", "cancelled").Items[0].Reference)
	require.Regexp(t, `(?m)^order-1 +cancelled +100.00 +0.00 +0.00 +ARS +20.*Z$`, s.run(t, "orders", "list", "--changed-since", "1h"))
	got := execute(t, s.environ, "orders", "amend", "order-1", "--amount", "1", "--currency", "ARS", "--reason", "back")
	require.Equal(t, exitFailed, got.code)
	require.Equal(t, "conciliar: The order is cancelled; its terms can't be amended.\n", got.err)
	require.Equal(t, exitFailed, execute(t, s.environ, "orders", "show", "none").code)
}

func TestOrderEvents_AreLookedUp(t *testing.T) {
	t.Parallel()
	s := openDesk(t)
	s.exec(t, `INSERT INTO orders (reference, amount, currency, settled_at) VALUES ('order-1', 80, 'ARS', now())`)
	s.run(t, "orders", "amend", "order-1", "--amount", "100.00", "--currency", "ARS", "--reason", "a larger size")
	s.run(t, "orders", "cancel", "order-1", "--reason", "sold out")
	s.exec(t, `INSERT INTO delivery_receivers (name) VALUES ('order_events')`)
	s.exec(t, `INSERT INTO deliveries (receiver, stream, message_id, order_event_id, attempts) VALUES ('order_events', 'order-1', '1', 1, 1)`)
	s.exec(t, `INSERT INTO delivery_attempts (delivery_id, number, duration_ms, status, error, answer) VALUES (1, 1, 34, 500, 'HTTP 500', 'oh')`)

	events := read[listing[store.OrderEvent]](t, s, "order-events", "list", "--order", "order-1", "--cause", "merchant").Items
	require.Len(t, events, 2)
	require.Equal(t, []string{"order.cancelled", "order.amended"}, []string{events[0].Type, events[1].Type})
	require.Regexp(t, `(?m)^1 +- +20\S+Z +order-1 +order.amended +pending +merchant +-$`, s.run(t, "order-events", "list", "--type", "order.amended"))
	detail := read[store.OrderEventDetail](t, s, "order-events", "show", "1")
	require.Len(t, detail.Deliveries[0].Log, 1)
	out := s.run(t, "order-events", "show", "1")
	require.Regexp(t, `(?m)^1 +1 +20\S+Z +34 ms +500 +HTTP 500 +oh$`, out)
	require.Contains(t, out, `    "cause": "merchant",`)
	s.exec(t, `UPDATE order_events SET body = NULL`)
	require.Contains(t, s.run(t, "order-events", "show", "1"), "\nbody\nnull\n")
	require.Equal(t, exitFailed, execute(t, s.environ, "order-events", "show", "99").code)
}

func TestAnomalies_AndRefusedDeliveriesAreHandled(t *testing.T) {
	t.Parallel()
	s := openDesk(t)
	s.exec(t, `INSERT INTO anomalies (kind, order_reference, detail) VALUES ('underpaid', 'order-1', '{"missing": "1.00"}')`)
	require.Regexp(t, `(?m)^1 +underpaid +order-1 +- +20.*Z +- +- +\{"missing": "1.00"\} +-$`, s.run(t, "anomalies", "list"))
	resolved := read[api.AnomalyDocument](t, s, "anomalies", "resolve", "1", "--note", "forgiven")
	require.Equal(t, "forgiven", resolved.Note)
	require.True(t, strings.HasPrefix(*resolved.ClosedBy, "cli:"))
	require.Empty(t, read[listing[api.AnomalyDocument]](t, s, "anomalies", "list").Items)
	require.Len(t, read[listing[api.AnomalyDocument]](t, s, "anomalies", "list", "--state", "closed", "--kind", "underpaid", "--order", "order-1").Items, 1)
	require.Equal(t, exitFailed, execute(t, s.environ, "anomalies", "resolve", "1", "--note", "again").code)

	target, err := url.Parse(s.service + api.WebhookPath + "?data.id=1&type=payment")
	require.NoError(t, err)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, target.String(), strings.NewReader("{\"a\":\"\x1b[2J\"}"))
	require.NoError(t, err)
	req.Header.Set("X-Signature", "ts=1742505638,v1="+strings.Repeat("deadbeef", 8))
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
	var refused listing[store.RefusedDelivery]
	eventually(t, func() bool {
		refused = read[listing[store.RefusedDelivery]](t, s, "refused", "list", "--since", "1h")
		return len(refused.Items) == 1
	})
	id := strconv.FormatInt(refused.Items[0].ID, 10)
	require.Empty(t, read[listing[store.RefusedDelivery]](t, s, "refused", "list", "--reason", "none").Items)
	require.EqualValues(t, "ts=1742505638,v1=dead…", read[store.RefusedDetail](t, s, "refused", "show", id).XSignature)
	out := s.run(t, "refused", "show", id)
	require.Contains(t, out, `{"a":"\x1b[2J"}`, "a body must not steer the terminal")
	require.NotContains(t, out, "\x1b")
	require.Contains(t, out, "v1=dead…")
	require.NotContains(t, out, "deadbeef")
}
