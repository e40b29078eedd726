package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// A RunningJob is a job that a process works, or worked when it died.
type RunningJob struct {
	ID          int64
	Kind        string
	Attempt     int
	MaxAttempts int
	// Cancelled is true when somebody asked for its end while it ran.
	Cancelled bool
	// Abandoned is how many of its attempts ended as abandoned.
	Abandoned int
	// Now is PostgreSQL's clock.
	Now time.Time
}

// EndAttempts ends the attempts of running jobs, which the caller has locked, in
// tx.
type EndAttempts func(ctx context.Context, tx pgx.Tx, running []RunningJob) error

// takeoverBatch is how many jobs one transaction takes from a process.
const takeoverBatch = 500

const (
	// processColumn is the process that a running job is worked by: River adds it
	// to the end.
	processColumn = `j.attempted_by[cardinality(j.attempted_by)]`
	runningFrom   = `
		SELECT j.id, j.kind, j.attempt, j.max_attempts, j.metadata ? 'cancel_attempted_at',
		       (SELECT count(*) FROM unnest(j.errors) e WHERE e ->> 'error' LIKE 'orphaned: %'), clock_timestamp()
		FROM river_job j
		WHERE j.state = 'running' AND ` + processColumn + ` = $1`
)

// DeadProcesses returns the processes that hold running jobs and do not live: those
// whose id begins with prefix, because only they lock it, without self. That a
// process is named for a moment while it connects again is not proof of its death.
func (s *Store) DeadProcesses(ctx context.Context, prefix, self string) ([]string, error) {
	dead, err := readColumn[string](ctx, s.pool, `
		SELECT h.process
		FROM (SELECT DISTINCT `+processColumn+` AS process FROM river_job j WHERE j.state = 'running') h
		WHERE starts_with(h.process, $1) AND h.process <> $2 AND pg_try_advisory_xact_lock_shared(hashtextextended(h.process, $3))
		ORDER BY h.process`, prefix, self, lockSeedProcess)
	return dead, wrap(err, "processes that died")
}

// TakeAbandoned ends attempts of a process that does not live, a batch of them, and
// returns which. It takes nothing when the process turns out to live, and leaves
// alone what another transaction holds.
func (s *Store) TakeAbandoned(ctx context.Context, process string, end EndAttempts) (taken []RunningJob, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		dead, err := readValue[bool](ctx, tx, `SELECT pg_try_advisory_xact_lock_shared(hashtextextended($1, $2))`, process, lockSeedProcess)
		if err != nil || !dead {
			return err
		}
		taken, err = takeRunning(ctx, tx, runningFrom+` ORDER BY j.id LIMIT $2 FOR UPDATE OF j SKIP LOCKED`, end, process, takeoverBatch)
		return err
	})
	return taken, wrap(err, "take the jobs of %s", process)
}

// RunningUnder returns the jobs that run under a process's id.
func (s *Store) RunningUnder(ctx context.Context, process string) ([]RunningJob, error) {
	running, err := readAll[RunningJob](ctx, s.pool, runningFrom, process)
	return running, wrap(err, "running jobs")
}

// TakeBack ends the attempts that are named, of jobs that still run them under
// the process's id, and returns which those were.
func (s *Store) TakeBack(ctx context.Context, process string, attempts []Attempt, end EndAttempts) (taken []RunningJob, err error) {
	ids, numbers := make([]int64, len(attempts)), make([]int, len(attempts))
	for i, a := range attempts {
		ids[i], numbers[i] = a.JobID, a.Number
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		taken, err = takeRunning(ctx, tx, runningFrom+`
			AND (j.id, j.attempt) IN (SELECT * FROM unnest($2::bigint[], $3::int[])) ORDER BY j.id FOR UPDATE OF j SKIP LOCKED`,
			end, process, ids, numbers)
		return err
	})
	return taken, wrap(err, "take back jobs of %s", process)
}

func takeRunning(ctx context.Context, tx pgx.Tx, query string, end EndAttempts, args ...any) ([]RunningJob, error) {
	running, err := readAll[RunningJob](ctx, tx, query, args...)
	if err != nil || len(running) == 0 {
		return nil, err
	}
	return running, end(ctx, tx, running)
}

// reopenBatch is how many dead letters one transaction reopens.
const reopenBatch = 100

// ReopenUnknownKinds retries the jobs of dead letters that died because a process
// did not know their kind, when it is one of kinds, and returns how many. Each is
// reopened so once: a process of the older release that leads again would bury it
// again, and so on for ever.
func (s *Store) ReopenUnknownKinds(ctx context.Context, kinds []string, retry RetryJob) (reopened int, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		// The job's row first, as everywhere: its trigger writes the dead letter.
		rows, _ := tx.Query(ctx, `
			SELECT j.id, d.id
			FROM webhook_dead_letter d
			JOIN webhook_queue q ON q.id = d.queue_id AND q.completed_at IS NULL
			JOIN river_job j ON j.id = q.job_id AND j.state = 'discarded' AND j.kind = ANY ($1)
			WHERE d.state = 'open' AND d.reason = 'unknown_kind' AND d.kind_reopened_at IS NULL
			ORDER BY d.id LIMIT $2
			FOR UPDATE OF j SKIP LOCKED`, kinds, reopenBatch)
		var jobs, letters []int64
		var job, letter int64
		if _, err := pgx.ForEachRow(rows, []any{&job, &letter}, func() error {
			jobs, letters = append(jobs, job), append(letters, letter)
			return nil
		}); err != nil {
			return err
		}
		if reopened = len(jobs); reopened == 0 {
			return nil
		}
		for _, id := range jobs {
			if err := retry(ctx, tx, id); err != nil {
				return err
			}
		}
		return execute(ctx, tx, `UPDATE webhook_dead_letter SET kind_reopened_at = now() WHERE id = ANY ($1)`, letters)
	})
	return reopened, wrap(err, "reopen dead letters of unknown kinds")
}
