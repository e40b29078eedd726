package dashboard

import (
	"errors"
	"net/http"
	"time"

	"github.com/conciliar/conciliar/store"
)

// A failure is an error of the pages' own: a page with a text below error.
type failure struct {
	status int
	// key is the text's, args its arguments.
	key  string
	args []any
}

func (f *failure) Error() string { return f.key }

var (
	errNoPage   = &failure{status: http.StatusNotFound, key: "not_found"}
	errRole     = &failure{status: http.StatusForbidden, key: "role"}
	errBadInput = &failure{status: http.StatusBadRequest, key: "invalid"}
	errNoNote   = &failure{status: http.StatusUnprocessableEntity, key: "no_note"}
	errTerms    = &failure{status: http.StatusUnprocessableEntity, key: "terms"}
	errCurrency = &failure{status: http.StatusUnprocessableEntity, key: "currency_unknown"}
	errAmount   = &failure{status: http.StatusBadRequest, key: "terms"}
	errManyDays = &failure{status: http.StatusBadRequest, key: "many_days", args: []any{"n", store.MostPaymentDays}}
	errTooFine  = &failure{status: http.StatusUnprocessableEntity, key: "amount_too_fine"}
)

// statuses are the HTTP statuses by what the store says of an error.
var statuses = map[store.ProblemClass]int{
	store.Internal: http.StatusInternalServerError, store.Unavailable: http.StatusServiceUnavailable,
	store.Invalid: http.StatusBadRequest, store.Unauthenticated: http.StatusUnauthorized,
	store.NotFound: http.StatusNotFound, store.Conflict: http.StatusConflict,
}

// failureFor is what the page says about an error, and whether the operator can
// do nothing but wait or report it. A problem without a text of its own has its
// class's.
func (c *call) failureFor(err error) (f *failure, ours bool) {
	if errors.As(err, &f) {
		return f, false
	}
	told := store.ProblemOf(err)
	f = &failure{status: statuses[told.Class], key: told.Code, args: told.Args}
	if !c.reader.Has("error", told.Code) {
		f.key = string(told.Class)
	}
	return f, told.Class == store.Internal || told.Class == store.Unavailable
}

// errorView is the body of the error page.
type errorView struct {
	Text      string
	RequestID string
	// Link leads to what the error is about; empty when that is nothing with a page.
	Link string
	// Last is what was done to it last; nil when that is not known.
	Last *store.OperatorAction
	// Internal is true when the operator can do nothing but wait or report it.
	Internal bool
	// Waits is true while the database does not answer, Since is from when on; the zero
	// time where that is not known. Sent is true where the call may have changed
	// something.
	Waits bool
	Since time.Time
	Sent  bool
}

// answerError writes the error's page. What the error says is logged; the page
// says the request's id, by which the log's line is found.
func (d *dashboard) answerError(c *call, err error) {
	requestID := c.actor().RequestID
	f, ours := c.failureFor(err)
	if f.status == http.StatusServiceUnavailable {
		c.Header().Set("Retry-After", "5")
	}
	if ours && c.Context().Err() == nil { // else the reader has gone away
		d.deps.Logger.ErrorContext(c.Context(), "page failed", "path", c.URL.Path, "request_id", requestID, "error", err)
	}
	text, textErr := c.reader.T("error."+f.key, f.args...)
	if textErr != nil {
		text = http.StatusText(f.status)
	}
	p, body := &page{Title: "error.title"}, errorView{Text: text, RequestID: requestID, Internal: ours}
	if f.status == http.StatusServiceUnavailable {
		p.wait(&body, c.Request)
	}
	d.aboutConflict(c, err, &body)
	p.Body = body
	if !body.Waits && c.ctx.Err() == nil { // the page is worth having without it
		p.work, _ = d.deps.Storage.OpenWork(c.ctx)
	}
	if err := d.write(c, f.status, "error", p); err != nil {
		d.deps.Logger.ErrorContext(c.Context(), "error page failed", "request_id", requestID, "error", err)
		http.Error(c.ResponseWriter, http.StatusText(f.status)+" ("+requestID+")", f.status)
	}
}

// conflictTargets are what a StateError names, as the audit has it.
var conflictTargets = map[string]string{
	"dead letter": store.TargetDeadLetter, "anomaly": store.TargetAnomaly, "bulk replay": store.TargetBulkReplay, "delivery": store.TargetDelivery,
}

// aboutConflict leads to what somebody else dealt with, and says who did, and when.
func (d *dashboard) aboutConflict(c *call, err error, v *errorView) {
	var conflict *store.StateError
	var limit *store.RefundLimitError
	if errors.Is(err, store.ErrRefundChanged) || errors.As(err, &limit) {
		v.Link = orderPath(c.PostForm.Get("reference"))
		return
	}
	if !errors.As(err, &conflict) || conflictTargets[conflict.What] == "" {
		return
	}
	kind := conflictTargets[conflict.What]
	v.Link = Base + targetPages[kind] + idText(conflict.ID)
	last, err := d.deps.Storage.LastAction(c.ctx, kind, conflict.ID)
	if err != nil { // the page is worth having without it
		d.deps.Logger.ErrorContext(c.Context(), "last action not read", "request_id", c.actor().RequestID, "error", err)
	}
	v.Last = last
}

// Header is the answer's header; the request has one of the same name.
func (c *call) Header() http.Header { return c.ResponseWriter.Header() }
