package mercadopago

import (
	"fmt"

	"github.com/conciliar/conciliar/jobs/provider"
)

// A chargeback names the payments that a bank took back (the chargebacks
// reference). What became of them is for the payments to say. Test credentials may
// not read chargebacks; the notification names a payment too.
var chargebackTopic = topic{
	names:     []string{"topic_chargebacks_wh", "chargebacks"},
	work:      provider.Follow,
	isID:      chargebackID,
	also:      []string{topicOrder},
	operation: "chargeback",
	path:      []string{"v1", "chargebacks"},
	asSeller:  true,
	read: func(raw []byte) (string, provider.Found, error) {
		o, err := readObject(raw)
		if err != nil {
			return "", provider.Found{}, fmt.Errorf("chargeback: %w", err)
		}
		next, err := o.payments("payments")
		if err == nil && len(next) == 0 { // the shape of the official SDKs
			next, err = o.payment("payment_id")
		}
		if err != nil {
			return "", provider.Found{}, fmt.Errorf("chargeback: %w", err)
		}
		return o.id("id"), provider.Found{Next: next}, nil
	},
	named: func(body object) ([]provider.Ref, error) { return body.child("data").payment("payment_id") },
}

// chargebackID tells whether s can be a chargeback's id: a number in the reference,
// and CB-001-2022 or the like in the official SDKs.
func chargebackID(s string) bool {
	return numericID(s) || validID(s) && len(s) > 3 && s[:3] == "CB-"
}
