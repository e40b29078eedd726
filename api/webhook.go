package api

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
)

const (
	// acceptTimeout bounds how long a delivery waits to become durable: less
	// than the 22 s after which Mercado Pago, for one, stops waiting.
	acceptTimeout = 15 * time.Second
	// hintBody is how much of a body is kept that no signature vouches for.
	hintBody = 64 << 10
	// refusedBody is how much of a refused body is handed on.
	refusedBody = 64 << 10

	reasonBodyTooLarge     = "body_too_large"
	reasonSourceNotAllowed = "source_not_allowed"

	outcomeQueued    = "queued"
	outcomeDuplicate = "duplicate"
	outcomeRefused   = "refused"
	outcomeLimited   = "limited"
)

// webhook receives the deliveries of one sender. It answers 200 after the
// event is durable and never before.
func (a *api) webhook(w Webhook) handler {
	return func(c *gin.Context, ev *requestEvent) error {
		r := c.Request
		ev.providerRequestID = clip(headerText(r.Header, requestIDHeader), 128)
		body, release, err := a.bodies.read(r)
		defer release()
		d := delivery{webhook: w, request: r, body: body, ev: ev}
		ev.sender = w.Source
		if w.declared {
			ev.declared = w.Source
		}
		if err != nil {
			var p *problem
			if errors.As(err, &p) && p.kind == problemBodyTooLarge {
				return a.refuse(c, d, reasonBodyTooLarge, p)
			}
			return err
		}

		event, err := w.Receiver.Receive(provider.Delivery{Method: r.Method, RawQuery: r.URL.RawQuery, Header: r.Header, Body: body})
		verified := err == nil && event.Signed
		var refusal *provider.Refusal
		if err != nil && !errors.As(err, &refusal) {
			return fmt.Errorf("receive: %w", err)
		}
		allowed := w.declared
		if !allowed {
			ev.source, allowed = a.sources.judge(ev.remote)
		}
		switch {
		case !allowed && verified:
			// It is authentic, so the list is wrong: nothing limits the record.
			a.record(d, reasonSourceNotAllowed)
			return sourceNotAllowed()
		case !allowed:
			return a.refuse(c, d, reasonSourceNotAllowed, sourceNotAllowed())
		case refusal != nil:
			d.refusal = refusal
			return a.refuse(c, d, refusal.Reason, refusalProblem(refusal))
		}

		ev.topic = event.Topic
		if !event.Signed || event.Unbound && a.unbound.tooMany(event.Signature, event.SignatureKey) {
			if err := a.unsigned.chargeFor(c, a.now(), keyOf(ev.remote), limitedDelivery); err != nil {
				ev.outcome = outcomeLimited
				return err
			}
		}
		if !event.Signed && len(d.body) > hintBody {
			// A copy: the rest must not stay in memory while this part waits.
			d.body = bytes.Clone(d.body[:hintBody])
		}
		return a.accept(c, d, event)
	}
}

// A delivery is one call and what is known about it.
type delivery struct {
	webhook Webhook
	request *http.Request
	body    []byte
	ev      *requestEvent
	// refusal is the receiver's; nil when it accepted the delivery or was not asked.
	refusal *provider.Refusal
}

// accept makes the event durable and answers.
func (a *api) accept(c *gin.Context, d delivery, event provider.Event) error {
	// The sender may hang up while the event waits for its commit. It is ours
	// by then: the wait outlives the call, and has a bound of its own.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(d.request.Context()), acceptTimeout)
	defer cancel()
	receipt, err := a.deps.Inbox.Accept(ctx, store.NewEvent{
		Source:      event.Source,
		Topic:       event.Topic,
		Action:      event.Action,
		ResourceID:  event.ResourceID,
		Origin:      store.OriginWebhook,
		Payload:     d.body,
		Query:       d.request.URL.RawQuery,
		RequestID:   headerText(d.request.Header, requestIDHeader),
		RemoteIP:    d.ev.remote,
		LiveMode:    event.LiveMode,
		CollectorID: event.CollectorID,
		NotifiedAt:  event.NotifiedAt,
		Signed:      event.Signed,
		Signature:   event.SignatureKey,
		Work:        string(event.Work),
		Trace:       traceparentOf(ctx),
	})
	if err != nil {
		return notDurable(err)
	}

	d.ev.queueID = receipt.QueueID
	// A duplicate teaches nothing: anyone who has seen a delivery can send it again.
	if event.Signed && !receipt.Duplicate && !d.webhook.declared && a.deps.SourceIPMode == SourceIPObserve {
		a.deps.Sources.Learn(event.Source, d.ev.remote)
	}
	switch {
	case receipt.Duplicate:
		d.ev.outcome = outcomeDuplicate
	default:
		d.ev.outcome = cmp.Or(store.OutcomeAtOnce(string(event.Work)), outcomeQueued)
	}
	answer := make([]byte, 0, 80)
	answer = append(answer, `{"status":"queued","queue_id":`...)
	answer = strconv.AppendInt(answer, receipt.QueueID, 10)
	answer = append(answer, `,"duplicate":`...)
	answer = strconv.AppendBool(answer, receipt.Duplicate)
	answer = append(answer, "}\n"...)
	writeBody(c, http.StatusOK, "application/json", answer)
	return nil
}

