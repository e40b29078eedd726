package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"golang.org/x/sync/singleflight"
)

const (
	// checkTimeout bounds each check of /readyz.
	checkTimeout = 2 * time.Second
	notReadyWait = 5 * time.Second
)

var errCheckTimeout = errors.New("no answer in time")

// livez answers 200 for as long as the process serves.
func (a *api) livez(c *gin.Context, ev *requestEvent) error {
	ev.quiet = true
	writeBody(c, http.StatusOK, "application/json", []byte(`{"status":"alive"}`+"\n"))
	return nil
}

// readyz answers 200 when every check holds, else 503 with the names of those
// that don't.
func (a *api) readyz(c *gin.Context, ev *requestEvent) error {
	failed, shown := a.ready.run(c.Request.Context())
	if len(failed) > 0 {
		return newProblem(problemNotReady, "Failing checks: "+strings.Join(failed, ", ")+".").after(notReadyWait)
	}
	ev.quiet = true
	shown["status"] = "ready"
	return writeJSON(c, http.StatusOK, "application/json", shown)
}

// readiness runs the checks. Callers at the same moment share one run of each,
// so that a check which hangs holds one goroutine and one connection however
// often it is asked for.
type readiness struct {
	checks  []Check
	timeout time.Duration
	logger  *slog.Logger
	flights singleflight.Group
}

func newReadiness(checks []Check, logger *slog.Logger) *readiness {
	return &readiness{checks: checks, timeout: checkTimeout, logger: logger}
}

// run runs all checks side by side and returns the names of those that failed, and
// what the others show.
func (rd *readiness) run(ctx context.Context) (failed []string, shown map[string]any) {
	// Not bounded by the call: a caller who hangs up is not a failed check.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rd.timeout)
	defer cancel()
	results := make([]<-chan singleflight.Result, len(rd.checks))
	for i, check := range rd.checks {
		results[i] = rd.flights.DoChan(check.Name, func() (any, error) { return rd.one(ctx, check) })
	}
	shown = map[string]any{}
	for i, check := range rd.checks {
		found, err := outcome(ctx, results[i])
		switch {
		case err != nil:
			failed = append(failed, check.Name)
			rd.logger.WarnContext(ctx, "not ready", "check", check.Name, "error", err)
		case found != nil:
			shown[check.Name] = found
		}
	}
	return failed, shown
}

// outcome waits for a check's result. One that is there counts, also when the
// time is up because another check has used it.
func outcome(ctx context.Context, result <-chan singleflight.Result) (any, error) {
	select {
	case r := <-result:
		return r.Val, r.Err
	case <-ctx.Done():
	}
	select {
	case r := <-result:
		return r.Val, r.Err
	default:
		return nil, errCheckTimeout
	}
}

// one runs a check apart from the call that asked for it: others may wait for
// its result when that caller is gone. A panic in it is a failed check.
func (rd *readiness) one(ctx context.Context, check Check) (shown any, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rd.timeout)
	defer cancel()
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("panic: %v", cause)
		}
	}()
	err = check.Check(ctx, func(v any) { shown = v })
	return shown, err
}
