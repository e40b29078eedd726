package mercadopago

import "github.com/conciliar/conciliar/jobs/provider"

// A fraud alert warns that the goods of a payment must not be handed out (the
// webhooks page). It is sent once, and nothing that can be fetched repeats it. What
// is fetched is the payment.
var fraudAlertTopic = topic{
	names:     []string{"stop_delivery_op_wh"},
	work:      provider.FraudAlert,
	isID:      numericID,
	operation: paymentTopic.operation,
	path:      paymentTopic.path,
	read:      paymentTopic.read,
	bodyID:    func(body object) string { return body.child("data").id("payment_id") },
}
