package jobs

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/conciliar/conciliar/store"
)

// lookoutEvery is how often a process looks for what its loops are to do and nobody told
// it of: its own order events ring a bell.
const lookoutEvery = 1500 * time.Millisecond

// polledSeldom are the queues that River looks at only every seldomPoll.
var polledSeldom = []string{QueueWebhooks, QueueOperations, QueueReconciliation, QueueRefunds}

// A lookout looks, for all loops of a process at once, whether there is anything to do:
// one statement where each loop had its own.
type lookout struct {
	store *store.Store
	waits []time.Duration
	// found is told of order events without a position in the feed.
	found chan struct{}
	seen  atomic.Pointer[store.PendingWork]
}

func newLookout(s *store.Store, waits []time.Duration) *lookout {
	l := &lookout{store: s, waits: waits, found: make(chan struct{}, 1)}
	l.seen.Store(&store.AllPending)
	return l
}

// pending is what was seen last, at most one and a half seconds ago.
func (l *lookout) pending() store.PendingWork { return *l.seen.Load() }

// run looks until ctx is done. What can't be read is taken for there: whoever then tries
// to do it says what is wrong.
func (l *lookout) run(ctx context.Context) {
	for tick := time.Tick(lookoutEvery); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick:
		}
		l.look(ctx)
	}
}

func (l *lookout) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, sequencerLimit)
	defer cancel()
	seen, err := l.store.LookOut(ctx, l.waits, polledSeldom)
	if err == nil && len(seen.Queues) > 0 {
		// A job that is tried again within seconds becomes due without a notice.
		err = l.store.TellProducers(ctx, seen.Queues...)
	}
	if err != nil {
		seen = store.AllPending
	}
	l.seen.Store(&seen)
	if seen.OrderEvents {
		select {
		case l.found <- struct{}{}:
		default:
		}
	}
}
