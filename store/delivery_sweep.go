package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// unparkBatch is how many streams get their job in one transaction, and unparkRun how
// many such transactions one sweep makes for one receiver.
const (
	unparkBatch = 200
	unparkRun   = 25
)

// SweepDeliveries gives the deliveries of receivers that were started again their jobs,
// some thousands at a time. With lost it also looks for deliveries whose job is gone: it
// was deleted, cancelled, or died with its workers. The former get another, the others
// are dead letters.
func (s *Store) SweepDeliveries(ctx context.Context, lost bool) error {
	var problems []error
	if lost {
		problems = append(problems, s.dropLostJobs(ctx))
	}
	names, err := readColumn[string](ctx, s.pool, `SELECT name FROM delivery_receivers WHERE stopped_at IS NULL AND (parked OR $1) ORDER BY name`, lost)
	problems = append(problems, err)
	for _, name := range names {
		problems = append(problems, s.unpark(ctx, name))
	}
	return wrap(errors.Join(problems...), "sweep deliveries")
}

// unpark gives each stream of a receiver whose first delivery has no job one.
func (s *Store) unpark(ctx context.Context, receiver string) error {
	after := ""
	for range unparkRun {
		streams, err := readColumn[string](ctx, s.pool, `
			SELECT stream FROM (SELECT DISTINCT ON (stream) stream, job_id FROM deliveries
			                    WHERE receiver = $1 AND state = 'pending' AND stream > $2 ORDER BY stream, id) head
			WHERE job_id IS NULL ORDER BY stream LIMIT $3`, receiver, after, unparkBatch)
		if err != nil {
			return err
		}
		if len(streams) > 0 {
			err = s.inTx(ctx, func(tx pgx.Tx) error {
				if err := lockStreams(ctx, tx, receiver, streams); err != nil {
					return err
				}
				return s.enqueueHeads(ctx, tx, receiver, streams)
			})
			if err != nil {
				return err
			}
			after = streams[len(streams)-1]
		}
		if len(streams) < unparkBatch {
			_, err := s.pool.Exec(ctx, `UPDATE delivery_receivers SET parked = false WHERE name = $1 AND parked AND stopped_at IS NULL`, receiver)
			return err
		}
	}
	return nil
}

// A lostJob is that of a delivery which is pending and will not be attempted.
type lostJob struct {
	DeliveryID       int64
	Receiver, Stream string
	JobID            int64
}

// dropLostJobs takes from deliveries the jobs that will not run any more.
func (s *Store) dropLostJobs(ctx context.Context) error {
	found, err := readAll[lostJob](ctx, s.pool, `
		SELECT d.id, d.receiver, d.stream, d.job_id FROM deliveries d LEFT JOIN river_job j ON j.id = d.job_id
		WHERE d.state = 'pending' AND d.job_id IS NOT NULL AND (j.id IS NULL OR j.state NOT IN `+liveStates+`)
		ORDER BY d.id LIMIT $1`, unparkBatch)
	if err != nil {
		return err
	}
	for _, lost := range found {
		if err := s.dropLostJob(ctx, lost); err != nil {
			return fmt.Errorf("delivery %d: %w", lost.DeliveryID, err)
		}
	}
	return nil
}

func (s *Store) dropLostJob(ctx context.Context, lost lostJob) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		if err := lockStreams(ctx, tx, lost.Receiver, []string{lost.Stream}); err != nil {
			return err
		}
		var state *string
		err := tx.QueryRow(ctx, `
			SELECT j.state::text FROM deliveries d LEFT JOIN river_job j ON j.id = d.job_id
			WHERE d.id = $1 AND d.job_id = $2 AND `+checked(`d.state = 'pending'`)+` AND (j.id IS NULL OR j.state NOT IN `+liveStates+`)`,
			lost.DeliveryID, lost.JobID).Scan(&state)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		class := ""
		switch {
		case state != nil && *state == "discarded":
			class = deliveryWorkerDied
		case state != nil && *state == "cancelled":
			class = deliveryCancelled
		}
		_, err = tx.Exec(ctx, `
			UPDATE deliveries SET job_id = NULL, state = CASE WHEN $2 = '' THEN 'pending' ELSE 'dead' END,
			       ended_at = CASE WHEN $2 <> '' THEN clock_timestamp() END, error_class = CASE WHEN $2 = '' THEN error_class ELSE $2 END
			WHERE id = $1`, lost.DeliveryID, class)
		if err != nil {
			return err
		}
		return s.enqueueHeads(ctx, tx, lost.Receiver, []string{lost.Stream})
	})
}
