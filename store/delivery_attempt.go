package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// A DeliveryStart is what a worker needs to know before it sends a message.
type DeliveryStart struct {
	ID       int64
	Receiver string
	// Stream is what the message is about: of an order event the order's reference.
	Stream    string
	MessageID string
	// Attempts is how many were made before.
	Attempts int
	Headers  map[string]string
	// Body is nil where it is not kept any more.
	Body    []byte
	QueueID *int64
	// Stopped is true when the receiver is told nothing now.
	Stopped bool
	// Now is PostgreSQL's clock.
	Now time.Time
}

// ErrDeliverySuperseded means that the delivery is not this job's any more: it has
// ended, or has another job.
var ErrDeliverySuperseded = errors.New("the delivery has ended or has another job")

// StartDelivery reads the delivery that a job is about. The error may be
// ErrDeliverySuperseded.
func (s *Store) StartDelivery(ctx context.Context, id, jobID int64) (DeliveryStart, error) {
	d, err := readOne[DeliveryStart](ctx, s.pool, `
		SELECT d.id, d.receiver, d.stream, d.message_id, d.attempts, d.headers,
		       CASE WHEN d.order_event_id IS NULL THEN d.body ELSE convert_to(e.body::text, 'UTF8') END,
		       coalesce(d.queue_id, e.queue_id), r.stopped_at IS NOT NULL, clock_timestamp()
		FROM deliveries d
		JOIN delivery_receivers r ON r.name = d.receiver
		LEFT JOIN order_events e ON e.id = d.order_event_id
		WHERE d.id = $1 AND d.job_id = $2 AND `+checked(`d.state = 'pending'`), id, jobID)
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrDeliverySuperseded
	}
	return d, wrap(err, "delivery %d", id)
}

// A DeliveryResult is what came of one attempt of a delivery.
type DeliveryResult struct {
	// Accepted ends the delivery well; Gone stops the receiver, which then is told
	// nothing, and keeps the delivery.
	Accepted, Gone bool
	// Wait is how long to wait for the next attempt; 0 when there is none.
	Wait time.Duration
	// Status is the answer's; 0 when none came. Class, Error and Answer say why it was
	// not accepted and what the receiver said.
	Status               int
	Class, Error, Answer string
	Took                 time.Duration
}

// A DeliveryEnd is where a delivery stands after an attempt.
type DeliveryEnd struct {
	State         string
	Attempts      int
	NextAttemptAt time.Time
}

// EndDeliveryAttempt books what came of an attempt, gives the stream's next attempt its
// job, which is this delivery's or that of the one behind it, and completes the
// attempt's own, all or nothing. A stale attempt changes nothing and gets
// ErrStaleAttempt, one whose delivery is another job's by now ErrDeliverySuperseded.
func (s *Store) EndDeliveryAttempt(ctx context.Context, d DeliveryStart, a Attempt, result DeliveryResult, complete CompleteJob) (DeliveryEnd, error) {
	state := DeliveryPending
	switch {
	case result.Accepted:
		state = DeliveryDelivered
	case result.Wait <= 0 && !result.Gone:
		state = DeliveryDead
	}
	var end DeliveryEnd
	err := s.inFencedTx(ctx, func(tx pgx.Tx) error {
		if _, err := lockAttempt(ctx, tx, a); err != nil {
			return err
		}
		if err := lockStreams(ctx, tx, d.Receiver, []string{d.Stream}); err != nil {
			return err
		}
		var err error
		end, err = readOne[DeliveryEnd](ctx, tx, `
			UPDATE deliveries SET state = $3, attempts = attempts + 1, error_class = $4, job_id = NULL,
			       ended_at = CASE WHEN $3 <> 'pending' THEN clock_timestamp() END,
			       body = CASE WHEN NOT `+deliveredOfForgotten+` THEN body END, headers = CASE WHEN NOT `+deliveredOfForgotten+` THEN headers END,
			       next_attempt_at = CASE WHEN $3 = 'pending' THEN clock_timestamp() + make_interval(secs => $5) ELSE next_attempt_at END
			WHERE id = $1 AND job_id = $2 AND `+checked(`state = 'pending'`)+`
			RETURNING state, attempts, next_attempt_at`, d.ID, a.JobID, state, result.Class, result.Wait.Seconds())
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrDeliverySuperseded
		}
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO delivery_attempts (delivery_id, number, duration_ms, status, error_class, error, answer)
			VALUES ($1, $2, $3, nullif($4::int, 0), $5, $6, $7)`,
			d.ID, end.Attempts, result.Took.Milliseconds(), result.Status, result.Class, text(result.Error), text(result.Answer))
		if err != nil {
			return err
		}
		if result.Gone {
			if err := stopReceiver(ctx, tx, d.Receiver, StoppedGone, ""); err != nil {
				return err
			}
		}
		if err := s.enqueueHeads(ctx, tx, d.Receiver, []string{d.Stream}); err != nil {
			return err
		}
		return complete(ctx, tx)
	})
	return end, wrap(err, "end an attempt of delivery %d", d.ID)
}

// deliveredOfForgotten selects whether a delivery that ends in the state $3 has arrived,
// and is of an event about a forgotten payer: what was to be said has been.
const deliveredOfForgotten = `($3 = '` + DeliveryDelivered + `' AND EXISTS (
	SELECT FROM webhook_queue q WHERE q.id = deliveries.queue_id AND q.forgotten UNION ALL
	SELECT FROM webhook_archive q WHERE q.id = deliveries.queue_id AND q.forgotten))`

// ParkDelivery completes the job of a delivery whose receiver is stopped; it waits
// without one. A stale attempt changes nothing and gets ErrStaleAttempt.
func (s *Store) ParkDelivery(ctx context.Context, d DeliveryStart, a Attempt, complete CompleteJob) error {
	err := s.inFencedTx(ctx, func(tx pgx.Tx) error {
		if _, err := lockAttempt(ctx, tx, a); err != nil {
			return err
		}
		if err := lockStreams(ctx, tx, d.Receiver, []string{d.Stream}); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE deliveries SET job_id = NULL WHERE id = $1 AND job_id = $2`, d.ID, a.JobID); err != nil {
			return err
		}
		// It may have been started again meanwhile.
		if err := s.enqueueHeads(ctx, tx, d.Receiver, []string{d.Stream}); err != nil {
			return err
		}
		return complete(ctx, tx)
	})
	return wrap(err, "park delivery %d", d.ID)
}
