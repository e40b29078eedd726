package jobs

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"github.com/riverqueue/river"

	"github.com/conciliar/conciliar/store"
)

const (
	// rollUpEvery is how often what happened is counted.
	rollUpEvery = time.Minute
	// mendEvery is how often the indexes by which it finds the newest events are looked
	// after, and on the first time of a process.
	mendEvery = time.Hour
	// rollUpBudget is how long one job counts at most, when there is much to catch
	// up with. The rest is left to the next one.
	rollUpBudget = 10 * time.Second

	// A transaction counts a span of time. Spans grow while they take less than
	// spanQuick more than the quickest, which is mostly the way to PostgreSQL and back,
	// and shrink when one takes longer than spanSlow: archiving waits for it.
	spanLeast = time.Hour
	spanMost  = 32 * 24 * time.Hour
	spanQuick = 250 * time.Millisecond
	spanSlow  = time.Second
)

// RollUpArgs are the arguments of the job that counts what happened. They are
// stored data: fields are added, never renamed.
type RollUpArgs struct{}

// Kind is the job's name in the database.
func (RollUpArgs) Kind() string { return "roll_up" }

// InsertOpts makes the job the only one of its kind that is not over. It is not
// tried again: the next one counts what it did not.
func (RollUpArgs) InsertOpts() river.InsertOpts { return onlyOne() }

// rollUpWorker counts what happened.
type rollUpWorker struct {
	river.WorkerDefaults[RollUpArgs]

	store  *store.Store
	budget time.Duration
	logger *slog.Logger
	// mended is when the indexes were looked after, in Unix seconds.
	mended atomic.Int64
}

// Work counts, and looks after the indexes by which it does.
func (w *rollUpWorker) Work(ctx context.Context, _ *river.Job[RollUpArgs]) error {
	err := w.count(ctx)
	w.mend(ctx)
	return err
}

// count counts what happened since the last time, and then, as long as there is
// time, what happened before the first.
func (w *rollUpWorker) count(ctx context.Context) error {
	ends := time.Now().Add(w.budget)
	done, err := w.repeat(ctx, ends, w.store.RollUp, func(done store.RollUp) bool { return !done.Behind })
	if err != nil || done.Behind || done.Complete {
		return err
	}
	done, err = w.repeat(ctx, ends, w.store.RollUpHistory, func(done store.RollUp) bool { return done.Complete })
	if err == nil {
		w.logger.InfoContext(ctx, "history counted", "since", done.From, "complete", done.Complete)
	}
	return err
}

// mend looks after the indexes, if it is time. What can't be mended now costs time, and
// nothing else, until the next time.
func (w *rollUpWorker) mend(ctx context.Context) {
	now := time.Now().Unix()
	if now-w.mended.Swap(now) < int64(mendEvery/time.Second) {
		return
	}
	mended, err := w.store.MendSummaries(ctx)
	if err != nil && !errors.Is(ctx.Err(), context.Canceled) {
		w.logger.WarnContext(ctx, "indexes not looked after; reading what is new may be slow", "error", err)
	}
	if mended > 0 {
		w.logger.InfoContext(ctx, "block ranges summarized anew", "ranges", mended)
	}
}

// repeat counts span after span until enough is done or the time is over.
func (w *rollUpWorker) repeat(ctx context.Context, ends time.Time, count func(context.Context, time.Duration) (store.RollUp, error), enough func(store.RollUp) bool) (store.RollUp, error) {
	quickest := time.Duration(math.MaxInt64)
	for span := spanLeast; ; {
		began := time.Now()
		done, err := count(ctx, span)
		if err != nil || enough(done) || time.Now().After(ends) {
			return done, err
		}
		took := time.Since(began)
		quickest = min(quickest, took)
		span = nextSpan(span, took, quickest)
	}
}

// nextSpan is the span to count after one that took so long, where the quickest took
// that long.
func nextSpan(span, took, quickest time.Duration) time.Duration {
	switch {
	case took > spanSlow:
		return max(span/2, spanLeast)
	case took-quickest < spanQuick:
		return min(2*span, spanMost)
	}
	return span
}
