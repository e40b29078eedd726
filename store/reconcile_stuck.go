package store

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// stuckBatch is how many events one transaction puts back.
const stuckBatch = 500

// stuckFrom selects events without an end that nothing will bring to one: no
// job of theirs is alive and no dead letter holds them. An event is given a
// minute, so that one whose job was just deleted is left to whoever did it.
var stuckFrom = openWithoutLetter + `
	  AND NOT ` + within("q.received_at", "interval '1 minute'") + `
	  AND (j.id IS NULL OR j.state IN ('completed', 'cancelled', 'discarded'))`

// openWithoutLetter selects events without an end that no dead letter holds, and their jobs.
const openWithoutLetter = `
	FROM webhook_open o
	JOIN webhook_queue q ON q.id = o.queue_id
	LEFT JOIN river_job j ON j.id = q.job_id
	LEFT JOIN webhook_dead_letter d ON d.queue_id = q.id
	WHERE q.completed_at IS NULL AND (d.id IS NULL OR d.state = 'reopened')`

// RequeueStuck gives events that nothing brings to an end a new job, a batch of
// them, and reports whether that was all. At the phase's beginning it counts the
// retries that are due.
func (st *RunStep) RequeueStuck(ctx context.Context) (done bool, err error) {
	err = st.advance(ctx, "requeue stuck events", func(tx pgx.Tx) (progress, error) {
		p := progress{cursor: map[string]bool{"counted": true}}
		if st.Cursor == nil {
			if p.retriesDue, err = countRetriesDue(ctx, tx); err != nil {
				return p, err
			}
		}
		events, err := st.store.requeueEvents(ctx, tx, stuckFrom+` ORDER BY q.id LIMIT $1`, stuckBatch)
		if err != nil {
			return p, err
		}
		p.stuckRequeued = int64(len(events))
		done = len(events) < stuckBatch
		return p, execute(ctx, tx, `
			INSERT INTO webhook_reconciliation_findings (run_id, kind, queue_id, repaired_at)
			SELECT $1, 'stuck', id, now() FROM unnest($2::bigint[]) AS id`, st.Run.ID, events)
	})
	return done, err
}

// RequeueDeprived gives an event a new job whose job is completed and whose end nobody
// wrote, and reports whether it was so. River files what became of a job by the job's id
// alone: after a restore under the running service, which gives ids twice, it may file
// the end of one job with another.
func (s *Store) RequeueDeprived(ctx context.Context, queueID int64) (requeued bool, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		events, err := s.requeueEvents(ctx, tx, openWithoutLetter+` AND q.id = $1 AND j.state = 'completed'`, queueID)
		requeued = len(events) > 0
		return err
	})
	return requeued, wrap(err, "requeue event %d", queueID)
}

// requeueEvents gives events a new job each, and returns which. They are selected by from,
// as q.
func (s *Store) requeueEvents(ctx context.Context, tx pgx.Tx, from string, args ...any) (events []int64, err error) {
	rows, _ := tx.Query(ctx, `
		WITH chosen AS (
			SELECT q.id`+from+` FOR UPDATE OF q SKIP LOCKED
		), requeued AS (
			UPDATE webhook_queue q SET job_id = nextval('river_job_id_seq')
			FROM chosen WHERE q.id = chosen.id
			RETURNING q.id, q.job_id, q.work, q.origin
		)
		SELECT job_id, id, work, origin FROM requeued ORDER BY id`, args...)
	var jobs []requeued
	var next requeued
	var job Job
	if _, err := pgx.ForEachRow(rows, []any{&next.jobID, &next.queueID, &job.Work, &job.Origin}, func() (err error) {
		next.job, err = s.jobForm(job)
		jobs, events = append(jobs, next), append(events, next.queueID)
		return err
	}); err != nil {
		return nil, err
	}
	return events, s.requeue(ctx, tx, jobs)
}

// countRetriesDue counts event jobs whose next attempt is due. River makes them
// available within seconds, so most of what is seen here waits for a worker.
func countRetriesDue(ctx context.Context, tx pgx.Tx) (n int64, err error) {
	err = tx.QueryRow(ctx, `
		SELECT count(*) FROM river_job
		WHERE state IN ('available', 'retryable', 'scheduled') AND kind LIKE 'webhook\_%'
		  AND attempt > 0 AND scheduled_at <= now()`).Scan(&n)
	return n, err
}

// countStuck counts what RequeueStuck would requeue.
func countStuck(ctx context.Context, tx pgx.Tx) (n int64, err error) {
	err = tx.QueryRow(ctx, `SELECT count(*)`+stuckFrom).Scan(&n)
	return n, err
}
