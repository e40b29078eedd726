package jobs_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/jobs/health"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// slack is where messages arrive. It answers as it is told to, and 200 "ok"
// after that.
type slack struct {
	*httptest.Server
	mu      sync.Mutex
	answers []http.HandlerFunc
	got     []health.Message
	calls   int
}

func newSlack(t *testing.T, answers ...http.HandlerFunc) *slack {
	t.Helper()
	s := &slack{answers: answers}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m health.Message
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = json.Unmarshal(body, &m)
		}
		s.mu.Lock()
		s.calls++
		var answer http.HandlerFunc
		if len(s.answers) > 0 {
			answer, s.answers = s.answers[0], s.answers[1:]
		} else if err == nil && r.Method == http.MethodPost && r.Header.Get("Content-Type") == "application/json" {
			s.got = append(s.got, m)
		}
		s.mu.Unlock()
		if answer != nil {
			answer(w, r)
			return
		}
		_, _ = io.WriteString(w, "ok")
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *slack) received() []health.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]health.Message(nil), s.got...)
}

// answers with a status.
func answers(status int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "no_service")
	}
}

// startWatch starts a process that evaluates, and sends to the URL.
func (b *bundle) startWatch(t *testing.T, webhookURL string) *jobs.Runner {
	t.Helper()
	sender, err := jobs.NewAlertSender(webhookURL)
	require.NoError(t, err)
	runner, err := jobs.NewRunner(b.pool, b.config, jobs.Deps{
		Store: b.Store, Providers: map[string]jobs.Fetcher{"mercadopago": b.fake}, Alerts: &jobs.Alerts{Sender: sender},
	})
	require.NoError(t, err)
	require.NoError(t, runner.Start(t.Context()))
	t.Cleanup(func() { stop(t, runner) })
	return runner
}

// sendOnce makes a message and has it sent, with no more attempts than given.
func (b *bundle) sendOnce(t *testing.T, webhookURL string, attempts int) {
	t.Helper()
	b.exec(t, `WITH m AS (INSERT INTO alert_messages (body) VALUES ('{"text": "a message"}') RETURNING id)
		INSERT INTO river_job (kind, args, state, queue, max_attempts, scheduled_at)
		SELECT 'alert_send', jsonb_build_object('message_id', id), 'available', 'operations', $1, now() FROM m`, attempts)
	b.startWatch(t, webhookURL)
}

func (b *bundle) awaitSend(t *testing.T, state string) {
	t.Helper()
	fixture.Await(t, func() bool {
		return scan[string](t, b, `SELECT state FROM river_job WHERE kind = 'alert_send'`) == state
	})
}

func TestAlertMessage_IsSentUntilItArrives(t *testing.T) {
	t.Parallel()
	hangUp := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	b := setup(t, func(c *jobs.Config) { c.Backoff.Waits = []time.Duration{time.Millisecond} })
	receiver := newSlack(t, answers(500), answers(404), hangUp, answers(302, "Location", "http://127.0.0.1:1/elsewhere"))

	b.sendOnce(t, receiver.URL+"/services/secret-token", 7)

	b.awaitSend(t, "completed")
	require.Len(t, receiver.received(), 1)
	require.Equal(t, 4, scan[int](t, b, `SELECT attempts FROM alert_messages`))
	require.Empty(t, scan[string](t, b, `SELECT error FROM alert_messages`))
	errors := scan[string](t, b, `SELECT array_to_string(errors, ' ') FROM river_job WHERE kind = 'alert_send'`)
	for _, said := range []string{"HTTP 500", "HTTP 404", "no answer", "HTTP 302"} {
		require.Contains(t, errors, said)
	}
	require.NotContains(t, errors, "secret-token")
	require.Zero(t, scan[int](t, b, `SELECT count(*) FROM webhook_dead_letter`))
}

func TestAlertMessage_AReceiverMayAskToWait(t *testing.T) {
	t.Parallel()
	b := setup(t)
	receiver := newSlack(t, answers(429, "Retry-After", "1"))
	b.sendOnce(t, receiver.URL, 1)
	b.awaitSend(t, "completed")
	require.Len(t, receiver.received(), 1)
	require.Zero(t, scan[int](t, b, `SELECT attempts FROM alert_messages`), "it is not a failure")
}

