package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// RetryJob makes a job of River's available now, in tx.
type RetryJob func(ctx context.Context, tx pgx.Tx, jobID int64) error

// A WokenEvent is an event whose next attempt was asked for.
type WokenEvent struct {
	QueueID int64
	JobID   int64
	// Attempt is how many attempts its job had had.
	Attempt int
}

// WakeEvents makes the next attempt of events due now: of those that wait for
// their first one, and of those that failed and wait for their next, the oldest
// first, up to limit. Events that are being attempted, and all of a provider that
// is not to be asked, are left alone.
func (s *Store) WakeEvents(ctx context.Context, limit int, by Actor, retry RetryJob) ([]WokenEvent, error) {
	var woken []WokenEvent
	err := s.inTx(ctx, func(tx pgx.Tx) (err error) {
		var asleep []int64
		if woken, asleep, err = s.claimWaiting(ctx, tx, limit); err != nil {
			return err
		}
		for _, jobID := range asleep {
			if err := retry(ctx, tx, jobID); err != nil {
				return err
			}
		}
		events := make([]int64, len(woken))
		for i, w := range woken {
			events[i] = w.QueueID
		}
		return record(ctx, tx, act{by: by, action: ActionProcessQueue, kind: TargetQueue, events: events, count: len(woken)})
	})
	return woken, wrap(err, "wake events")
}

// claimWaiting locks the jobs of events that wait, and returns beside the events
// the jobs that are not due by themselves. The lock keeps a job from being
// fetched and completed in between: retried then, it would run once more.
func (s *Store) claimWaiting(ctx context.Context, tx pgx.Tx, limit int) (woken []WokenEvent, asleep []int64, err error) {
	rows, _ := tx.Query(ctx, `
		SELECT v.id, j.id, j.attempt, j.state = 'available' AND j.scheduled_at <= now()
		FROM `+openStatus+`
		JOIN webhook_queue q ON q.id = o.queue_id
		JOIN river_job j ON j.id = v.job_id
		WHERE v.status IN ('pending', 'failed')
		  AND j.state IN ('available', 'retryable', 'scheduled')
		  AND NOT EXISTS (SELECT FROM provider_state p WHERE p.source = `+accountName(`q`, `$2`)+` AND p.circuit <> 'closed')
		ORDER BY o.queue_id LIMIT $1
		FOR UPDATE OF j SKIP LOCKED`, limit, s.sellerIDs())
	var w WokenEvent
	var due bool
	_, err = pgx.ForEachRow(rows, []any{&w.QueueID, &w.JobID, &w.Attempt, &due}, func() error {
		woken = append(woken, w)
		if !due {
			asleep = append(asleep, w.JobID)
		}
		return nil
	})
	return woken, asleep, err
}

// A WakeProgress counts what became of woken events.
type WakeProgress struct {
	// Waiting ones have not ended the attempt that they were woken for.
	Waiting int64
	// Processed ones have ended well.
	Processed int64
	// Failed ones will be tried again, or are dead letters.
	Failed int64
	// Held ones came upon an outage of the provider, which spent no attempt.
	Held int64
}

// WokenProgress says what became of the events so far.
func (s *Store) WokenProgress(ctx context.Context, woken []WokenEvent) (WakeProgress, error) {
	events, jobs, attempts := make([]int64, len(woken)), make([]int64, len(woken)), make([]int, len(woken))
	for i, w := range woken {
		events[i], jobs[i], attempts[i] = w.QueueID, w.JobID, w.Attempt
	}
	var p WakeProgress
	// An event that is not in the queue any more has ended and is archived. One
	// that runs again has ended the attempt that it was woken for.
	err := s.pool.QueryRow(ctx, `
		WITH fate AS (
			SELECT CASE
				WHEN q.id IS NULL OR q.completed_at IS NOT NULL THEN 'processed'
				WHEN j.id IS NULL OR j.state IN ('completed', 'cancelled', 'discarded') THEN 'failed'
				WHEN j.attempt > w.attempt + 1 OR (j.attempt > w.attempt AND j.state <> 'running') THEN 'failed'
				WHEN j.state = 'scheduled' AND j.metadata ? 'snoozes' AND j.scheduled_at > now() THEN 'held'
				ELSE 'waiting'
			END AS became
			FROM unnest($1::bigint[], $2::bigint[], $3::int[]) AS w (queue_id, job_id, attempt)
			LEFT JOIN webhook_queue q ON q.id = w.queue_id
			LEFT JOIN river_job j ON j.id = w.job_id
		)
		SELECT count(*) FILTER (WHERE became = 'waiting'), count(*) FILTER (WHERE became = 'processed'),
		       count(*) FILTER (WHERE became = 'failed'), count(*) FILTER (WHERE became = 'held')
		FROM fate`, events, jobs, attempts).Scan(&p.Waiting, &p.Processed, &p.Failed, &p.Held)
	return p, wrap(err, "woken events")
}

// wakePoll is how often WaitWoken looks.
const wakePoll = 50 * time.Millisecond

// WaitWoken waits until every woken event has had its attempt, or until ctx is
// done, and says what became of them; ctx ending is not an error.
func (s *Store) WaitWoken(ctx context.Context, woken []WokenEvent) (WakeProgress, error) {
	poll := time.Tick(wakePoll)
	for {
		progress, err := s.lastProgress(ctx, woken)
		if err != nil || progress.Waiting == 0 {
			return progress, err
		}
		select {
		case <-poll:
		case <-ctx.Done():
			return progress, nil
		}
	}
}

// lastProgress looks even when the caller's time is up: it is what they
// are answered with.
func (s *Store) lastProgress(ctx context.Context, woken []WokenEvent) (WakeProgress, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), runLook)
	defer cancel()
	return s.WokenProgress(ctx, woken)
}

// Queue returns the queue's part of the status.
func (s *Store) Queue(ctx context.Context) (QueueStatus, error) {
	var st Status
	err := s.readSnapshot(ctx, func(tx pgx.Tx) error { return readQueue(ctx, tx, &st) })
	if err != nil {
		return QueueStatus{}, fmt.Errorf("queue: %w", err)
	}
	toUTC(st.Queue.NextRetryAt)
	return st.Queue, nil
}
