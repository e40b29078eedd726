package jobs

import (
	"context"
	"errors"
	"slices"

	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
)

// mostMoves is how often one attempt goes on with another account: once to the one
// that is known to be concerned, and once to the one that was paid.
const mostMoves = 2

// errNoAccount means that the account's seller was removed a moment ago.
var errNoAccount = errors.New("the seller's account is not configured any more")

// An otherAccountError means that another of our accounts was paid than the one that
// asked. A payment is visible to its payer as well, who is not told everything.
type otherAccountError struct{ collectorID string }

func (*otherAccountError) Error() string { return "another of our accounts was paid" }

// isOurs reports whether the account that is asked for a collector's payments is the
// collector's own.
func (s *eventShell) isOurs(account store.Account, collectorID string) bool {
	return account.CollectorID != "" || collectorID != "" && collectorID == s.store.MainAccount()
}

// move says with which account an attempt goes on that failed with this one, and
// notes it with the event. That is the account that was paid or, where the main one
// can't read what is asked for, the seller that a known payment or order names. What a
// seller that the notification names may not read is somebody else's: no signature
// covers that name.
func (s *eventShell) move(ctx context.Context, a store.Attempt, event *store.AttemptStart, asked store.Account, why error) (moved bool, err error) {
	var other *otherAccountError
	var to string
	switch {
	case errors.As(why, &other):
		to = other.collectorID
	case cannotRead(why, asked):
		reference := s.accounts.providers[event.Source].OrderReference(event.Payload)
		if to, err = s.store.SellerOf(ctx, *event, reference); err != nil {
			return false, ofStore(err)
		}
	default:
		return false, nil
	}
	if s.accounts.of(event.Source, to) == asked {
		return false, nil
	}
	event.CollectorID = to
	return true, ofStore(s.store.AssignAccount(ctx, a, to))
}

// cannotRead reports whether the provider's word to an account is that what was asked
// for is not there, or not for it. What is not there yet for the seller that was named
// may come.
func cannotRead(err error, asked store.Account) bool {
	no := []provider.ErrorKind{provider.Forbidden}
	if asked.CollectorID == "" {
		no = append(no, provider.NotFound, provider.ResourceNotFound, provider.Unauthorized)
	}
	var said *provider.Error
	return errors.As(err, &said) && !said.NotAsked && slices.Contains(no, said.Kind)
}
