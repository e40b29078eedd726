package jobs

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/riverqueue/river"

	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
)

const (
	// unhandledEvery is how often it is looked for events that an earlier release
	// could not settle. It is at the start as well.
	unhandledEvery = time.Hour
	// unhandledBatch is how many events are looked at in one transaction,
	// unhandledBudget for how long a job looks, and unhandledPause how long others then
	// have the queue.
	unhandledBatch  = 100
	unhandledBudget = 250 * time.Millisecond
	unhandledPause  = 2 * time.Second
)

// UnhandledArgs are the arguments of the job that replays, once, events whose topics
// an earlier release could not settle. They are stored data: fields are added, never
// renamed.
type UnhandledArgs struct{}

// Kind is the job's name in the database.
func (UnhandledArgs) Kind() string { return "replay_unhandled" }

// InsertOpts makes the job the only one of its kind that is not over.
func (UnhandledArgs) InsertOpts() river.InsertOpts { return onlyOne() }

// An EventReader reads a delivery that was kept.
type EventReader interface {
	// ReadEvent says what a delivery of the topic names and asks for, resourceID
	// being what it was understood to name when it came.
	ReadEvent(topic string, body []byte, resourceID string) (named string, work provider.Work)
}

// unhandledWorker replays what an earlier release could not settle.
type unhandledWorker struct {
	river.WorkerDefaults[UnhandledArgs]

	store     *store.Store
	providers map[string]Fetcher
	budget    time.Duration
	logger    *slog.Logger

	// mu guards what follows: how far this process has looked, and whether it has been
	// through the archive. What is there stays as it is for a release; what a process of
	// an earlier one adds is seen in the queue first.
	mu      sync.Mutex
	after   int64
	through bool
}

// Work looks at batches as long as there is time, until one of them is replayed, and
// comes back for the rest.
func (w *unhandledWorker) Work(ctx context.Context, _ *river.Job[UnhandledArgs]) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for ends := time.Now().Add(w.budget); ; {
		last, replayed, done, err := w.store.ReplayUnhandled(ctx, w.after, unhandledBatch, !w.through, w.read)
		if err != nil {
			return err
		}
		if replayed > 0 {
			w.logger.InfoContext(ctx, "events of an earlier release replayed", "count", replayed)
		}
		if w.after = last; done {
			w.after, w.through = 0, true
			return nil
		}
		if replayed > 0 || time.Now().After(ends) {
			return river.JobSnooze(unhandledPause)
		}
	}
}

func (w *unhandledWorker) read(ev store.NewEvent) (resourceID, work string, known bool) {
	reader, ok := w.providers[ev.Source].(EventReader)
	if !ok {
		return "", "", false
	}
	resourceID, asks := reader.ReadEvent(ev.Topic, ev.Payload, ev.ResourceID)
	return resourceID, string(asks), true
}
