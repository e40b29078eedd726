package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// runEventOpen tells of an event q, whose job is j, whether it waits for its
// first attempt or is in it. One that failed before, waits out an outage or has a
// dead letter is in other hands.
const runEventOpen = `
	q.completed_at IS NULL
	AND (j.state IN ('available', 'pending', 'scheduled') AND j.attempt = 0 AND NOT (j.metadata ? 'snoozes')
	     OR j.state = 'running' AND j.attempt <= 1)`

// waitCursor is the first finding whose event may not have ended.
type waitCursor struct {
	From int64 `json:"from"`
}

// Waiting reports whether events that the run made wait for the end of their
// first attempt.
func (st *RunStep) Waiting(ctx context.Context) (bool, error) {
	var at waitCursor
	if err := st.ReadCursor(&at); err != nil {
		return false, err
	}
	first, err := readValue[int64](ctx, st.store.pool, `
		SELECT f.id
		FROM webhook_reconciliation_findings f
		JOIN webhook_queue q ON q.id = f.queue_id
		JOIN river_job j ON j.id = q.job_id
		WHERE f.run_id = $1 AND f.id >= $2 AND `+runEventOpen+`
		ORDER BY f.id LIMIT 1`, st.Run.ID, at.From)
	if errors.Is(err, pgx.ErrNoRows) {
		return st.followed(ctx)
	}
	if err != nil {
		return false, fmt.Errorf("run %d: wait for its events: %w", st.Run.ID, err)
	}
	// What has ended stays ended: the next look begins here.
	st.Cursor = mustJSON(waitCursor{From: first})
	return true, nil
}

// followed reports whether events that follow from those of the run wait for the end
// of their first attempt.
func (st *RunStep) followed(ctx context.Context) (waiting bool, err error) {
	err = st.store.pool.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM webhook_queue q JOIN river_job j ON j.id = q.job_id
		               WHERE q.request_id = $1 AND q.origin = '`+OriginFollow+`' AND `+runEventOpen+`)`, followsRun(st.Run.ID)).Scan(&waiting)
	return waiting, wrap(err, "run %d: wait for what follows", st.Run.ID)
}

// Remember writes the step's cursor, where it moved without a transaction.
func (st *RunStep) Remember(ctx context.Context) error {
	return st.advance(ctx, "remember the cursor", func(pgx.Tx) (progress, error) {
		return progress{cursor: st.cursor()}, nil
	})
}

// Crowded reports whether at least limit events that the run made wait for the
// end of their first attempt.
func (st *RunStep) Crowded(ctx context.Context, limit int) (bool, error) {
	// The latest ones are those that wait.
	n, err := readValue[int](ctx, st.store.pool, `
		SELECT count(*) FROM (
			SELECT FROM webhook_queue q
			JOIN webhook_reconciliation_findings f ON f.queue_id = q.id
			JOIN river_job j ON j.id = q.job_id
			WHERE f.run_id = $1 AND `+runEventOpen+`
			LIMIT $2) waiting`, st.Run.ID, limit)
	return n >= limit, wrap(err, "run %d: count its events", st.Run.ID)
}
