package jobs

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"github.com/conciliar/conciliar/store"
)

// processPrefix begins the id of every process that locks it while it lives. One
// of another prefix, or of River's own making, is left to River's rescuer: it may
// live without a lock.
const processPrefix = "conciliar1_"

// takeoverTimes are how long things take until a job counts as nobody's.
type takeoverTimes struct {
	// every is how often it is looked.
	every time.Duration
	// dead is how long a process must have been without its lock. A process that
	// lost its connection takes the lock again within that time.
	dead time.Duration
	// leftOver is how long a job must have run under this process's own id
	// without being worked: the end of an attempt is written a little after it.
	leftOver time.Duration
}

var defaultTakeoverTimes = takeoverTimes{every: 3 * time.Second, dead: 2500 * time.Millisecond, leftOver: 15 * time.Second}

// takeoverRarely is after how many sweeps it is also looked for what a release that was
// exchanged left: nobody dies of that within seconds.
const takeoverRarely = 20

// takeoverAhead is after how many sweeps it is also looked for jobs ahead of the clock: a
// reconciliation may be what waits.
const takeoverAhead = 5

// A takeover takes up jobs that run under the id of a process that died, or
// under this process's own without being worked by it. It tells by sessions and
// attempts, not by time, so it need not wait as long as River's rescuer.
type takeover struct {
	store *store.Store
	// pending is what the process saw last.
	pending func() store.PendingWork
	schema  string
	self    string
	policy  *RetryPolicy
	kinds   []string
	retry   store.RetryJob
	work    *workLog
	times   takeoverTimes
	logger  *slog.Logger

	// suspects are processes without their lock, leftOver attempts that are not
	// worked, by when they were seen first.
	suspects map[string]time.Time
	leftOver map[store.Attempt]time.Time
}

// newProcessID is what a process calls itself.
func newProcessID() string { return processPrefix + rand.Text() }

// run sweeps until ctx is done, the first time at once.
func (s *takeover) run(ctx context.Context) {
	s.suspects, s.leftOver = map[string]time.Time{}, map[store.Attempt]time.Time{}
	tick := time.Tick(s.times.every)
	for n := 0; ; n++ {
		sweeps := map[string]func(context.Context) error{}
		// Where no job runs at all nobody's is left.
		if s.pending().Running {
			sweeps["abandoned jobs"], sweeps["left-over jobs"] = s.takeFromDead, s.takeLeftOver
		}
		if n%takeoverRarely == 0 {
			sweeps["dead letters of unknown kinds"] = s.reopenUnknown
		}
		if n%takeoverAhead == 0 {
			sweeps["jobs ahead of the clock"] = s.wakeAhead
		}
		for what, sweep := range sweeps {
			if err := sweep(ctx); err != nil && ctx.Err() == nil {
				s.logger.WarnContext(ctx, "not swept: "+what, "error", err)
			}
		}
		select {
		case <-tick:
		case <-ctx.Done():
			return
		}
	}
}

// wakeAhead makes jobs due that a clock put off which has been set back since.
func (s *takeover) wakeAhead(ctx context.Context) error {
	woken, err := s.store.WakeJobsAhead(ctx, s.retry)
	if woken > 0 {
		s.logger.WarnContext(ctx, "jobs woken that a clock put off which was ahead", "count", woken)
	}
	return err
}

// takeFromDead takes up the jobs of processes that died.
func (s *takeover) takeFromDead(ctx context.Context) error {
	dead, err := s.store.DeadProcesses(ctx, processPrefix, s.self)
	if err != nil {
		return err
	}
	now := time.Now()
	seen := make(map[string]time.Time, len(dead))
	for _, process := range dead {
		since, known := s.suspects[process]
		if !known {
			since = now
		}
		seen[process] = since
		if now.Sub(since) < s.times.dead {
			continue
		}
		taken, err := s.store.TakeAbandoned(ctx, process, s.abandoned("the process that worked it is gone"))
		if err != nil {
			return err
		}
		s.log(ctx, "jobs of a process that died taken up", process, taken)
	}
	s.suspects = seen
	return nil
}

// takeLeftOver ends attempts that run under this process's id and that it does
// not work: it fetched the job and never heard of it, or could not write the
// attempt's end, because the database was gone.
func (s *takeover) takeLeftOver(ctx context.Context) error {
	running, err := s.store.RunningUnder(ctx, s.self)
	if err != nil {
		return err
	}
	now := time.Now()
	seen := map[store.Attempt]time.Time{}
	var never, lost []store.Attempt
	for attempt, begun := range s.work.unworked(running) {
		since, known := s.leftOver[attempt]
		if !known {
			since = now
		}
		seen[attempt] = since
		switch {
		case now.Sub(since) < s.times.leftOver:
		case begun:
			lost = append(lost, attempt)
		default:
			never = append(never, attempt)
		}
	}
	s.leftOver = seen
	if len(never) > 0 {
		taken, err := s.store.TakeBack(ctx, s.self, never, s.giveBack)
		if err != nil {
			return err
		}
		s.log(ctx, "jobs that this process never began given back", s.self, taken)
	}
	if len(lost) > 0 {
		taken, err := s.store.TakeBack(ctx, s.self, lost, s.abandoned("the attempt's end could not be written"))
		if err != nil {
			return err
		}
		s.log(ctx, "jobs whose attempt ended unwritten taken up", s.self, taken)
	}
	return nil
}

