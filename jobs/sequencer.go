package jobs

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/conciliar/conciliar/store"
)

const (
	// sequencerPause comes after each step, so that many transactions share one.
	sequencerPause = 10 * time.Millisecond
	// sequencerLimit bounds one step.
	sequencerLimit = 10 * time.Second
)

// A sequencer brings order events into the feed: its own process's at once, and what
// others left within about a second. Of several processes one is at it at a time, and
// one that dies leaves nothing half done.
type sequencer struct {
	store *store.Store
	// found receives when there are order events that others have committed and not
	// brought into the feed.
	found  <-chan struct{}
	events *prometheus.CounterVec
	logger *slog.Logger
	// sequenced is told that the feed has new events; nil for nobody.
	sequenced chan<- struct{}
	failed    bool
}

// run works until ctx is done.
func (q *sequencer) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-q.store.OrderEventsWritten():
		case <-q.found:
		}
		more, err := true, error(nil)
		for more && err == nil && ctx.Err() == nil {
			more, err = q.step(ctx)
		}
		q.tell(ctx, err)
	}
}

// step brings a batch into the feed and reports whether more may be left.
func (q *sequencer) step(ctx context.Context) (more bool, err error) {
	limited, cancel := context.WithTimeout(ctx, sequencerLimit)
	defer cancel()
	done, err := q.store.SequenceOrderEvents(limited)
	if err != nil {
		return false, err
	}
	for _, kind := range done.Types {
		q.events.WithLabelValues(kind).Inc()
	}
	if len(done.Types) > 0 {
		select {
		case q.sequenced <- struct{}{}:
		default:
		}
	}
	pause := time.NewTimer(sequencerPause)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-ctx.Done():
	}
	return done.More, nil
}

// tell logs the beginning and the end of a failure.
func (q *sequencer) tell(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil:
	case err != nil && !q.failed:
		q.failed = true
		q.logger.WarnContext(ctx, "order events not brought into the feed", "error", err)
	case err == nil && q.failed:
		q.failed = false
		q.logger.InfoContext(ctx, "order events are brought into the feed again")
	}
}
