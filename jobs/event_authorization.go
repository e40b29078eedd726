package jobs

import (
	"context"

	"github.com/riverqueue/river/rivertype"

	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
)

// AuthorizationArgs are the arguments of the job that keeps what an event tells of a
// seller's consent.
type AuthorizationArgs struct{ eventRef }

// Kind is the job's name in the database, see PaymentArgs.Kind.
func (AuthorizationArgs) Kind() string { return "webhook_authorization" }

// authorize keeps that a seller gave its consent or withdrew it. No payment says so,
// and the token may work for a moment still: whether it does is asked at once, so
// that what waits for it is held and not spent. A sender that anybody may be tells
// nothing.
func (s *eventShell) authorize(ctx context.Context, _ *rivertype.JobRow, a store.Attempt, event store.AttemptStart) (store.SettleResult, error) {
	result := store.SettleResult{Outcome: store.OutcomeKept}
	given, told := s.accounts.fetcher(store.Account{Source: event.Source}).Authorization(event.Action)
	account := s.accounts.of(event.Source, event.ResourceID)
	if account.CollectorID == "" {
		account = s.accounts.of(event.Source, event.CollectorID)
	}
	if !told || event.Hint || account.CollectorID == "" {
		return result, ofStore(s.settler.Complete(ctx, a, store.OutcomeKept))
	}
	if err := s.store.NoteAuthorization(ctx, a, account, given, store.CompleteJobOf(a)); err != nil {
		return store.SettleResult{}, ofStore(err)
	}
	s.circuits.CheckCredentials(ctx, account)
	return result, nil
}

// needsNobody reports whether the work is done without asking the event's account.
func needsNobody(work string) bool { return work == string(provider.Authorization) }
