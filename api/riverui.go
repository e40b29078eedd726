package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"

	"github.com/gin-gonic/gin"
	"riverqueue.com/riverui"
	"riverqueue.com/riverui/uiendpoints"

	"github.com/conciliar/conciliar/api/dashboard"
	"github.com/conciliar/conciliar/store"
)

// RiverUIOptions are what River UI works with. All are required.
type RiverUIOptions struct {
	// Endpoints answer what changes nothing.
	Endpoints uiendpoints.Bundle
	// Act calls do with endpoints that work in one transaction, in which the
	// action is recorded too. An error of do undoes both and is returned.
	Act func(ctx context.Context, action store.JobAction, do func(uiendpoints.Bundle) error) error
	// Logger receives River UI's own log.
	Logger *slog.Logger
}

// RiverUI is River's own pages about its jobs, which let an operator retry,
// cancel and delete them. Every such action is in the audit trail, in the
// transaction that does it.
type RiverUI struct {
	opts    RiverUIOptions
	handler *riverui.Handler
	// start starts what the handler does in the background, once.
	start func() error
}

// NewRiverUI returns the pages. Nothing is counted for them before Start.
func NewRiverUI(opts RiverUIOptions) (*RiverUI, error) {
	if opts.Endpoints == nil || opts.Act == nil || opts.Logger == nil {
		return nil, errors.New("the River UI needs its endpoints, a way to act and a logger")
	}
	u := &RiverUI{opts: opts, start: func() error { return nil }}
	var err error
	if u.handler, err = u.newHandler(opts.Endpoints); err != nil {
		return nil, err
	}
	return u, nil
}

func (u *RiverUI) newHandler(endpoints uiendpoints.Bundle) (*riverui.Handler, error) {
	h, err := riverui.NewHandler(&riverui.HandlerOpts{
		Endpoints: endpoints, JobListHideArgsByDefault: true, Logger: u.opts.Logger, Prefix: riverUIPath,
	})
	if err != nil {
		return nil, fmt.Errorf("the River UI: %w", err)
	}
	return h, nil
}

// Start has the first page that is asked for begin the counting of jobs in the
// background, until ctx is done: where nobody looks nothing is counted. It starts no
// River client: nothing is worked and nothing led.
func (u *RiverUI) Start(ctx context.Context) {
	u.start = sync.OnceValue(func() error { return u.handler.Start(ctx) })
}

// riverUI serves River UI to an operator. An action that we would not know how
// to record is not passed on.
func (a *api) riverUI(c *gin.Context, ev *requestEvent) error {
	if err := a.deps.RiverUI.start(); err != nil {
		return fmt.Errorf("start the River UI: %w", err)
	}
	r := c.Request
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		ev.quiet = true // its pages ask every few seconds
		if strings.Contains(path.Base(r.URL.Path), ".") || strings.HasPrefix(r.URL.Path, riverUIPath+"/api/") {
			a.compressed(a.deps.RiverUI.handler).ServeHTTP(c.Writer, r)
			return nil
		}
		return a.deps.RiverUI.showPage(c.Writer, r)
	}
	body, release, err := a.bodies.read(r)
	defer release()
	if err != nil {
		return err
	}
	action, err := jobActionOf(r.Method, strings.TrimPrefix(r.URL.Path, riverUIPath), body)
	if err != nil {
		return err
	}
	action.By = actorOf(ev)
	ev.outcome = action.Action
	ctx, cancel := context.WithTimeout(r.Context(), storageTimeout)
	defer cancel()
	answer, err := a.deps.RiverUI.act(ctx, action, r, body)
	if err != nil {
		return err
	}
	answer.copyTo(c.Writer)
	return nil
}

// showPage shows a page of River UI with a line of ours, which it has no place for.
func (u *RiverUI) showPage(w http.ResponseWriter, r *http.Request) error {
	note, err := dashboard.RiverUINote(r)
	if err != nil {
		return err
	}
	page := &heldAnswer{header: http.Header{}, status: http.StatusOK}
	u.handler.ServeHTTP(page, r)
	shown := bytes.Replace(page.body.Bytes(), []byte("</body>"), []byte(string(note)+"</body>"), 1)
	page.body = *bytes.NewBuffer(shown)
	page.copyTo(w)
	return nil
}

