package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Scopes of a run. One of each may run at a time.
const (
	// ScopeRegular is the run that the schedule makes: from where the last one
	// that succeeded ended, up to now.
	ScopeRegular = "regular"
	// ScopeBackfill looks at dates that a person names.
	ScopeBackfill = "backfill"
)

// What started a run.
const (
	TriggerSchedule = "schedule"
	TriggerStart    = "start"
	TriggerManual   = "manual"
	TriggerCron     = "cron"
	TriggerCLI      = "cli"
)

// Statuses of a run.
const (
	RunRunning   = "running"
	RunSucceeded = "succeeded"
	RunFailed    = "failed"
	// RunStoppedByCap: the run would have changed too much, and changed nothing.
	RunStoppedByCap = "stopped_by_cap"
)

// Phases of a run, in their order. A backfill has those of them that look at
// payments.
const (
	// PhaseStuck puts events without an end and without a job back in the queue.
	PhaseStuck = "stuck"
	// PhaseRetention moves old events to the archive. It comes early: a provider
	// that does not answer must not let the queue's table grow.
	PhaseRetention = "retention"
	// PhaseMissing looks at every payment that the provider changed in the window.
	PhaseMissing = "missing"
	// PhaseOrders looks at every order of the provider's that changed in the window.
	PhaseOrders = "orders"
	// PhaseProvisional looks again for payments that only such an order has shown.
	PhaseProvisional = "provisional"
	// PhaseUnpaid asks about orders that stay unpaid.
	PhaseUnpaid = "unpaid"
	// PhasePayouts explains payouts and holds releases against payments.
	PhasePayouts = "payouts"
	// PhaseDrift holds the ledger against itself.
	PhaseDrift = "drift"
	// PhaseRepair puts right what differs.
	PhaseRepair = "repair"
	// PhaseWait waits for the events that the run made.
	PhaseWait = "wait"
	// PhaseDone is that of a run that succeeded.
	PhaseDone = "done"
)

const (
	// windowOverlap is how far a regular run goes back before the end of the
	// last one: searches lag by minutes, clocks differ, and a page may have been
	// read while a payment moved.
	windowOverlap = 2 * time.Hour
	// deepWindow is how far back a regular run looks once a day, and the first
	// one: a search may leave a payment out for longer than the overlap. deepEvery
	// is less than a day, so that an hourly schedule keeps to one hour.
	deepWindow = 72 * time.Hour
	deepEvery  = 23*time.Hour + 30*time.Minute
	// searchReach is how far back a window may begin: the provider searches the
	// last 12 months and a range of less than 365 days (payments reference).
	searchReach = 364 * 24 * time.Hour
)

// stepDied is the error of a run whose step ended without ending the run.
const stepDied = "its step died"

// ErrRunNotFound means that no run has that id.
var ErrRunNotFound = noSuch("run", "run_not_found")

// ErrRunWindow means that a backfill cannot look at the window that was asked for.
var ErrRunWindow = &InvalidError{What: "the window", code: "invalid_parameter"}

// A RunRequest asks for a run.
type RunRequest struct {
	// Trigger is what started it, one of the five.
	Trigger string
	// Scope is ScopeRegular or ScopeBackfill.
	Scope string
	// Since and Until are a backfill's window. A zero Until, or one that is
	// still to come, means now.
	Since, Until time.Time
	// By is who asked, for the audit trail; the zero Actor for the schedule.
	By Actor
	// Attempt and Complete, when set, are the job that asks: it is completed in
	// the transaction that starts the run, so that it cannot start another.
	Attempt  Attempt
	Complete CompleteJob
}

func (r RunRequest) validate() error {
	switch r.Trigger {
	case TriggerSchedule, TriggerStart, TriggerManual, TriggerCron, TriggerCLI:
	default:
		return fmt.Errorf("unknown trigger %q", r.Trigger)
	}
	switch {
	case r.Scope == ScopeRegular && r.Since.IsZero() && r.Until.IsZero(),
		r.Scope == ScopeBackfill && !r.Since.IsZero():
		return nil
	case r.Scope == ScopeRegular:
		return errors.New("a regular run takes no dates")
	case r.Scope == ScopeBackfill:
		return ErrRunWindow.because("needs the date that it begins with")
	}
	return fmt.Errorf("unknown scope %q", r.Scope)
}

// StartRun starts a run, or joins the one of its scope that is running: joined
// is then true and the request's trigger and dates count for nothing. A run
// whose step is gone has died; it is marked as failed and a new one starts.
//
// The error wraps ErrRunWindow when the dates cannot be looked at, and
// ErrStaleAttempt when the job that asks is not running any more.
func (s *Store) StartRun(ctx context.Context, req RunRequest) (run Run, joined bool, err error) {
	if s.insertStep == nil {
		return Run{}, false, errors.New("this store cannot start runs")
	}
	if err := req.validate(); err != nil {
		return Run{}, false, fmt.Errorf("start a run: %w", err)
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if req.Complete != nil {
			if _, err := lockAttempt(ctx, tx, req.Attempt); err != nil {
				return err
			}
		}
		if run, joined, err = s.startOrJoin(ctx, tx, req); err != nil {
			return err
		}
		if err := recordRun(ctx, tx, req.By, run, joined); err != nil {
			return err
		}
		if req.Complete != nil {
			return req.Complete(ctx, tx)
		}
		return nil
	})
	return run, joined, wrap(err, "start a run")
}

// recordRun writes into the audit trail that somebody asked for the run.
func recordRun(ctx context.Context, tx pgx.Tx, by Actor, run Run, joined bool) error {
	if by == (Actor{}) {
		return nil
	}
	note := run.Scope
	if joined {
		note += ", joined"
	}
	return record(ctx, tx, act{by: by, action: ActionReconcile, kind: TargetRun, target: run.ID, count: 1, note: note})
}

