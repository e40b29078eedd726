package dashboard

import (
	"context"

	"github.com/conciliar/conciliar/store"
)

type (
	actorKey  struct{}
	hiddenKey struct{}
)

// WithActor returns a context that carries who acts, for the audit trail. Its
// RequestID is shown on error pages, so that a person can name the log's line.
func WithActor(ctx context.Context, actor store.Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, actor)
}

// ActorFrom returns who acts; the zero Actor when nobody is logged in, and the
// books refuse an action by nobody.
func ActorFrom(ctx context.Context) store.Actor {
	actor, _ := ctx.Value(actorKey{}).(store.Actor)
	return actor
}

// HidePayerData returns a context whose pages show nothing that senders or a
// provider wrote, which may hold a payer's data, and no addresses.
func HidePayerData(ctx context.Context) context.Context {
	return context.WithValue(ctx, hiddenKey{}, true)
}

// hidesPayerData reports whether the page is for somebody who may not see payers'
// data.
func (c *call) hidesPayerData() bool { return c.Context().Value(hiddenKey{}) != nil }
