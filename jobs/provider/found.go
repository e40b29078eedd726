package provider

import "errors"

// A Ref names something at a provider that can be fetched: what a topic of the
// provider is about, by its id.
type Ref struct{ Topic, ID string }

// Found is what one fetch brought: what was fetched, what is to be fetched next, or
// both.
type Found struct {
	// Payment is nil when what was fetched is not a payment. So are Chargeback and
	// Claim, of which nothing is booked.
	Payment    *Payment
	Chargeback *Chargeback
	Claim      *Claim
	// Next is what it names, each once.
	Next []Ref
}

// ErrUnknownTopic means that this release cannot fetch what a topic is about. A
// newer one, which made the event, can.
var ErrUnknownTopic = errors.New("this release does not know the topic")