func (s *Store) startOrJoin(ctx context.Context, tx pgx.Tx, req RunRequest) (Run, bool, error) {
	start, end, note, err := runWindow(ctx, tx, req)
	if err != nil {
		return Run{}, false, err
	}
	// A second round follows when another process starts one at the same time.
	for {
		run, live, err := liveRun(ctx, tx, req.Scope)
		if err != nil || live {
			return run, live, err
		}
		phase := PhaseStuck
		if req.Scope == ScopeBackfill {
			phase = PhaseMissing
		}
		id, err := readValue[int64](ctx, tx, `
			INSERT INTO webhook_reconciliation_logs (trigger, scope, phase, window_start, window_end, requested_by, note)
			VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (scope) WHERE status = 'running' DO NOTHING
			RETURNING id`, req.Trigger, req.Scope, phase, start, end, text(req.By.Name), note)
		if errors.Is(err, pgx.ErrNoRows) {
			continue
		}
		if err != nil {
			return Run{}, false, err
		}
		run, err = s.addStep(ctx, tx, id)
		return run, false, err
	}
}

// addStep inserts the run's next step.
func (s *Store) addStep(ctx context.Context, tx pgx.Tx, runID int64) (Run, error) {
	if s.insertStep == nil {
		return Run{}, errors.New("this store cannot insert steps")
	}
	// PostgreSQL's clock, see Job.At.
	now, err := readValue[time.Time](ctx, tx, `SELECT now()`)
	if err != nil {
		return Run{}, err
	}
	jobID, err := s.insertStep(ctx, tx, runID, now)
	if err != nil {
		return Run{}, err
	}
	return scanRun(tx.QueryRow(ctx, `
		UPDATE webhook_reconciliation_logs SET job_id = $2 WHERE id = $1 RETURNING `+runColumns, runID, jobID))
}

// runWindow is the window of the run that is asked for, by PostgreSQL's clock.
func runWindow(ctx context.Context, tx pgx.Tx, req RunRequest) (start, end time.Time, note string, err error) {
	var now time.Time
	var last, deep *time.Time
	// A window that ends in the future was written by a clock that was put right
	// since: when it really ended nobody knows.
	err = tx.QueryRow(ctx, `
		SELECT now(), max(least(window_end, now())), max(least(window_end, now())) FILTER (WHERE window_end - window_start >= $1::interval)
		FROM webhook_reconciliation_logs WHERE scope = 'regular' AND status = 'succeeded' AND `+passed("window_end"), deepWindow).
		Scan(&now, &last, &deep)
	if err != nil {
		return start, end, "", err
	}
	reach := now.Add(-searchReach)
	if req.Scope == ScopeRegular {
		start = now.Add(-deepWindow)
		if fresh := deep != nil && deep.After(now.Add(-deepEvery)); last != nil {
			since := last.Add(-windowOverlap)
			if fresh || since.Before(start) {
				start = since
			}
		}
		if start.Before(reach) {
			note = fmt.Sprintf("the window would begin at %s, which is further back than searches reach", start.UTC().Format(time.RFC3339))
			start = reach
		}
		return start, now, note, nil
	}
	start, end = req.Since, req.Until
	if end.IsZero() || end.After(now) {
		end = now
	}
	switch {
	case !start.Before(end):
		return start, end, "", ErrRunWindow.because("does not begin before it ends")
	case start.Before(reach):
		return start, end, "", ErrRunWindow.because("begins before %s; searches reach 12 months back", reach.UTC().Format(time.DateOnly))
	}
	return start, end, "", nil
}

// liveRun locks the running run of a scope and reports whether its step is
// there. A run whose step is gone is marked as failed.
func liveRun(ctx context.Context, tx pgx.Tx, scope string) (Run, bool, error) {
	var jobID *int64
	run, err := scanRunWith(tx.QueryRow(ctx, `
		SELECT `+runColumns+`, job_id FROM webhook_reconciliation_logs
		WHERE scope = $1 AND status = 'running' FOR UPDATE`, scope), &jobID)
	if errors.Is(err, pgx.ErrNoRows) {
		return Run{}, false, nil
	}
	if err != nil {
		return Run{}, false, err
	}
	// A statement of its own, after the lock: the step that held the row may
	// have handed over to another job.
	live, err := readValue[bool](ctx, tx, `
		SELECT EXISTS (SELECT FROM river_job WHERE id = $1 AND state NOT IN ('completed', 'cancelled', 'discarded'))`, jobID)
	if err != nil || live {
		return run, live, err
	}
	_, err = tx.Exec(ctx, `
		UPDATE webhook_reconciliation_logs SET status = 'failed', finished_at = now(), error = $2
		WHERE id = $1`, run.ID, stepDied)
	return Run{}, false, err
}

// failDeadRun marks the running run of a scope as failed when its step is gone,
// so that nobody waits for it.
func (s *Store) failDeadRun(ctx context.Context, scope string) error {
	dead, err := readValue[bool](ctx, s.pool, `
		SELECT EXISTS (
			SELECT FROM webhook_reconciliation_logs r LEFT JOIN river_job j ON j.id = r.job_id
			WHERE r.scope = $1 AND r.status = 'running' AND (j.id IS NULL OR j.state IN ('completed', 'cancelled', 'discarded')))`,
		scope)
	if err != nil || !dead {
		return err
	}
	return s.inTx(ctx, func(tx pgx.Tx) error {
		_, _, err := liveRun(ctx, tx, scope)
		return err
	})
}
