package store

import "sync"

// A gatherer hands over together what waits at the same moment. There is no timer:
// what is alone waits for nobody.
type gatherer[T any] struct {
	waiting chan T
	// mu guards closed: submit holds it for reading while it submits.
	mu     sync.RWMutex
	closed bool
	hands  sync.WaitGroup
}

// gather starts a gatherer that hands over up to most at a time to do, which keeps
// nothing of the slice. Close stops it.
func gather[T any](most int, do func([]T)) *gatherer[T] {
	g := &gatherer[T]{waiting: make(chan T, most)}
	g.hands.Go(func() {
		batch := make([]T, 0, most)
		for first := range g.waiting {
			batch = fill(append(batch[:0], first), g.waiting, most)
			do(batch)
			clear(batch)
		}
	})
	return g
}

// submit hands over an item, and reports false when the gatherer is closed.
func (g *gatherer[T]) submit(item T) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.closed {
		return false
	}
	g.waiting <- item
	return true
}

// close stops the gatherer and returns when what was submitted is done.
func (g *gatherer[T]) close() {
	g.mu.Lock()
	if !g.closed {
		g.closed = true
		close(g.waiting)
	}
	g.mu.Unlock()
	g.hands.Wait()
}

// fill adds to a batch what waits at this moment, up to most.
func fill[T any](batch []T, waiting <-chan T, most int) []T {
	for len(batch) < most {
		select {
		case next, open := <-waiting:
			if !open {
				return batch
			}
			batch = append(batch, next)
		default:
			return batch
		}
	}
	return batch
}
