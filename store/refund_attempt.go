package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"
)

// refundKeyLife is how long after a refund was asked for it may be sent: an hour less
// than the 24 for which Mercado Pago documents that it knows a key. Sent later, it could
// be made twice.
const refundKeyLife = 23 * time.Hour

// A RefundStart is a refund that is about to be sent.
type RefundStart struct {
	Refund

	// Superseded is true when another job sends it.
	Superseded bool
	// Ambiguous is true when it may have been made by an earlier call.
	Ambiguous bool
	// Expired is true when it must not be sent any more: the provider may have forgotten
	// its key.
	Expired bool
	// Taken are the provider's ids of the payment's other refunds.
	Taken []string
}

// StartRefund marks a refund as sent, which is committed before it is. The error is
// ErrStaleAttempt when another attempt has taken over, or wraps ErrRefundNotFound. One
// that has ended, or has another job, is returned as it is.
func (s *Store) StartRefund(ctx context.Context, a Attempt, id string) (RefundStart, error) {
	var start RefundStart
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := lockAttempt(ctx, tx, a); err != nil {
			return err
		}
		var jobID *int64
		err := tx.QueryRow(ctx, `SELECT job_id, NOT `+within("requested_at", seconds(refundKeyLife))+` FROM refunds WHERE id = $1 FOR UPDATE`, id).Scan(&jobID, &start.Expired)
		if err = ErrRefundNotFound.ifNone(err, id); err != nil {
			return err
		}
		if start.Refund, err = readRefund(ctx, tx, id); err != nil || !start.Open() {
			return err
		}
		if jobID == nil || *jobID != a.JobID {
			start.Superseded = true
			return nil
		}
		start.Ambiguous = start.State != RefundRequested
		start.Taken, err = readColumn[string](ctx, tx, `
			SELECT provider_id FROM refunds WHERE source = $1 AND payment_id = $2 AND provider_id IS NOT NULL AND id <> $3`,
			start.Source, start.PaymentID, id)
		if err != nil || start.Expired || start.ProviderID != nil {
			return err // it is looked for, and not sent
		}
		state := RefundSent
		if start.Ambiguous {
			state = RefundUnknown
		}
		start.State = state
		return execute(ctx, tx, `UPDATE refunds SET state = $2, tries = tries + 1, sent_at = coalesce(sent_at, clock_timestamp()) WHERE id = $1`, id, state)
	})
	return start, wrap(err, "start refund %q", id)
}

// A RefundResult is what came of sending a refund, or of looking for it.
type RefundResult struct {
	// State is what it is then: RefundRequested for one that certainly was not made and
	// is to be sent again.
	State string
	// ProviderID and Confirmed are the provider's id of it and what went back, where they
	// are known.
	ProviderID string
	Confirmed  decimal.NullDecimal
	// Reason and Error say why it failed or is not known, in texts that are safe to keep.
	Reason, Error string
}

// EndRefundTry keeps what came of a try. One that ends the refund makes the event that
// reads back what came of it, and completes the job. The error is ErrStaleAttempt when
// another attempt has taken over.
func (s *Store) EndRefundTry(ctx context.Context, a Attempt, id string, result RefundResult, complete CompleteJob) (Refund, error) {
	var refund Refund
	err := s.inFencedTx(ctx, func(tx pgx.Tx) error {
		if _, err := lockAttempt(ctx, tx, a); err != nil {
			return err
		}
		ended := result.State == RefundDone || result.State == RefundFailed
		tag, err := tx.Exec(ctx, `
			UPDATE refunds SET state = $2, provider_id = coalesce(nullif($3, ''), provider_id), confirmed_amount = coalesce($4, confirmed_amount),
				reason = $5, error = $6, sent_at = CASE WHEN $2 <> 'requested' THEN coalesce(sent_at, CASE WHEN $2 = 'done' THEN requested_at END) END,
				ended_at = CASE WHEN $7 THEN clock_timestamp() END
			WHERE id = $1 AND job_id = $8 AND `+checked(`ended_at IS NULL`),
			id, result.State, text(result.ProviderID), result.Confirmed, result.Reason, text(result.Error), ended, a.JobID)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return ErrStaleAttempt
		}
		if !ended {
			refund, err = readRefund(ctx, tx, id)
			return err
		}
		if err := s.readBack(ctx, tx, id); err != nil {
			return err
		}
		if refund, err = readRefund(ctx, tx, id); err != nil {
			return err
		}
		return complete(ctx, tx)
	})
	return refund, wrap(err, "end a try of refund %q", id)
}

// readBack makes the event that fetches a refund's payment, also when nothing went back:
// a refusal may come of a state that we do not know.
func (s *Store) readBack(ctx context.Context, tx pgx.Tx, id string) error {
	r, err := readRefund(ctx, tx, id)
	if err != nil {
		return err
	}
	like := NewEvent{Origin: OriginFollow, CollectorID: r.CollectorID, Payload: mustJSON(map[string]string{"payment_id": r.PaymentID, "refund_id": id})}
	if r.State == RefundDone {
		like.NotifiedAt = *r.EndedAt
	}
	event, err := s.eventAbout(r.Source, Ref{Topic: topicPayment, ID: r.PaymentID}, like)
	if err != nil {
		return err
	}
	receipts, err := s.insertEvents(ctx, tx, []NewEvent{event})
	if err != nil {
		return err
	}
	return execute(ctx, tx, `UPDATE refunds SET queue_id = $2 WHERE id = $1`, id, receipts[0].QueueID)
}

// sweptRefunds is how many refunds one sweep gives a job.
const sweptRefunds = 100

// SweepRefunds gives open refunds a job whose own will not run any more, because it was
// deleted or cancelled, or died with its workers. It returns how many.
func (s *Store) SweepRefunds(ctx context.Context) (int, error) {
	given := 0
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		given = 0
		lost, err := readColumn[string](ctx, tx, `
			SELECT r.id::text FROM refunds r
			WHERE r.ended_at IS NULL AND NOT EXISTS (SELECT FROM river_job j WHERE j.id = r.job_id AND j.state IN `+liveStates+`)
			ORDER BY r.number LIMIT $1 FOR UPDATE OF r SKIP LOCKED`, sweptRefunds)
		if err != nil || len(lost) == 0 {
			return err
		}
		now, err := readValue[time.Time](ctx, tx, `SELECT clock_timestamp()`)
		if err != nil {
			return err
		}
		for _, id := range lost {
			if err := s.giveRefundJob(ctx, tx, id, now); err != nil {
				return err
			}
			given++
		}
		return nil
	})
	return given, wrap(err, "sweep refunds")
}
