package mercadopago

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/conciliar/conciliar/jobs/provider"
)

// Fetch fetches what a topic is about: GET of the topic's path. Any success whose
// body has the id that was asked for is the answer; any other JSON is Unexpected.
// The error is a *provider.Error, or wraps provider.ErrUnknownTopic.
func (c *Client) Fetch(ctx context.Context, ref provider.Ref) (provider.Found, error) {
	t := topicNamed(ref.Topic)
	if t == nil || t.read == nil {
		return provider.Found{}, fmt.Errorf("topic %q: %w", ref.Topic, provider.ErrUnknownTopic)
	}
	if !t.isID(ref.ID) {
		return provider.Found{}, &provider.Error{Kind: provider.Unexpected, Err: fmt.Errorf("not asked: this is not the id of a %s", t.operation)}
	}
	answer, err := c.resource(ctx, t, ref.ID)
	if err != nil {
		return provider.Found{}, err
	}
	about, found, err := t.read(answer.body)
	var odd *provider.OddPayment
	if (err == nil || errors.As(err, &odd)) && about != ref.ID {
		err = fmt.Errorf("%s: the answer is not about it", t.operation)
	}
	if err != nil {
		return provider.Found{}, notUnderstood(answer.statusCode, err)
	}
	return found, nil
}

// resource fetches what a topic is about as it is answered.
func (c *Client) resource(ctx context.Context, t *topic, id string) (answer, error) {
	path := append(append([]string(nil), t.path...), url.PathEscape(id))
	a, err := c.get(ctx, t.operation, c.base.JoinPath(path...), c.maxBody)
	if err != nil {
		return answer{}, t.missing(err)
	}
	return a, nil
}

// MerchantOrderReference fetches the reference that a merchant order names; empty
// when it names none. Its error is a *provider.Error. It is asked about payments
// that name their merchant order alone, so nothing else of it has to be readable.
func (c *Client) MerchantOrderReference(ctx context.Context, id string) (string, error) {
	t := &merchantOrderTopic
	if !t.isID(id) {
		return "", &provider.Error{Kind: provider.Unexpected, Err: fmt.Errorf("not asked: this is not the id of a %s", t.operation)}
	}
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

// Payment fetches one payment.
func (c *Client) Payment(ctx context.Context, id string) (provider.Payment, error) {
	found, err := c.Fetch(ctx, provider.Ref{Topic: topicPayment, ID: id})
	if err != nil {
		return provider.Payment{}, err
	}
	return *found.Payment, nil
}

// missing says of an error for what is not there that it is not a payment, when
// it isn't.
func (t *topic) missing(err error) error {
	var e *provider.Error
	if t.work != provider.Settle && errors.As(err, &e) && e.Kind == provider.NotFound {
		e.Kind = provider.ResourceNotFound
	}
	return err
}
