package dashboard

import (
	"context"

	"github.com/conciliar/conciliar/store"
)

type (
	actorKey struct{}
	roleKey  struct{}
)

// WithActor returns a context that carries who acts, for the audit trail, and what
// they may do. The actor's RequestID is shown on error pages, so that a person can
// name the log's line.
func WithActor(ctx context.Context, actor store.Actor, role Role) context.Context {
	return context.WithValue(context.WithValue(ctx, actorKey{}, actor), roleKey{}, role)
}

// roleFrom returns what the one who acts may do: nothing when nobody is logged in.
func roleFrom(ctx context.Context) Role {
	role, _ := ctx.Value(roleKey{}).(Role)
	return role
}

// ActorFrom returns who acts; the zero Actor when nobody is logged in, and the
// store refuses an action by nobody.
func ActorFrom(ctx context.Context) store.Actor {
	actor, _ := ctx.Value(actorKey{}).(store.Actor)
	return actor
}

// hidesPayerData reports whether the page is for somebody who may see nothing that
// senders or a provider wrote, which may hold a payer's data, and no addresses.
func (c *call) hidesPayerData() bool { return !roleFrom(c.Context()).Allows(RoleOperator) }
