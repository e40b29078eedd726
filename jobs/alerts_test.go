package jobs_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/store"
)

// A watchman evaluates statuses that a test makes, minute by minute.
type watchman struct {
	*bundle
	evaluator jobs.Evaluator
	now       time.Time
}

func newWatchman(t *testing.T, notify bool) *watchman {
	t.Helper()
	w := &watchman{bundle: setup(t), now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	var err error
	w.evaluator, err = jobs.NewEvaluator(w.Store, notify, w.config.Logger)
	require.NoError(t, err)
	return w
}

// pass evaluates the status once, a while after the time before.
func (w *watchman) pass(t *testing.T, after time.Duration, st store.Status) {
	t.Helper()
	w.now = w.now.Add(after)
	st.Signals.At = w.now
	if st.Provider.Circuit == "" {
		st.Provider.Circuit = store.CircuitClosed
	}
	require.NoError(t, w.evaluator.EvaluateStatus(t.Context(), st, jobs.InsertAlertSend(w.operator)))
}

// told returns what the messages said so far: "began pending_slow" and so on, one
// list for each message.
func (w *watchman) told(t *testing.T) [][]string {
	t.Helper()
	var all [][]string
	for _, m := range w.messages(t) {
		var said []string
		for _, n := range m.Alerts {
			said = append(said, fmt.Sprintf("%s %s", n.State, n.Code))
		}
		all = append(all, said)
	}
	return all
}

func (w *watchman) messages(t *testing.T) []jobs.AlertMessage {
	t.Helper()
	rows, err := w.pool.Query(t.Context(), `SELECT body FROM alert_messages ORDER BY id`)
	require.NoError(t, err)
	bodies, err := pgx.CollectRows(rows, pgx.RowTo[json.RawMessage])
	require.NoError(t, err)
	messages := make([]jobs.AlertMessage, len(bodies))
	for i, body := range bodies {
		require.NoError(t, json.Unmarshal(body, &messages[i]))
	}
	require.Equal(t, len(bodies), scan[int](t, w.bundle, `
		SELECT count(*) FROM alert_messages m JOIN river_job j ON j.id = m.job_id AND j.kind = 'alert_send' AND (j.args ->> 'message_id')::bigint = m.id`),
		"each message has its job")
	require.Equal(t, len(bodies), scan[int](t, w.bundle, `SELECT count(*) FROM river_job WHERE kind = 'alert_send'`), "and no job is without")
	return messages
}

func (w *watchman) open(t *testing.T) []string {
	t.Helper()
	alerts, err := w.OpenAlerts(t.Context())
	require.NoError(t, err)
	codes := []string{}
	for _, a := range alerts {
		codes = append(codes, a.Code)
	}
	return codes
}

// conditionSamples are statuses under which one condition holds, by its code, at
// the time given.
func conditionSamples(now time.Time) map[string]store.Status {
	ago := func(d time.Duration) *time.Time { at := now.Add(-d); return &at }
	return map[string]store.Status{
		"pending_stalled":        {Queue: store.QueueStatus{Pending: 5, OldestPendingSeconds: 1801}},
		"pending_slow":           {Queue: store.QueueStatus{Pending: 5, OldestPendingSeconds: 301}},
		"deaths_many":            {Throughput: store.Throughput{Received1h: 20, Failed1h: 10}},
		"credentials_refused":    {Provider: store.ProviderState{Circuit: store.CircuitOpen, Reason: store.ReasonShutOut, Since: ago(time.Minute)}},
		"provider_outage":        {Provider: store.ProviderState{Circuit: store.CircuitOpen, Reason: store.ReasonUnavailable, Since: ago(time.Minute)}},
		"provider_recovering":    {Provider: store.ProviderState{Circuit: store.CircuitHalfOpen, Reason: store.ReasonUnavailable}},
		"reconciliation_stalled": {LastSuccessAt: ago(100 * time.Hour)},
		"reconciliation_overdue": {LastSuccessAt: ago(3 * time.Hour)},
		"reconciliation_failed":  {RecentRuns: []store.Run{{ID: 7, Status: store.RunFailed, FinishedAt: ago(0)}}},
		"reconciliation_stopped": {RecentRuns: []store.Run{{ID: 7, Status: store.RunStoppedByCap, FinishedAt: ago(0)}}},
		"dead_letters_open":      {DeadLetters: store.DeadLetterStatus{Open: 2, ByReason: map[string]int64{"retries_exhausted": 2}}},
		"anomalies_open":         {Anomalies: store.AnomalyStatus{Open: 1, ByKind: map[string]int64{"underpaid": 1}}},
		"webhooks_silent":        {Signals: store.Signals{ReceivedHours: silence(1, 100)}},
		"refusals_rising":        {Signals: store.Signals{RefusedLately: 50}},
		"pool_strained":          {Signals: store.Signals{PoolWait: time.Second}},
		"alerts_undelivered":     {Signals: store.Signals{UndeliveredSince: ago(time.Hour)}},
		"alerts_stalled":         {Signals: store.Signals{EvaluatedAt: ago(time.Hour)}},
	}
}

// Each condition that lasts is told once when it begins and once when it ends,
// and what comes and goes in between is not told at all.
func TestEachAlertBeginsAndEndsOnce(t *testing.T) {
	t.Parallel()
	for _, c := range jobs.Conditions() {
		t.Run(c.Code, func(t *testing.T) {
			t.Parallel()
			w := newWatchman(t, true)
			st, ok := conditionSamples(w.now.Add(2 * time.Minute))[c.Code]
			require.True(t, ok, "no sample")
			calm := store.Status{}
			w.pass(t, time.Minute, calm)
			if c.Lasting > 1 {
				w.pass(t, time.Minute, st)
				w.pass(t, time.Minute, calm)
				require.Empty(t, w.open(t), "it did not last")
			}
			first := w.now.Add(time.Minute)
			for range 5 {
				w.pass(t, time.Minute, st)
			}
			require.Equal(t, []string{c.Code}, w.open(t))
			for range 5 {
				w.pass(t, time.Minute, calm)
			}
			require.Empty(t, w.open(t))
			if c.Quiet {
				require.Empty(t, w.told(t))
				return
			}
			require.Equal(t, [][]string{{"began " + c.Code}, {"ended " + c.Code}}, w.told(t))
			began := w.messages(t)[0]
			require.Equal(t, c.Reason, began.Alerts[0].Reason)
			require.Equal(t, c.Health, began.Alerts[0].Health)
			require.True(t, first.Equal(began.Alerts[0].Since), "it began when it was first seen")
			require.NotEqual(t, "{}", string(began.Alerts[0].Detail))
			require.Contains(t, began.Text, "docs/playbooks/"+c.Code+".md")
			require.Contains(t, began.Text, c.Reason)
			alerts, err := w.Alerts(t.Context(), store.AlertFilter{State: store.AlertClosed}, store.Page{Limit: 10})
			require.NoError(t, err)
			require.Len(t, alerts.Items, 1)
			require.True(t, first.Add(5*time.Minute).Equal(*alerts.Items[0].ClosedAt), "it ended when it was first seen not to hold")
			require.JSONEq(t, string(began.Alerts[0].Detail), string(alerts.Items[0].Detail))
		})
	}
}

func TestConditionsOfOneMinuteAreOneMessage(t *testing.T) {
	t.Parallel()
	w := newWatchman(t, true)
	both := store.Status{
		DeadLetters: store.DeadLetterStatus{Open: 1}, Signals: store.Signals{RefusedLately: 50},
	}
	w.pass(t, time.Minute, store.Status{Signals: both.Signals})
	w.pass(t, time.Minute, both)
	w.pass(t, time.Minute, both)
	require.Equal(t, [][]string{{"began dead_letters_open", "began refusals_rising"}}, w.told(t))
	require.Contains(t, w.messages(t)[0].Text, "Conciliar: 2 alerts began\n• dead_letters_open, degraded: Dead letters are open. (since 2026-03-01 12:02 UTC; open 1)")

	// More of the same is nothing new.
	both.DeadLetters.Open = 100
	w.pass(t, time.Minute, both)
	require.Len(t, w.told(t), 1)
	alerts, err := w.OpenAlerts(t.Context())
	require.NoError(t, err)
	require.Contains(t, string(alerts[0].Detail), "100", "and yet it is seen")
}

func TestAlertsAreRememberedAtASlowPace(t *testing.T) {
	t.Parallel()
	w := newWatchman(t, true)
	st := store.Status{DeadLetters: store.DeadLetterStatus{Open: 1}}
	var said []string
	for w.now.Before(time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)) {
		before := len(w.told(t))
		w.pass(t, 10*time.Minute, st)
		if told := w.told(t); len(told) > before {
			said = append(said, fmt.Sprintf("%s %s", w.now.Format("2 15:04"), told[before][0]))
		}
	}
	require.Equal(t, []string{
		"1 12:10 began dead_letters_open", "1 16:10 reminder dead_letters_open",
		"2 16:10 reminder dead_letters_open", "3 16:10 reminder dead_letters_open",
	}, said)
	require.Contains(t, w.messages(t)[1].Text, "Conciliar: 1 alert still open")
}

