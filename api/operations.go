package api

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/conciliar/conciliar/store"
)

// actorOf is who calls, as the audit trail names them.
func actorOf(ev *requestEvent) store.Actor {
	name := string(ev.token)
	if ev.role == "" { // nobody's login
		name = "token:" + name
	}
	return store.Actor{Name: name, RemoteIP: ev.remote, RequestID: ev.id}
}

// A subject is what a path names by an id.
type subject struct {
	param   string
	missing *ProblemKind
	what    string
}

var (
	anEvent     = subject{"queue_id", problemEventNotFound, "an event"}
	aDeadLetter = subject{"id", problemDeadLetterNotFound, "a dead letter"}
	aBulkReplay = subject{"id", problemBulkReplayNotFound, "a bulk replay"}
	anAnomaly   = subject{"id", problemAnomalyNotFound, "an anomaly"}
	aRefusal    = subject{"id", problemRefusedNotFound, "a refused delivery"}
	aDelivery   = subject{"id", problemNotFound, "an outgoing delivery"}
	aRun        = subject{"id", problemRunNotFound, "a run"}
)

// idOf is the path's id. What cannot be one is nothing that is there.
func idOf(c *gin.Context, ev *requestEvent, of subject) (int64, error) {
	text := c.Param(of.param)
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id < 1 || strconv.FormatInt(id, 10) != text {
		return 0, newProblem(of.missing, fmt.Sprintf("%q is not the id of %s; expected a positive integer.", clip(text, 32), of.what))
	}
	if of == anEvent {
		ev.queueID = id
	}
	return id, nil
}

// about does something about what the path names, in the time of one question to the
// database.
func about(of subject, do func(ctx context.Context, c *gin.Context, ev *requestEvent, id int64) error) handler {
	return func(c *gin.Context, ev *requestEvent) error {
		id, err := idOf(c, ev, of)
		if err != nil {
			return err
		}
		ctx, cancel := bounded(c)
		defer cancel()
		return do(ctx, c, ev, id)
	}
}

// show answers one thing by its id, as the caller may see it.
func show[T any](of subject, read func(ctx context.Context, id int64) (T, error), seen func(ev *requestEvent, v T) T) handler {
	return about(of, func(ctx context.Context, c *gin.Context, ev *requestEvent, id int64) error {
		v, err := read(ctx, id)
		if err != nil {
			return err
		}
		return answerJSON(c, http.StatusOK, seen(ev, v))
	})
}

// whole is a thing that everybody may see who may ask for it.
func whole[T any](_ *requestEvent, v T) T { return v }

// permitted is a thing without what senders and the provider wrote, which may hold
// a payer's data, unless the caller may see that.
func permitted[T interface{ WithoutContent() T }](ev *requestEvent, v T) T {
	if ev.list == accessProcessQueue {
		return v
	}
	return v.WithoutContent()
}

// replay makes a new event of one thing's delivery: 202, as its work is still to be
// done; 409 when somebody dealt with it before.
func replay(of subject, do func(ctx context.Context, id int64, by store.Actor) (store.Replay, error)) handler {
	return about(of, func(ctx context.Context, c *gin.Context, ev *requestEvent, id int64) error {
		made, err := do(ctx, id, actorOf(ev))
		if err != nil {
			return err
		}
		ev.outcome, ev.queueID = "replayed", made.QueueID
		c.Writer.Header()["Location"] = []string{eventsPath + "/" + strconv.FormatInt(made.QueueID, 10)}
		return answerJSON(c, http.StatusAccepted, made)
	})
}

// bounded is the call's context for one question to the database.
func bounded(c *gin.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(c.Request.Context(), storageTimeout)
}

// note reads the body of an action that must say why.
func (a *api) note(c *gin.Context) (store.Note, error) {
	members, err := a.bodies.readObject(c.Request, "note")
	if err != nil {
		return store.Note{}, err
	}
	text, err := members.text("note", `"paid in cash"`)
	if err != nil {
		return store.Note{}, err
	}
	return store.ParseNote(text)
}
