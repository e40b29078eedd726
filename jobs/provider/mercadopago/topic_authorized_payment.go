package mercadopago

import (
	"fmt"

	"github.com/conciliar/conciliar/jobs/provider"
)

// An authorized payment is one charge of a subscription (the subscriptions
// reference). It names its payment once it was tried to charge it.
var authorizedPaymentTopic = topic{
	names:     []string{"subscription_authorized_payment"},
	work:      provider.Follow,
	isID:      numericID,
	operation: "authorized_payment",
	path:      []string{"authorized_payments"},
	read: func(raw []byte) (string, provider.Found, error) {
		o, err := readObject(raw)
		if err != nil {
			return "", provider.Found{}, fmt.Errorf("authorized payment: %w", err)
		}
		next, err := o.child("payment").payment("id")
		if err != nil {
			return "", provider.Found{}, fmt.Errorf("authorized payment: %w", err)
		}
		return o.id("id"), provider.Found{Next: next}, nil
	},
}