// A queue that waits longer and longer is one story, with one end.
func TestAWorseConditionSpeaksForTheLesser(t *testing.T) {
	t.Parallel()
	w := newWatchman(t, true)
	waiting := func(seconds int64) store.Status {
		return store.Status{Queue: store.QueueStatus{Pending: 1, OldestPendingSeconds: seconds}}
	}
	for minute := int64(4); minute < 60; minute++ {
		w.pass(t, time.Minute, waiting(minute*60))
	}
	require.Equal(t, [][]string{{"began pending_slow"}, {"began pending_stalled"}}, w.told(t))
	for range 10 {
		w.pass(t, time.Hour, waiting(40000))
	}
	require.Equal(t, [][]string{{"reminder pending_stalled"}}, w.told(t)[2:], "the lesser one is not told of any more")
	for range 3 {
		w.pass(t, time.Minute, store.Status{})
	}
	require.Equal(t, [][]string{{"ended pending_stalled", "ended pending_slow"}}, w.told(t)[3:])
	require.Empty(t, w.open(t))

	// A provider that is tried again and again is out all the while.
	out, trying := conditionSamples(w.now)["provider_outage"], conditionSamples(w.now)["provider_recovering"]
	for range 5 {
		w.pass(t, time.Minute, out)
		w.pass(t, time.Minute, out)
		w.pass(t, time.Minute, trying)
	}
	for range 3 {
		w.pass(t, time.Minute, store.Status{})
	}
	require.Equal(t, [][]string{{"began provider_outage"}, {"ended provider_outage"}}, w.told(t)[4:])
}

