package api

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/conciliar/conciliar/api/dashboard"
)

const requestIDHeader = "X-Request-Id"

// A requestEvent is what one log line says about one call. Handlers fill it in.
type requestEvent struct {
	id     string
	remote netip.Addr
	// token names the caller's token, or the operator.
	token tokenName
	// list is which tokens the call's is one of.
	list access
	// role is what an operator may do.
	role dashboard.Role

	// What became of the call, in one word, and the problem's code if any.
	outcome string
	code    string
	// err is what the caller is not told.
	err error
	// quiet calls are logged at debug level.
	quiet bool

	queueID   int64
	topic     string
	reference string
	// providerRequestID is the sender's X-Request-Id, refusal why its delivery
	// was not accepted, source whether its address is in the list.
	providerRequestID string
	refusal           string
	source            string
	// sender is the source of a delivery, and declared the same where a file declares
	// it: one of few.
	sender, declared string
}

// eventKey is the request event's place in Gin's context.
const eventKey = "conciliar.event"

func eventOf(c *gin.Context) *requestEvent {
	ev, _ := c.MustGet(eventKey).(*requestEvent)
	return ev
}

// observe is around every call: it gives it an id, catches a panic and writes
// the log line.
func (a *api) observe(c *gin.Context) {
	start := a.now()
	ev := &requestEvent{id: a.requestID(c)}
	c.Set(eventKey, ev)
	c.Writer.Header()[requestIDHeader] = []string{ev.id}
	a.guardConnection(c)

	aborts := false
	func() {
		defer func() {
			if cause := recover(); cause != nil {
				aborts = a.recovered(c, ev, cause)
			}
		}()
		c.Next()
	}()
	endSpan(c)
	took := a.now().Sub(start)
	a.metrics.record(c, ev, took)
	a.log(c, ev, took)
	if aborts {
		panic(http.ErrAbortHandler) // how net/http is asked to cut a connection
	}
}

// recovered answers a panic as an internal error. When the answer has begun it
// asks to cut the connection, so that the caller cannot take it for a whole one.
func (a *api) recovered(c *gin.Context, ev *requestEvent, cause any) (aborts bool) {
	if cause == http.ErrAbortHandler { //nolint:errorlint // net/http compares the panic's value so, too
		ev.outcome = "aborted"
		return true
	}
	ev.code = problemInternal.Code
	ev.err = fmt.Errorf("panic: %v\n%s", cause, debug.Stack())
	if c.Writer.Written() {
		ev.outcome = "aborted"
		return true
	}
	writeProblem(c, ev, newProblem(problemInternal, internalDetail))
	return false
}

// requestID takes the caller's id where it is one. A webhook's X-Request-Id is
// the provider's and part of what it signed: it stays apart from ours.
func (a *api) requestID(c *gin.Context) string {
	if a.webhookAt(c.Request.URL.Path) == nil {
		if id := c.Request.Header.Get(requestIDHeader); saneID(id) {
			return id
		}
	}
	return rand.Text()
}

// saneID accepts what request ids are made of, so that one can be logged and
// sent back as it is.
func saneID(id string) bool {
	if id == "" || len(id) > 64 {
		return false
	}
	for i := range len(id) {
		b := id[i]
		if (b < 'a' || b > 'z') && (b < 'A' || b > 'Z') && (b < '0' || b > '9') && b != '-' && b != '_' && b != '.' && b != ':' {
			return false
		}
	}
	return true
}

// log writes the call's one line. It holds the path's template and never the
// path or the query: they may hold personal data.
func (a *api) log(c *gin.Context, ev *requestEvent, took time.Duration) {
	status := c.Writer.Status()
	level := slog.LevelInfo
	switch {
	case status >= http.StatusInternalServerError || ev.code == problemInternal.Code:
		level = slog.LevelError
	case ev.quiet, status == http.StatusTooManyRequests && ev.token == "":
		// A flood of strangers must not become a flood of lines.
		level = slog.LevelDebug
	case ev.refusal != "", status == http.StatusUnauthorized:
		level = slog.LevelWarn
	}
	ctx := c.Request.Context()
	if !a.deps.Logger.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 20)
	attrs = append(attrs,
		slog.String("request_id", ev.id),
		slog.String("method", clip(c.Request.Method, 16)),
		slog.String("path", routeOf(c)),
		slog.Int("status", status),
		slog.Float64("duration_ms", float64(took.Microseconds())/1000),
	)
	if ev.queueID != 0 {
		attrs = append(attrs, slog.Int64("queue_id", ev.queueID))
	}
	if ev.remote.IsValid() {
		attrs = append(attrs, slog.String("remote_ip", ev.remote.String()))
	}
	for _, f := range [...]struct{ key, value string }{
		{"outcome", ev.outcome},
		{"code", ev.code},
		{"topic", ev.topic},
		{"reason", ev.refusal},
		{"source", ev.sender},
		{"source_ip", ev.source},
		{"x_request_id", ev.providerRequestID},
		{"order_reference", ev.reference},
		{"token", string(ev.token)},
	} {
		if f.value != "" {
			attrs = append(attrs, slog.String(f.key, f.value))
		}
	}
	if ev.err != nil {
		attrs = append(attrs, slog.Any("error", ev.err))
	}
	a.deps.Logger.LogAttrs(ctx, level, "request", attrs...)
}

// checkQuery refuses a query that cannot be read, a parameter that the route
// does not know, and one that is there twice: a caller who mistypes a filter
// must not get the answer to another question.
func checkQuery(raw string, known []string) error {
	if raw == "" {
		return nil
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return newProblem(problemInvalidParameter, "The query has an invalid escape or a semicolon.")
	}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if !slices.Contains(known, name) {
			detail := fmt.Sprintf("Unknown query parameter %q.", clip(name, 64))
			if len(known) > 0 {
				detail += " Known: " + strings.Join(known, ", ") + "."
			}
			return newProblem(problemUnknownParameter, detail)
		}
		if len(values[name]) > 1 {
			return newProblem(problemInvalidParameter, fmt.Sprintf("The query parameter %q appears more than once.", name))
		}
	}
	return nil
}
