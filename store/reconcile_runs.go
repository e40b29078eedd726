package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// LastSuccess is when the last regular run that succeeded ended, and what time
// it is, both by PostgreSQL's clock; nil when none has.
func (s *Store) LastSuccess(ctx context.Context) (ended *time.Time, now time.Time, err error) {
	err = s.pool.QueryRow(ctx, `
		SELECT now(), (SELECT max(finished_at) FROM webhook_reconciliation_logs WHERE scope = 'regular' AND status = 'succeeded' AND `+passed("finished_at")+`)`).
		Scan(&now, &ended)
	return ended, now, wrap(err, "last successful run")
}

// Run returns one run, or ErrRunNotFound.
func (s *Store) Run(ctx context.Context, id int64) (Run, error) {
	run, err := scanRun(s.pool.QueryRow(ctx, `SELECT `+runColumns+` FROM webhook_reconciliation_logs WHERE id = $1`, id))
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrRunNotFound.With(id)
	}
	return run, wrap(err, "run %d", id)
}

// Runs returns up to limit runs that are older than the one with the id before,
// newest first; before 0 begins with the newest.
func (s *Store) Runs(ctx context.Context, before int64, limit int) ([]Run, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT `+runColumns+` FROM webhook_reconciliation_logs
		WHERE $1 = 0 OR id < $1 ORDER BY id DESC LIMIT $2`, before, limit)
	runs, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Run, error) { return scanRun(row) })
	return runs, wrap(err, "runs")
}

const (
	// runPoll is how often WaitRun looks, and runLook bounds one look.
	runPoll = 200 * time.Millisecond
	runLook = 5 * time.Second
)

// WaitRun waits until the run has ended and returns it. When ctx ends first it
// returns the run as it stands, and no error. observe, which may be nil, is told
// of the run each time that it was looked at.
func (s *Store) WaitRun(ctx context.Context, id int64, observe func(Run)) (Run, error) {
	poll := time.Tick(runPoll)
	for {
		run, err := s.lastLook(ctx, id)
		if err != nil {
			return Run{}, err
		}
		if observe != nil {
			observe(run)
		}
		if run.Status != RunRunning {
			return run, nil
		}
		select {
		case <-poll:
		case <-ctx.Done():
			return run, nil
		}
		if err := s.failDeadRun(ctx, run.Scope); err != nil && ctx.Err() == nil {
			return Run{}, fmt.Errorf("run %d: %w", id, err)
		}
	}
}

// lastLook reads the run even when the caller's time is up: it is what
// they are answered with.
func (s *Store) lastLook(ctx context.Context, id int64) (Run, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), runLook)
	defer cancel()
	return s.Run(ctx, id)
}
