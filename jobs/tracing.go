package jobs

import (
	"context"
	"encoding/json"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"github.com/riverqueue/rivercontrib/otelriver"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// jobTrace is what a job's metadata say of its trace, by the name that W3C
// Trace Context gives it.
type jobTrace struct {
	Traceparent string `json:"traceparent"`
}

// traceMetadata are the metadata of a job whose attempts belong to a trace;
// nil for one that nobody traces.
func traceMetadata(traceparent string) ([]byte, error) {
	if traceparent == "" {
		return nil, nil
	}
	return json.Marshal(jobTrace{Traceparent: traceparent})
}

// traceparentOf is the traceparent of the attempt; empty when nobody traces it.
func traceparentOf(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier["traceparent"]
}

// tracing are the middlewares that trace attempts; none without a provider.
func tracing(provider trace.TracerProvider) []rivertype.Middleware {
	if provider == nil {
		return nil
	}
	return []rivertype.Middleware{
		&traceContinuation{},
		otelriver.NewMiddleware(&otelriver.MiddlewareConfig{TracerProvider: provider, EnableWorkSpanJobKindSuffix: true}),
	}
}

// A traceContinuation makes an attempt part of the trace that its job came
// from. otelriver by itself would begin a new one and link it: here a webhook's
// way from the call to the settled order is one picture, however late it ends.
type traceContinuation struct{ river.MiddlewareDefaults }

func (*traceContinuation) Work(ctx context.Context, job *rivertype.JobRow, work func(context.Context) error) error {
	var from jobTrace
	// Metadata belong to River and to others that add to them; what is not ours to
	// read is no reason not to work.
	if json.Unmarshal(job.Metadata, &from) == nil && from.Traceparent != "" {
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": from.Traceparent})
	}
	return work(ctx)
}
