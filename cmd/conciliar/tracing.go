package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/exaring/otelpgx"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/conciliar/conciliar/config"
)

// newTracing sends traces to the collector that the configuration names; nil
// when it names none. Whoever gets one shuts it down. What else there is to say
// of it, such as OTEL_TRACES_SAMPLER, the OpenTelemetry library reads from the
// environment itself.
func newTracing(ctx context.Context, cfg config.Tracing, logger *slog.Logger) (*sdktrace.TracerProvider, error) {
	endpoint := cfg.TracesEndpoint.String()
	if endpoint == "" {
		return nil, nil //nolint:nilnil // nothing is to be traced
	}
	exporter, err := otlptrace.New(ctx, newTraceSender(endpoint))
	if err != nil {
		return nil, err
	}
	described, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", "conciliar"), attribute.String("service.version", version)),
		resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("what traces say of this process: %w", err)
	}
	// A collector that is away is no reason to stop, and none to be silent.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { logger.Warn("traces are lost", "error", err) }))
	return sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(described)), nil
}

// tracerProvider is the provider for parts that take none for nil.
func (a *app) tracerProvider() trace.TracerProvider {
	if a.traces == nil {
		return nil
	}
	return a.traces
}

// queryTracer traces what is asked of the database within a trace; nil when
// nothing is traced. Values are never in it.
func (a *app) queryTracer() pgx.QueryTracer {
	if a.traces == nil {
		return nil
	}
	return otelpgx.NewTracer(otelpgx.WithTracerProvider(a.traces))
}

// providerTransport traces calls to Mercado Pago; nil, for the client's own,
// when nothing is traced. Our traces' ids are not told to Mercado Pago.
func (a *app) providerTransport(base http.RoundTripper) http.RoundTripper {
	if a.traces == nil {
		return nil
	}
	return otelhttp.NewTransport(base, otelhttp.WithTracerProvider(a.traces),
		otelhttp.WithPropagators(propagation.NewCompositeTextMapPropagator()))
}
