package mercadopago

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/conciliar/conciliar/jobs/provider"
)

// Fetch fetches what a topic is about: GET of the topic's path. Any success whose
// body has the id that was asked for is the answer; any other JSON is Unexpected.
// Where the resource can't be read, and Mercado Pago as such answers, what is found
// are the payments that the notification's body names, if it names any. The error
// is a *provider.Error, or wraps provider.ErrUnknownTopic.
func (c *Client) Fetch(ctx context.Context, ref provider.Ref, notification []byte) (provider.Found, error) {
	known := topicNamed(ref.Topic)
	if known == nil || known.read == nil {
		return provider.Found{}, fmt.Errorf("topic %q: %w", ref.Topic, provider.ErrUnknownTopic)
	}
	t := topicOf(ref.Topic, ref.ID)
	if t == nil {
		return provider.Found{}, &provider.Error{Kind: provider.Unexpected, Err: fmt.Errorf("not asked: this is not the id of a %s", known.operation)}
	}
	if t.read == nil {
		return provider.Found{}, fmt.Errorf("an id of topic %q: %w", t.names[0], provider.ErrUnknownTopic)
	}
	found, err := c.fetch(ctx, t, ref.ID)
	if err != nil && saysNo(err) {
		if next := t.namedIn(notification); len(next) > 0 {
			return provider.Found{Next: next}, nil
		}
	}
	return found, err
}

// saysNo reports whether an error is Mercado Pago's word on the one resource, which
// says nothing about what else can be read.
func saysNo(err error) bool {
	var e *provider.Error
	return errors.As(err, &e) && slices.Contains([]provider.ErrorKind{
		provider.ResourceNotFound, provider.Forbidden, provider.Unauthorized, provider.Unexpected,
	}, e.Kind)
}

// namedIn are the payments that a notification names in its body.
func (t *topic) namedIn(notification []byte) []provider.Ref {
	body := readHints(notification).body
	if t.named == nil || body == nil {
		return nil
	}
	next, err := t.named(body)
	if err != nil { // it names none that can be asked for
		return nil
	}
	return next
}

// fetch fetches one resource of a topic.
func (c *Client) fetch(ctx context.Context, t *topic, id string) (provider.Found, error) {
	answer, err := c.resource(ctx, t, id)
	if err != nil {
		return provider.Found{}, err
	}
	about, found, err := t.read(answer.body)
	var odd *provider.OddPayment
	if (err == nil || errors.As(err, &odd)) && about != id {
		err = fmt.Errorf("%s: the answer is not about it", t.operation)
	}
	if err != nil {
		return provider.Found{}, notUnderstood(answer.statusCode, err)
	}
	if t.complete != nil {
		return t.complete(c, ctx, answer.body, found)
	}
	return found, nil
}

// resource fetches what a topic is about as it is answered.
func (c *Client) resource(ctx context.Context, t *topic, id string) (answer, error) {
	path := append(append([]string(nil), t.path...), url.PathEscape(id))
	var header http.Header
	if t.asSeller && c.accountID != "" {
		header = http.Header{headerCallerID: {c.accountID}}
	}
	a, err := c.get(ctx, t.operation, c.base.JoinPath(path...), header, c.maxBody)
	if err != nil {
		return answer{}, t.missing(err)
	}
	return a, nil
}

// MerchantOrderReference fetches the reference that a merchant order names; empty
// when it names none. Its error is a *provider.Error. It is asked about payments
// that name their merchant order alone, so nothing else of it has to be readable.
func (c *Client) MerchantOrderReference(ctx context.Context, id string) (string, error) {
	if !merchantOrderTopic.isID(id) {
		return "", &provider.Error{Kind: provider.Unexpected, Err: fmt.Errorf("not asked: this is not the id of a %s", merchantOrderTopic.operation)}
	}
	return c.orderReference(ctx, &merchantOrderTopic, id)
}

// orderReference fetches the reference that an order of the topic names; empty when
// it names none.
func (c *Client) orderReference(ctx context.Context, t *topic, id string) (string, error) {
	answer, err := c.resource(ctx, t, id)
	if err != nil {
		return "", err
	}
	o, err := readObject(answer.body)
	if err == nil && o.id("id") != id {
		err = errors.New("the answer is not about it")
	}
	if err != nil {
		return "", notUnderstood(answer.statusCode, fmt.Errorf("%s: %w", t.operation, err))
	}
	reference, ok := readReference(o)
	if !ok {
		return "", notUnderstood(answer.statusCode, fmt.Errorf("%s: external_reference is neither text nor a number", t.operation))
	}
	return reference, nil
}

// headerCallerID says for which account a call is made, where the token may not.
const headerCallerID = "X-Caller-Id"

// Payment fetches one payment.
func (c *Client) Payment(ctx context.Context, id string) (provider.Payment, error) {
	found, err := c.Fetch(ctx, paymentTopic.ref(id), nil)
	if err != nil {
		return provider.Payment{}, err
	}
	return *found.Payment, nil
}

// missing says of an error for what is not there that it is not a payment, when
// it isn't.
func (t *topic) missing(err error) error {
	var e *provider.Error
	if t.operation != paymentTopic.operation && errors.As(err, &e) && e.Kind == provider.NotFound {
		e.Kind = provider.ResourceNotFound
	}
	return err
}
