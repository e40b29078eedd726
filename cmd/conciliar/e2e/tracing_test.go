package e2e

import (
	"compress/gzip"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	traces "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/conciliar/conciliar/store/storetest"
)

// A traceCollector is an OpenTelemetry collector that keeps what it is sent.
type traceCollector struct {
	mu    sync.Mutex
	spans []*traces.Span
}

func newTraceCollector(t *testing.T) (*traceCollector, string) {
	t.Helper()
	c := &traceCollector{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := c.take(r); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	}))
	t.Cleanup(srv.Close)
	return c, srv.URL
}

func (c *traceCollector) take(r *http.Request) error {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(r.Body)
		if err != nil {
			return err
		}
		body = unzipped
	}
	raw, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	var export collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(raw, &export); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range export.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			c.spans = append(c.spans, scope.GetSpans()...)
		}
	}
	return nil
}

// trace is every span of the trace that has one named so.
func (c *traceCollector) trace(t *testing.T, name string) []*traces.Span {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []*traces.Span
	for _, root := range c.spans {
		if root.GetName() != name {
			continue
		}
		require.Empty(t, found, "one call, one trace")
		for _, span := range c.spans {
			if string(span.GetTraceId()) == string(root.GetTraceId()) {
				found = append(found, span)
			}
		}
	}
	require.NotEmpty(t, found, "no span is named %q", name)
	return found
}

func TestTracing_OneTraceGoesFromTheWebhookToTheSettlement(t *testing.T) {
	t.Parallel()
	spans, endpoint := newTraceCollector(t)
	sim, provider := newProvider(t)
	r, service := serve(t, environment(storetest.URL(t), provider, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}))
	buy(t, sim, service, "order-1")
	awaitBody(t, service+"/api/orders/order-1", ordersToken, `"status":"paid"`)
	_, _ = get(t, service+"/livez", "")
	// The last spans are sent when the service stops.
	require.Equal(t, exitDone, r.stop())

	trace := spans.trace(t, "POST /api/checkout/webhook")

	names := map[string]*traces.Span{}
	queries := 0
	for _, span := range trace {
		names[span.GetName()] = span
		if strings.Contains(span.String(), "db.query.text") {
			queries++
		}
	}
	work, asked := names["river.work/webhook_payment"], names["HTTP GET"]
	require.NotNil(t, work, "the attempt")
	require.NotNil(t, asked, "the fetch")
	require.Equal(t, names["POST /api/checkout/webhook"].GetSpanId(), work.GetParentSpanId())
	require.Equal(t, work.GetSpanId(), asked.GetParentSpanId())
	require.Greater(t, queries, 3, "the settlement's statements")

	spans.mu.Lock()
	defer spans.mu.Unlock()
	for _, span := range spans.spans {
		require.NotContains(t, span.GetName(), "livez")
		text := span.String()
		for _, secret := range []string{testSecret, testAccess, statusToken, ordersToken, "Bearer"} {
			require.NotContains(t, text, secret)
		}
	}
}

// A collector that is away costs its traces and nothing else.
func TestTracing_ACollectorThatIsAwayStopsNothing(t *testing.T) {
	t.Parallel()
	away := httptest.NewServer(http.NotFoundHandler())
	away.Close()
	sim, provider := newProvider(t)
	r, service := serve(t, environment(storetest.URL(t), provider, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": away.URL}))
	buy(t, sim, service, "order-1")
	awaitBody(t, service+"/api/orders/order-1", ordersToken, `"status":"paid"`)
	require.Equal(t, exitDone, r.stop())
}

// Mercado Pago must not be told the ids of our traces, nor decide them.
func TestTracing_TracesAreOurOwn(t *testing.T) {
	t.Parallel()
	spans, endpoint := newTraceCollector(t)
	told := make(chan string, 100)
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		told <- r.Header.Get("Traceparent")
		w.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(provider.Close)
	r, service := serve(t, environment(storetest.URL(t), provider.URL, map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "RETRY_MAX_ATTEMPTS": "1",
	}))
	const theirs = "4bf92f3577b34da6a3ce929d0e0e4736"
	sendSigned(t, service, "999", func(h http.Header) { h.Set("Traceparent", "00-"+theirs+"-00f067aa0ba902b7-01") })
	awaitBody(t, service+"/api/webhooks/dead-letters", statusToken, `"retries_exhausted"`)
	require.Equal(t, exitDone, r.stop())

	close(told)
	require.NotEmpty(t, told)
	for traceparent := range told {
		require.Empty(t, traceparent)
	}
	linked := 0
	for _, span := range spans.trace(t, "POST /api/checkout/webhook") {
		require.NotEqual(t, theirs, hex.EncodeToString(span.GetTraceId()))
		for _, link := range span.GetLinks() {
			require.Equal(t, theirs, hex.EncodeToString(link.GetTraceId()))
			linked++
		}
	}
	require.Equal(t, 1, linked, "the caller's is linked")
}
