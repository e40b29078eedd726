package api

import (
	"context"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/conciliar/conciliar/jobs/health"
	"github.com/conciliar/conciliar/store"
)

// StatusExtras are what the status shows beside the database.
type StatusExtras struct {
	// NextRunAt is when the schedule starts the next reconciliation; nil when
	// nothing is scheduled.
	NextRunAt *time.Time
	// RunEvery is the schedule's period; 0 when nothing is scheduled, and then
	// no reconciliation is overdue.
	RunEvery time.Duration
	// Version is the program's.
	Version string
	// Now is the moment that ages are measured from.
	Now time.Time
}

// A StatusReport is the answer of GET /api/webhooks/status and of the status
// command.
type StatusReport struct {
	Health health.Level `json:"health"`
	// Reasons says why it is not healthy: stable sentences, worst first.
	Reasons        []string               `json:"reasons"`
	Queue          store.QueueStatus      `json:"queue"`
	DeadLetters    store.DeadLetterStatus `json:"dead_letters"`
	Throughput     store.Throughput       `json:"throughput"`
	Provider       store.ProviderState    `json:"provider"`
	Sellers        []store.SellerStatus   `json:"sellers"`
	OrderEvents    OrderEventsStatus      `json:"order_events"`
	Reconciliation ReconciliationStatus   `json:"reconciliation"`
	Anomalies      store.AnomalyStatus    `json:"anomalies"`
	Version        string                 `json:"version"`
}

// OrderEventsStatus counts the order events that the shop has not taken yet.
type OrderEventsStatus struct {
	// Pending were never tried, Failed wait for their next attempt.
	Pending    int64 `json:"pending"`
	Failed     int64 `json:"failed"`
	DeadLetter int64 `json:"dead_letter"`
	// OldestPendingSeconds is the age of the oldest of the first two, 0 when there is none.
	OldestPendingSeconds int64 `json:"oldest_pending_seconds"`
}

func orderEventsStatus(st store.Status) OrderEventsStatus {
	for _, r := range st.Receivers {
		if r.Name == store.ReceiverOrderEvents {
			return OrderEventsStatus{Pending: r.Pending, Failed: r.Failed, DeadLetter: r.Dead, OldestPendingSeconds: int64(r.Age(st.Signals.At).Seconds())}
		}
	}
	return OrderEventsStatus{}
}

// ReconciliationStatus says when reconciliation ran and will run.
type ReconciliationStatus struct {
	LastSuccessAt *time.Time  `json:"last_success_at"`
	NextRunAt     *time.Time  `json:"next_run_at"`
	Recent        []store.Run `json:"recent"`
}

// NewStatusReport puts the report together and judges it. It depends on its
// arguments alone. Times are in UTC; lists and objects are never null.
func NewStatusReport(st store.Status, extras StatusExtras) StatusReport {
	report := StatusReport{
		Reasons:     []string{},
		Queue:       st.Queue,
		DeadLetters: st.DeadLetters,
		Throughput:  st.Throughput,
		Provider:    st.Provider,
		Sellers:     append([]store.SellerStatus{}, st.Sellers...),
		OrderEvents: orderEventsStatus(st),
		Reconciliation: ReconciliationStatus{
			LastSuccessAt: utc(st.LastSuccessAt),
			NextRunAt:     utc(extras.NextRunAt),
			Recent:        make([]store.Run, len(st.RecentRuns)),
		},
		Anomalies: st.Anomalies,
		Version:   extras.Version,
	}
	report.Provider.Since = utc(st.Provider.Since)
	report.Queue.NextRetryAt = utc(st.Queue.NextRetryAt)
	for i, run := range st.RecentRuns {
		report.Reconciliation.Recent[i] = inUTC(run)
	}
	report.DeadLetters.ByReason = orEmpty(st.DeadLetters.ByReason)
	report.Anomalies.ByKind = orEmpty(st.Anomalies.ByKind)
	if st.Signals.Machine.NoWorker { // nobody would run it
		report.Reconciliation.NextRunAt = nil
	}
	level, conditions := health.Judge(st, health.Moment{Now: extras.Now, RunEvery: extras.RunEvery})
	report.Health = level
	for _, c := range conditions {
		report.Reasons = append(report.Reasons, c.Reason)
	}
	return report
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}

func orEmpty(counts map[string]int64) map[string]int64 {
	if counts == nil {
		return map[string]int64{}
	}
	return counts
}

// status answers the report.
func (a *api) status(c *gin.Context, _ *requestEvent) error {
	ctx, cancel := context.WithTimeout(c.Request.Context(), storageTimeout)
	defer cancel()
	st, err := a.deps.Storage.Status(ctx)
	if err != nil {
		return err
	}
	extras := a.deps.Extras()
	if extras.Now.IsZero() {
		extras.Now = a.now()
	}
	return answerJSON(c, http.StatusOK, NewStatusReport(st, extras))
}
