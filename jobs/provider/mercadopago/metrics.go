package mercadopago

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/conciliar/conciliar/jobs/provider"
)

// An operation is what is asked of Mercado Pago, as the metrics name it.
type operation string

const (
	operationSearch operation = "search"

	operationOrderSearch operation = "order_search"
	operationAccount     operation = "account"
)

// answerOK is the result of a call that was answered 200.
const answerOK = "ok"

// metrics count the calls to Mercado Pago.
type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	with := promauto.With(registerer)
	return &metrics{
		requests: with.NewCounterVec(prometheus.CounterOpts{
			Name: "conciliar_provider_requests_total", Help: "Calls to the payment provider, by operation and result.",
		}, []string{"operation", "result"}),
		duration: with.NewHistogramVec(prometheus.HistogramOpts{
			Name: "conciliar_provider_request_duration_seconds", Help: "How long calls to the payment provider took, by operation.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"operation"}),
	}
}

func (m *metrics) record(op operation, err error, took time.Duration) {
	result := answerOK
	var failed *provider.Error
	switch {
	case errors.As(err, &failed):
		result = failed.Kind.String()
	case err != nil:
		result = "cancelled"
	}
	m.requests.WithLabelValues(string(op), result).Inc()
	m.duration.WithLabelValues(string(op)).Observe(took.Seconds())
}