// jobsActions are what River UI asks to do with jobs.
var jobsActions = map[string]string{
	"/api/jobs/retry":  store.ActionRetryJobs,
	"/api/jobs/cancel": store.ActionCancelJobs,
	"/api/jobs/delete": store.ActionDeleteJobs,
}

// jobActionOf says what a call of River UI (v0.22) asks for.
func jobActionOf(method, path string, body []byte) (store.JobAction, error) {
	if action, ok := jobsActions[path]; ok && method == http.MethodPost {
		ids, err := jobIDsOf(body)
		return store.JobAction{Action: action, JobIDs: ids}, err
	}
	if queue, ok := strings.CutPrefix(path, "/api/queues/"); ok {
		name, verb, _ := strings.Cut(queue, "/")
		switch {
		case name == "":
		case method == http.MethodPut && verb == "pause":
			return store.JobAction{Action: store.ActionPauseQueue, Queue: name}, nil
		case method == http.MethodPut && verb == "resume":
			return store.JobAction{Action: store.ActionResumeQueue, Queue: name}, nil
		case method == http.MethodPatch && verb == "":
			return store.JobAction{Action: store.ActionChangeQueue, Queue: name}, nil
		}
	}
	return store.JobAction{}, newProblem(problemNotFound, "River UI has no such action.")
}

// mostJobs is how many jobs River UI takes in one call.
const mostJobs = 1000

// jobIDsOf reads the ids, which River UI sends as texts.
func jobIDsOf(body []byte) ([]int64, error) {
	var asked struct {
		IDs []json.RawMessage `json:"ids"`
	}
	if err := json.Unmarshal(body, &asked); err != nil {
		return nil, newProblem(problemInvalidJSON, "The body must be a JSON object.")
	}
	if len(asked.IDs) == 0 || len(asked.IDs) > mostJobs {
		return nil, newProblem(problemInvalidField, fmt.Sprintf(`The field "ids" must have 1 to %d ids of jobs.`, mostJobs))
	}
	ids := make([]int64, len(asked.IDs))
	for i, raw := range asked.IDs {
		id, err := strconv.ParseInt(strings.Trim(string(raw), `"`), 10, 64)
		if err != nil || id < 1 {
			return nil, newProblem(problemInvalidField, `The field "ids" contains an invalid job id.`)
		}
		ids[i] = id
	}
	return ids, nil
}

// errNotDone undoes what River UI has refused or failed to do.
var errNotDone = errors.New("the River UI did not do it")

// act lets River UI do one thing and records it, both or neither. River UI's own
// refusal is an answer, not an error.
func (u *RiverUI) act(ctx context.Context, action store.JobAction, r *http.Request, body []byte) (*heldAnswer, error) {
	var answer *heldAnswer
	err := u.opts.Act(ctx, action, func(endpoints uiendpoints.Bundle) error {
		h, err := u.newHandler(endpoints)
		if err != nil {
			return err
		}
		answer = &heldAnswer{header: http.Header{}, status: http.StatusOK}
		again := r.Clone(ctx)
		again.Body, again.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		h.ServeHTTP(answer, again)
		if answer.status >= http.StatusMultipleChoices {
			return errNotDone
		}
		return nil
	})
	if err != nil && !errors.Is(err, errNotDone) {
		return nil, err
	}
	return answer, nil
}

// A heldAnswer is an answer that is sent after the commit.
type heldAnswer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (h *heldAnswer) Header() http.Header { return h.header }

func (h *heldAnswer) WriteHeader(status int) { h.status = status }

func (h *heldAnswer) Write(p []byte) (int, error) { return h.body.Write(p) }

func (h *heldAnswer) copyTo(w http.ResponseWriter) {
	if contentType := h.header.Get("Content-Type"); contentType != "" {
		w.Header().Set("Content-Type", contentType)
	}
	w.WriteHeader(h.status)
	// A failure here means that the caller is gone; there is nobody to tell.
	_, _ = w.Write(h.body.Bytes())
}
