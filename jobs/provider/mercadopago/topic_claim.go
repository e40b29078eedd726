package mercadopago

import (
	"context"
	"errors"
	"strings"

	"github.com/conciliar/conciliar/jobs/provider"
)

// A claim is a buyer's complaint about a payment or an order (the claims
// reference). What became of the money is for these to say.
var claimTopic = topic{
	names:     []string{"topic_claims_integration_wh", "claim"},
	work:      provider.Follow,
	isID:      numericID,
	operation: "claim",
	path:      []string{"post-purchase", "v1", "claims"},
	read: objectOf("claim", func(o object) (string, provider.Found, error) {
		subject, err := claimed(o)
		claim := provider.Claim{
			ID: o.id("id"), Status: word(o.text("status")), Type: word(o.text("type")), Stage: word(o.text("stage")),
			Closed: strings.EqualFold(o.text("status"), "closed"), UpdatedAt: readTime(o.text("last_updated")),
		}
		if subject.Topic == topicPayment {
			claim.PaymentID = subject.ID
		} else {
			claim.OrderID = subject.ID
		}
		return claim.ID, provider.Found{Claim: &claim, Next: []provider.Ref{subject}}, err
	}),
	complete: (*Client).claimedOrder,
}

// claimedOrder adds the merchant's reference of the order that a claim is about: it
// stands in no payment's id. An order that can't be read as such names none.
func (c *Client) claimedOrder(ctx context.Context, _ []byte, found provider.Found) (provider.Found, error) {
	if found.Claim.OrderID == "" {
		return found, nil
	}
	about := &merchantOrderTopic
	if mercadoPagoOrderID(found.Claim.OrderID) {
		about = &orderTopic
	}
	reference, err := c.orderReference(ctx, about, found.Claim.OrderID)
	if err != nil && !saysNo(err) {
		return provider.Found{}, err
	}
	found.Claim.Reference = reference
	return found, nil
}

// claimed is what a claim is about. A word that we don't know is an error: somebody
// disputes money, and a person has to see which.
func claimed(o object) (provider.Ref, error) {
	id := o.id("resource_id")
	switch resource := o.text("resource"); {
	case resource == "payment" && paymentTopic.isID(id):
		return paymentTopic.ref(id), nil
	case resource == "order" && merchantOrderTopic.isID(id):
		return merchantOrderTopic.ref(id), nil
	case resource == "order" && mercadoPagoOrderID(id):
		return provider.Ref{Topic: topicOrder, ID: id}, nil
	}
	return provider.Ref{}, errors.New("resource and resource_id name neither a payment nor an order")
}
