package api

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/conciliar/conciliar/store"
)

// noteLength is how many bytes of a note are taken.
const noteLength = 2000

// actorOf is who calls, as the audit trail names them.
func actorOf(ev *requestEvent) store.Actor {
	return store.Actor{Name: "token:" + string(ev.token), RemoteIP: ev.remote, RequestID: ev.id}
}

// idOf is the path's id. What cannot be one is nothing that is there.
func idOf(c *gin.Context, name string, missing *ProblemKind, what string) (int64, error) {
	text := c.Param(name)
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id < 1 || strconv.FormatInt(id, 10) != text {
		return 0, newProblem(missing, fmt.Sprintf("No %s has this id; ids are whole numbers from 1 on.", what))
	}
	return id, nil
}

// bounded is the call's context for one question to the database.
func bounded(c *gin.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(c.Request.Context(), storageTimeout)
}

// operationProblem is what an error of the database means to whoever operates.
func operationProblem(err error) error {
	var state *store.StateError
	var waits *store.ReplayWaitsError
	switch {
	case errors.Is(err, store.ErrEventNotFound):
		return newProblem(problemEventNotFound, "No event has this id.")
	case errors.Is(err, store.ErrDeadLetterNotFound):
		return newProblem(problemDeadLetterNotFound, "No dead letter has this id.")
	case errors.Is(err, store.ErrBulkReplayNotFound):
		return newProblem(problemBulkReplayNotFound, "No bulk replay has this id.")
	case errors.Is(err, store.ErrAnomalyNotFound):
		return newProblem(problemAnomalyNotFound, "No anomaly has this id.")
	case errors.Is(err, store.ErrRefusedNotFound):
		return newProblem(problemRefusedNotFound, "No refused delivery has this id; the newest 10,000 of seven days are kept.")
	case errors.As(err, &state):
		return newProblem(problemStateConflict, fmt.Sprintf("The %s %d is %s already.", state.What, state.ID, state.State))
	case errors.As(err, &waits):
		return newProblem(problemReplayWaits, fmt.Sprintf("Event %d is being replayed as event %d, which has not ended yet.", waits.QueueID, waits.Replay))
	}
	return booksProblem(err)
}

// note reads the body of an action that must say why.
func (a *api) note(c *gin.Context) (string, error) {
	members, err := a.bodies.readObject(c.Request, "note")
	if err != nil {
		return "", err
	}
	note, err := members.text("note", `"paid in cash"`)
	if err != nil {
		return "", err
	}
	if note == "" || len(note) > noteLength {
		return "", newProblem(problemInvalidField, fmt.Sprintf(`The field "note" must have 1 to %d bytes.`, noteLength))
	}
	return note, nil
}