// Without a place to send to, alerts open and close all the same; once there is
// one, it is told what is open.
func TestAlertsAreKeptWithoutAWebhook(t *testing.T) {
	t.Parallel()
	w := newWatchman(t, false)
	w.pass(t, time.Minute, store.Status{DeadLetters: store.DeadLetterStatus{Open: 1}, Anomalies: store.AnomalyStatus{ByKind: map[string]int64{"overpaid": 1}}})
	w.pass(t, time.Minute, store.Status{DeadLetters: store.DeadLetterStatus{Open: 1}, Anomalies: store.AnomalyStatus{ByKind: map[string]int64{"overpaid": 1}}})
	require.Equal(t, []string{"dead_letters_open", "anomalies_open"}, w.open(t))
	w.pass(t, 5*time.Hour, store.Status{DeadLetters: store.DeadLetterStatus{Open: 1}})
	require.Empty(t, w.told(t))

	evaluator, err := jobs.NewEvaluator(w.Store, true, w.config.Logger)
	require.NoError(t, err)
	w.evaluator = evaluator
	w.pass(t, time.Minute, store.Status{DeadLetters: store.DeadLetterStatus{Open: 1}})
	require.Equal(t, [][]string{{"began dead_letters_open"}}, w.told(t), "and nothing of what ended untold")
	require.Empty(t, w.messages(t)[0].Alerts[0].Until)
}

// Two processes may both believe that it is theirs to evaluate, and one that is
// late must not count as a second look.
func TestEvaluationsTakeTurns(t *testing.T) {
	t.Parallel()
	w := newWatchman(t, true)
	st := store.Status{DeadLetters: store.DeadLetterStatus{Open: 1}, Signals: store.Signals{RefusedLately: 50, At: w.now}}
	st.Provider.Circuit = store.CircuitClosed
	var all sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		all.Go(func() {
			errs[i] = w.evaluator.EvaluateStatus(t.Context(), st, jobs.InsertAlertSend(w.operator))
		})
	}
	all.Wait()
	done := 0
	for _, err := range errs {
		if err == nil {
			done++
			continue
		}
		require.ErrorIs(t, err, store.ErrEvaluatedLately)
	}
	require.Equal(t, 1, done)
	require.Equal(t, [][]string{{"began dead_letters_open"}}, w.told(t))
	require.Equal(t, []string{"dead_letters_open"}, w.open(t), "what has to last was seen once")
}

