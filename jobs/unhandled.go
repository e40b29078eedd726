package jobs

import (
	"context"
	"log/slog"
	"time"

	"github.com/riverqueue/river"

	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
)

const (
	// unhandledEvery is how often it is looked for events that an earlier release
	// could not settle. It is at the start as well.
	unhandledEvery = time.Hour
	// unhandledBatch is how many events are looked at in one transaction, and
	// unhandledPause how long others then have the queue.
	unhandledBatch = 100
	unhandledPause = 2 * time.Second
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
	logger    *slog.Logger
}

// Work replays one batch and comes back for the rest: a replayed event is not looked
// at again. Where none of a batch can be replayed the next is looked at, at once.
func (w *unhandledWorker) Work(ctx context.Context, _ *river.Job[UnhandledArgs]) error {
	var at int64
	for {
		last, replayed, done, err := w.store.ReplayUnhandled(ctx, at, unhandledBatch, w.read)
		if err != nil {
			return err
		}
		if replayed > 0 {
			w.logger.InfoContext(ctx, "events of an earlier release replayed", "count", replayed)
		}
		switch {
		case done:
			return nil
		case replayed > 0:
			return river.JobSnooze(unhandledPause)
		}
		at = last
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
