package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrRunEnded means that the run does not run any more: there is nothing to do.
var ErrRunEnded = errors.New("the run has ended")

// A RunStep is one job's hold on a run. Each of its methods that changes
// something does so in one transaction, together with where the run is now, and
// only while the job still runs the attempt that opened the step: a stale worker
// gets ErrStaleAttempt and has changed nothing. It is not safe for concurrent
// use.
type RunStep struct {
	// Run is the run as it was when the step last looked.
	Run Run
	// Cursor says where in its phase the run is; what is in it is the business
	// of the phase. Nil at a phase's beginning.
	Cursor json.RawMessage

	store    *Store
	attempt  Attempt
	revision int64
}

// OpenStep opens a run for one attempt of its step's job. The error wraps
// ErrRunEnded when the run has ended, and ErrRunNotFound when there is none.
func (s *Store) OpenStep(ctx context.Context, runID int64, a Attempt) (*RunStep, error) {
	st := &RunStep{store: s, attempt: a}
	var owner *int64
	var err error
	st.Run, err = scanRunWith(s.pool.QueryRow(ctx, `
		SELECT `+runColumns+`, nullif(cursor, '{}'), revision, job_id FROM webhook_reconciliation_logs WHERE id = $1`, runID),
		&st.Cursor, &st.revision, &owner)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		err = ErrRunNotFound.With(runID)
	case err == nil && st.Run.Status != RunRunning:
		err = ErrRunEnded
	case err == nil && (owner == nil || *owner != a.JobID):
		err = ErrStaleAttempt
	}
	return st, wrap(err, "run %d", runID)
}

// progress is what one transaction of a step adds to its run.
type progress struct {
	// phase is the phase that begins; empty keeps the one that is.
	phase string
	// cursor is the new cursor, nil for none.
	cursor any
	// position is the new position; zero keeps the one that is.
	position time.Time

	paymentsChecked, ordersChecked, stuckRequeued, retriesDue int64
	missingFound, driftFound, oddFound, archived, unseen      int64

	// anomalies are the orders of which anomalies were opened or closed; one of them may
	// be empty, or of no order.
	anomalies []string

	// note is added to the run's.
	note string

	// status and err end the run; an empty status does not.
	status, err string
}

// advance runs work in a transaction that holds the step's job and the run, and
// saves the progress that it returns.
func (st *RunStep) advance(ctx context.Context, doing string, work func(tx pgx.Tx) (progress, error)) error {
	var next RunStep
	err := st.store.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := lockAttempt(ctx, tx, st.attempt); err != nil {
			return err
		}
		if err := st.lockRun(ctx, tx); err != nil {
			return err
		}
		p, err := work(tx)
		if err != nil {
			return err
		}
		if err := st.store.tellAnomalies(ctx, tx, settling{cause: causeReconciliation}, p.anomalies...); err != nil {
			return err
		}
		next = *st
		return next.save(ctx, tx, p)
	})
	if err != nil {
		return fmt.Errorf("run %d: %s: %w", st.Run.ID, doing, err)
	}
	*st = next
	return nil
}

// lockRun locks the run's row, unless it has moved on without this step.
func (st *RunStep) lockRun(ctx context.Context, tx pgx.Tx) error {
	var status string
	var revision int64
	err := tx.QueryRow(ctx, `
		SELECT status, revision FROM webhook_reconciliation_logs WHERE id = $1 FOR UPDATE`, st.Run.ID).Scan(&status, &revision)
	switch {
	case err != nil:
		return err
	case status != RunRunning:
		return ErrRunEnded
	case revision != st.revision:
		return ErrStaleAttempt
	}
	return nil
}

func (st *RunStep) save(ctx context.Context, tx pgx.Tx, p progress) error {
	cursor := json.RawMessage(`{}`)
	if p.cursor != nil {
		cursor = mustJSON(p.cursor)
	}
	var position *time.Time
	if !p.position.IsZero() {
		position = &p.position
	}
	var err error
	st.Run, err = scanRunWith(tx.QueryRow(ctx, `
		UPDATE webhook_reconciliation_logs SET
			revision = revision + 1, phase = coalesce(nullif($2, ''), phase), cursor = $3, position = coalesce($4, position),
			payments_checked = payments_checked + $5, orders_checked = orders_checked + $6,
			stuck_requeued = stuck_requeued + $7, retries_due = retries_due + $8, missing_found = missing_found + $9,
			drift_found = drift_found + $10, archived = archived + $11,
			unseen = unseen + $14, odd_found = odd_found + $15, note = concat_ws('; ', nullif(note, ''), nullif($16, '')),
			status = coalesce(nullif($12, ''), status), error = nullif($13, ''),
			finished_at = CASE WHEN $12 <> '' THEN clock_timestamp() END
		WHERE id = $1
		RETURNING `+runColumns+`, nullif(cursor, '{}'), revision`,
		st.Run.ID, p.phase, cursor, position, p.paymentsChecked, p.ordersChecked, p.stuckRequeued, p.retriesDue,
		p.missingFound, p.driftFound, p.archived, p.status, text(p.err), p.unseen, p.oddFound, text(p.note)), &st.Cursor, &st.revision)
	return err
}

// Enter begins a phase.
func (st *RunStep) Enter(ctx context.Context, phase string) error {
	return st.advance(ctx, "enter a phase", func(pgx.Tx) (progress, error) { return progress{phase: phase}, nil })
}

// HandOver inserts the job that goes on from here and completes this one, all
// or nothing. The step is of no use afterwards.
func (st *RunStep) HandOver(ctx context.Context, complete CompleteJob) error {
	return st.advance(ctx, "hand over", func(tx pgx.Tx) (progress, error) {
		if _, err := st.store.addStep(ctx, tx, st.Run.ID); err != nil {
			return progress{}, err
		}
		return progress{cursor: st.cursor()}, complete(ctx, tx)
	})
}

// Succeed ends the run as succeeded and completes the step's job, all or nothing.
func (st *RunStep) Succeed(ctx context.Context, complete CompleteJob) error {
	return st.advance(ctx, "succeed", func(tx pgx.Tx) (progress, error) {
		return progress{phase: PhaseDone, status: RunSucceeded}, complete(ctx, tx)
	})
}

// Fail ends the run as failed; its phase says how far it came. The job is left
// to its own end.
func (st *RunStep) Fail(ctx context.Context, reason string) error {
	return st.advance(ctx, "fail", func(pgx.Tx) (progress, error) {
		return progress{status: RunFailed, err: reason}, nil
	})
}

// cursor is the step's cursor as progress takes it.
func (st *RunStep) cursor() any {
	if st.Cursor == nil {
		return nil
	}
	return st.Cursor
}

// ReadCursor reads the step's cursor into one of the phase's own type, which
// stays as it is at the phase's beginning.
func (st *RunStep) ReadCursor(into any) error {
	if st.Cursor == nil {
		return nil
	}
	if err := json.Unmarshal(st.Cursor, into); err != nil {
		return fmt.Errorf("the cursor of phase %s: %w", st.Run.Phase, err)
	}
	return nil
}
