package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"

	"github.com/riverqueue/river/rivertype"

	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/jobs/source"
	"github.com/conciliar/conciliar/store"
)

// ForwardArgs are the arguments of the job that sends an event on to where its source
// says. It asks no provider, so no outage holds it.
type ForwardArgs struct{ eventRef }

// Kind is the job's name in the database; see PaymentArgs.Kind for its prefix.
func (ForwardArgs) Kind() string { return "webhook_forward" }

// classTemplateFailed: a template does not fit the event.
const classTemplateFailed = "template_failed"

// SourceReceivers begins the names of the receivers that sources forward to.
const SourceReceivers = "source:"

// Sources are the senders that a file declares, by the source of their events. They
// may be exchanged while the service runs. It is safe for concurrent use.
type Sources struct {
	byName atomic.Pointer[map[string]*source.Source]
}

// Use makes these the senders.
func (s *Sources) Use(byName map[string]*source.Source) { s.byName.Store(&byName) }

// Named is the sender of a source; nil for one that is not declared.
func (s *Sources) Named(name string) *source.Source {
	if s == nil || s.byName.Load() == nil {
		return nil
	}
	return (*s.byName.Load())[name]
}

// forward renders the message that an event becomes and hands it over, in the
// transaction that ends the event. One whose source forwards nothing any more is kept.
func (s *eventShell) forward(ctx context.Context, _ *rivertype.JobRow, a store.Attempt, event store.AttemptStart) (store.SettleResult, error) {
	sender := s.sources.Named(event.Source)
	if sender == nil {
		return store.SettleResult{}, &AttemptError{Class: "unknown_source", Err: fmt.Errorf("no source %q is declared", event.Source)}
	}
	if sender.Work() != provider.Forward {
		return store.SettleResult{Outcome: store.OutcomeKept}, ofStore(s.settler.Complete(ctx, a, store.OutcomeKept))
	}
	message, err := sender.Render(source.Event{
		QueueID: a.QueueID, Source: event.Source, Type: event.Topic, ID: event.ResourceID, Time: event.NotifiedAt, ReceivedAt: event.ReceivedAt,
		Body: event.Payload,
	})
	if failed, ok := errors.AsType[*source.RenderError](err); ok {
		return store.SettleResult{}, &AttemptError{Class: classTemplateFailed, Err: failed}
	}
	if err != nil {
		return store.SettleResult{}, err
	}
	number := strconv.FormatInt(a.QueueID, 10)
	err = s.store.Forward(ctx, a, store.NewDelivery{
		Receiver: SourceReceivers + event.Source, Stream: cmp.Or(event.ResourceID, number), MessageID: event.Source + "-" + number,
		Headers: message.Headers, Body: message.Body,
	}, store.OutcomeForwarded, store.CompleteJobOf(a))
	return store.SettleResult{Outcome: store.OutcomeForwarded}, ofStore(err)
}
