package mercadopago

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/conciliar/conciliar/jobs/provider"
)

// merchantOrderNames are the topic's. Its notifications bear the merchant order's id
// as their own.
var merchantOrderNames = []string{"topic_merchant_order_wh", "merchant_order"}

// A merchant order holds the payments of one purchase (the merchant orders
// reference). Its own amounts are never booked: each of its payments is fetched.
var merchantOrderTopic = topic{
	names:     merchantOrderNames,
	work:      provider.Follow,
	isID:      numericID,
	operation: "merchant_order",
	path:      []string{"merchant_orders"},
	read: objectOf("merchant order", func(o object) (string, provider.Found, error) {
		next, err := o.payments("payments")
		return o.id("id"), provider.Found{Next: next}, err
	}),
}

// payments are the payments of a list of ids, or of objects that have them, each
// once. One that can't be read is an error: it is money that would go unread.
func (o object) payments(name string) ([]provider.Ref, error) {
	if o.empty(name) {
		return nil, nil
	}
	var list []json.RawMessage
	if err := json.Unmarshal(o.value(name), &list); err != nil {
		return nil, fmt.Errorf("%s is not a list", name)
	}
	var refs []provider.Ref
	for _, raw := range list {
		ref := paymentTopic.ref(object{{[]byte("payment"), raw}}.ref("payment"))
		if !paymentTopic.isID(ref.ID) {
			return nil, errors.New(name + ": id is missing or is not a payment's")
		}
		if !slices.Contains(refs, ref) {
			refs = append(refs, ref)
		}
	}
	return refs, nil
}

// payment is the one payment whose id stands there, none where nothing does.
func (o object) payment(name string) ([]provider.Ref, error) {
	if o.empty(name) {
		return nil, nil
	}
	ref := paymentTopic.ref(o.ref(name))
	if !paymentTopic.isID(ref.ID) {
		return nil, errors.New(name + " is not a payment's id")
	}
	return []provider.Ref{ref}, nil
}
