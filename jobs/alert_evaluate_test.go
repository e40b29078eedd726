package jobs_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/jobs/health"
	"github.com/conciliar/conciliar/store"
)

// A watchman evaluates statuses that a test makes, minute by minute.
type watchman struct {
	*bundle
	evaluator jobs.Evaluator
	now       time.Time
}

// firstPass is when a watchman begins.
var firstPass = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newWatchman(t *testing.T, notify bool) *watchman {
	t.Helper()
	w := &watchman{bundle: setup(t), now: firstPass}
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

// forget makes the clock and the database what they were before the first pass.
func (w *watchman) forget(t *testing.T) {
	t.Helper()
	w.now = firstPass
	for _, table := range []string{"alerts", "alert_messages", "alert_watches", "river_job"} {
		w.exec(t, `DELETE FROM `+table)
	}
	w.exec(t, `UPDATE alert_evaluation SET evaluated_at = NULL`)
}

// told returns what the messages said so far: "began queue_latency_high" and so on, one
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

func (w *watchman) messages(t *testing.T) []health.Message {
	t.Helper()
	rows, err := w.pool.Query(t.Context(), `SELECT body FROM alert_messages ORDER BY id`)
	require.NoError(t, err)
	bodies, err := pgx.CollectRows(rows, pgx.RowTo[json.RawMessage])
	require.NoError(t, err)
	messages := make([]health.Message, len(bodies))
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
	// Four weeks of a hundred webhooks an hour, and none in the last.
	silent := slices.Repeat([]int64{100}, 29*24)
	silent[0] = 0
	return map[string]store.Status{
		"queue_stalled":                 {Queue: store.QueueStatus{Pending: 5, OldestPendingSeconds: 1801}},
		"queue_latency_high":            {Queue: store.QueueStatus{Pending: 5, OldestPendingSeconds: 301}},
		"dead_letter_rate_high":         {Throughput: store.Throughput{Received1h: 20}, Signals: store.Signals{Decisions: store.Decisions{Deaths1h: map[string]int64{"forbidden": 10}}}},
		"webhooks_all_refused":          {Signals: store.Signals{Intake: store.Intake{Refused: 2, RefusedSince: ago(0)}}},
		"webhooks_never_received":       {Signals: store.Signals{Intake: store.Intake{NeverAccepted: true, FoundByRuns: true}}},
		"queue_paused":                  {Signals: store.Signals{Machine: store.Machine{Paused: map[string]store.PausedQueue{"webhooks": {Since: *ago(0), By: "ana"}}}}},
		"job_queue_paused":              {Signals: store.Signals{Machine: store.Machine{Paused: map[string]store.PausedQueue{"operations": {Since: *ago(0), By: "ana"}}}}},
		"no_worker":                     {Signals: store.Signals{Machine: store.Machine{NoWorker: true, WorkedAt: ago(0)}}},
		"provider_credentials_rejected": {Provider: store.ProviderState{Circuit: store.CircuitOpen, Reason: store.ReasonCredentialsRejected, Since: ago(time.Minute)}},
		"provider_outage":               {Provider: store.ProviderState{Circuit: store.CircuitOpen, Reason: store.ReasonUnavailable, Since: ago(time.Minute)}},
		"provider_recovering":           {Provider: store.ProviderState{Circuit: store.CircuitHalfOpen, Reason: store.ReasonUnavailable}},
		"reconciliation_stalled":        {LastSuccessAt: ago(100 * time.Hour)},
		"reconciliation_overdue":        {LastSuccessAt: ago(3 * time.Hour)},
		"reconciliation_failed":         {RecentRuns: []store.Run{{ID: 7, Status: store.RunFailed, FinishedAt: ago(0)}}},
		"reconciliation_limit_exceeded": {RecentRuns: []store.Run{{ID: 7, Status: store.RunStoppedByCap, FinishedAt: ago(0)}}},
		"reconciliation_incomplete":     {Signals: store.Signals{Unseen: map[string]int64{"unstable": 5}, UnseenSince: ago(time.Hour)}},
		"dead_letters_open":             {DeadLetters: store.DeadLetterStatus{Open: 2, ByReason: map[string]int64{"retries_exhausted": 2}}},
		"logins_failing":                {Signals: store.Signals{FailedLogins: 20}},
		"refunds_unresolved":            {Signals: store.Signals{RefundsOpen: map[string]int64{"unknown": 1}, RefundsOpenSince: ago(time.Hour)}},
		"odd_payments_open":             {Signals: store.Signals{OddPayments: 1}},
		"clock_set_back":                {Signals: store.Signals{TimesAhead: []store.TimeAhead{{StoredIn: "webhook_queue.received_at", Rows: 1, Furthest: time.Now().Add(time.Hour)}}}},
		"account_unknown":               {Signals: store.Signals{AccountUnknown: 1}},
		"anomalies_open":                {Anomalies: store.AnomalyStatus{Open: 1, ByKind: map[string]int64{"underpaid": 1}}},
		"fraud_alert_open":              {Anomalies: store.AnomalyStatus{Open: 1, ByKind: map[string]int64{"fraud_alert": 1}}},
		"chargeback_documents_urgent":   {Signals: store.Signals{Chargebacks: []store.ChargebackDue{{ID: "2170", Deadline: ago(-12 * time.Hour)}}}},
		"chargeback_documents_due":      {Signals: store.Signals{Chargebacks: []store.ChargebackDue{{ID: "2170", Deadline: ago(-48 * time.Hour)}}}},
		"seller_credentials_rejected":   {Sellers: []store.SellerStatus{{CollectorID: "2001", Circuit: store.CircuitOpen, Reason: store.ReasonCredentialsRejected}}},
		"seller_outage":                 {Sellers: []store.SellerStatus{{CollectorID: "2001", Circuit: store.CircuitHalfOpen, Reason: store.ReasonUnavailable}}},
		"seller_deauthorized":           {Sellers: []store.SellerStatus{{CollectorID: "2001", Circuit: store.CircuitClosed, DeauthorizedAt: ago(0)}}},
		"reports_failing":               {Signals: store.Signals{Reports: []store.ReportState{{Account: "mercadopago", Mode: "read", Stuck: 1, Error: "a column"}}}},
		"reports_stale":                 {Signals: store.Signals{Reports: []store.ReportState{{Account: "mercadopago", Mode: "request", Age: 72 * time.Hour}}}},
		"seller_not_reconciled":         {Sellers: []store.SellerStatus{{CollectorID: "2001", Circuit: store.CircuitClosed, Unsearched: true}}},
		"configuration_file_rejected":   {Signals: store.Signals{FilesRejected: map[string]string{"MERCADOPAGO_SELLERS_FILE": "line 3, column 5: unknown key x"}}},
		"configuration_files_differ":    {Signals: store.Signals{FilesDiffer: map[string]int64{"MERCADOPAGO_SELLERS_FILE": 2}}},
		"delivery_receiver_stopped":     {Receivers: []store.Receiver{{Name: "order_events", StoppedAt: ago(0), StopReason: store.StoppedGone}}},
		"deliveries_failing":            {Receivers: []store.Receiver{{Name: "order_events", Failed: 1, OldestPendingAt: ago(time.Hour), Class: "timeout"}}},
		"delivery_dead_letters_open":    {Receivers: []store.Receiver{{Name: "order_events", Dead: 2}}},
		"no_webhooks_received":          {Signals: store.Signals{ReceivedHours: silent}},
		"signature_failures_rising":     {Signals: store.Signals{RefusedLately: 50}},
		"topic_never_verified":          {Signals: store.Signals{Arrivals: store.Arrivals24h{Unverified: map[string]int64{"order": 3}}}},
		"money_topic_unhandled":         {Signals: store.Signals{Arrivals: store.Arrivals24h{Unhandled: map[string]int64{"payment": 1}}}},
		"channel_silent":                {Signals: store.Signals{Arrivals: store.Arrivals24h{IPN: 10}}},
		"webhooks_not_accepted":         {Signals: store.Signals{NotAccepted: 3}},
		"db_pool_saturated":             {Signals: store.Signals{PoolWait: time.Second}},
		"alert_delivery_failing":        {Signals: store.Signals{UndeliveredSince: ago(time.Hour)}},
		"alert_evaluation_stalled":      {Signals: store.Signals{EvaluatedAt: ago(time.Hour)}},
	}
}

// Each condition that lasts is told once when it begins and once when it ends,
// and what comes and goes in between is not told at all. The conditions take turns with
// one database, which each finds as if it were new.
func TestAlerts_BeginAndEndOnce(t *testing.T) { //nolint:tparallel // one database, in turns
	t.Parallel()
	w := newWatchman(t, true)
	for _, c := range health.Conditions() { //nolint:paralleltest // see above
		t.Run(c.Code, func(t *testing.T) {
			w.forget(t)
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
			for range c.Lasting + 3 {
				w.pass(t, time.Minute, st)
			}
			require.Equal(t, []string{c.Code}, w.open(t))
			for range c.Lasting + 3 {
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
			require.True(t, first.Add(time.Duration(c.Lasting+3)*time.Minute).Equal(*alerts.Items[0].ClosedAt), "it ended when it was first seen not to hold")
			require.JSONEq(t, string(began.Alerts[0].Detail), string(alerts.Items[0].Detail))
		})
	}
}

func TestAlerts_ConditionsOfOneMinuteAreOneMessage(t *testing.T) {
	t.Parallel()
	w := newWatchman(t, true)
	both := store.Status{
		DeadLetters: store.DeadLetterStatus{Open: 1}, Signals: store.Signals{RefusedLately: 50},
	}
	w.pass(t, time.Minute, store.Status{Signals: both.Signals})
	w.pass(t, time.Minute, both)
	w.pass(t, time.Minute, both)
	require.Equal(t, [][]string{{"began signature_failures_rising", "began dead_letters_open"}}, w.told(t))
	require.Contains(t, w.messages(t)[0].Text, "Conciliar: 2 alerts began\n• signature_failures_rising")

	// More of the same is nothing new.
	both.DeadLetters.Open = 100
	w.pass(t, time.Minute, both)
	require.Len(t, w.told(t), 1)
	alerts, err := w.OpenAlerts(t.Context())
	require.NoError(t, err)
	require.Contains(t, string(alerts[1].Detail), "100", "and yet it is seen")
}

func TestAlerts_AreRememberedAtASlowPace(t *testing.T) {
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
func TestAlerts_AWorseConditionSpeaksForTheLesser(t *testing.T) {
	t.Parallel()
	w := newWatchman(t, true)
	waiting := func(seconds int64) store.Status {
		return store.Status{Queue: store.QueueStatus{Pending: 1, OldestPendingSeconds: seconds}}
	}
	for minute := int64(4); minute < 60; minute++ {
		w.pass(t, time.Minute, waiting(minute*60))
	}
	require.Equal(t, [][]string{{"began queue_latency_high"}, {"began queue_stalled"}}, w.told(t))
	for range 10 {
		w.pass(t, time.Hour, waiting(40000))
	}
	require.Equal(t, [][]string{{"reminder queue_stalled"}}, w.told(t)[2:], "the lesser one is not told of any more")
	for range 3 {
		w.pass(t, time.Minute, store.Status{})
	}
	require.Equal(t, [][]string{{"ended queue_stalled", "ended queue_latency_high"}}, w.told(t)[3:])
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
func TestAlerts_AreKeptWithoutAWebhook(t *testing.T) {
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
func TestEvaluation_TakesTurns(t *testing.T) {
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
func TestAlerts_AreNeverOpenedWithoutTheirJob(t *testing.T) {
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

// What evaluations read is read from the database: hours, refusals, pools.
func TestEvaluation_ReadsTheDatabase(t *testing.T) {
	t.Parallel()
	w := newWatchman(t, true)
	w.exec(t, `INSERT INTO webhook_queue (source, topic, payload, signed, received_at, completed_at, outcome)
		SELECT 'mercadopago', 'payment', '', true, h + interval '1 minute', h, 'settled'
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
	require.ElementsMatch(t, []string{"reconciliation_limit_exceeded", "no_webhooks_received", "signature_failures_rising", "db_pool_saturated"}, w.open(t))
}