// notDurable is the answer to a delivery that could not be written. Whatever the
// reason, a bug of ours included, it must be delivered again, and 503 is what
// says so: elsewhere an error that nobody knows is 500.
func notDurable(err error) error {
	if errors.Is(err, store.ErrInboxFull) || errors.Is(err, store.ErrInboxClosed) {
		return err
	}
	return newProblem(problemStorage, "The delivery could not be made durable.").after(10 * time.Second).because(err)
}

// refuse charges the sender's address for a delivery that lacks verification.
// What is within the limit is recorded and answered by p; what is beyond it is
// answered 429 and leaves no record, so that a flood does not wash out the rest.
// A body that is too large is answered as that in any case.
func (a *api) refuse(c *gin.Context, d delivery, reason string, p *problem) error {
	limited := a.failing.chargeFor(c, a.now(), keyOf(d.ev.remote), limitedDelivery)
	if limited == nil {
		a.record(d, reason)
		return p
	}
	d.ev.outcome = outcomeLimited
	if p.kind == problemBodyTooLarge {
		d.ev.quiet = true
		return p
	}
	return limited
}

const limitedDelivery = "Too many unverified deliveries from this address."

// record keeps the refused delivery for later inspection.
func (a *api) record(d delivery, reason string) {
	d.ev.outcome, d.ev.refusal, d.ev.sender = outcomeRefused, reason, d.webhook.Source
	body := d.body
	if len(body) > refusedBody {
		// A copy: the rest must not stay in memory while this part waits.
		body = bytes.Clone(body[:refusedBody])
	}
	var topic, channel string
	if d.refusal != nil {
		topic, channel = d.refusal.Topic, string(d.refusal.Channel)
	}
	a.deps.Refused.Record(store.Refused{
		Topic:      topic,
		Channel:    channel,
		Source:     d.webhook.Source,
		Reason:     reason,
		Method:     d.request.Method,
		Query:      d.request.URL.RawQuery,
		XSignature: headerText(d.request.Header, cmp.Or(d.webhook.SignatureHeader, "X-Signature")),
		XRequestID: headerText(d.request.Header, requestIDHeader),
		RemoteIP:   d.ev.remote,
		BodyBytes:  int64(len(d.body)),
		Body:       body,
	})
}

// refusalProblem says no more than that the delivery was refused: the reason is
// for the merchant, in the log and in the record, and not for a forger.
func refusalProblem(refusal *provider.Refusal) *problem {
	switch refusal.Kind {
	case provider.Malformed:
		return newProblem(problemWebhookMalformed, "The method, the query or the headers are not those of a delivery, or can be read in two ways.")
	case provider.Unauthenticated:
		return newProblem(problemWebhookUnauthenticated, "The signature is missing or invalid.")
	}
	return newProblem(problemInternal, internalDetail).because(fmt.Errorf("unknown kind %d of a refusal: %w", refusal.Kind, refusal))
}

func sourceNotAllowed() *problem {
	return newProblem(problemSourceNotAllowed, "Deliveries are only accepted from the sender's known addresses.")
}

// headerText returns a header that should be there once, and all of its values
// when it is there more often.
func headerText(h http.Header, name string) string {
	values := h[name]
	if len(values) == 1 {
		return values[0]
	}
	return strings.Join(values, ", ")
}