// reopenUnknown reopens what an older release buried because it did not know it.
func (s *takeover) reopenUnknown(ctx context.Context) error {
	n, err := s.store.ReopenUnknownKinds(ctx, s.kinds, s.retry)
	if n > 0 {
		s.logger.InfoContext(ctx, "dead letters of a kind that an older release did not know reopened", "count", n)
	}
	return err
}

func (s *takeover) log(ctx context.Context, what, process string, taken []store.RunningJob) {
	if len(taken) > 0 {
		s.logger.WarnContext(ctx, what, "process", process, "count", len(taken))
	}
}

// abandoned ends attempts as River's rescuer does, through the same call. The
// attempt stays spent, so that a job that kills its process comes to an end. The
// first time the job is tried again at once, because its death says nothing about
// it; then by the backoff: a job that kills its process must not take down what
// runs beside it again and again.
func (s *takeover) abandoned(why string) store.EndAttempts {
	return func(ctx context.Context, tx pgx.Tx, running []store.RunningJob) error {
		// The rows are locked, so the horizon needs to tell nothing any more.
		params := &riverdriver.JobRescueManyParams{Schema: s.schema, StuckHorizon: running[0].Now.Add(24 * time.Hour)}
		for _, job := range running {
			failure, err := json.Marshal(rivertype.AttemptError{At: job.Now.UTC(), Attempt: job.Attempt, Error: "orphaned: " + why})
			if err != nil {
				return err
			}
			state, at := rivertype.JobStateAvailable, job.Now
			var finalized *time.Time
			switch {
			case job.Cancelled:
				state, finalized = rivertype.JobStateCancelled, &job.Now
			case job.Attempt >= job.MaxAttempts:
				state, finalized = rivertype.JobStateDiscarded, &job.Now
			case job.Abandoned > 0:
				state, at = rivertype.JobStateRetryable, s.policy.NextRetry(&rivertype.JobRow{Attempt: job.Attempt})
			}
			params.ID = append(params.ID, job.ID)
			params.Error = append(params.Error, failure)
			params.FinalizedAt = append(params.FinalizedAt, finalized)
			params.ScheduledAt = append(params.ScheduledAt, at)
			params.State = append(params.State, string(state))
		}
		if _, err := executor(tx).JobRescueMany(ctx, params); err != nil {
			return fmt.Errorf("end the attempts of abandoned jobs: %w", err)
		}
		return s.tellWorkers(ctx, tx)
	}
}

// giveBack makes jobs available as if they had not been fetched, like those of a
// process that stops.
func (s *takeover) giveBack(ctx context.Context, tx pgx.Tx, running []store.RunningJob) error {
	n := len(running)
	params := &riverdriver.JobSetStateIfRunningManyParams{
		Schema:  s.schema,
		ErrData: make([][]byte, n), FinalizedAt: make([]*time.Time, n), MetadataDoMerge: make([]bool, n), MetadataUpdates: make([][]byte, n),
	}
	for _, job := range running {
		before := max(job.Attempt-1, 0)
		params.ID = append(params.ID, job.ID)
		params.Attempt = append(params.Attempt, &before)
		params.ScheduledAt = append(params.ScheduledAt, &job.Now)
		params.State = append(params.State, rivertype.JobStateAvailable)
	}
	if _, err := executor(tx).JobSetStateIfRunningMany(ctx, params); err != nil {
		return fmt.Errorf("give jobs back: %w", err)
	}
	return s.tellWorkers(ctx, tx)
}

// tellWorkers tells River's producers that there may be jobs for them: they look seldom
// unless they are told.
func (s *takeover) tellWorkers(ctx context.Context, tx pgx.Tx) error {
	params := &riverdriver.NotifyManyParams{Schema: s.schema, Topic: "river_insert"}
	for _, queue := range polledSeldom {
		params.Payload = append(params.Payload, `{"queue":"`+queue+`"}`)
	}
	if err := executor(tx).NotifyMany(ctx, params); err != nil {
		return fmt.Errorf("tell workers of what was taken up: %w", err)
	}
	return nil
}

// executor speaks River's statements in tx.
func executor(tx pgx.Tx) riverdriver.ExecutorTx { return riverpgxv5.New(nil).UnwrapExecutor(tx) }

// A workLog knows which attempts this process works, and which it has begun.
type workLog struct {
	river.MiddlewareDefaults

	mu sync.Mutex
	// begun holds every attempt that was begun and whose end may not be written
	// yet; its value is true while it is worked.
	begun map[store.Attempt]bool
}

func newWorkLog() *workLog { return &workLog{begun: map[store.Attempt]bool{}} }

// Work notes the attempt while it is worked.
func (l *workLog) Work(ctx context.Context, job *rivertype.JobRow, doInner func(context.Context) error) error {
	attempt := store.Attempt{JobID: job.ID, Number: job.Attempt}
	l.note(attempt, true)
	defer l.note(attempt, false)
	return doInner(ctx)
}

func (l *workLog) note(attempt store.Attempt, working bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.begun[attempt] = working
}

// unworked returns those of the running attempts that are not worked, with
// whether they were begun, and forgets the ends that are written.
func (l *workLog) unworked(running []store.RunningJob) map[store.Attempt]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	unworked, kept := map[store.Attempt]bool{}, make(map[store.Attempt]bool, len(running))
	for _, job := range running {
		attempt := store.Attempt{JobID: job.ID, Number: job.Attempt}
		working, begun := l.begun[attempt]
		if begun {
			kept[attempt] = working
		}
		if !working {
			unworked[attempt] = begun
		}
	}
	for attempt, working := range l.begun {
		if working {
			kept[attempt] = true
		}
	}
	l.begun = kept
	return unworked
}
