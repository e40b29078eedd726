package jobs

import (
	"context"
	"errors"

	"github.com/riverqueue/river/rivertype"
	"golang.org/x/time/rate"

	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
)

const (
	// hintAttempts is how often an event is tried that anybody may have sent: its
	// second failure ends it.
	hintAttempts = 2
	// hintShare is which part of the calls to a provider such events may make.
	hintShare = 10
)

// newHintLimiter returns what the calls for hints are limited by, a share of what
// one process may ask a provider for.
func newHintLimiter(providerRate float64) *rate.Limiter {
	if providerRate <= 0 {
		return rate.NewLimiter(rate.Inf, 1)
	}
	return rate.NewLimiter(rate.Limit(providerRate/hintShare), max(1, int(providerRate/hintShare)))
}

// pointless reports whether a failed attempt proves that there was nothing to do,
// and how the event ends then instead of as a dead letter.
func (s *eventShell) pointless(ctx context.Context, a store.Attempt, event store.AttemptStart, last, permanent bool, err error) (outcome string, is bool, _ error) {
	var asked *provider.Error
	answered := errors.As(err, &asked)
	missing := answered && (asked.Kind == provider.NotFound || asked.Kind == provider.ResourceNotFound)
	switch {
	case event.Look:
		// What is known stands, and is looked for again.
		return store.OutcomeProvisional, last || permanent, nil
	case event.Hint && answered && asked.Kind == provider.Odd:
		// Whatever its sender: there is a payment, and a person must see it.
		return "", false, nil
	case event.Hint:
		return store.OutcomeDiscarded, missing || permanent || a.Number >= hintAttempts, nil
	case !missing:
		return "", false, nil
	}
	asks, readErr := s.store.SignedAsks(ctx, a.QueueID)
	switch {
	case readErr != nil:
		return "", false, readErr
	case s.accounts.providers[event.Source].IsTest(asks.Payload):
		// The body says that it is a test, and nothing is behind its id.
		return store.OutcomeTest, true, nil
	}
	// The signature stood under another topic too, which it does not cover: one of
	// the two is made up, and the other may be read in a moment.
	return store.OutcomeDiscarded, last && asks.OtherTopics, nil
}

// endPointless ends an event whose failed attempt proves that there was nothing
// to do, and reports whether it did.
func (s *eventShell) endPointless(ctx context.Context, job *rivertype.JobRow, a store.Attempt, report *attemptReport, permanent bool, err error) (bool, error) {
	outcome, is, readErr := s.pointless(ctx, a, report.event, job.Attempt >= job.MaxAttempts, permanent, err)
	if readErr != nil || !is {
		return false, readErr
	}
	report.outcome = outcome
	return true, s.settler.Complete(ctx, a, outcome)
}
