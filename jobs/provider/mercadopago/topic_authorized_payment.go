package mercadopago

import "github.com/conciliar/conciliar/jobs/provider"

// An authorized payment is one charge of a subscription (the subscriptions
// reference). It names its payment once it was tried to charge it.
var authorizedPaymentTopic = topic{
	names:     []string{"subscription_authorized_payment"},
	work:      provider.Follow,
	isID:      numericID,
	operation: "authorized_payment",
	path:      []string{"authorized_payments"},
	read: objectOf("authorized payment", func(o object) (string, provider.Found, error) {
		next, err := o.child("payment").payment("id")
		return o.id("id"), provider.Found{Next: next}, err
	}),
}
