package circuit

import (
	"context"
	"errors"
	"time"

	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
)

// A Question is what an attempt asked a provider.
type Question struct {
	// Source names the provider.
	Source string
	// About is what was asked for: failures over one thing alone are no outage.
	// All searches are one thing.
	About string
	// Began is when the attempt did.
	Began time.Time
	// Last is true when the attempt's failure would end in the dead letter.
	Last bool
}

// A Decision says what follows a failed question from how the provider does as a
// whole.
type Decision uint8

const (
	// Retry: the failure is the question's own affair.
	Retry Decision = iota
	// Hold: the provider is down; no attempt is spent until it works.
	Hold
	// PutOff: the question was asked before an outage ended, and is to be asked
	// again within seconds; no attempt is spent.
	PutOff
)

// A Verdict is what the circuit says of a failed question.
type Verdict struct {
	Decision Decision
	// OneOnly is true when the failure is known to be about the one thing alone.
	OneOnly bool
}

// Judge counts a failed question and says what follows.
func (all Circuits) Judge(ctx context.Context, q Question, asked *provider.Error) Verdict {
	c, ok := all[q.Source]
	if !ok {
		return Verdict{}
	}
	return c.judge(ctx, q, asked)
}

// judge is Circuits.Judge for one provider.
func (c *Circuit) judge(ctx context.Context, q Question, asked *provider.Error) Verdict {
	outage := isOutage(asked)
	switch {
	case asked.NotAsked, errors.Is(asked, context.Canceled):
		return Verdict{} // it says nothing about the provider
	case outage:
		c.failed(ctx, q.About)
	case isCredentialsRejected(asked):
	default:
		// What an answer says is the matter of what was asked for; that one came
		// is a good sign.
		if asked.Kind == provider.NotFound || asked.Kind == provider.Odd {
			c.succeeded()
		}
		return Verdict{OneOnly: asked.Kind == provider.Odd}
	}
	oneOnly := false
	if holds, _ := c.known(); !holds {
		oneOnly = c.confirm(ctx, q, outage)
	}
	if oneOnly && !outage {
		return Verdict{OneOnly: true}
	}
	if holds, _ := c.known(); !holds {
		// Another process may have opened it since the last look.
		c.look(ctx)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.seen.Circuit != store.CircuitClosed || c.breaker.IsOpen():
		return Verdict{Decision: Hold, OneOnly: oneOnly}
	case q.Began.Before(c.closedAt):
		// Held now, it would stay so: what was held is let go already.
		return Verdict{Decision: PutOff, OneOnly: oneOnly}
	}
	return Verdict{OneOnly: oneOnly}
}

// confirm asks with our own credentials, and reports whether the provider
// answered and took them. A last attempt is not spent on a provider that is seen
// to be down: there is no other to come.
func (c *Circuit) confirm(ctx context.Context, q Question, outage bool) bool {
	err := c.credentials.do(ctx)
	if outage && isOutage(err) {
		if q.Last {
			c.open(ctx, store.ReasonUnavailable)
		}
		// It is not about the one thing: its next failure counts again.
		c.mu.Lock()
		delete(c.failing, q.About)
		c.mu.Unlock()
	}
	return err == nil
}

// isOutage reports whether the error is one that a provider which is down gives.
func isOutage(err error) bool {
	var asked *provider.Error
	if !errors.As(err, &asked) || asked.NotAsked || errors.Is(err, context.Canceled) {
		return false
	}
	return asked.Kind == provider.Unavailable || asked.Kind == provider.Unreadable
}

// isCredentialsRejected reports whether the error is one that rejected credentials give.
func isCredentialsRejected(err error) bool {
	var asked *provider.Error
	return errors.As(err, &asked) && (asked.Kind == provider.Unauthorized || asked.Kind == provider.Forbidden)
}

// answered reports whether the provider answered what it was asked, given that
// it takes our credentials: then a refusal is about the one payment.
func answered(err error) bool {
	var asked *provider.Error
	return err == nil || isCredentialsRejected(err) || errors.As(err, &asked) && (asked.Kind == provider.NotFound || asked.Kind == provider.Odd)
}
