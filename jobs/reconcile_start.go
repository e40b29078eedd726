package jobs

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	cron "github.com/netresearch/go-cron"
	"github.com/riverqueue/river"

	"github.com/conciliar/conciliar/store"
)

const (
	// freshTick is how long after its time a tick still counts as the
	// schedule's, and not as one that was missed.
	freshTick = time.Minute
	// tickMargin is added to the clock when a tick is told: River fires up to
	// 100 ms early.
	tickMargin = time.Second
)

// A Schedule is when runs start by themselves.
type Schedule struct{ ticks cron.Schedule }

// ParseSchedule reads a cron expression: five fields, or a descriptor such as
// @hourly. Times are UTC unless it begins with CRON_TZ=.
func ParseSchedule(expression string) (Schedule, error) {
	ticks, err := cron.ParseStandard(expression)
	if err != nil {
		return Schedule{}, fmt.Errorf("the schedule is not a cron expression: %w", err)
	}
	if ticks.Next(time.Now().UTC()).IsZero() {
		return Schedule{}, fmt.Errorf("the schedule %q never comes", expression)
	}
	return Schedule{ticks: ticks}, nil
}

// Next is the first tick after t. It is a river.PeriodicSchedule.
func (s Schedule) Next(t time.Time) time.Time { return s.ticks.Next(t.UTC()) }

// Last is the latest tick that is not after t.
func (s Schedule) Last(t time.Time) time.Time {
	// Cron tells what comes, not what was: begin before it, ever longer before.
	before := time.Minute
	for s.Next(t.Add(-before)).After(t) {
		before *= 2
	}
	last := s.Next(t.Add(-before))
	for next := last; !next.After(t); next = s.Next(next) {
		last = next
	}
	return last
}

// ReconcileStartArgs are the arguments of the job that starts a scheduled run.
// They are stored data: fields are added, never renamed.
type ReconcileStartArgs struct {
	// At is the tick, and all that makes the job unique: whichever process leads when it
	// comes, and whichever leads after, insert the same job.
	At time.Time `json:"at" river:"unique"`
	// Trigger is "schedule", or "start" for a tick that nobody was there for.
	Trigger string `json:"trigger"`
}

// Kind is the job's name in the database.
func (ReconcileStartArgs) Kind() string { return "reconcile_start" }

// InsertOpts puts the job into the queue of the steps. Its twins count also when
// they have completed.
func (ReconcileStartArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: QueueReconciliation, UniqueOpts: river.UniqueOpts{ByArgs: true}}
}

// startArgs are the job for the tick that is now, or was last.
func (s Schedule) startArgs(now time.Time) ReconcileStartArgs {
	args := ReconcileStartArgs{At: s.Last(now.Add(tickMargin)), Trigger: store.TriggerSchedule}
	if now.Sub(args.At) >= freshTick {
		args.Trigger = store.TriggerStart
	}
	return args
}

// periodic is the periodic job that starts runs. It runs on start, so that a
// process which comes too late for a tick, or leads after one that died in it,
// makes up for it. What is now is River's time too.
func (s Schedule) periodic(now func() time.Time) *river.PeriodicJob {
	return river.NewPeriodicJob(s,
		func() (river.JobArgs, *river.InsertOpts) { return s.startArgs(now()), nil },
		&river.PeriodicJobOpts{ID: "reconcile", RunOnStart: true})
}

// startWorker starts scheduled runs.
type startWorker struct {
	river.WorkerDefaults[ReconcileStartArgs]

	store    *store.Store
	schedule Schedule
	logger   *slog.Logger
}

// Work starts the run, unless nothing was missed.
func (w *startWorker) Work(ctx context.Context, job *river.Job[ReconcileStartArgs]) error {
	if job.Args.Trigger == store.TriggerStart {
		due, err := w.isDue(ctx, job.Args.At)
		if err != nil || !due {
			return err
		}
	}
	run, joined, err := w.store.StartRun(ctx, store.RunRequest{
		Trigger: job.Args.Trigger, Scope: store.ScopeRegular,
		Attempt:  attemptOf(job.JobRow),
		Complete: func(ctx context.Context, tx pgx.Tx) error { return completeJob(ctx, tx, job) },
	})
	if err != nil {
		return err
	}
	w.logger.InfoContext(ctx, "reconciliation started", "run_id", run.ID, "trigger", run.Trigger, "joined", joined)
	return nil
}

// isDue reports whether the last success is older than the schedule's period.
func (w *startWorker) isDue(ctx context.Context, tick time.Time) (bool, error) {
	last, now, err := w.store.LastSuccess(ctx)
	if err != nil {
		return false, err
	}
	return last == nil || now.Sub(*last) >= w.schedule.Next(tick).Sub(tick), nil
}
