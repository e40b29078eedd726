package api

import (
	"context"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// traced traces the calls to h; it is h when nobody wants traces. A caller's own
// trace is linked and not continued: callers are strangers, and the provider
// sends the traces of its own monitoring.
func traced(h http.Handler, provider trace.TracerProvider) http.Handler {
	if provider == nil {
		return h
	}
	tracer := provider.Tracer("github.com/conciliar/conciliar/api")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if watched(r.URL.Path) {
			h.ServeHTTP(w, r)
			return
		}
		options := []trace.SpanStartOption{
			trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindServer),
			trace.WithAttributes(semconv.HTTPRequestMethodKey.String(methodLabel(r.Method)), semconv.URLPath(r.URL.Path), semconv.UserAgentOriginal(r.UserAgent())),
		}
		caller := trace.LinkFromContext(propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header)))
		if caller.SpanContext.IsValid() {
			options = append(options, trace.WithLinks(caller))
		}
		ctx, span := tracer.Start(r.Context(), "request", options...)
		defer span.End()
		h.ServeHTTP(w, r.WithContext(ctx))
	})
}

// watched are the paths that monitors and pages ask for all the time.
func watched(path string) bool {
	switch path {
	case "/livez", "/readyz", "/metrics":
		return true
	}
	return strings.HasPrefix(path, dashboardPath+"/assets/")
}

// endSpan says in the call's span what is known only now: its route and its answer.
func endSpan(c *gin.Context) {
	span := trace.SpanFromContext(c.Request.Context())
	if !span.IsRecording() {
		return
	}
	span.SetName(methodLabel(c.Request.Method) + " " + routeOf(c))
	span.SetAttributes(semconv.HTTPRoute(routeOf(c)), semconv.HTTPResponseStatusCode(c.Writer.Status()))
	if c.Writer.Status() >= http.StatusInternalServerError {
		span.SetStatus(codes.Error, "")
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
