package api

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
)

// waitsReads is how many waiting calls may read what they wait for at once: when many
// wait, the others must still find a connection.
const waitsReads = 4

// waits tells calls that wait for a change of something when it may have changed. A
// call that waits holds no connection: while there are any, one goroutine asks for the
// versions of everything that is waited for in one statement.
type waits struct {
	// every is how often it asks versions, by which a key has another text once it may
	// have changed.
	every    time.Duration
	versions func(ctx context.Context, keys []string) (map[string]string, error)
	logger   *slog.Logger
	stopping <-chan struct{}
	// reads has a place for each call that may read what it waits for.
	reads chan struct{}

	mu      sync.Mutex
	keys    map[string]*awaited
	polling bool
}

// An awaited is something that somebody waits for.
type awaited struct {
	calls int
	// version is that of the last look; empty before the first.
	version string
	// changed is closed, and replaced, when another version is found, and at the
	// first look: what changed between a call's reading and that is not known.
	changed chan struct{}
}

func newWaits(every time.Duration, versions func(ctx context.Context, keys []string) (map[string]string, error), stopping <-chan struct{}, logger *slog.Logger) *waits {
	return &waits{
		every: every, versions: versions, logger: logger, stopping: stopping,
		reads: make(chan struct{}, waitsReads), keys: map[string]*awaited{},
	}
}

// await has read called now and whenever the key may have changed, until it reports
// that it has answered. It is false when the time is over before, the process stops or
// the caller is gone.
func (w *waits) await(c *gin.Context, key string, wait time.Duration, read func() (answered bool, err error)) (answered bool, err error) {
	end := time.NewTimer(wait)
	defer end.Stop()
	defer w.join(key)()
	for {
		changed := w.change(key)
		select {
		case w.reads <- struct{}{}:
		case <-end.C:
			return false, nil
		case <-c.Request.Context().Done():
			return false, nil
		}
		answered, err = read()
		<-w.reads
		if err != nil || answered {
			return answered, err
		}
		select {
		case <-changed:
		case <-end.C:
			return false, nil
		case <-w.stopping:
			return false, nil
		case <-c.Request.Context().Done():
			return false, nil
		}
	}
}

// join makes the key one that is waited for, until leave is called.
func (w *waits) join(key string) (leave func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	a := w.keys[key]
	if a == nil {
		a = &awaited{changed: make(chan struct{})}
		w.keys[key] = a
	}
	a.calls++
	if !w.polling {
		w.polling = true
		go w.poll()
	}
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if a.calls--; a.calls == 0 {
			delete(w.keys, key)
		}
	}
}

// change is closed once what was joined may have changed. It must be asked for before
// that is read.
func (w *waits) change(key string) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.keys[key].changed
}

// poll looks at what is waited for, until there is nothing.
func (w *waits) poll() {
	tick := time.Tick(w.every)
	for range tick {
		keys := w.awaited()
		if keys == nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), storageTimeout)
		versions, err := w.versions(ctx, keys)
		cancel()
		if err != nil {
			w.logger.Warn("what calls wait for not looked at", "error", err)
			continue
		}
		w.tell(versions)
	}
}

// awaited returns what is waited for; nil when there is nothing, which ends the polling.
func (w *waits) awaited() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.keys) == 0 {
		w.polling = false
		return nil
	}
	return slices.Collect(maps.Keys(w.keys))
}

// tell wakes the calls for what has another version.
func (w *waits) tell(versions map[string]string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for key, version := range versions {
		if a := w.keys[key]; a != nil && a.version != version {
			a.version = version
			close(a.changed)
			a.changed = make(chan struct{})
		}
	}
}
