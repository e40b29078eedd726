package api

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	// waitsPoll is how often the orders are looked at that somebody waits for.
	waitsPoll = 500 * time.Millisecond
	// waitsReads is how many waiting calls may read their order at once: when many
	// wait, the others must still find a connection.
	waitsReads = 4
)

// orderWaits tells calls that wait for an order when it may have changed. A call
// that waits holds no connection: while there are any, one goroutine asks for the
// versions of all the orders that are waited for in one statement.
type orderWaits struct {
	versions func(ctx context.Context, references []string) (map[string]string, error)
	logger   *slog.Logger
	// reads has a place for each call that may read its order.
	reads chan struct{}

	mu      sync.Mutex
	orders  map[string]*awaitedOrder
	polling bool
}

// An awaitedOrder is an order that somebody waits for.
type awaitedOrder struct {
	calls int
	// version is that of the last look; empty before the first.
	version string
	// changed is closed, and replaced, when another version is found, and at the
	// first look: what changed between a call's reading and that is not known.
	changed chan struct{}
}

func newOrderWaits(versions func(ctx context.Context, references []string) (map[string]string, error), logger *slog.Logger) *orderWaits {
	return &orderWaits{versions: versions, logger: logger, reads: make(chan struct{}, waitsReads), orders: map[string]*awaitedOrder{}}
}

// join makes the order one that is waited for, until leave is called.
func (w *orderWaits) join(reference string) (leave func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	o := w.orders[reference]
	if o == nil {
		o = &awaitedOrder{changed: make(chan struct{})}
		w.orders[reference] = o
	}
	o.calls++
	if !w.polling {
		w.polling = true
		go w.poll()
	}
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if o.calls--; o.calls == 0 {
			delete(w.orders, reference)
		}
	}
}

// change is closed once an order that was joined may have changed. It must be
// asked for before the order is read.
func (w *orderWaits) change(reference string) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.orders[reference].changed
}

// poll looks at the orders that are waited for, until there are none.
func (w *orderWaits) poll() {
	tick := time.Tick(waitsPoll)
	for range tick {
		references := w.awaited()
		if references == nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), storageTimeout)
		versions, err := w.versions(ctx, references)
		cancel()
		if err != nil {
			w.logger.Warn("orders that are waited for not looked at", "error", err)
			continue
		}
		w.tell(versions)
	}
}

// awaited returns the orders that are waited for; nil when there are none, which
// ends the polling.
func (w *orderWaits) awaited() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.orders) == 0 {
		w.polling = false
		return nil
	}
	return slices.Collect(maps.Keys(w.orders))
}

// tell wakes the calls whose order has another version.
func (w *orderWaits) tell(versions map[string]string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for reference, version := range versions {
		if o := w.orders[reference]; o != nil && o.version != version {
			o.version = version
			close(o.changed)
			o.changed = make(chan struct{})
		}
	}
}