// The message's job is part of the transaction that changes the alerts: what
// breaks it leaves no alert that nobody was told of.
func TestAnAlertIsNeverOpenedWithoutItsJob(t *testing.T) {
	t.Parallel()
	w := newWatchman(t, true)
	st := store.Status{DeadLetters: store.DeadLetterStatus{Open: 1}, Signals: store.Signals{At: w.now}}
	broken := func(ctx context.Context, tx pgx.Tx, id int64, at time.Time) (int64, error) {
		if _, err := jobs.InsertAlertSend(w.operator)(ctx, tx, id, at); err != nil {
			return 0, err
		}
		return 0, io.ErrUnexpectedEOF
	}
	require.ErrorIs(t, w.evaluator.EvaluateStatus(t.Context(), st, broken), io.ErrUnexpectedEOF)
	require.Empty(t, w.open(t))
	require.Empty(t, w.told(t))

	w.pass(t, time.Second, st)
	require.Equal(t, [][]string{{"began dead_letters_open"}}, w.told(t))
}

// A release that was rolled back leaves alone what it does not know.
func TestAlertsOfALaterReleaseStayOpen(t *testing.T) {
	t.Parallel()
	w := newWatchman(t, true)
	w.exec(t, `INSERT INTO alerts (code, opened_at) VALUES ('of_a_later_release', now())`)
	for range 3 {
		w.pass(t, time.Minute, store.Status{})
	}
	require.Equal(t, []string{"of_a_later_release"}, w.open(t))
	require.Empty(t, w.told(t))
}

// slack is where messages arrive. It answers as it is told to, and 200 "ok"
// after that.
type slack struct {
	*httptest.Server
	mu      sync.Mutex
	answers []http.HandlerFunc
	got     []jobs.AlertMessage
	calls   int
}

func newSlack(t *testing.T, answers ...http.HandlerFunc) *slack {
	t.Helper()
	s := &slack{answers: answers}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m jobs.AlertMessage
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

func (s *slack) received() []jobs.AlertMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]jobs.AlertMessage(nil), s.got...)
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
	runner, err := jobs.NewRunner(b.pool, b.config, jobs.Deps{
		Store: b.Store, Payments: map[string]jobs.PaymentFetcher{"mercadopago": b.bank}, Alerts: &jobs.Alerts{WebhookURL: webhookURL},
	})
	require.NoError(t, err)
	require.NoError(t, runner.Start(t.Context()))
	t.Cleanup(func() { stop(t, runner) })
	return runner
}

// deadLetter is an event that died.
func (b *bundle) deadLetter(t *testing.T) {
	t.Helper()
	b.exec(t, `WITH dead AS (INSERT INTO webhook_queue (source, topic, payload) VALUES ('mercadopago', 'payment', '') RETURNING id)
		INSERT INTO webhook_dead_letter (queue_id, reason) SELECT id, 'deleted' FROM dead`)
}

// From the database to the message, by the job that the leader inserts.
func TestAlertsArrive(t *testing.T) {
	t.Parallel()
	b := setup(t)
	receiver := newSlack(t)
	b.deadLetter(t)
	first := b.startWatch(t, receiver.URL)
	await(t, func() bool { return len(receiver.received()) == 1 })
	message := receiver.received()[0]
	require.Equal(t, scan[int64](t, b, `SELECT id FROM alert_messages`), message.MessageID)
	require.Len(t, message.Alerts, 1)
	require.Equal(t, "dead_letters_open", message.Alerts[0].Code)
	require.JSONEq(t, `{"open": 1, "by_reason": {"deleted": 1}}`, string(message.Alerts[0].Detail))
	await(t, func() bool {
		return scan[int](t, b, `SELECT count(*) FROM alert_messages WHERE delivered_at IS NOT NULL`) == 1
	})
	await(t, func() bool {
		return scan[string](t, b, `SELECT state FROM river_job WHERE kind = 'alert_send'`) == "completed"
	})

	// Another process leads: what is open was told.
	stop(t, first)
	var log journal
	b.config.RiverLogger = log.logger()
	b.startWatch(t, receiver.URL)
	await(t, func() bool { return log.has("Inserted RunOnStart jobs") })
	await(t, func() bool {
		return scan[int](t, b, `SELECT count(*) FROM river_job WHERE kind = 'alert_evaluate' AND state <> 'completed'`) == 0
	})
	require.Len(t, receiver.received(), 1)
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
	await(t, func() bool {
		return scan[string](t, b, `SELECT state FROM river_job WHERE kind = 'alert_send'`) == state
	})
}

