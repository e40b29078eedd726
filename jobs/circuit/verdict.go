package circuit

import (
	"context"
	"fmt"
	"time"

	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
)

// AboutSearch is what every search is about: all searches are one thing.
const AboutSearch = "search"

// A Question is what an attempt asked a provider.
type Question struct {
	// Account is whose credentials asked.
	Account store.Account
	// About is what was asked for: failures over one thing alone are not an outage.
	About string
	// Began is when the attempt did.
	Began time.Time
	// Last is true when the attempt's failure would end in the dead letter.
	Last bool
	// Hint is true for an event that anybody may have sent. What it meets counts
	// neither for nor against the provider, and nothing else is asked over it.
	Hint bool
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
func (all *Circuits) Judge(ctx context.Context, q Question, asked *provider.Error) Verdict {
	c := all.of(q.Account)
	if c == nil {
		return Verdict{}
	}
	return c.judge(ctx, q, asked)
}

// judge is Circuits.Judge for one account.
func (c *Circuit) judge(ctx context.Context, q Question, asked *provider.Error) Verdict {
	s := signOf(asked)
	switch s {
	case silent:
		return Verdict{}
	case odd, works:
		// What it says is the matter of what was asked for; that it came is a
		// good sign.
		if !q.Hint {
			c.succeeded()
		}
		return Verdict{OneOnly: true}
	case refused:
	case down:
		if !q.Hint {
			c.failed(ctx, q.About)
		}
	}
	oneOnly := false
	if holds, _ := c.known(); !holds && !q.Hint {
		oneOnly = c.confirm(ctx, q, s)
	}
	if oneOnly && s == refused {
		return Verdict{OneOnly: true}
	}
	if holds, _ := c.known(); !holds {
		// Another process may have opened it since the last look.
		c.circuits.look(ctx)
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

// confirm asks for other things, and reports whether the failure is about the one
// thing alone. A payment that can be read is the proof. Our credentials are
// rejected as such when the provider does not know us and no other payment either.
// A last attempt is not spent on a provider that is seen to be down: there is no
// other to come.
func (c *Circuit) confirm(ctx context.Context, q Question, s sign) (oneOnly bool) {
	weAreRefused := false
	if s == refused {
		answer, err := c.credentials.do(ctx)
		if err != nil {
			return false
		}
		if answer == nil {
			return true
		}
		weAreRefused = signOf(answer) == refused
	}
	r, err := c.control.do(ctx)
	if err != nil {
		return false
	}
	switch r.sign {
	case works:
		if !r.bySearch {
			c.succeeded()
		}
		return s == refused || !r.bySearch
	case refused:
		if weAreRefused {
			c.open(ctx, store.ReasonCredentialsRejected)
		}
	case down:
		if r.bySearch && q.About == AboutSearch {
			// It is the same thing once more: another has to be down, too.
			if answer, err := c.credentials.do(ctx); err != nil || signOf(answer) != down {
				break
			}
		}
		if q.Last && s == down {
			c.open(ctx, store.ReasonUnavailable)
		}
		// It is not about the one thing: its next failure counts again. Each
		// reading is a new sign, whatever else failed.
		c.mu.Lock()
		delete(c.failing, q.About)
		c.mu.Unlock()
		c.failed(ctx, fmt.Sprintf("control question %d", r.round))
	case silent, odd:
	}
	return false
}
