package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/conciliar/conciliar/store"
)

const replaysPath = "/api/webhooks/replays"

// A ReplayCount is the answer to a bulk replay that is only tried.
type ReplayCount struct {
	DryRun bool `json:"dry_run"`
	// Matching is how many open dead letters the filter selects, WouldReplay how
	// many of them the limit lets through.
	Matching    int64 `json:"matching"`
	WouldReplay int64 `json:"would_replay"`
}

// NewReplayCount is the answer for so many dead letters; limit 0 is none.
func NewReplayCount(matching, limit int64) ReplayCount {
	would := matching
	if limit > 0 {
		would = min(matching, limit)
	}
	return ReplayCount{DryRun: true, Matching: matching, WouldReplay: would}
}

// A bulkRequest is the body of a bulk replay.
type bulkRequest struct {
	filter store.DeadLetterFilter
	limit  int64
	dryRun bool
}

// readBulkRequest reads it. The filter must be there, if only as {}: an empty
// body must not replay everything.
func (a *api) readBulkRequest(c *gin.Context) (bulkRequest, error) {
	var req bulkRequest
	members, err := a.bodies.readObject(c.Request, "filter", "dry_run", "limit")
	if err != nil {
		return req, err
	}
	q, err := members.filter(openDeadLetters...)
	if err != nil {
		return req, err
	}
	req.filter = deadLetterFilter(q)
	if q.err != nil {
		return req, q.err
	}
	if req.dryRun, err = members.flag("dry_run"); err != nil {
		return req, err
	}
	req.limit, err = members.positive("limit")
	return req, err
}

// openDeadLetters are the members of a filter of open dead letters: a state has no place
// there.
var openDeadLetters = []string{"reason", "error_class", "topic", "since", "until"}

// filter returns the member "filter", an object of these members, to be read as a query
// is.
func (o object) filter(known ...string) (*filters, error) {
	raw, given := o["filter"]
	if !given {
		return nil, newProblem(problemInvalidField, `The field "filter" is missing; {} selects every open one.`)
	}
	if raw[0] != '{' {
		return nil, newProblem(problemInvalidField, fmt.Sprintf(`The field "filter" is %s; it must be an object.`, jsonType(raw)))
	}
	return filtersOf(raw, known...)
}

// flag returns a member that may be there and must be true or false then.
func (o object) flag(name string) (value bool, err error) {
	raw, given := o[name]
	if !given {
		return false, nil
	}
	if raw[0] != 't' && raw[0] != 'f' {
		return false, newProblem(problemInvalidField, fmt.Sprintf("The field %q is %s; it must be true or false.", name, jsonType(raw)))
	}
	return raw[0] == 't', nil
}

// positive returns a member that may be there and must be a whole number from 1
// on then; 0 when it is not there.
func (o object) positive(name string) (int64, error) {
	raw, given := o[name]
	if !given {
		return 0, nil
	}
	var n int64
	if err := json.Unmarshal(raw, &n); err != nil || n < 1 {
		return 0, newProblem(problemInvalidField, fmt.Sprintf("The field %q must be a positive integer.", name))
	}
	return n, nil
}

// replayDeadLetters replays what a filter selects among the open dead letters.
// 200 when it is done, or only counted; 202 when its steps go on.
func (a *api) replayDeadLetters(c *gin.Context, ev *requestEvent) error {
	req, err := a.readBulkRequest(c)
	if err != nil {
		return err
	}
	ctx, cancel := bounded(c)
	defer cancel()
	if req.dryRun {
		matching, err := a.deps.Storage.CountReplayable(ctx, req.filter)
		if err != nil {
			return err
		}
		ev.outcome = "counted"
		return answerJSON(c, http.StatusOK, NewReplayCount(matching, req.limit))
	}
	bulk, err := a.deps.Operator.ReplayDeadLetters(ctx, req.filter, req.limit, actorOf(ev))
	if err != nil {
		return err
	}
	c.Writer.Header()["Location"] = []string{replaysPath + "/" + strconv.FormatInt(bulk.ID, 10)}
	if bulk.State == store.BulkReplayDone {
		ev.outcome = "replayed"
		return answerJSON(c, http.StatusOK, bulk)
	}
	ev.outcome = "started"
	return answerJSON(c, http.StatusAccepted, bulk)
}

// cancelReplay stops a bulk replay. What was replayed stays so.
func (a *api) cancelReplay() handler {
	return about(aBulkReplay, func(ctx context.Context, c *gin.Context, ev *requestEvent, id int64) error {
		bulk, err := a.deps.Storage.CancelBulkReplay(ctx, id, actorOf(ev))
		if err != nil {
			return err
		}
		ev.outcome = "cancelled"
		return answerJSON(c, http.StatusOK, bulk)
	})
}
