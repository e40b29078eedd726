package jobs

import (
	"context"
	"errors"
	"strings"
	"time"

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

// Error implements error.
func (e *AttemptError) Error() string { return storable(e.Class + ": " + e.Err.Error()) }

// Unwrap returns the cause.
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

type action uint8

const (
	actionRetry action = iota
	actionPermanent
)

// A verdict says what an attempt's error means.
type verdict struct {
	action action
	class  string
	// notBefore is when the provider allows the next attempt; zero when it
	// said nothing.
	notBefore time.Time
}

func (v verdict) outcome() string {
	if v.action == actionPermanent {
		return "permanent_failure"
	}
	return "retry"
}

// probeTimeout bounds the question whether our own credentials still work.
const probeTimeout = 5 * time.Second

// classify is the one total function from an attempt's error to what follows.
// What it does not know is retried.
func (w *paymentWorker) classify(ctx context.Context, source string, err error) verdict {
	var failed *AttemptError
	var asked *provider.Error
	switch {
	case errors.Is(err, order.ErrUnknownStatus):
		return verdict{action: actionPermanent, class: "unknown_status"}
	case errors.Is(err, store.ErrEventNotFound):
		return verdict{action: actionPermanent, class: "event_not_found"}
	case errors.As(err, &failed):
		return verdict{class: failed.Class}
	case errors.As(err, &asked):
		return w.classifyAnswer(ctx, source, asked)
	case errors.Is(err, context.DeadlineExceeded):
		return verdict{class: "timeout"}
	}
	return verdict{class: "internal"}
}

func (w *paymentWorker) classifyAnswer(ctx context.Context, source string, asked *provider.Error) verdict {
	v := verdict{class: asked.Kind.String()}
	if asked.RetryAfter > 0 {
		v.notBefore = w.policy.now().Add(asked.RetryAfter)
	}
	if asked.Kind == provider.Forbidden && w.credentialsWork(ctx, source) {
		// The provider knows us and still refuses: only this payment is barred.
		v.action = actionPermanent
	}
	return v
}

// credentialsWork asks with our own credentials whether we are shut out.
func (w *paymentWorker) credentialsWork(ctx context.Context, source string) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	return w.payments[source].CheckCredentials(ctx) == nil
}
