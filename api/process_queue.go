package api

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/conciliar/conciliar/jobs"
)

// defaultWake is how many events one call wakes unless it says otherwise.
const defaultWake = 1000

// processQueue makes the next attempt of what waits due now, waits for it, and
// answers what became of it, with the queue as it was before and after.
func (a *api) processQueue(c *gin.Context, ev *requestEvent) error {
	options, err := a.bodies.options(c.Request, "wait", "limit")
	if err != nil {
		return err
	}
	wait, err := options.wait()
	if err != nil {
		return err
	}
	limit := defaultWake
	if text, given := options["limit"]; given {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > jobs.WakeLimit {
			return newProblem(problemInvalidParameter,
				fmt.Sprintf("limit is %q; it takes a number from 1 to %d.", clip(text, 64), jobs.WakeLimit))
		}
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), wait+storageTimeout)
	defer cancel()
	done, err := a.deps.Operator.ProcessQueue(ctx, limit, wait, actorOf(ev))
	if err != nil {
		return err
	}
	ev.outcome = "processed"
	if done.TimedOut {
		ev.outcome = "timed_out"
	}
	return answerJSON(c, http.StatusOK, done)
}
