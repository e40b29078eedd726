package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	// scrapeTimeout bounds one answer of /metrics.
	scrapeTimeout = 10 * time.Second
	// topicOther is the label of a topic that is not on the sender's list.
	topicOther = "other"
)

// metrics count what the surface does. They are filled in one place, with the
// log line.
type metrics struct {
	requests     *prometheus.CounterVec
	duration     *prometheus.HistogramVec
	received     *prometheus.CounterVec
	refused      *prometheus.CounterVec
	hooks        *prometheus.CounterVec
	acknowledged prometheus.Histogram
	topics       map[string]bool
	serve        http.Handler
}

func newMetrics(registry *prometheus.Registry, webhooks []Webhook) *metrics {
	if registry == nil {
		registry = prometheus.NewRegistry()
	}
	topics := map[string]bool{}
	for _, w := range webhooks {
		for _, topic := range w.Topics {
			topics[topic] = true
		}
	}
	with := promauto.With(registry)
	return &metrics{
		requests: with.NewCounterVec(prometheus.CounterOpts{
			Name: "conciliar_http_requests_total", Help: "Calls answered, by route, method and status.",
		}, []string{"route", "method", "status"}),
		duration: with.NewHistogramVec(prometheus.HistogramOpts{
			Name: "conciliar_http_request_duration_seconds", Help: "How long calls took, by route.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"route"}),
		received: with.NewCounterVec(prometheus.CounterOpts{
			Name: "conciliar_webhooks_received_total", Help: "Webhooks made durable, by topic and by what became of them at once.",
		}, []string{"topic", "outcome"}),
		refused: with.NewCounterVec(prometheus.CounterOpts{
			Name: "conciliar_webhooks_refused_total", Help: "Webhooks refused, by reason.",
		}, []string{"reason"}),
		hooks: with.NewCounterVec(prometheus.CounterOpts{
			Name: "conciliar_source_webhooks_total", Help: "Webhooks of declared sources, by source and by what became of them at once.",
		}, []string{"source", "outcome"}),
		acknowledged: with.NewHistogram(prometheus.HistogramOpts{
			Name: "conciliar_webhook_acknowledgement_duration_seconds", Help: "Time from a webhook's arrival to its 200, after the commit.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5, 15},
		}),
		topics: topics,
		serve: promhttp.HandlerFor(registry, promhttp.HandlerOpts{
			// What can be read is told, also when something else cannot.
			ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 4, Timeout: scrapeTimeout,
		}),
	}
}

// record counts one answered call.
func (m *metrics) record(c *gin.Context, ev *requestEvent, took time.Duration) {
	route := routeOf(c)
	if ev.declared != "" && ev.outcome != "" {
		m.hooks.WithLabelValues(ev.declared, ev.outcome).Inc()
	}
	m.requests.WithLabelValues(route, methodLabel(c.Request.Method), strconv.Itoa(c.Writer.Status())).Inc()
	m.duration.WithLabelValues(route).Observe(took.Seconds())
	switch {
	case ev.refusal != "":
		m.refused.WithLabelValues(ev.refusal).Inc()
	case ev.outcome == outcomeLimited:
		m.refused.WithLabelValues(outcomeLimited).Inc()
	case ev.queueID != 0 && ev.topic != "":
		m.received.WithLabelValues(m.topicLabel(ev.topic), ev.outcome).Inc()
		m.acknowledged.Observe(took.Seconds())
	}
}

// routeOf is the template of the route that answered, never the path itself.
func routeOf(c *gin.Context) string {
	if path := c.FullPath(); path != "" {
		return path
	}
	return "unmatched"
}

// methodLabel bounds what a caller can make of the method.
func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}

// topicLabel bounds what a sender can make of the topic.
func (m *metrics) topicLabel(topic string) string {
	if m.topics[topic] {
		return topic
	}
	return topicOther
}

// showMetrics answers in Prometheus' text format.
func (a *api) showMetrics(c *gin.Context, ev *requestEvent) error {
	ev.quiet = true
	c.Writer.Header().Set("Cache-Control", "no-store")
	a.metrics.serve.ServeHTTP(c.Writer, c.Request)
	return nil
}
