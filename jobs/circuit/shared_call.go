package circuit

import (
	"context"
	"sync"
)

// A sharedCall asks one question for many who ask it at the same time. Each gets
// the answer of a round that began after they asked, for an older one may be out
// of date: a token that worked may have been revoked since. So at most one round
// is under way, and those who come meanwhile share the next.
type sharedCall[T any] struct {
	ask func(ctx context.Context) T

	mu      sync.Mutex
	running *round[T]
	next    *round[T]
}

// A round is one asking of the question.
type round[T any] struct {
	done   chan struct{}
	answer T
}

// do returns the answer, or ctx's error when ctx ends first.
func (c *sharedCall[T]) do(ctx context.Context) (answer T, err error) {
	r := c.join(ctx)
	select {
	case <-r.done:
		return r.answer, nil
	case <-ctx.Done():
		return answer, ctx.Err()
	}
}

func (c *sharedCall[T]) join(ctx context.Context) *round[T] {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running != nil {
		if c.next == nil {
			c.next = &round[T]{done: make(chan struct{})}
		}
		return c.next
	}
	c.running = &round[T]{done: make(chan struct{})}
	// The one who asked first may leave; the others still wait.
	go c.rounds(context.WithoutCancel(ctx), c.running)
	return c.running
}

// rounds asks until nobody waits.
func (c *sharedCall[T]) rounds(ctx context.Context, r *round[T]) {
	for r != nil {
		r.answer = c.ask(ctx)
		close(r.done)
		c.mu.Lock()
		c.running, c.next = c.next, nil
		r = c.running
		c.mu.Unlock()
	}
}
