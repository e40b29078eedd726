package api

import (
	"context"
	"fmt"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/conciliar/conciliar/store"
)

// actorOf is who calls, as the audit trail names them.
func actorOf(ev *requestEvent) store.Actor {
	return store.Actor{Name: "token:" + string(ev.token), RemoteIP: ev.remote, RequestID: ev.id}
}

// idOf is the path's id. What cannot be one is nothing that is there.
func idOf(c *gin.Context, name string, missing *ProblemKind, what string) (int64, error) {
	text := c.Param(name)
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id < 1 || strconv.FormatInt(id, 10) != text {
		return 0, newProblem(missing, fmt.Sprintf("%q is not the id of %s; expected a positive integer.", clip(text, 32), what))
	}
	return id, nil
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
