package mercadopago

import (
	"strings"

	"github.com/conciliar/conciliar/jobs/provider"
)

// topicPoint is the name of what a Point terminal did, in Webhooks.
const topicPoint = "point_integration_wh"

// A payment intent is what a Point terminal was asked to charge (the Point
// reference). It names its payment once there is one.
var pointTopic = topic{
	names:     []string{topicPoint, "point_integration_ipn"},
	work:      provider.Follow,
	isID:      paymentIntentID,
	also:      []string{topicPayment},
	operation: "payment_intent",
	path:      []string{"point", "integration-api", "payment-intents"},
	read: objectOf("payment intent", func(o object) (string, provider.Found, error) {
		next, err := o.child("payment").payment("id")
		return o.id("id"), provider.Found{Next: next}, err
	}),
	named: func(body object) ([]provider.Ref, error) { return body.child("payment").payment("id") },
}

// paymentIntentID tells whether s can be a payment intent's id, which is a UUID or
// looks much like one.
func paymentIntentID(s string) bool { return validID(s) && strings.Contains(s, "-") }

// isPoint recognises a terminal's notification by its shape: it has no type. Its
// own id is the payment intent's.
func isPoint(body object) bool {
	return body.str("type") == "" && body.str("topic") == "" && body.str("state") != "" &&
		(body.value("payment") != nil || paymentIntentID(body.id("id")))
}
