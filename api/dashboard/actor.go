package dashboard

import (
	"context"

	"github.com/conciliar/conciliar/store"
)

type actorKey struct{}

// WithActor returns a context that carries who is logged in.
func WithActor(ctx context.Context, actor store.Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, actor)
}

// ActorFrom is who is logged in; the zero Actor, in whose name nothing can be
// done, when nobody is.
func ActorFrom(ctx context.Context) store.Actor {
	actor, _ := ctx.Value(actorKey{}).(store.Actor)
	return actor
}
