package api

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/conciliar/conciliar/store"
)

// collectTimeout bounds what one scrape asks the database.
const collectTimeout = 5 * time.Second

// A storeCollector reads what the database says at each scrape. Every process that
// answers tells the same, so queries over several processes take the maximum.
type storeCollector struct {
	storage *store.Store
	logger  *slog.Logger

	readable, events, oldest, deadLetters, anomalies, circuit, seller           *prometheus.Desc
	lastSuccess, runs, found, unseen, provisional, feedLag, delivery, reportAge *prometheus.Desc
	payouts, held, workers, paused, refused                                     *prometheus.Desc
}

func newStoreCollector(b *store.Store, logger *slog.Logger) *storeCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("conciliar_"+name, help, labels, nil)
	}
	return &storeCollector{
		storage: b, logger: logger,
		readable:    desc("database_up", "1 when the database could be read for this scrape."),
		events:      desc("events", "Events that have no end, by state.", "state"),
		oldest:      desc("oldest_pending_event_age_seconds", "Age of the oldest event that waits for its first attempt."),
		deadLetters: desc("dead_letters_open", "Open dead letters, by reason.", "reason"),
		anomalies:   desc("anomalies_open", "Open anomalies, by kind.", "kind"),
		circuit:     desc("provider_circuit", "1 for the state that the provider's circuit is in.", "state"),
		seller:      desc("seller_circuit", "State of a seller's circuit: 0 closed, 1 half open, 2 open.", "seller"),
		lastSuccess: desc("reconciliation_last_success_timestamp_seconds", "When a reconciliation succeeded last, in Unix time."),
		runs:        desc("reconciliation_runs_total", "Reconciliations that ended, by status.", "status"),
		found:       desc("reconciliation_found_total", "What reconciliations found and put right, by kind.", "kind"),
		unseen:      desc("search_unseen", "Payments that the provider's search did not show in the last seven days and has not shown since, by why.", "reason"),
		feedLag:     desc("feed_lag_seconds", "How long the oldest order event has waited for its place in the feed, 0 when none waits."),
		delivery:    desc("delivery_oldest_seconds", "Age of the oldest message to a receiver that was not accepted yet, 0 when there is none."),
		workers:     desc("workers", "Living processes that work jobs."),
		paused:      desc("queue_paused", "1 for each queue of jobs that is paused.", "queue"),
		refused:     desc("webhooks_refused_since_accepted", "Webhooks with a signature that were refused in the last three days, none accepted since."),
		payouts:     desc("payouts_open", "Payouts that are not explained."),
		held:        desc("releases_held", "Payments whose money is not released because a dispute or a block holds it back."),
		provisional: desc("provisional_payments", "Payments that only an order of the provider's has shown, and that must be there."),
		reportAge:   desc("report_age_seconds", "How long ago what the booked money reports cover ended, of the account where it is longest; absent without MONEY_REPORTS."),
	}
}

func (c *storeCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.readable, c.events, c.oldest, c.deadLetters, c.anomalies, c.circuit, c.seller, c.lastSuccess, c.runs, c.found, c.unseen, c.provisional, c.feedLag, c.delivery, c.reportAge,
		c.payouts, c.held, c.workers, c.paused, c.refused,
	} {
		out <- d
	}
}

func (c *storeCollector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), collectTimeout)
	defer cancel()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	st, err := c.storage.Status(ctx)
	var totals store.RunTotals
	if err == nil {
		totals, err = c.storage.RunTotals(ctx)
	}
	if err != nil {
		c.logger.WarnContext(ctx, "metrics: database unavailable", "error", err)
		gauge(c.readable, 0)
		return
	}
	gauge(c.readable, 1)
	q := st.Queue
	for state, n := range map[string]int64{
		store.StatusPending: q.Pending, store.StatusProcessing: q.Processing, store.StatusFailed: q.Failed,
		store.StatusHeld: q.Held, store.StatusDeadLetter: q.DeadLetter,
	} {
		gauge(c.events, float64(n), state)
	}
	gauge(c.oldest, float64(q.OldestPendingSeconds))
	gauge(c.workers, float64(st.Signals.Machine.Workers))
	gauge(c.refused, float64(st.Signals.Intake.Refused))
	for queue := range st.Signals.Machine.Paused {
		gauge(c.paused, 1, queue)
	}
	for reason, n := range st.DeadLetters.ByReason {
		gauge(c.deadLetters, float64(n), reason)
	}
	for kind, n := range st.Anomalies.ByKind {
		gauge(c.anomalies, float64(n), kind)
	}
	for _, state := range []store.CircuitState{store.CircuitClosed, store.CircuitOpen, store.CircuitHalfOpen} {
		holds := 0.0
		if st.Provider.Circuit == state {
			holds = 1
		}
		gauge(c.circuit, holds, string(state))
	}
	for _, s := range st.Sellers {
		gauge(c.seller, map[store.CircuitState]float64{store.CircuitHalfOpen: 1, store.CircuitOpen: 2}[s.Circuit], s.CollectorID)
	}
	for _, reason := range store.UnseenReasons() {
		gauge(c.unseen, float64(st.Signals.Unseen[reason]), reason)
	}
	gauge(c.feedLag, st.FeedLagSeconds)
	gauge(c.delivery, oldestDelivery(st).Seconds())
	gauge(c.provisional, float64(st.Signals.ProvisionalPayments))
	if oldest := oldestReport(st.Signals.Reports); oldest > 0 {
		gauge(c.reportAge, oldest.Seconds())
	}
	gauge(c.payouts, float64(st.Signals.OpenPayouts))
	gauge(c.held, float64(st.Signals.ReleasesHeld))
	if st.LastSuccessAt != nil {
		gauge(c.lastSuccess, float64(st.LastSuccessAt.UnixMilli())/1000)
	}
	for status, n := range totals.ByStatus {
		out <- prometheus.MustNewConstMetric(c.runs, prometheus.CounterValue, float64(n), status)
	}
	for kind, n := range totals.Found {
		out <- prometheus.MustNewConstMetric(c.found, prometheus.CounterValue, float64(n), kind)
	}
}

// oldestDelivery is the age of the oldest delivery that has not ended.
func oldestDelivery(st store.Status) (oldest time.Duration) {
	for _, r := range st.Receivers {
		oldest = max(oldest, r.Age(st.Signals.At))
	}
	return oldest
}

// oldestReport is the greatest age of any account's reports.
func oldestReport(reports []store.ReportState) (oldest time.Duration) {
	for _, r := range reports {
		oldest = max(oldest, r.Age)
	}
	return oldest
}
