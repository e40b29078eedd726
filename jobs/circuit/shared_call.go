package circuit

import (
	"context"
	"sync"
)

// A sharedCall asks one question for many who ask it at the same time. Whoever
// asks gets the answer of a round that began after they did, for an older one
// may be out of date: a token that worked may have been revoked since. So at
// most one round is under way, and those who come meanwhile share the next.
type sharedCall struct {
	ask func(ctx context.Context) error

	mu      sync.Mutex
	running *round
	next    *round
}

// A round is one asking of the question.
type round struct {
	done chan struct{}
	err  error
}

// do returns the answer, or ctx's error when ctx ends first.
func (c *sharedCall) do(ctx context.Context) error {
	r := c.join(ctx)
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *sharedCall) join(ctx context.Context) *round {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running != nil {
		if c.next == nil {
			c.next = &round{done: make(chan struct{})}
		}
		return c.next
	}
	c.running = &round{done: make(chan struct{})}
	// Whoever asked first may leave; the others still wait.
	go c.rounds(context.WithoutCancel(ctx), c.running)
	return c.running
}

// rounds asks until nobody waits.
func (c *sharedCall) rounds(ctx context.Context, r *round) {
	for r != nil {
		r.err = c.ask(ctx)
		close(r.done)
		c.mu.Lock()
		c.running, c.next = c.next, nil
		r = c.running
		c.mu.Unlock()
	}
}
