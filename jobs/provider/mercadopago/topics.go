package mercadopago

import (
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
	// family is not asked for in vain. Nil for a topic of which nothing is fetched.
	isID func(string) bool
	// operation is a call for one of its resources, as the metrics name it.
	operation operation
	// path is where the resources are, an id standing behind it.
	path []string
	// read reads an answer: of which resource it is, and what it says. A topic may
	// name what is fetched next, and never something that leads back to it.
	read func(raw []byte) (id string, found provider.Found, err error)
}

// ref names one of the topic's resources.
func (t *topic) ref(id string) provider.Ref { return provider.Ref{Topic: t.names[0], ID: id} }

// topics are all topics that we know, each a file of its own but for those of
// which nothing is fetched.
var topics = []*topic{&paymentTopic, &merchantOrderTopic, &informingTopic, &unhandledTopic}

// informingTopic has the topics that move no money of an order (the webhooks
// page).
var informingTopic = topic{
	names: []string{
		"subscription_preapproval", "subscription_preapproval_plan", "delivery", "delivery_cancellation",
		"topic_card_id_wh", "automatic-payments", "wallet_connect", "mp-connect",
	},
	work: provider.Keep,
}

// unhandledTopic has the topics of money that this release cannot settle.
var unhandledTopic = topic{
	names: []string{
		"order", "orders", "topic_chargebacks_wh", "chargebacks",
		"topic_claims_integration_wh", "claim", "subscription_authorized_payment", "stop_delivery_op_wh",
		"point_integration_wh", "point_integration_ipn",
	},
	work: provider.Unhandled,
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

// WorkOf says what an event asks for, by its topic and the id that it names. A
// topic that we don't know is kept.
func WorkOf(name, id string) provider.Work {
	t := topicNamed(name)
	switch {
	case t == nil:
		return provider.Keep
	case t.isID != nil && !t.isID(id):
		return provider.Unhandled
	}
	return t.work
}
