package health_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/health"
	"github.com/conciliar/conciliar/store"
)

func reports(mode string, age, failing time.Duration, stuck int64) store.Status {
	return store.Status{Signals: store.Signals{Reports: []store.ReportState{{Account: "mercadopago", Mode: mode, Age: age, FailingFor: failing, Stuck: stuck}}}}
}

func TestHealth_IsJudgedByConditions(t *testing.T) {
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
		return store.Status{
			Throughput: store.Throughput{Failed1h: failed, Received1h: received},
			Signals:    store.Signals{Decisions: store.Decisions{Deaths1h: map[string]int64{"forbidden": 1, "timeout": failed - 1}}},
		}
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
	hourly := health.Moment{RunEvery: time.Hour}
	circuit := func(state store.CircuitState, reason string) store.Status {
		return store.Status{Provider: store.ProviderState{Circuit: state, Reason: reason}}
	}
	signals := func(g store.Signals) store.Status { return store.Status{Signals: g} }
	sellers := func(s store.SellerStatus) store.Status { return store.Status{Sellers: []store.SellerStatus{s}} }
	receivers := func(r store.Receiver) store.Status {
		return store.Status{Receivers: []store.Receiver{r}, Signals: store.Signals{At: now}}
	}
	documents := func(left time.Duration) store.Status {
		return signals(store.Signals{Chargebacks: []store.ChargebackDue{{ID: "2170", Deadline: ago(-left)}}})
	}
	arrivals := func(a store.Arrivals24h) store.Status { return signals(store.Signals{Arrivals: a}) }
	unknown := func(open, fresh int64) store.Status {
		st := anomaly("unknown_order")
		st.Anomalies.ByKind["unknown_order"], st.Signals.UnknownOrdersFresh = open, fresh
		return st
	}
	notReleased := func(open, held int64) store.Status {
		st := anomaly("not_released")
		st.Anomalies.ByKind["not_released"], st.Signals.ReleasesHeld = open, held
		return st
	}
	refused := func(n int64) store.Status {
		return signals(store.Signals{RefusedLately: n, Intake: store.Intake{Refused: n, RefusedSince: ago(time.Minute)}})
	}
	paused := func(queue string, age int64) store.Status {
		st := pending(age)
		st.Signals.Machine.Paused = map[string]store.PausedQueue{queue: {Since: now, By: "ana"}}
		return st
	}
	unworked := pending(9999)
	unworked.Signals = store.Signals{At: now, EvaluatedAt: ago(time.Hour), Machine: store.Machine{NoWorker: true, WorkedAt: ago(time.Hour)}}
	used := map[string]bool{}
	for name, c := range map[string]struct {
		st     store.Status
		moment health.Moment
		want   health.Level
		reason string
	}{
		"nothing yet":                          {store.Status{}, hourly, health.Healthy, ""},
		"a short queue":                        {pending(300), hourly, health.Healthy, ""},
		"a queue that waits":                   {pending(301), hourly, health.Degraded, "more than 5 minutes"},
		"a queue that waits, still":            {pending(1800), hourly, health.Degraded, "more than 5 minutes"},
		"money that a dispute holds back":      {notReleased(2, 2), hourly, health.Healthy, ""},
		"money that nothing holds back":        {notReleased(2, 1), hourly, health.Degraded, "do not match"},
		"a fraud alert":                        {anomaly("fraud_alert"), hourly, health.Degraded, "warns of fraud"},
		"documents due in three days":          {documents(72 * time.Hour), hourly, health.Degraded, "within three days"},
		"documents due in a day":               {documents(24 * time.Hour), hourly, health.Degraded, "within a day"},
		"documents that have time":             {documents(72*time.Hour + 1), hourly, health.Healthy, ""},
		"documents whose time is over":         {documents(0), hourly, health.Healthy, ""},
		"documents without a date":             {signals(store.Signals{Chargebacks: []store.ChargebackDue{{ID: "2170"}}}), hourly, health.Degraded, "within three days"},
		"a queue that nobody works":            {pending(1801), hourly, health.Unhealthy, "more than 30 minutes"},
		"retries":                              {store.Status{Queue: store.QueueStatus{Failed: 100}}, hourly, health.Healthy, ""},
		"held events":                          {store.Status{Queue: store.QueueStatus{Held: 100}}, hourly, health.Healthy, ""},
		"a dead letter":                        {store.Status{DeadLetters: store.DeadLetterStatus{Open: 1}}, hourly, health.Degraded, "Dead letters are open"},
		"a report that can't be booked":        {reports("read", 0, 0, 1), hourly, health.Degraded, "fetched or booked"},
		"an account that gives no reports":     {reports("read", 0, 6*time.Hour, 0), hourly, health.Degraded, "fetched or booked"},
		"an account that gives none just now":  {reports("read", 0, 5*time.Hour, 0), hourly, health.Healthy, ""},
		"reports that end three days ago":      {reports("request", 72*time.Hour, 0, 0), hourly, health.Degraded, "days ago"},
		"a schedule that may be monthly":       {reports("read", 34*24*time.Hour, 0, 0), hourly, health.Healthy, ""},
		"a schedule that isn't":                {reports("read", 35*24*time.Hour, 0, 0), hourly, health.Degraded, "days ago"},
		"a refund that is open for long":       {signals(store.Signals{RefundsOpen: map[string]int64{"unknown": 1}}), hourly, health.Degraded, "Refunds have been open"},
		"an odd payment":                       {store.Status{Signals: store.Signals{OddPayments: 1}}, hourly, health.Degraded, "Payments cannot be booked"},
		"a clock that was set back":            {signals(store.Signals{TimesAhead: []store.TimeAhead{{StoredIn: "webhook_queue.received_at", Rows: 1, Furthest: now.Add(time.Hour)}}}), hourly, health.Degraded, "has been set back"},
		"an account that nobody told":          {store.Status{Signals: store.Signals{AccountUnknown: 1}}, hourly, health.Degraded, "account at the payment provider"},
		"dead letters that were dealt with":    {store.Status{DeadLetters: store.DeadLetterStatus{Last24h: 5}}, hourly, health.Healthy, ""},
		"few deaths":                           {deaths(9, 9), hourly, health.Healthy, ""},
		"deaths among many":                    {deaths(10, 101), hourly, health.Healthy, ""},
		"many deaths":                          {deaths(10, 100), hourly, health.Unhealthy, "At least 10%"},
		"underpaid":                            {anomaly("underpaid"), hourly, health.Degraded, "do not match"},
		"a kind that a newer release writes":   {anomaly("novelty"), hourly, health.Degraded, "do not match"},
		"no reference":                         {anomaly("no_reference"), hourly, health.Healthy, ""},
		"a test payment":                       {anomaly("wrong_mode"), hourly, health.Healthy, ""},
		"orders on their way":                  {unknown(3, 3), hourly, health.Healthy, ""},
		"an order that never came":             {unknown(3, 2), hourly, health.Degraded, "do not match"},
		"an outage":                            {circuit(store.CircuitOpen, store.ReasonUnavailable), hourly, health.Degraded, "circuit is open"},
		"an unknown circuit":                   {circuit("melted", ""), hourly, health.Degraded, "circuit is open"},
		"rejected":                             {circuit(store.CircuitOpen, store.ReasonCredentialsRejected), hourly, health.Unhealthy, "rejects our credentials"},
		"after an outage":                      {circuit(store.CircuitHalfOpen, store.ReasonUnavailable), hourly, health.Degraded, "being retried"},
		"a run that stopped itself":            {runs("running", "stopped_by_cap", "failed"), hourly, health.Degraded, "stopped at its limit"},
		"a run that ended oddly":               {runs("melted"), hourly, health.Degraded, "latest reconciliation failed"},
		"a search beyond its cap":              {signals(store.Signals{Unseen: map[string]int64{"beyond_cap": 1}, UnseenSince: ago(time.Hour)}), hourly, health.Degraded, "does not show all payments"},
		"an unknown reason of a search":        {signals(store.Signals{Unseen: map[string]int64{"novelty": 1}}), hourly, health.Degraded, "does not show all payments"},
		"a search that merely counts more":     {signals(store.Signals{Unseen: map[string]int64{"counted": 5}}), hourly, health.Healthy, ""},
		"webhooks that were not accepted":      {signals(store.Signals{NotAccepted: 1}), hourly, health.Unhealthy, "answered 503"},
		"a try that failed":                    {signals(store.Signals{NotAccepting: true}), hourly, health.Unhealthy, "answered 503"},
		"a single refusal, and nothing else":   {refused(1), hourly, health.Unhealthy, "none has been accepted since"},
		"many refusals, and nothing else":      {refused(50), hourly, health.Unhealthy, "none has been accepted since"},
		"payments without any webhook":         {signals(store.Signals{Intake: store.Intake{NeverAccepted: true, FoundByRuns: true}}), hourly, health.Degraded, "ever accepted"},
		"nothing has come yet":                 {signals(store.Signals{Intake: store.Intake{NeverAccepted: true}}), hourly, health.Healthy, ""},
		"a paused queue":                       {paused("webhooks", 0), hourly, health.Unhealthy, "queue of webhooks is paused"},
		"a paused queue in which events wait":  {paused("webhooks", 9999), hourly, health.Unhealthy, "queue of webhooks is paused"},
		"another paused queue":                 {paused("operations", 0), hourly, health.Degraded, "queue of jobs is paused"},
		"nobody works":                         {unworked, hourly, health.Unhealthy, "No process with workers"},
		"deaths that were dealt with":          {store.Status{Throughput: store.Throughput{Failed1h: 50, Received1h: 50}}, hourly, health.Healthy, ""},
		"few refusals":                         {signals(store.Signals{RefusedLately: 9}), hourly, health.Healthy, ""},
		"refusals out of nothing":              {signals(store.Signals{RefusedLately: 10, AcceptedLately: 10}), hourly, health.Degraded, "fail signature verification"},
		"refusals as ever":                     {signals(store.Signals{RefusedLately: 10, RefusedBefore: 321, AcceptedLately: 11}), hourly, health.Healthy, ""},
		"three times as many":                  {signals(store.Signals{RefusedLately: 10, RefusedBefore: 320, AcceptedLately: 11}), hourly, health.Degraded, "fail signature verification"},
		"refusals for a day, and nothing else": {signals(store.Signals{RefusedLately: 10, RefusedBefore: 960}), hourly, health.Degraded, "fail signature verification"},
		"a topic that is never verified":       {arrivals(store.Arrivals24h{Unverified: map[string]int64{"order": 3}}), hourly, health.Degraded, "none of that topic is ever verified"},
		"a topic without effect":               {arrivals(store.Arrivals24h{Unhandled: map[string]int64{"payment": 1}}), hourly, health.Degraded, "ended without effect"},
		"IPN alone":                            {arrivals(store.Arrivals24h{IPN: 10}), hourly, health.Degraded, "Only one"},
		"some IPN":                             {arrivals(store.Arrivals24h{IPN: 9}), hourly, health.Healthy, ""},
		"Webhooks alone":                       {arrivals(store.Arrivals24h{Webhooks: 1000, IPNBefore: 9}), hourly, health.Healthy, ""},
		"IPN that ceased":                      {arrivals(store.Arrivals24h{Webhooks: 10, IPNBefore: 10}), hourly, health.Degraded, "Only one"},
		"IPN that ceased on a quiet day":       {arrivals(store.Arrivals24h{Webhooks: 9, IPNBefore: 10}), hourly, health.Healthy, ""},
		"both channels":                        {arrivals(store.Arrivals24h{Webhooks: 1, IPN: 100}), hourly, health.Healthy, ""},
		"mistyped passwords":                   {signals(store.Signals{FailedLogins: 19}), hourly, health.Healthy, ""},
		"guessed passwords":                    {signals(store.Signals{FailedLogins: 20}), hourly, health.Degraded, "wrong password"},
		"a busy pool":                          {signals(store.Signals{PoolWait: 99 * time.Millisecond, PoolGaveUp: 9}), hourly, health.Healthy, ""},
		"a slow pool":                          {signals(store.Signals{PoolWait: 100 * time.Millisecond}), hourly, health.Degraded, "is waiting for database connections"},
		"a dry pool":                           {signals(store.Signals{PoolGaveUp: 10}), hourly, health.Degraded, "is waiting for database connections"},
		"a seller's token rejected":            {sellers(store.SellerStatus{Circuit: store.CircuitOpen, Reason: store.ReasonCredentialsRejected}), hourly, health.Degraded, "rejects a seller's credentials"},
		"a seller's outage":                    {sellers(store.SellerStatus{Circuit: store.CircuitHalfOpen, Reason: store.ReasonUnavailable}), hourly, health.Degraded, "not answering for a seller"},
		"a seller's consent withdrawn":         {sellers(store.SellerStatus{Circuit: store.CircuitClosed, DeauthorizedAt: ago(time.Hour)}), hourly, health.Degraded, "withdrawn its consent"},
		"a seller passed over":                 {sellers(store.SellerStatus{Circuit: store.CircuitClosed, Unsearched: true}), hourly, health.Degraded, "did not see a seller's payments"},
		"a receiver that is stopped":           {receivers(store.Receiver{StoppedAt: ago(time.Hour), OldestPendingAt: ago(time.Hour)}), hourly, health.Degraded, "is stopped"},
		"a receiver that fails":                {receivers(store.Receiver{OldestPendingAt: ago(11 * time.Minute)}), hourly, health.Degraded, "has not accepted one"},
		"a receiver that failed just now":      {receivers(store.Receiver{OldestPendingAt: ago(9 * time.Minute)}), hourly, health.Healthy, ""},
		"a delivery that died":                 {receivers(store.Receiver{Dead: 1}), hourly, health.Degraded, "are not sent again"},
		"a seller who does well":               {sellers(store.SellerStatus{Circuit: store.CircuitClosed}), hourly, health.Healthy, ""},
		"a file that is refused":               {signals(store.Signals{FilesRejected: map[string]string{"X_FILE": "line 1"}}), hourly, health.Degraded, "cannot be used as it is now"},
		"files that differ":                    {signals(store.Signals{FilesDiffer: map[string]int64{"X_FILE": 2}}), hourly, health.Degraded, "different contents"},
		"silence":                              {signals(store.Signals{ReceivedHours: silence(1, 100)}), hourly, health.Degraded, "No webhooks for hours"},
		"messages that do not arrive":          {signals(store.Signals{UndeliveredSince: ago(time.Hour)}), hourly, health.Degraded, "not being delivered"},
		"nobody evaluates":                     {signals(store.Signals{At: now, EvaluatedAt: ago(5 * time.Minute)}), hourly, health.Degraded, "have not been evaluated"},
		"evaluated lately":                     {signals(store.Signals{At: now, EvaluatedAt: ago(4 * time.Minute)}), hourly, health.Healthy, ""},
		"a failed run":                         {runs("failed", "succeeded"), hourly, health.Degraded, "latest reconciliation failed"},
		"a failed run, and another begun":      {runs("running", "failed"), hourly, health.Degraded, "latest reconciliation failed"},
		"a failure that was made good":         {runs("succeeded", "failed"), hourly, health.Healthy, ""},
		"the first run":                        {runs("running"), hourly, health.Healthy, ""},
		"a late run":                           {store.Status{LastSuccessAt: ago(119 * time.Minute)}, hourly, health.Healthy, ""},
		"an overdue run":                       {store.Status{LastSuccessAt: ago(2 * time.Hour)}, hourly, health.Degraded, "for two periods"},
		"no run for long":                      {store.Status{LastSuccessAt: ago(6 * time.Hour)}, hourly, health.Unhealthy, "for six periods"},
		"nothing scheduled":                    {store.Status{LastSuccessAt: ago(1000 * time.Hour)}, health.Moment{}, health.Healthy, ""},
	} {
		if c.st.Provider.Circuit == "" {
			c.st.Provider.Circuit = store.CircuitClosed
		}
		c.moment.Now = now
		level, conditions := health.Judge(c.st, c.moment)
		require.Equal(t, c.want, level, name)
		if c.reason == "" {
			require.Empty(t, conditions, name)
			continue
		}
		require.Len(t, conditions, 1, name)
		require.Contains(t, conditions[0].Reason, c.reason, name)
		used[conditions[0].Code] = true
	}
	codes := map[string]bool{}
	for _, c := range health.Conditions() {
		require.True(t, used[c.Code], "no case for: "+c.Reason)
		require.False(t, codes[c.Code], "a code stands for one condition: "+c.Code)
		codes[c.Code] = true
	}

	// What stops everything comes before what stops a part, whatever their levels, and
	// both before what waits for a person.
	everything := deaths(10, 10)
	everything.DeadLetters.Open = 10
	everything.Queue.Held = 14
	everything.Provider = store.ProviderState{Circuit: store.CircuitOpen, Since: ago(time.Minute)}
	level, facts := health.Judge(everything, health.Moment{Now: now})
	require.Equal(t, health.Unhealthy, level)
	require.Equal(t, []string{"provider_outage", "dead_letter_rate_high", "dead_letters_open"}, codesOf(facts))
	require.Equal(t, health.About{Since: ago(time.Minute), Waiting: 14}, facts[0].About)
	require.Equal(t, health.About{Count: 10, Class: "timeout"}, facts[1].About)
}

func codesOf(facts []health.Fact) []string {
	codes := make([]string, len(facts))
	for i, f := range facts {
		codes[i] = f.Code
	}
	return codes
}
