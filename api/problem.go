package api

import (
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
)

// A Problem is an error as a caller sees it: RFC 9457, application/problem+json,
// with a stable code and the request's id beside the standard members.
type Problem struct {
	// Type is a URI that identifies the kind of problem, and where it is
	// described.
	Type string `json:"type"`
	// Title says the same for every problem of its kind.
	Title string `json:"title"`
	// Status is the HTTP status.
	Status int `json:"status"`
	// Detail says what is wrong with this call, and where.
	Detail string `json:"detail"`
	// Code is the kind's stable word, for programs.
	Code string `json:"code"`
	// RequestID finds the call in the log.
	RequestID string `json:"request_id"`
}

// problem is an error that callers may be told.
type problem struct {
	kind   *ProblemKind
	detail string
	// retryAfter is sent when positive.
	retryAfter time.Duration
	// authenticate is the WWW-Authenticate challenge, when there is one.
	authenticate string
	// closes asks to close the connection: the rest of the call is not read.
	closes bool
	// cause is logged and never answered.
	cause error
}

func newProblem(kind *ProblemKind, detail string) *problem {
	return &problem{kind: kind, detail: detail}
}

func (p *problem) Error() string {
	text := p.kind.Code + ": " + p.detail
	if p.cause != nil {
		text += ": " + p.cause.Error()
	}
	return text
}

func (p *problem) Unwrap() error { return p.cause }

// because attaches what is logged and not answered.
func (p *problem) because(err error) *problem {
	p.cause = err
	return p
}

// after says when to try again. Parts of a second are rounded up.
func (p *problem) after(d time.Duration) *problem {
	p.retryAfter = d
	return p
}

// answerError answers err and leaves in ev what the log line says about it.
func (a *api) answerError(c *gin.Context, ev *requestEvent, err error) {
	p := problemFor(err)
	if p.kind.Status == http.StatusConflict && ev.outcome == "" {
		ev.outcome = "conflict"
	}
	ev.code, ev.err = p.kind.Code, p.cause
	if wantsPage(c.Request) {
		shown := a.showProblem(c, ev, p)
		if shown == nil {
			return
		}
		ev.err = errors.Join(ev.err, shown)
	}
	writeProblem(c, ev, p)
}

func writeProblem(c *gin.Context, ev *requestEvent, p *problem) {
	h := c.Writer.Header()
	if p.retryAfter > 0 {
		setRetryAfter(h, p.retryAfter)
	}
	if p.authenticate != "" {
		h["Www-Authenticate"] = []string{p.authenticate}
	}
	if p.closes {
		h["Connection"] = []string{"close"}
	}
	err := writeJSON(c, p.kind.Status, "application/problem+json", Problem{
		Type: p.kind.URI(), Title: p.kind.Title, Status: p.kind.Status,
		Detail: p.detail, Code: p.kind.Code, RequestID: ev.id,
	})
	if err != nil {
		ev.err = errors.Join(ev.err, err)
		c.Writer.WriteHeader(p.kind.Status)
	}
}
