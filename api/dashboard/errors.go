package dashboard

import (
	"context"
	"errors"
	"net/http"

	"github.com/conciliar/conciliar/store"
)

// A failure is an error that the operator can understand: a page of its own,
// with a text below error.
type failure struct {
	status int
	// key is the text's, args its arguments.
	key  string
	args []any
}

// Error implements error.
func (f *failure) Error() string { return "dashboard: " + f.key }

var (
	errNoPage   = &failure{status: http.StatusNotFound, key: "no_page"}
	errBadInput = &failure{status: http.StatusBadRequest, key: "bad_input"}
	errNoNote   = &failure{status: http.StatusUnprocessableEntity, key: "no_note"}
)

// failureOf is what an error means to the operator; nil when it is ours and
// nothing that they can do.
func failureOf(err error) *failure {
	var known *failure
	var state *store.StateError
	var waits *store.ReplayWaitsError
	missing := func(key string) *failure { return &failure{status: http.StatusNotFound, key: key} }
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, store.ErrEventNotFound):
		return missing("no_event")
	case errors.Is(err, store.ErrDeadLetterNotFound):
		return missing("no_dead_letter")
	case errors.Is(err, store.ErrBulkReplayNotFound):
		return missing("no_bulk_replay")
	case errors.Is(err, store.ErrAnomalyNotFound):
		return missing("no_anomaly")
	case errors.Is(err, store.ErrRefusedNotFound):
		return missing("no_refused")
	case errors.Is(err, store.ErrRunNotFound):
		return missing("no_run")
	case errors.As(err, &state):
		return &failure{status: http.StatusConflict, key: "done_already", args: []any{"id", state.ID}}
	case errors.As(err, &waits):
		return &failure{status: http.StatusConflict, key: "replay_waits", args: []any{"id", waits.QueueID, "replay", waits.Replay}}
	}
	return nil
}

// errorView is the body of the error page.
type errorView struct {
	Text      string
	RequestID string
	// Internal is true when the operator can do nothing but report it.
	Internal bool
}

// answerError writes the error's page. What the error says is logged; the page
// says the request's id, by which the log's line is found.
func (d *dashboard) answerError(c *call, err error) {
	requestID := c.actor().RequestID
	f := failureOf(err)
	internal := f == nil
	if internal {
		f = &failure{status: http.StatusInternalServerError, key: "internal"}
		if errors.Is(err, context.DeadlineExceeded) {
			f = &failure{status: http.StatusServiceUnavailable, key: "slow"}
			c.Header().Set("Retry-After", "5")
		}
		if c.Context().Err() == nil { // else the reader has gone away
			d.deps.Logger.ErrorContext(c.Context(), "page failed", "path", c.URL.Path, "request_id", requestID, "error", err)
		}
	}
	text, textErr := c.reader.T("error."+f.key, f.args...)
	if textErr != nil {
		text = http.StatusText(f.status)
	}
	p := &page{Title: "error.title", Body: errorView{Text: text, RequestID: requestID, Internal: internal}}
	if err := d.showStatus(c, f.status, "error", p); err != nil {
		d.deps.Logger.ErrorContext(c.Context(), "error page failed", "request_id", requestID, "error", err)
		http.Error(c.ResponseWriter, http.StatusText(f.status)+" ("+requestID+")", f.status)
	}
}

// Header is the answer's header; the request has one of the same name.
func (c *call) Header() http.Header { return c.ResponseWriter.Header() }
