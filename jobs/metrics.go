package jobs

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
)

// metrics count what attempts come to. They are filled in one place, with the
// attempt's log line.
type metrics struct {
	attempts   *prometheus.CounterVec
	duration   prometheus.Histogram
	settlement prometheus.Histogram
	odd        *prometheus.CounterVec
	told       *prometheus.CounterVec
	group      prometheus.Histogram
	alone      prometheus.Counter
}

// newMetrics registers the metrics; without a registerer they are counted for
// nobody.
func newMetrics(registerer prometheus.Registerer) *metrics {
	with := promauto.With(registerer)
	m := &metrics{
		attempts: with.NewCounterVec(prometheus.CounterOpts{
			Name: "conciliar_attempts_total", Help: "Attempts that ended, by outcome and, for those that failed, by class.",
		}, []string{"outcome", "error_class"}),
		duration: with.NewHistogram(prometheus.HistogramOpts{
			Name: "conciliar_attempt_duration_seconds", Help: "How long attempts took.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}),
		settlement: with.NewHistogram(prometheus.HistogramOpts{
			Name: "conciliar_settlement_delay_seconds", Help: "Time from an event's receipt to the settlement of its payment.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5, 15, 60, 300, 900, 3600, 14400, 86400},
		}),
		odd: with.NewCounterVec(prometheus.CounterOpts{
			Name: "conciliar_odd_payments_total", Help: "Payments that were read and can't be booked, by each field that is at fault.",
		}, []string{"field"}),
		told: with.NewCounterVec(prometheus.CounterOpts{
			Name: "conciliar_order_events_total", Help: "Order events that this process brought into the feed, by type.",
		}, []string{"type"}),
	}
	m.group = with.NewHistogram(prometheus.HistogramOpts{
		Name: "conciliar_settlement_group_events", Help: "Events that ended in one transaction, of those that were taken in groups.",
		Buckets: []float64{1, 2, 5, 10, 20, 50, 100},
	})
	m.alone = with.NewCounter(prometheus.CounterOpts{
		Name: "conciliar_settled_alone_total", Help: "Events that a group left to be settled in a transaction of their own.",
	})
	// A counter that first appears with its first count has no increase.
	for _, field := range provider.Fields() {
		m.odd.WithLabelValues(string(field))
	}
	for _, kind := range store.OrderEventTypes() {
		m.told.WithLabelValues(kind)
	}
	return m
}

// countOdd counts a payment that can't be booked.
func (m *metrics) countOdd(fields []provider.Field) {
	for _, field := range fields {
		m.odd.WithLabelValues(string(field)).Inc()
	}
}

// countGroup counts one transaction that ended events, and the events that it left.
func (m *metrics) countGroup(ended, alone int) {
	if ended > 0 {
		m.group.Observe(float64(ended))
	}
	m.alone.Add(float64(alone))
}

// record counts one attempt.
func (m *metrics) record(r attemptReport, took time.Duration) {
	m.attempts.WithLabelValues(r.outcome, r.class).Inc()
	m.duration.Observe(took.Seconds())
	if r.outcome == store.OutcomeSettled && !r.event.ReceivedAt.IsZero() {
		// Both times are PostgreSQL's, and the attempt went on after the second.
		m.settlement.Observe((r.event.Now.Sub(r.event.ReceivedAt) + took).Seconds())
	}
}

// deliveryMetrics count the attempts of deliveries.
type deliveryMetrics struct{ total *prometheus.CounterVec }

func newDeliveryMetrics(registerer prometheus.Registerer) *deliveryMetrics {
	return &deliveryMetrics{total: promauto.With(registerer).NewCounterVec(prometheus.CounterOpts{
		Name: "conciliar_deliveries_total",
		Help: "Attempts of deliveries, by receiver and result: delivered, failed (tried again) or dead (not tried again).",
	}, []string{"receiver", "result"})}
}

func (m *deliveryMetrics) count(receiver, result string) {
	m.total.WithLabelValues(receiver, result).Inc()
}
