package source

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// Forward says as what events go on.
type Forward struct {
	// Headers and Body are templates; Body is the body as it came when empty.
	Headers map[string]string
	Body    string
	// Accept are the statuses that accept a delivery, such as "204" or "200-299"; those
	// of 200 to 299 when empty.
	Accept []string
	// Retry are the waits between the attempts; the engine's own when empty.
	Retry []time.Duration
}

// An Event is what a template is rendered over.
type Event struct {
	QueueID    int64
	Source     string
	Type       string
	ID         string
	Time       time.Time
	ReceivedAt time.Time
	Body       []byte
}

// A Message is an event as it goes on.
type Message struct {
	Headers map[string]string
	Body    []byte
}

// A StatusRange are the HTTP statuses from First to Last, both included.
type StatusRange struct{ First, Last int }

const (
	// maxBody and maxHeader bound what templates make.
	maxBody, maxHeader = 1 << 20, 8 << 10
	// maxHeaders is how many headers a forward may have, and maxRetries how many waits.
	maxHeaders, maxRetries = 32, 32
	// maxWait is the longest wait between two attempts.
	maxWait = 32 * 24 * time.Hour
)

// eventFields are what the templates of a forward may name.
var eventFields = []string{"Body", "RawBody", "ID", "Type", "Time", "Source", "QueueID", "ReceivedAt"}

// A forwarder makes messages of events.
type forwarder struct {
	headers map[string]*renderer
	body    *renderer
	accept  []StatusRange
}

// forwarder checks a Forward.
func (f *fieldErrors) forwarder(spec Forward) *forwarder {
	made := &forwarder{headers: map[string]*renderer{}}
	f.demand(len(spec.Headers) <= maxHeaders, "forward.headers", "has more than "+strconv.Itoa(maxHeaders))
	for _, name := range slices.Sorted(maps.Keys(spec.Headers)) {
		field := "forward.headers." + name
		canonical := http.CanonicalHeaderKey(name)
		f.demand(httpguts.ValidHeaderFieldName(name), field, "is not the name of a header")
		f.demand(made.headers[canonical] == nil, field, "is there twice")
		template, err := newTemplate(spec.Headers[name], eventFields, maxHeader)
		if err != nil {
			f.demand(false, field, err.Error())
		}
		made.headers[canonical] = template
	}
	if spec.Body != "" {
		var err error
		if made.body, err = newTemplate(spec.Body, eventFields, maxBody); err != nil {
			f.demand(false, "forward.body", err.Error())
		}
	}
	made.accept = f.statuses(spec.Accept)
	f.demand(len(spec.Retry) <= maxRetries, "forward.retry", "has more than "+strconv.Itoa(maxRetries)+" waits")
	for _, wait := range spec.Retry {
		f.demand(wait > 0 && wait <= maxWait, "forward.retry", "has a wait that is not longer than 0s, or longer than 32d")
	}
	return made
}

// statuses reads which answers accept a delivery.
func (f *fieldErrors) statuses(given []string) []StatusRange {
	if len(given) == 0 {
		return []StatusRange{{200, 299}}
	}
	ranges := make([]StatusRange, len(given))
	for i, text := range given {
		first, last, isRange := strings.Cut(text, "-")
		if !isRange {
			last = first
		}
		from, err1 := strconv.Atoi(strings.TrimSpace(first))
		to, err2 := strconv.Atoi(strings.TrimSpace(last))
		ok := err1 == nil && err2 == nil && from >= 200 && from <= to && to <= 599
		f.demand(ok, "forward.accept", "must be statuses from 200 to 599, such as 204 or 200-299")
		ranges[i] = StatusRange{from, to}
	}
	return ranges
}

// Accept are the statuses that accept what is forwarded; none when nothing is.
func (s *Source) Accept() []StatusRange {
	if s.forward == nil {
		return nil
	}
	return s.forward.accept
}

// A RenderError is why an event can't be forwarded: its templates don't fit it. Its
// text holds nothing of the event.
type RenderError struct{ Field, Problem string }

// Error implements error.
func (e *RenderError) Error() string { return e.Field + ": " + e.Problem }

// Render makes the message that forwards an event. The error is a *RenderError.
func (s *Source) Render(event Event) (Message, error) {
	data := map[string]any{
		"RawBody": string(event.Body), "ID": event.ID, "Type": event.Type, "Source": event.Source, "QueueID": event.QueueID,
		"ReceivedAt": event.ReceivedAt.UTC().Format(time.RFC3339Nano), "Time": "",
	}
	if !event.Time.IsZero() {
		data["Time"] = event.Time.UTC().Format(time.RFC3339Nano)
	}
	// Of a body that is not JSON there is no .Body, so that a template which needs it
	// fails and sends nothing wrong.
	if document, err := parseJSON(event.Body); err == nil {
		data["Body"] = document
	}
	message := Message{Headers: map[string]string{}, Body: event.Body}
	for name, template := range s.forward.headers {
		value, err := template.render(data)
		if err != nil {
			return Message{}, &RenderError{"forward.headers." + name, err.Error()}
		}
		if !httpguts.ValidHeaderFieldValue(string(value)) {
			return Message{}, &RenderError{"forward.headers." + name, "makes what a header cannot carry"}
		}
		message.Headers[name] = string(value)
	}
	if s.forward.body != nil {
		var err error
		if message.Body, err = s.forward.body.render(data); err != nil {
			return Message{}, &RenderError{"forward.body", err.Error()}
		}
	}
	return message, nil
}
