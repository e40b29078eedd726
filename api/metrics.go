package api

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	// scrapeTimeout bounds one answer of /metrics.
	scrapeTimeout = 10 * time.Second
	// topicLabels is how many topics are told apart. A topic comes from outside,
	// and each one that is told apart is kept for as long as the process lives.
	topicLabels = 40
	topicOther  = "other"
)

// metrics count what the surface does. They are filled in one place, with the
// log line.
type metrics struct {
	requests     *prometheus.CounterVec
	duration     *prometheus.HistogramVec
	received     *prometheus.CounterVec
	refused      *prometheus.CounterVec
	acknowledged prometheus.Histogram
	topics       boundedLabel
	serve        http.Handler
}

func newMetrics(registry *prometheus.Registry) *metrics {
	if registry == nil {
		registry = prometheus.NewRegistry()
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
		acknowledged: with.NewHistogram(prometheus.HistogramOpts{
			Name: "conciliar_webhook_acknowledgement_duration_seconds", Help: "Time from a webhook's arrival to its 200, after the commit.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5, 15},
		}),
		topics: boundedLabel{most: topicLabels, known: map[string]bool{}},
		serve: promhttp.HandlerFor(registry, promhttp.HandlerOpts{
			// What can be read is told, also when something else cannot.
			ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 4, Timeout: scrapeTimeout,
		}),
	}
}

// record counts one answered call.
func (m *metrics) record(c *gin.Context, ev *requestEvent, took time.Duration) {
	route := routeOf(c)
	m.requests.WithLabelValues(route, methodLabel(c.Request.Method), strconv.Itoa(c.Writer.Status())).Inc()
	m.duration.WithLabelValues(route).Observe(took.Seconds())
	switch {
	case ev.refusal != "":
		m.refused.WithLabelValues(ev.refusal).Inc()
	case ev.outcome == outcomeLimited:
		m.refused.WithLabelValues(outcomeLimited).Inc()
	case ev.queueID != 0 && ev.topic != "":
		m.received.WithLabelValues(m.topics.of(ev.topic), ev.outcome).Inc()
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

// A boundedLabel passes the first values that it sees and calls the rest other.
type boundedLabel struct {
	mu    sync.Mutex
	most  int
	known map[string]bool
}

func (l *boundedLabel) of(value string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known[value] {
		return value
	}
	if len(l.known) >= l.most {
		return topicOther
	}
	l.known[value] = true
	return value
}

// showMetrics answers in Prometheus' text format.
func (a *api) showMetrics(c *gin.Context, ev *requestEvent) error {
	ev.quiet = true
	c.Writer.Header().Set("Cache-Control", "no-store")
	a.metrics.serve.ServeHTTP(c.Writer, c.Request)
	return nil
}
