package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

const (
	// traceAttempt bounds one call to the collector, as OTLP does by default.
	traceAttempt = 10 * time.Second
	// traceAttempts is how often the same traces are sent.
	traceAttempts = 3
)

// A traceSender sends traces by OTLP over HTTP. OpenTelemetry's own sender brings all of
// gRPC along, 2 MiB of the program, for the sake of the message's Go type.
type traceSender struct {
	address string
	headers http.Header
	client  *http.Client
	// retry is the first wait between two attempts; each is twice the one before.
	retry time.Duration
}

func newTraceSender(endpoint string) *traceSender {
	return &traceSender{
		address: endpoint + "/v1/traces",
		headers: otlpHeaders(cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS"), os.Getenv("OTEL_EXPORTER_OTLP_HEADERS"))),
		client:  &http.Client{Timeout: traceAttempt},
		retry:   time.Second,
	}
}

// otlpHeaders reads key=value pairs apart by commas, values encoded as in a URL, as
// OpenTelemetry specifies. What is none is left out: it may be a secret, so no error
// can name it.
func otlpHeaders(list string) http.Header {
	headers := http.Header{}
	for pair := range strings.SplitSeq(list, ",") {
		name, encoded, _ := strings.Cut(pair, "=")
		if value, err := url.PathUnescape(strings.TrimSpace(encoded)); err == nil && strings.TrimSpace(name) != "" {
			headers.Set(strings.TrimSpace(name), value)
		}
	}
	return headers
}

// Start implements otlptrace.Client. The collector is first called when there are traces.
func (*traceSender) Start(context.Context) error { return nil }

// Stop implements otlptrace.Client.
func (s *traceSender) Stop(context.Context) error {
	s.client.CloseIdleConnections()
	return nil
}

// UploadTraces implements otlptrace.Client.
func (s *traceSender) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	// On the wire these are the same as an ExportTraceServiceRequest: field 1 alone.
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err != nil {
		return err
	}
	for attempt, wait := 1, s.retry; ; attempt, wait = attempt+1, 2*wait {
		passes, err := s.send(ctx, body)
		if err == nil || !passes || attempt == traceAttempts {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
	}
}

// send sends once, and says of an error whether it may pass.
func (s *traceSender) send(ctx context.Context, body []byte) (passes bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.address, bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	req.Header = s.headers.Clone()
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("User-Agent", "conciliar/"+version)
	resp, err := s.client.Do(req)
	if err != nil {
		return true, err
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection serves again
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		passes = true
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		return passes, fmt.Errorf("the collector answered %d", resp.StatusCode)
	}
	return false, nil
}
