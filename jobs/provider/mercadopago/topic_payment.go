package mercadopago

import (
	"errors"

	"github.com/conciliar/conciliar/jobs/provider"
)

// topicPayment is the name of a payment's topic, in Webhooks and in IPN.
const topicPayment = "payment"

// A payment is what moves money: its state is settled. Its id is a number (the
// payments reference).
var paymentTopic = topic{
	names:     []string{topicPayment},
	work:      provider.Settle,
	isID:      numericID,
	also:      []string{topicOrder},
	operation: "payment",
	path:      []string{"v1", "payments"},
	read: func(raw []byte) (string, provider.Found, error) {
		payment, err := DecodePayment(raw)
		about := payment.ID
		if odd, ok := errors.AsType[*provider.OddPayment](err); ok {
			about = odd.ID
		}
		return about, provider.Found{Payment: &payment}, err
	},
}
