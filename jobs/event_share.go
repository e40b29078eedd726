package jobs

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
)

// An admitter is a Fetcher whose calls wait for their turn.
type admitter interface {
	// Admit waits for the turn of one call, and returns the context to make it with.
	Admit(ctx context.Context) (context.Context, error)
}

// A sharedFetch fetches once for all events about the same that were received before
// the fetch begins. It begins when it is its turn to be sent: a provider's limit is what
// most events wait for. What is under way serves nobody who comes then, for its answer may
// be older than their event, and delays nobody, for it may hang.
type sharedFetch struct {
	// drawn is PostgreSQL's clock and the newest event id that was drawn.
	drawn func(ctx context.Context) (time.Time, int64, error)

	mu sync.Mutex
	// rounds are those that have not begun.
	rounds map[question]*fetchRound
}

// A question is what is fetched, and whose credentials ask.
type question struct {
	account store.Account
	ref     provider.Ref
}

// A fetchRound is one fetch for all who wait for it.
type fetchRound struct {
	// waiting is how many wait for it.
	waiting int
	cancel  context.CancelFunc
	// now and mark are the latest of those that the events began with.
	now   time.Time
	mark  int64
	done  chan struct{}
	found provider.Found
	err   error
	// panicked is what the fetch panicked with; nil when it did not.
	panicked any
}

// staleStart is how long after an event's start a fetch has its mark drawn once more: it
// then covers the events that came meanwhile.
const staleStart = 50 * time.Millisecond

// fetch fetches what the event is about, and returns the event with the clock and the
// mark of that fetch.
func (s *sharedFetch) fetch(ctx context.Context, asks Fetcher, account store.Account, event store.AttemptStart) (provider.Found, store.AttemptStart, error) {
	q := question{account, provider.Ref{Topic: event.Topic, ID: event.ResourceID}}
	r := s.join(ctx, asks, q, event)
	select {
	case <-r.done:
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.Canceled) {
			s.leave(q, r)
			return provider.Found{}, event, ctx.Err()
		}
		<-r.done // whose time was over no later, and which says what became of the call
	}
	if r.panicked != nil {
		panic(r.panicked) // in a worker, where the queue makes a failure of it
	}
	event.Now, event.Mark = r.now, r.mark
	return r.found, event, r.err
}

// join returns the round that has not begun, or a new one.
func (s *sharedFetch) join(ctx context.Context, asks Fetcher, q question, event store.AttemptStart) *fetchRound {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rounds[q]
	if r == nil {
		// Who asked first may leave, and the others still wait; but its time is the round's.
		ctx, cancel := lasting(ctx)
		r = &fetchRound{cancel: cancel, done: make(chan struct{})}
		if s.rounds == nil {
			s.rounds = map[question]*fetchRound{}
		}
		s.rounds[q] = r
		go s.run(ctx, asks, q, r)
	}
	r.waiting++
	r.mark = max(r.mark, event.Mark)
	if event.Now.After(r.now) {
		r.now = event.Now
	}
	return r
}

// lasting is a context that ends when ctx's time is over, and not when ctx is cancelled.
func lasting(ctx context.Context) (context.Context, context.CancelFunc) {
	if deadline, has := ctx.Deadline(); has {
		return context.WithDeadline(context.WithoutCancel(ctx), deadline)
	}
	return context.WithCancel(context.WithoutCancel(ctx))
}

// leave ends a round that nobody waits for.
func (s *sharedFetch) leave(q question, r *fetchRound) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.waiting--; r.waiting == 0 {
		r.cancel()
		s.close(q, r)
	}
}

// run fetches when it is the round's turn.
func (s *sharedFetch) run(ctx context.Context, asks Fetcher, q question, r *fetchRound) {
	defer r.cancel()
	defer close(r.done)
	defer func() {
		r.panicked = recover()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.close(q, r)
	}()
	waited := time.Now()
	if limited, is := asks.(admitter); is {
		if ctx, r.err = limited.Admit(ctx); r.err != nil {
			return
		}
	}
	if time.Since(waited) >= staleStart {
		s.draw(ctx, r)
	}
	s.mu.Lock()
	s.close(q, r)
	s.mu.Unlock()
	r.found, r.err = asks.Fetch(ctx, q.ref, nil)
}

// draw has the round's mark drawn once more. Where it can't be, that of the events is as
// right.
func (s *sharedFetch) draw(ctx context.Context, r *fetchRound) {
	now, mark, err := s.drawn(ctx)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r.now, r.mark = now, max(r.mark, mark)
}

// close has nobody join the round any more.
func (s *sharedFetch) close(q question, r *fetchRound) {
	if s.rounds[q] == r {
		delete(s.rounds, q)
	}
}
