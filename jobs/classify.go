package jobs

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/conciliar/conciliar/jobs/circuit"
	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// An AttemptError is a failed attempt as it is stored. Its text begins with
// the class, which is how the class reaches the dead letter. The text is one
// that River can store: see storable.
type AttemptError struct {
	// Class is the cause in one stable word, for example "payment_not_found".
	Class string
	Err   error
}

func (e *AttemptError) Error() string {
	text := e.Err.Error()
	if !strings.HasPrefix(text, e.Class+": ") { // a provider's error names its kind, which is the class
		text = e.Class + ": " + text
	}
	return storable(text)
}

func (e *AttemptError) Unwrap() error { return e.Err }

// maxErrorText is how many bytes of an error are stored, for each attempt.
const maxErrorText = 2000

// storable makes an error's text something that jsonb can hold, and bounds it.
// River stores many ended attempts in one statement, and jsonb refuses NUL: the
// text of one attempt would keep all of them from ending.
func storable(text string) string {
	if len(text) > maxErrorText {
		text = text[:maxErrorText]
	}
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}

// classNotAsked: our own rate limit left no time for a call.
const classNotAsked = "provider_not_asked"

// A storeError is an error of the database, and of nothing else that an attempt
// asks.
type storeError struct{ err error }

func (e *storeError) Error() string { return e.err.Error() }
func (e *storeError) Unwrap() error { return e.err }

// ofStore marks an error of the database; nil stays nil.
func ofStore(err error) error {
	if err == nil {
		return nil
	}
	return &storeError{err}
}

// classOf is the one total function from an attempt's error to its class. What
// follows is the table's, see FailureClasses.
func classOf(err error) string {
	var failed *AttemptError
	var asked *provider.Error
	var storage *storeError
	var newer *store.NewerLedgerError
	switch {
	case errors.Is(err, order.ErrUnknownStatus):
		return "unknown_status"
	case errors.Is(err, provider.ErrUnknownTopic):
		return "unknown_topic"
	case errors.As(err, &newer):
		return "newer_release"
	case errors.Is(err, store.ErrEventNotFound):
		return "event_not_found"
	case errors.As(err, &failed):
		return failed.Class
	case errors.As(err, &asked):
		if asked.NotAsked {
			return classNotAsked
		}
		return asked.Kind.String()
	case errors.As(err, &storage):
		if failure, ok := store.FailureOf(storage.err); ok {
			return string(failure)
		}
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	}
	return classInternal
}

// A failure is a failed attempt and what follows.
type failure struct {
	class  string
	action Action
	// notBefore is when the provider allows the next attempt; zero when it
	// said nothing.
	notBefore time.Time
}

func (f failure) outcome() string {
	switch f.action {
	case ActionPermanent:
		return "permanent_failure"
	case ActionHold:
		return "held"
	case ActionPutOff:
		return "put_off"
	case ActionRetry, ActionDead, ActionDone:
	}
	return "retry"
}

// classify says what follows an attempt's error: what its class asks for, unless
// the provider's circuit knows better.
func classify(ctx context.Context, circuits *circuit.Circuits, q circuit.Question, now time.Time, err error) failure {
	f := failure{class: classOf(err)}
	f.action = actionOf(f.class)
	var asked *provider.Error
	if !errors.As(err, &asked) {
		return f
	}
	if asked.RetryAfter > 0 {
		f.notBefore = now.Add(asked.RetryAfter)
	}
	if !circuits.Has(q.Account) {
		return f
	}
	verdict := circuits.Judge(ctx, q, asked)
	switch {
	case verdict.Decision == circuit.Hold:
		f.action = ActionHold
	case verdict.Decision == circuit.PutOff:
		f.action = ActionPutOff
	case f.action == ActionHold, f.action == ActionPermanent && !verdict.OneOnly:
		// The provider as a whole works, or could not be asked whether this is
		// about one payment only.
		f.action = ActionRetry
	}
	return f
}

const (
	// heldFor is how long an event is held at least, and up to twice that, unless
	// it is let go before, as it is when the outage ends. So long that what is
	// held does not come around all the time.
	heldFor = time.Hour
	// stepHeldFor is how long a run's step sleeps before it looks again whether
	// its provider can be asked.
	stepHeldFor = 5 * time.Second
)

// holdFor is how long an event is held: see heldFor. The spread keeps what was held together from coming around together.
func holdFor() time.Duration {
	return heldFor + rand.N(heldFor) //nolint:gosec // spreads load, guards nothing
}
