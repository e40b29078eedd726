package mercadopago

import "github.com/conciliar/conciliar/jobs/provider"

// topicPayment is the name of a payment's topic, in Webhooks and in IPN.
const topicPayment = "payment"

// A payment is what moves money: its state is settled. Its id is a number (the
// payments reference).
var paymentTopic = topic{
	names: []string{topicPayment},
	work:  provider.Settle,
	isID:  allDigits,
}
