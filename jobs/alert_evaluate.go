package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/conciliar/conciliar/jobs/health"
	"github.com/conciliar/conciliar/store"
)

// Alerts says where messages about alerts go.
type Alerts struct {
	// Sender posts to a Slack-compatible webhook, or nowhere.
	Sender *AlertSender
}

// AlertEvaluateArgs are the arguments of the job that evaluates the conditions.
// They are stored data: fields are added, never renamed.
type AlertEvaluateArgs struct {
	// At is the minute, and all that makes the job unique, whichever process leads.
	At time.Time `json:"at" river:"unique"`
}

// Kind is the job's name in the database.
func (AlertEvaluateArgs) Kind() string { return "alert_evaluate" }

// InsertOpts gives the job one attempt: the next minute has its own.
func (AlertEvaluateArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: QueueOperations, MaxAttempts: 1, UniqueOpts: river.UniqueOpts{ByArgs: true}}
}

// everyMinute is the schedule of the evaluations.
type everyMinute struct{}

// Next is the start of the next minute. It is a river.PeriodicSchedule.
func (everyMinute) Next(t time.Time) time.Time { return t.Truncate(time.Minute).Add(time.Minute) }

// addAlerts adds what evaluates conditions and sends messages, and the periodic
// job that starts the evaluations. A helper does neither: it may end at any
// moment, and leads nothing.
func addAlerts(config *river.Config, cfg Config, deps Deps, policy *RetryPolicy) error {
	if deps.Alerts == nil || cfg.Helper {
		return nil
	}
	e := &evaluator{store: deps.Store, notify: deps.Alerts.Sender.Sends, logger: cfg.Logger}
	if cfg.ReconcileSchedule != "" {
		schedule, err := ParseSchedule(cfg.ReconcileSchedule)
		if err != nil {
			return err
		}
		e.schedule = &schedule
	}
	river.AddWorker(config.Workers, &evaluateWorker{evaluator: e})
	river.AddWorker(config.Workers, &alertSendWorker{store: deps.Store, sender: deps.Alerts.Sender, policy: policy, logger: cfg.Logger})
	config.PeriodicJobs = append(config.PeriodicJobs, river.NewPeriodicJob(everyMinute{},
		func() (river.JobArgs, *river.InsertOpts) {
			return AlertEvaluateArgs{At: policy.now().UTC().Add(tickMargin).Truncate(time.Minute)}, nil
		},
		&river.PeriodicJobOpts{ID: "alerts", RunOnStart: true}))
	return nil
}

// evaluateWorker evaluates the conditions.
type evaluateWorker struct {
	river.WorkerDefaults[AlertEvaluateArgs]

	evaluator *evaluator
}

// Work evaluates them as they are now: what the job's minute was is of no
// interest to one that comes late.
func (w *evaluateWorker) Work(ctx context.Context, _ *river.Job[AlertEvaluateArgs]) error {
	err := w.evaluator.evaluate(ctx, insertAlertSend(river.ClientFromContext[pgx.Tx](ctx)))
	if errors.Is(err, store.ErrEvaluatedLately) {
		return nil
	}
	return err
}

// evaluator opens and closes alerts.
type evaluator struct {
	store *store.Store
	// schedule is that of the reconciliation; nil for none.
	schedule *Schedule
	// notify says whether messages have somewhere to go.
	notify func() bool
	logger *slog.Logger
}

func (e *evaluator) evaluate(ctx context.Context, send store.SendMessage) error {
	st, err := e.store.Status(ctx)
	if err != nil {
		return err
	}
	return e.evaluateStatus(ctx, st, send)
}

// evaluateStatus evaluates a status that was read at its signals' time.
func (e *evaluator) evaluateStatus(ctx context.Context, st store.Status, send store.SendMessage) error {
	now := st.Signals.At
	moment := health.Moment{Now: now}
	if e.schedule != nil {
		next := e.schedule.Next(now)
		moment.RunEvery = e.schedule.Next(next).Sub(next)
	}
	var changes store.AlertChanges
	err := e.store.EvaluateAlerts(ctx, now, func(book store.AlertBook) (store.AlertChanges, error) {
		var notices []health.Notice
		changes, notices = health.Decide(book, st, moment, e.notify())
		if len(notices) == 0 {
			return changes, nil
		}
		var err error
		changes.Message, err = json.Marshal(health.NewMessage(now, notices))
		return changes, err
	}, send)
	if err != nil {
		return err
	}
	for _, a := range changes.Alerts {
		_, known := health.ConditionOf(a.Code)
		switch {
		case !known:
			e.logger.WarnContext(ctx, "alert closed: no running release evaluates its condition", "code", a.Code, "since", a.OpenedAt)
		case a.ID == 0:
			e.logger.WarnContext(ctx, "alert began", "code", a.Code, "since", a.OpenedAt, "detail", string(a.Detail))
		case a.ClosedAt != nil:
			e.logger.InfoContext(ctx, "alert ended", "code", a.Code, "since", a.OpenedAt)
		}
	}
	return nil
}
