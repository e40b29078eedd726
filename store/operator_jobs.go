package store

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// A JobAction is what an operator does to River's jobs, or to one of its
// queues, with River's own means.
type JobAction struct {
	By Actor
	// Action is one of ActionRetryJobs … ActionChangeQueue.
	Action string
	// JobIDs are the jobs; Queue names the queue when it is none of them.
	JobIDs []int64
	Queue  string
}

// ActOnJobs runs do in a transaction, and records the action in it with the
// events whose jobs they are: there is no effect without its record. What do
// does outside of the transaction must bear to be done twice.
//
// The jobs are locked in the order of their ids before do sees them, so that
// two operators who chose the same ones do not wait for each other.
func (s *Store) ActOnJobs(ctx context.Context, a JobAction, do func(tx pgx.Tx) error) error {
	recorded := act{by: a.By, action: a.Action, kind: TargetJob, jobs: a.JobIDs, count: len(a.JobIDs)}
	switch {
	case a.Queue != "":
		recorded.kind, recorded.note, recorded.count = TargetJobQueue, a.Queue, 1
	case len(a.JobIDs) == 1:
		recorded.target = a.JobIDs[0]
	}
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		var err error
		if recorded.events, err = lockEventsOfJobs(ctx, tx, a.JobIDs); err != nil {
			return err
		}
		if err := do(tx); err != nil {
			return err
		}
		return record(ctx, tx, recorded)
	})
	return wrap(err, "act on jobs")
}

// lockEventsOfJobs locks the jobs and returns the ids of the events among them.
func lockEventsOfJobs(ctx context.Context, tx pgx.Tx, jobIDs []int64) ([]int64, error) {
	if len(jobIDs) == 0 {
		return nil, nil
	}
	return readColumn[int64](ctx, tx, `
		WITH locked AS (SELECT id, args FROM river_job WHERE id = ANY($1) ORDER BY id FOR UPDATE)
		SELECT DISTINCT (args ->> 'queue_id')::bigint FROM locked
		WHERE args ->> 'queue_id' ~ '^[1-9][0-9]{0,17}$' ORDER BY 1`, jobIDs)
}
