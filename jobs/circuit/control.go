package circuit

import (
	"context"
	"errors"
	"slices"

	"github.com/conciliar/conciliar/jobs/provider"
)

// A sign is what an answer says about the provider as a whole; of several the
// highest counts.
type sign uint8

const (
	// silent: nothing. Too many calls, a locked resource, an answer that nobody
	// expected, or no call at all.
	silent sign = iota
	// odd: the payment came, and what it says can't be booked. The provider is
	// there, but such an answer proves nothing on its own.
	odd
	// refused: our credentials were not accepted for this.
	refused
	// down: no answer, an error on the provider's side, or nothing that could be
	// one of its answers.
	down
	// works: what was asked for was read, or the provider knows that it isn't
	// there.
	works
)

// signOf is what a call's error says. What an answer says is never a sign that
// nobody is there.
func signOf(err error) sign {
	if err == nil {
		return works
	}
	var asked *provider.Error
	if !errors.As(err, &asked) || asked.NotAsked || errors.Is(err, context.Canceled) {
		return silent
	}
	switch asked.Kind {
	case provider.NotFound, provider.ResourceNotFound, provider.NotListed:
		return works
	case provider.Odd:
		return odd
	case provider.Unauthorized, provider.Forbidden:
		return refused
	case provider.Unavailable, provider.Unreadable:
		return down
	case provider.Unexpected, provider.RateLimited, provider.Locked:
	}
	return silent
}

// A reading is the answer to a control question.
type reading struct {
	sign sign
	// round tells one reading from another.
	round uint64
	// bySearch is true when no payment could be asked for.
	bySearch bool
}

// readControl puts the control question: can a payment be read that could be read
// before? It asks for payments that nothing waits for and whose own trouble it
// therefore isn't. Where none is known the search names some; where it names none
// but those that fail already, its answer is the proof. The except are these.
func (c *Circuit) readControl(ctx context.Context, except []string) (reading, error) {
	known, err := c.store.KnownPayments(ctx, c.account, controlSamples)
	if err != nil {
		return reading{}, err
	}
	if s := c.read(ctx, known); s > odd {
		return reading{sign: s}, nil
	}
	page, err := c.asks().SearchPayments(ctx, provider.SearchQuery{Limit: controlSamples + len(except)})
	if err != nil {
		return reading{sign: signOf(err), bySearch: true}, nil
	}
	var others []string
	for _, p := range page.Payments {
		if len(others) < controlSamples && !slices.Contains(except, p.ID) {
			others = append(others, p.ID)
		}
	}
	if s := c.read(ctx, others); s > odd {
		return reading{sign: s}, nil
	}
	return reading{sign: works, bySearch: true}, nil
}

// read asks for payments, all at the same time, and returns the highest sign.
func (c *Circuit) read(ctx context.Context, ids []string) sign {
	signs, asks := make(chan sign, len(ids)), c.asks()
	for _, id := range ids {
		go func() {
			_, err := asks.Payment(ctx, id)
			signs <- signOf(err)
		}()
	}
	highest := silent
	for range ids {
		highest = max(highest, <-signs)
		if highest == works {
			break
		}
	}
	return highest
}
