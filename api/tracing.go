package api

import (
	"context"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// traced traces the calls to h; it is h when nobody wants traces. A caller's own
// trace is linked and not gone on with: callers are strangers, and the provider
// sends the traces of its own monitoring.
func traced(h http.Handler, provider trace.TracerProvider) http.Handler {
	if provider == nil {
		return h
	}
	return otelhttp.NewHandler(h, "request",
		otelhttp.WithTracerProvider(provider),
		otelhttp.WithPropagators(propagation.TraceContext{}),
		otelhttp.WithPublicEndpointFn(func(*http.Request) bool { return true }),
		otelhttp.WithFilter(func(r *http.Request) bool { return !watched(r.URL.Path) }),
		otelhttp.WithSpanNameFormatter(func(string, *http.Request) string { return "request" }))
}

// watched are the paths that monitors and pages ask for all the time.
func watched(path string) bool {
	switch path {
	case "/livez", "/readyz", "/metrics":
		return true
	}
	return strings.HasPrefix(path, dashboardPath+"/assets/")
}

// nameSpan names the call's span by its route, which is known only now.
func nameSpan(c *gin.Context) {
	if span := trace.SpanFromContext(c.Request.Context()); span.IsRecording() {
		span.SetName(methodLabel(c.Request.Method) + " " + routeOf(c))
	}
}

// traceparentOf names the call's place in its trace, for what follows from it;
// empty when nobody keeps the trace.
func traceparentOf(ctx context.Context) string {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return ""
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier["traceparent"]
}