func TestAMessageIsSentUntilItArrives(t *testing.T) {
	t.Parallel()
	hangUp := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	b := setup(t, func(c *jobs.Config) { c.RetryBase = time.Millisecond })
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

func TestAReceiverMayAskToWait(t *testing.T) {
	t.Parallel()
	b := setup(t)
	receiver := newSlack(t, answers(429, "Retry-After", "1"))
	b.sendOnce(t, receiver.URL, 1)
	b.awaitSend(t, "completed")
	require.Len(t, receiver.received(), 1)
	require.Zero(t, scan[int](t, b, `SELECT attempts FROM alert_messages`), "it is no failure")
}

// A webhook that never answers is seen, tells nothing about itself, and leaves
// no dead letter behind.
func TestAMessageThatNeverArrivesIsSeen(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *jobs.Config) { c.RetryBase = time.Millisecond })
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

	conditions := func() []string {
		st, err := b.Status(t.Context())
		require.NoError(t, err)
		_, found := jobs.Judge(st, jobs.Moment{Now: time.Now()})
		codes := []string{}
		for _, c := range found {
			codes = append(codes, c.Code)
		}
		return codes
	}
	require.Empty(t, conditions(), "it may still be on its way")
	b.exec(t, `UPDATE alert_messages SET created_at = now() - interval '11 minutes'`)
	require.Equal(t, []string{"alerts_undelivered"}, conditions())
	b.exec(t, `INSERT INTO alert_messages (body, delivered_at) VALUES ('{}', now())`)
	require.Empty(t, conditions(), "a later one arrived")
	b.exec(t, `DELETE FROM alert_messages WHERE delivered_at IS NOT NULL`)
	b.exec(t, `UPDATE alert_messages SET created_at = now() - interval '25 hours'`)
	require.Empty(t, conditions(), "it is no news any more")
}

func TestAMessageWithNowhereToGoIsGivenUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.sendOnce(t, "", 7)
	b.awaitSend(t, "cancelled")
	require.Equal(t, 1, scan[int](t, b, `SELECT count(*) FROM alert_messages WHERE failed_at IS NOT NULL AND error LIKE 'ALERT_WEBHOOK_URL%'`))
	require.Zero(t, scan[int](t, b, `SELECT count(*) FROM webhook_dead_letter`))
}

func TestASenderGivesUpOnTime(t *testing.T) {
	t.Parallel()
	released := make(chan struct{})
	receiver := newSlack(t, func(http.ResponseWriter, *http.Request) { <-released })
	sender, err := jobs.NewAlertSender(receiver.URL + "/services/secret-token")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = sender.Send(ctx, jobs.NewTestMessage(time.Now()))
	close(released)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NotContains(t, err.Error(), "secret-token")

	_, err = jobs.NewAlertSender("http://[::1/services/secret-token")
	require.Error(t, err)
	require.NotContains(t, err.Error(), "secret-token")
}

func TestAMessageCannotMention(t *testing.T) {
	t.Parallel()
	w := newWatchman(t, true)
	w.pass(t, time.Minute, store.Status{DeadLetters: store.DeadLetterStatus{Open: 1, ByReason: map[string]int64{"<!channel> & more": 1}}})
	text := w.messages(t)[0].Text
	require.Contains(t, text, "&lt;!channel&gt; &amp; more")
	require.False(t, strings.ContainsAny(text, "<>"))
}

// What evaluations read is read from the database: hours, refusals, pools.
func TestEvaluationReadsTheBooks(t *testing.T) {
	t.Parallel()
	w := newWatchman(t, true)
	w.exec(t, `INSERT INTO webhook_queue (source, topic, payload, received_at, completed_at, outcome)
		SELECT 'mercadopago', 'payment', '', h + interval '1 minute', h, 'settled'
		FROM generate_series(date_trunc('hour', now()) - interval '20 days', date_trunc('hour', now()) - interval '3 hours', interval '1 hour') h, generate_series(1, 12)`)
	w.exec(t, `INSERT INTO webhook_refused (source, reason, method, x_signature) SELECT 'mercadopago', 'signature_mismatch', 'POST', 'ts=1,v1=00' FROM generate_series(1, 20)`)
	w.exec(t, `INSERT INTO processes (id, host, role, version, pool_max, pool_in_use, pool_wait_ms) VALUES ('a', 'h', 'all', 'v', 10, 10, 500)`)
	w.exec(t, `INSERT INTO webhook_reconciliation_logs (trigger, status, finished_at) VALUES ('manual', 'stopped_by_cap', now())`)
	_, err := w.RollUp(t.Context(), time.Hour)
	require.NoError(t, err)
	_, err = w.RollUpHistory(t.Context(), 100*24*time.Hour)
	require.NoError(t, err)
	for range 2 {
		w.exec(t, `UPDATE alert_evaluation SET evaluated_at = evaluated_at - interval '1 minute'`)
		require.NoError(t, w.evaluator.Evaluate(t.Context(), w.operator))
	}
	require.ElementsMatch(t, []string{"reconciliation_stopped", "webhooks_silent", "refusals_rising", "pool_strained"}, w.open(t))
}