// A webhook that never answers is seen, tells nothing about itself, and leaves
// no dead letter behind.
func TestAlertMessage_ThatNeverArrivesIsSeen(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *jobs.Config) { c.Backoff.Waits = []time.Duration{time.Millisecond} })
	receiver := newSlack(t)
	receiver.Close()
	var log journal
	b.config.Logger = slog.New(slog.NewTextHandler(&log, nil))

	b.sendOnce(t, receiver.URL+"/services/secret-token", 2)

	b.awaitSend(t, "discarded")
	require.Equal(t, 1, scan[int](t, b, `SELECT count(*) FROM alert_messages WHERE attempts = 2 AND failed_at IS NOT NULL AND error LIKE 'no answer: %'`))
	require.Zero(t, scan[int](t, b, `SELECT count(*) FROM webhook_dead_letter`))
	require.True(t, log.has("alert message not delivered"))
	require.False(t, log.has("secret-token"))

	fixture.Worker(t, b.pool)
	conditions := func() []string {
		st, err := b.Status(t.Context())
		require.NoError(t, err)
		_, found := health.Judge(st, health.Moment{Now: time.Now()})
		codes := []string{}
		for _, c := range found {
			codes = append(codes, c.Code)
		}
		return codes
	}
	require.Empty(t, conditions(), "it may still be on its way")
	b.exec(t, `UPDATE alert_messages SET created_at = now() - interval '11 minutes'`)
	require.Equal(t, []string{"alert_delivery_failing"}, conditions())
	b.exec(t, `INSERT INTO alert_messages (body, delivered_at) VALUES ('{}', now())`)
	require.Empty(t, conditions(), "a later one arrived")
	b.exec(t, `DELETE FROM alert_messages WHERE delivered_at IS NOT NULL`)
	b.exec(t, `UPDATE alert_messages SET created_at = now() - interval '25 hours'`)
	require.Empty(t, conditions(), "it is not news any more")
}

func TestAlertMessage_WithNowhereToGoIsGivenUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.sendOnce(t, "", 7)
	b.awaitSend(t, "cancelled")
	require.Equal(t, 1, scan[int](t, b, `SELECT count(*) FROM alert_messages WHERE failed_at IS NOT NULL AND error LIKE 'ALERT_WEBHOOK_URL%'`))
	require.Zero(t, scan[int](t, b, `SELECT count(*) FROM webhook_dead_letter`))
}

func TestAlertMessage_TheSenderGivesUpOnTime(t *testing.T) {
	t.Parallel()
	released := make(chan struct{})
	receiver := newSlack(t, func(http.ResponseWriter, *http.Request) { <-released })
	sender, err := jobs.NewAlertSender(receiver.URL + "/services/secret-token")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = sender.Send(ctx, health.NewTestMessage(time.Now()))
	close(released)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NotContains(t, err.Error(), "secret-token")

	_, err = jobs.NewAlertSender("http://[::1/services/secret-token")
	require.Error(t, err)
	require.NotContains(t, err.Error(), "secret-token")
}

// deadLetter is an event that died.
func (b *bundle) deadLetter(t *testing.T) {
	t.Helper()
	b.exec(t, `WITH dead AS (INSERT INTO webhook_queue (source, topic, payload) VALUES ('mercadopago', 'payment', '') RETURNING id)
		INSERT INTO webhook_dead_letter (queue_id, reason) SELECT id, 'deleted' FROM dead`)
}

// From the database to the message, by the job that the leader inserts.
func TestAlerts_Arrive(t *testing.T) {
	t.Parallel()
	b := setup(t)
	receiver := newSlack(t)
	b.deadLetter(t)
	first := b.startWatch(t, receiver.URL)
	fixture.Await(t, func() bool { return len(receiver.received()) == 1 })
	message := receiver.received()[0]
	require.Equal(t, scan[int64](t, b, `SELECT id FROM alert_messages`), message.MessageID)
	require.Len(t, message.Alerts, 1)
	require.Equal(t, "dead_letters_open", message.Alerts[0].Code)
	require.JSONEq(t, `{"open": 1, "by_reason": {"deleted": 1}}`, string(message.Alerts[0].Detail))
	fixture.Await(t, func() bool {
		return scan[int](t, b, `SELECT count(*) FROM alert_messages WHERE delivered_at IS NOT NULL`) == 1
	})
	fixture.Await(t, func() bool {
		return scan[string](t, b, `SELECT state FROM river_job WHERE kind = 'alert_send'`) == "completed"
	})

	// Another process leads: what is open was told.
	stop(t, first)
	var log journal
	b.config.RiverLogger = log.logger()
	b.startWatch(t, receiver.URL)
	fixture.Await(t, func() bool { return log.has("Inserted RunOnStart jobs") })
	fixture.Await(t, func() bool {
		return scan[int](t, b, `SELECT count(*) FROM river_job WHERE kind = 'alert_evaluate' AND state <> 'completed'`) == 0
	})
	require.Len(t, receiver.received(), 1)
}

func TestAlertMessage_CannotMention(t *testing.T) {
	t.Parallel()
	w := newWatchman(t, true)
	w.pass(t, time.Minute, store.Status{DeadLetters: store.DeadLetterStatus{Open: 1, ByReason: map[string]int64{"<!channel> & more": 1}}})
	text := w.messages(t)[0].Text
	require.Contains(t, text, "&lt;!channel&gt; &amp; more")
	require.False(t, strings.ContainsAny(text, "<>"))
}
