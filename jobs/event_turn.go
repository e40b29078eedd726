package jobs

import (
	"context"
	"errors"
	"sync"
	"time"
)

// errNoTurn means that an attempt did not get its turn in time.
var errNoTurn = errors.New("the attempts before it take too long")

// turns are how many attempts may begin and ask at once. More than those are under way:
// one whose fetch is done waits for the group that it ends in, needs no turn then, and the
// more wait the fewer commits there are.
type turns chan struct{}

func newTurns(n int) turns { return make(turns, n) }

// turnKey is the context's key of what ends the turn.
type turnKey struct{}

// take waits for a turn, for half of the attempt's time at most: what is left must suffice
// to ask. It is over when endTurn is called with the context that it returns.
func (t turns) take(ctx context.Context) (context.Context, error) {
	wait := ctx
	if deadline, has := ctx.Deadline(); has {
		limited, cancel := context.WithTimeout(ctx, time.Until(deadline)/2)
		defer cancel()
		wait = limited
	}
	select {
	case t <- struct{}{}:
		return context.WithValue(ctx, turnKey{}, sync.OnceFunc(func() { <-t })), nil
	case <-wait.Done():
		if errors.Is(ctx.Err(), context.Canceled) {
			return ctx, ctx.Err()
		}
		return ctx, errNoTurn
	}
}

// endTurn ends the attempt's turn, if it has one still.
func endTurn(ctx context.Context) {
	if end, has := ctx.Value(turnKey{}).(func()); has {
		end()
	}
}
