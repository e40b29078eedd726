package store

import (
	"fmt"
	"maps"
	"slices"
)

// What an event asks for, as webhook_queue.work has it: stored data, to which
// words are added and in which none is renamed. Every event has one of them; an
// event without one is refused, because to forget it must not end an event.
const (
	// WorkKeep: nothing but to keep it.
	WorkKeep = "keep"
	// WorkTest: nothing; it is the provider's own test.
	WorkTest = "test"
	// WorkUnhandled: it is about money, and this release cannot settle it.
	WorkUnhandled = "unhandled"
	// WorkPayment: to settle the payment that it names.
	WorkPayment = "payment"
	// WorkFollow: to fetch what it names, and then what that names.
	WorkFollow = "follow"
	// WorkAuthorization: to keep whether a seller lets us ask for its payments.
	WorkAuthorization = "authorization"
	// WorkFraudAlert: to settle the payment that it names, whose order is not to be
	// shipped.
	WorkFraudAlert = "fraud_alert"
	// WorkForward: to send its body on to where its source says.
	WorkForward = "forward"
)

// outcomeAtOnce is how an event ends in the transaction that accepts it, by its
// work. One that is not here, or empty, gets a job.
var outcomeAtOnce = map[string]string{
	WorkKeep: OutcomeKept, WorkTest: OutcomeTest, WorkUnhandled: OutcomeUnhandled, WorkPayment: "", WorkFollow: "",
	WorkFraudAlert: "", WorkAuthorization: "", WorkForward: "",
}

// Works lists every work.
func Works() []string { return slices.Sorted(maps.Keys(outcomeAtOnce)) }

// OutcomeAtOnce is how an event with that work ends when it is accepted; empty
// for one that has a job.
func OutcomeAtOnce(work string) string { return outcomeAtOnce[work] }

// isItsBody reports whether nothing is left to do of an event with that work once its
// body was emptied: it names nothing that could be fetched.
func isItsBody(work string) bool { return work == WorkForward || OutcomeAtOnce(work) != "" }

// checkWork is nil for an event whose work is known.
func (ev NewEvent) checkWork() error {
	if _, known := outcomeAtOnce[ev.Work]; !known {
		return fmt.Errorf("an event about %q of %s asks for %q, which is not a work", ev.Topic, ev.Source, ev.Work)
	}
	return nil
}

// WorkOf says what an event of a source asks for, by its topic and the resource
// that it names. It is false for a source that it does not know.
type WorkOf func(source, topic, resourceID string) (work string, known bool)
