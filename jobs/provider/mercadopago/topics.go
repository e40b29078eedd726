package mercadopago

import (
	"context"
	"fmt"
	"slices"

	"github.com/conciliar/conciliar/jobs/provider"
)

// A topic is what Mercado Pago calls that which happened.
type topic struct {
	// names are what deliveries call it: in Webhooks first, then in IPN.
	names []string
	// work is what an event of the topic asks of us.
	work provider.Work
	// isID tells whether an id can be one of the topic's resources: one of another
	// family is not asked for without need. Nil for a topic of which nothing is fetched.
	isID func(string) bool
	// also are topics, by name, whose resources the deliveries of this one may name
	// too: such an id is asked for where it lives.
	also []string
	// operation is a call for one of its resources, as the metrics name it.
	operation operation
	// path is where the resources are, an id standing behind it. With asSeller the
	// call says for which account it is made.
	path     []string
	asSeller bool
	// read reads an answer: of which resource it is, and what it says. A topic may
	// name what is fetched next, and never something that leads back to it.
	read func(raw []byte) (id string, found provider.Found, err error)
	// complete adds what takes another call to find. Nil for a topic whose answers say
	// everything.
	complete func(c *Client, ctx context.Context, raw []byte, found provider.Found) (provider.Found, error)
	// named are the payments that a notification names in its body: they are fetched
	// where its resource can't be read. Nil for a topic whose bodies name none.
	named func(body object) ([]provider.Ref, error)
	// bodyID is the id in a notification's body that counts before the query's. Nil
	// for a topic where the query's counts.
	bodyID func(body object) string
}

// ref names one of the topic's resources.
func (t *topic) ref(id string) provider.Ref { return provider.Ref{Topic: t.names[0], ID: id} }

// objectOf reads an answer that is an object; what is its name in errors.
func objectOf(what string, read func(object) (string, provider.Found, error)) func([]byte) (string, provider.Found, error) {
	return func(raw []byte) (id string, found provider.Found, err error) {
		o, err := readObject(raw)
		if err == nil {
			id, found, err = read(o)
		}
		if err != nil {
			return "", provider.Found{}, fmt.Errorf("%s: %w", what, err)
		}
		return id, found, nil
	}
}

// topics are all topics that we know, each a file of its own but for those of
// which nothing is fetched.
var topics = []*topic{
	&paymentTopic, &merchantOrderTopic, &chargebackTopic, &claimTopic, &authorizedPaymentTopic, &fraudAlertTopic, &pointTopic,
	&orderTopic, &connectTopic, &informingTopic,
}

// informingTopic has the topics that move no money of an order (the webhooks
// page).
var informingTopic = topic{
	names: []string{
		"subscription_preapproval", "subscription_preapproval_plan", "delivery", "delivery_cancellation",
		"topic_card_id_wh", "automatic-payments", "wallet_connect",
	},
	work: provider.Keep,
}

// numericID tells whether s can be the id of a resource that has a number.
func numericID(s string) bool { return validID(s) && allDigits(s) }

// TopicNames are all names that we know topics by.
func TopicNames() []string {
	names := []string{topicTest}
	for _, t := range topics {
		names = append(names, t.names...)
	}
	return names
}

// topicNamed is the topic that deliveries call so, nil when we know none.
func topicNamed(name string) *topic {
	i := slices.IndexFunc(topics, func(t *topic) bool { return slices.Contains(t.names, name) })
	if i < 0 {
		return nil
	}
	return topics[i]
}

// topicOf is the topic that an id belongs to in a delivery of the topic so named;
// nil where we know the topic and it can't have such an id, or don't know it.
func topicOf(name, id string) *topic {
	t := topicNamed(name)
	if t == nil || t.isID == nil || t.isID(id) {
		return t
	}
	for _, other := range t.also {
		if o := topicNamed(other); o.isID != nil && o.isID(id) {
			return o
		}
	}
	return nil
}

// WorkOf says what an event asks for, by its topic and the id that it names. A
// topic that we don't know is kept.
func WorkOf(name, id string) provider.Work {
	if topicNamed(name) == nil {
		return provider.Keep
	}
	if t := topicOf(name, id); t != nil {
		return t.work
	}
	return provider.Unhandled
}
