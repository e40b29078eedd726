package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// A Ref names something at an event's provider that can be fetched.
type Ref struct{ Topic, ID string }

// A Fetched is what an attempt fetched for its event.
type Fetched struct {
	// Event is the attempt's event.
	Event AttemptStart
	// Payment is nil when what was fetched is not a payment; so are Chargeback and
	// Claim.
	Payment    *FetchedPayment
	Chargeback *Chargeback
	Claim      *Claim
	// Next is what it names: each becomes an event of its own.
	Next []Ref
	// Ordered are the payments of an order of the provider's; Wait is how long after
	// the attempt those that are not known are looked for again, 0 for never.
	Ordered []OrderedPayment
	Wait    time.Duration
	// Background is true when what follows has time, as the event itself has.
	Background bool
	// Trace is the traceparent that what follows goes on with; may be empty.
	Trace string
}

// Apply applies what was fetched: it settles the payment if there is one (see
// applyPayment), keeps a chargeback or a claim, settles by what an order of the provider's
// says of its payments (see applyOrdered), makes events of what is to be fetched next,
// each with its job, ends the event and completes its job, all or nothing. A stale
// attempt changes nothing and gets ErrStaleAttempt.
func (s *Store) Apply(ctx context.Context, a Attempt, fetched Fetched, complete CompleteJob) (SettleResult, error) {
	var result SettleResult
	err := s.inFencedTx(ctx, func(tx pgx.Tx) error {
		failures, err := lockAttempt(ctx, tx, a)
		if err != nil {
			return err
		}
		result = SettleResult{Outcome: OutcomeFollowed}
		if fetched.Payment != nil {
			if result, err = s.applyPayment(ctx, tx, a.QueueID, *fetched.Payment); err != nil {
				return fmt.Errorf("payment %s: %w", fetched.Payment.Payment.ID, err)
			}
			if err := s.raiseFraudAlert(ctx, tx, a.QueueID, fetched, &result); err != nil {
				return fmt.Errorf("fraud alert about payment %s: %w", fetched.Payment.Payment.ID, err)
			}
		}
		if err := saveDispute(ctx, tx, fetched); err != nil {
			return err
		}
		if len(fetched.Ordered) > 0 {
			if result, err = s.applyOrdered(ctx, tx, a.QueueID, fetched.Ordered, fetched.Wait); err != nil {
				return err
			}
		}
		if err := s.follow(ctx, tx, fetched); err != nil {
			return err
		}
		if err := endEvent(ctx, tx, a, result.Outcome, failures); err != nil {
			return err
		}
		return complete(ctx, tx)
	})
	return result, wrap(err, "apply what was fetched for event %d", a.QueueID)
}

// Settle is Apply of a payment that names nothing else.
func (s *Store) Settle(ctx context.Context, a Attempt, payment FetchedPayment, complete CompleteJob) (SettleResult, error) {
	return s.Apply(ctx, a, Fetched{Payment: &payment}, complete)
}

// follow makes events of what is to be fetched next.
func (s *Store) follow(ctx context.Context, tx pgx.Tx, fetched Fetched) error {
	events, err := s.followsOf(fetched)
	if err != nil || len(events) == 0 {
		return err
	}
	_, err = s.insertEvents(ctx, tx, events)
	return err
}

// followsOf are events about what is to be fetched next. They bear the delivery's
// request id, by which a person finds what became of it.
func (s *Store) followsOf(fetched Fetched) ([]NewEvent, error) {
	events := make([]NewEvent, len(fetched.Next))
	for i, ref := range fetched.Next {
		var err error
		if events[i], err = s.eventAbout(fetched.Event.Source, ref, NewEvent{
			Origin: OriginFollow, CollectorID: fetched.Event.CollectorID, RequestID: fetched.Event.RequestID,
			Background: fetched.Background, Trace: fetched.Trace,
		}); err != nil {
			return nil, err
		}
	}
	return events, nil
}

// eventAbout is an event like the given one about what ref names.
func (s *Store) eventAbout(source string, ref Ref, like NewEvent) (NewEvent, error) {
	if s.jobForm == nil || s.workOf == nil {
		return NewEvent{}, fmt.Errorf("this store cannot follow to topic %q", ref.Topic)
	}
	work, known := s.workOf(source, ref.Topic, ref.ID)
	if !known {
		return NewEvent{}, fmt.Errorf("nobody knows what an event of %s asks for", source)
	}
	like.Source, like.Topic, like.ResourceID, like.Work = source, ref.Topic, ref.ID, work
	return like, nil
}
