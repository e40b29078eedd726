package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/conciliar/conciliar/store"
)

// How often an alert that stays open is spoken of again: once after the first of
// these, then each time after the second.
const (
	FirstReminder  = 4 * time.Hour
	LaterReminders = 24 * time.Hour
)

// Alerts says where messages about alerts go.
type Alerts struct {
	// WebhookURL is a Slack-compatible webhook; empty for none. It is a secret:
	// whoever knows it can post there.
	WebhookURL string
}

// AlertEvaluateArgs are the arguments of the job that evaluates the conditions.
// They are stored data: fields are added, never renamed.
type AlertEvaluateArgs struct {
	// At is the minute, and all that makes the job unique, whoever leads.
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

// Next is the begin of the next minute. It is a river.PeriodicSchedule.
func (everyMinute) Next(t time.Time) time.Time { return t.Truncate(time.Minute).Add(time.Minute) }

// addAlerts adds what evaluates conditions and sends messages, and the periodic
// job that starts the evaluations. A helper does neither: it may end at any
// moment, and leads nothing.
func addAlerts(config *river.Config, cfg Config, deps Deps, policy *RetryPolicy) error {
	if deps.Alerts == nil || cfg.Helper {
		return nil
	}
	e := &evaluator{store: deps.Store, notify: deps.Alerts.WebhookURL != "", logger: cfg.Logger}
	if cfg.ReconcileSchedule != "" {
		schedule, err := ParseSchedule(cfg.ReconcileSchedule)
		if err != nil {
			return err
		}
		e.schedule = &schedule
	}
	sender, err := NewAlertSender(deps.Alerts.WebhookURL)
	if err != nil {
		return err
	}
	river.AddWorker(config.Workers, &evaluateWorker{evaluator: e})
	river.AddWorker(config.Workers, &alertSendWorker{store: deps.Store, sender: sender, policy: policy, logger: cfg.Logger})
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
	// notify is false when messages have nowhere to go.
	notify bool
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
	moment := Moment{Now: now}
	if e.schedule != nil {
		next := e.schedule.Next(now)
		moment.RunEvery = e.schedule.Next(next).Sub(next)
	}
	findings := find(st, moment)
	var changes store.AlertChanges
	err := e.store.EvaluateAlerts(ctx, now, func(book store.AlertBook) (store.AlertChanges, error) {
		var notices []Notice
		changes, notices = decide(book, findings, now, e.notify)
		if len(notices) == 0 {
			return changes, nil
		}
		var err error
		changes.Message, err = json.Marshal(newAlertMessage(now, notices))
		return changes, err
	}, send)
	if err != nil {
		return err
	}
	for _, a := range changes.Alerts {
		switch {
		case a.ID == 0:
			e.logger.WarnContext(ctx, "alert began", "code", a.Code, "since", a.OpenedAt, "detail", string(a.Detail))
		case a.ClosedAt != nil:
			e.logger.InfoContext(ctx, "alert ended", "code", a.Code, "since", a.OpenedAt)
		}
	}
	return nil
}

// A finding is a condition as it is now.
type finding struct {
	Condition
	holding bool
	seen    json.RawMessage
}

// find judges every condition.
func find(st store.Status, m Moment) []finding {
	all := Conditions()
	found := make([]finding, len(all))
	for i, c := range all {
		found[i] = finding{Condition: c, holding: c.holds(st, m)}
		if found[i].holding {
			// Words and numbers can always be written.
			found[i].seen, _ = json.Marshal(c.detail(st, m)) //nolint:errchkjson // see above
		}
	}
	return found
}

// decide says what becomes of each alert, and what there is to tell. Alerts of
// codes that this release does not know are left to the one that does. It
// depends on its arguments alone.
func decide(book store.AlertBook, findings []finding, now time.Time, notify bool) (store.AlertChanges, []Notice) {
	d := decision{book: book, now: now, notify: notify, watches: map[string]store.AlertWatch{}}
	for _, f := range findings {
		d.watches[f.Code] = watch(book.Watches[f.Code], f, now)
	}
	closes := map[string]bool{}
	for _, f := range findings {
		_, open := book.Open[f.Code]
		closes[f.Code] = open && !f.holding && d.watches[f.Code].Evaluations >= f.Lasting
	}
	d.covered = func(f finding) bool {
		return slices.ContainsFunc(f.Within, func(code string) bool {
			_, open := book.Open[code]
			return d.watches[code].Active || open && !closes[code]
		})
	}
	var changes store.AlertChanges
	for _, f := range findings {
		changes.Watches = append(changes.Watches, d.watches[f.Code])
		if alert, changed := d.alert(f); changed {
			changes.Alerts = append(changes.Alerts, alert)
		}
	}
	return changes, d.notices
}

// watch is the condition's watch after this evaluation.
func watch(before store.AlertWatch, f finding, now time.Time) store.AlertWatch {
	if before.Evaluations > 0 && before.Active == f.holding {
		before.Evaluations++
		return before
	}
	return store.AlertWatch{Code: f.Code, Active: f.holding, Since: now, Evaluations: 1}
}

// decision is one evaluation in the making.
type decision struct {
	book    store.AlertBook
	now     time.Time
	notify  bool
	watches map[string]store.AlertWatch
	// covered tells whether a worse condition speaks for this one.
	covered func(f finding) bool
	notices []Notice
}

// alert returns the condition's alert when there is one that is open, or closes
// now.
func (d *decision) alert(f finding) (store.Alert, bool) {
	alert, open := d.book.Open[f.Code]
	w := d.watches[f.Code]
	switch {
	case !open && (!f.holding || w.Evaluations < f.Lasting):
		return store.Alert{}, false
	case !open:
		alert = store.Alert{Code: f.Code, OpenedAt: w.Since}
	case !f.holding && w.Evaluations >= f.Lasting && !d.covered(f):
		alert.ClosedAt = &w.Since
		// Only what was told to begin is told to end.
		if alert.LastSentAt != nil && d.notify {
			d.tell(f, alert, NoticeEnded)
		}
		return alert, true
	}
	if f.holding {
		alert.Detail = f.seen
	}
	if d.notify && !f.Quiet {
		d.speak(f, &alert)
	}
	return alert, true
}

// speak tells of an open alert when it is time to.
func (d *decision) speak(f finding, alert *store.Alert) {
	switch {
	case alert.LastSentAt == nil:
		d.tell(f, *alert, NoticeBegan)
	case !d.covered(f) && d.now.Sub(*alert.LastSentAt) >= pace(alert.Reminders):
		alert.Reminders++
		d.tell(f, *alert, NoticeReminder)
	default:
		return
	}
	alert.LastSentAt = &d.now
}

func pace(reminders int) time.Duration {
	if reminders == 0 {
		return FirstReminder
	}
	return LaterReminders
}

func (d *decision) tell(f finding, alert store.Alert, state NoticeState) {
	d.notices = append(d.notices, Notice{
		Code: f.Code, State: state, Health: f.Health, Reason: f.Reason, Since: alert.OpenedAt, Until: alert.ClosedAt, Detail: alert.Detail,
	})
}
