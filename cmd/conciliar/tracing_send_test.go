package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// senderTo is a sender to a collector that answers with these statuses in turn, and what
// the collector was sent.
func senderTo(t *testing.T, statuses ...int) (*traceSender, *[]*http.Request, *[][]byte) {
	t.Helper()
	var calls []*http.Request
	var bodies [][]byte
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		calls, bodies = append(calls, r), append(bodies, body)
		w.WriteHeader(statuses[min(len(calls), len(statuses))-1])
	}))
	t.Cleanup(srv.Close)
	s := newTraceSender(srv.URL)
	s.retry = time.Nanosecond
	return s, &calls, &bodies
}

var someSpans = []*tracepb.ResourceSpans{{ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{{Name: "request"}}}}}}

func TestTraceSender_SendsWhatOTLPAsksFor(t *testing.T) {
	t.Parallel()
	s, calls, bodies := senderTo(t, http.StatusOK)
	s.headers = otlpHeaders("api-key=a%20b, X-Scope=shop,=lost,broken=%zz")
	require.NoError(t, s.UploadTraces(t.Context(), someSpans))

	require.Len(t, *calls, 1)
	r := (*calls)[0]
	require.Equal(t, "/v1/traces", r.URL.Path)
	require.Equal(t, "application/x-protobuf", r.Header.Get("Content-Type"))
	require.Equal(t, "a b", r.Header.Get("Api-Key"))
	require.Equal(t, "shop", r.Header.Get("X-Scope"))
	require.Empty(t, r.Header.Get("Broken"))
	var sent collectorpb.ExportTraceServiceRequest
	require.NoError(t, proto.Unmarshal((*bodies)[0], &sent))
	require.Equal(t, "request", sent.GetResourceSpans()[0].GetScopeSpans()[0].GetSpans()[0].GetName())
}

func TestTraceSender_RepeatsWhatMayPass(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		statuses []int
		calls    int
		failed   string
	}{
		{[]int{http.StatusServiceUnavailable, http.StatusTooManyRequests, http.StatusOK}, 3, ""},
		{[]int{http.StatusBadGateway}, traceAttempts, "the collector answered 502"},
		{[]int{http.StatusUnauthorized}, 1, "the collector answered 401"},
	} {
		s, calls, bodies := senderTo(t, c.statuses...)
		err := s.UploadTraces(t.Context(), someSpans)
		if c.failed == "" {
			require.NoError(t, err)
		} else {
			require.EqualError(t, err, c.failed)
		}
		require.Len(t, *calls, c.calls)
		require.Equal(t, (*bodies)[0], (*bodies)[c.calls-1], "the same again")
	}
}
