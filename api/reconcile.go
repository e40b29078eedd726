package api

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/conciliar/conciliar/store"
)

const (
	// A caller who waits for an operation waits this long unless it says
	// otherwise, and no longer than maxWait.
	defaultWait = 10 * time.Second
	maxWait     = 30 * time.Second
)

// reconcile starts a reconciliation, or joins the one that is running, and
// waits for its end: 200 with the run, or 202 with its id when it takes longer
// than the caller waits.
func (a *api) reconcile(c *gin.Context, ev *requestEvent) error {
	options, err := a.bodies.options(c.Request, "wait", "trigger")
	if err != nil {
		return err
	}
	wait, err := options.wait()
	if err != nil {
		return err
	}
	trigger, given := options["trigger"]
	switch {
	case !given:
		trigger = store.TriggerManual
	case trigger != store.TriggerManual && trigger != store.TriggerCron:
		return newProblem(problemInvalidParameter, fmt.Sprintf("trigger is %q; it takes manual or cron.", clip(trigger, 64)))
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), storageTimeout)
	defer cancel()
	run, joined, err := a.deps.Storage.StartRun(ctx, store.RunRequest{
		Trigger: trigger, Scope: store.ScopeRegular, By: actorOf(ev),
	})
	if err != nil {
		return err
	}
	ev.outcome = "started"
	if joined {
		ev.outcome = "joined"
	}
	waitCtx, done := context.WithTimeout(c.Request.Context(), wait)
	defer done()
	if run, err = a.deps.Storage.WaitRun(waitCtx, run.ID, nil); err != nil {
		return err
	}
	if run.Status == store.RunRunning {
		c.Writer.Header()["Location"] = []string{"/api/webhooks/runs/" + strconv.FormatInt(run.ID, 10)}
		return answerJSON(c, http.StatusAccepted, struct {
			ID     int64  `json:"id"`
			Status string `json:"status"`
		}{run.ID, run.Status})
	}
	return answerJSON(c, http.StatusOK, inUTC(run))
}

// inUTC is the run with its times in UTC.
func inUTC(run store.Run) store.Run {
	run.StartedAt = run.StartedAt.UTC()
	run.FinishedAt, run.Position = utc(run.FinishedAt), utc(run.Position)
	run.WindowStart, run.WindowEnd = utc(run.WindowStart), utc(run.WindowEnd)
	return run
}

// callOptions are what a caller says beside the path, in the query or in a
// JSON body.
type callOptions map[string]string

// options reads a call's options. The query was checked against the route's
// parameters; an empty body is fine; an option may be given in one place only.
func (b *bodyReader) options(r *http.Request, known ...string) (callOptions, error) {
	options := callOptions{}
	query := r.URL.Query()
	for _, name := range known {
		if query.Has(name) {
			options[name] = query.Get(name)
		}
	}
	if err := checkMediaType(r.Header); err != nil {
		return nil, err
	}
	body, release, err := b.read(r)
	defer release()
	if err != nil || len(body) == 0 {
		return options, err
	}
	members, err := parseObject(body, known...)
	if err != nil {
		return nil, err
	}
	for name := range members {
		if _, twice := options[name]; twice {
			return nil, newProblem(problemInvalidField, fmt.Sprintf("%q is given both in the query and in the body.", name))
		}
		if options[name], err = members.option(name); err != nil {
			return nil, err
		}
	}
	return options, nil
}

// optionHints say how the options of calls look.
var optionHints = map[string]string{"wait": `"10s"`, "trigger": `"cron"`, "limit": `100`, "cursor": `"MS5wYXltZW50cy4x"`}

// option returns an option as the query would have it: the limit, which is a
// number, by its digits, and the others, which are strings, by their text.
func (o object) option(name string) (string, error) {
	if name == "limit" {
		if kind := jsonType(o[name]); kind != "a number" {
			return "", newProblem(problemInvalidField, fmt.Sprintf("The field %q is %s; it must be a number like %s.", name, kind, optionHints[name]))
		}
		return string(o[name]), nil
	}
	return o.text(name, optionHints[name])
}

// wait is how long the caller waits for an operation's end.
func (o callOptions) wait() (time.Duration, error) {
	text, given := o["wait"]
	if !given {
		return defaultWait, nil
	}
	wait, err := time.ParseDuration(text)
	if err != nil || wait < 0 || wait > maxWait {
		return 0, newProblem(problemInvalidParameter, fmt.Sprintf("wait is %q; it takes a duration such as 10s, at most 30s.", clip(text, 64)))
	}
	return wait, nil
}
