package store

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// wakeAheadBatch is how many jobs one transaction wakes.
const wakeAheadBatch = 500

// WakeJobsAhead makes jobs due now that a clock put off which has been set back since,
// and returns how many: their own past lies in the future. Without this an event that
// was accepted meanwhile would wait for as long as the clock was ahead. It also ends a
// leadership of River's that such a clock has given.
func (s *Store) WakeJobsAhead(ctx context.Context, retry RetryJob) (woken int, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		// River's leader may be dead, and would be it until then; one that lives is elected
		// again. What ended in the future would stand for the same job of that time, such
		// as the tick that starts a run. A job waits for weeks at most, so that the index
		// has few of them to look at; now() because no index is used for clock_timestamp(),
		// which may differ for each row.
		ids, err := readColumn[int64](ctx, tx, `
			WITH leader AS (
				DELETE FROM river_leader WHERE expires_at > clock_timestamp() + $3::interval
			), ended AS (
				UPDATE river_job SET unique_key = NULL
				WHERE state IN ('cancelled', 'completed', 'discarded') AND finalized_at > now() + $1::interval AND unique_key IS NOT NULL
			)
			SELECT id FROM river_job
			WHERE state IN ('available', 'retryable', 'scheduled') AND scheduled_at > now() + $1::interval
			  AND (state = 'available' OR greatest(created_at, attempted_at) > clock_timestamp() + $1::interval)
			ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED`, ClockSlack, wakeAheadBatch, leaderAhead+ClockSlack)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := retry(ctx, tx, id); err != nil {
				return err
			}
		}
		woken = len(ids)
		return nil
	})
	return woken, wrap(err, "wake jobs that are ahead of the clock")
}
