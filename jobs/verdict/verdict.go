package verdict

import (
	"encoding/json"
	"slices"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/payout"
)

// Of is the verdict on what is known under a reference.
func Of(f store.OrderFacts) Verdict {
	c := newCase(f)
	var v Verdict
	switch {
	case f.Order == nil:
		v = c.unregistered()
	case c.unsettled != nil:
		v = Verdict{Said: Said{Code: "terms", Currency: c.terms.Currency}, Tone: Bad, Act: Said{Code: "terms"}}
	default:
		v = c.registered()
	}
	v.Payments = c.payments()
	return v
}

func (c *casebook) registered() Verdict {
	h := c.money()
	v := h.Verdict
	n := c.news()
	if h.unpaid && n.doubtful {
		v.Said, v.Tone, v.Act, v.Link = Said{Code: "not_known"}, Info, Said{}, Link{}
	}
	v.More = append(v.More, n.said...)
	if n.doubtful {
		v.Tone = worse(v.Tone, Warn)
	}
	if n.act.Code != "" && !h.urgent {
		v.Act, v.Link = n.act, n.link
	}
	if v.Act.Code == "" {
		c.leftovers(&v)
	}
	c.difference(&v)
	return v
}

// leftovers gives a verdict that asks for nothing what its open anomalies ask for.
func (c *casebook) leftovers(v *Verdict) {
	for _, kind := range []order.AnomalyKind{
		order.AnomalyAmbiguousPayment, order.AnomalyUnsettledDifference, order.AnomalyReleasedDiffers, order.AnomalyNotReleased, order.AnomalyReleasedUnknown,
	} {
		i := slices.IndexFunc(c.f.Anomalies, func(a store.Anomaly) bool { return a.Kind == kind && a.ClosedAt == nil })
		if i < 0 {
			continue
		}
		a := c.f.Anomalies[i]
		said := Said{Code: string(kind), PaymentIDs: idsOf(a.PaymentID)}
		if reason := reasonOf(a); reason == payout.ReasonDispute || reason == payout.ReasonBlock {
			said.Code += "_" + reason
		}
		v.More, v.Act, v.Tone = append(v.More, said), said, worse(v.Tone, Warn)
		v.Link = Link{Kind: LinkAnomaly, ID: a.ID}
		return
	}
	for _, p := range c.f.Order.ProvisionalPayments {
		if p.Payment.Status == "" {
			v.Act, v.Tone = Said{Code: "provisional_unclear", ProviderOrderID: p.ProviderOrderID}, worse(v.Tone, Warn)
			return
		}
	}
}

// reasonOf is why money is not released, where that is known.
func reasonOf(a store.Anomaly) string {
	var detail struct{ Reason string }
	if a.Kind != order.AnomalyNotReleased || json.Unmarshal(a.Detail, &detail) != nil {
		return ""
	}
	return detail.Reason
}

// difference says what is missing or too much by the fold, whatever a person resolved.
func (c *casebook) difference(v *Verdict) {
	net := c.settled.Paid.Sub(c.settled.Refunded)
	switch {
	case c.has(order.AnomalyPaidAfterCancel):
		v.Surplus = net
	case c.has(order.AnomalyDuplicatePayment), c.has(order.AnomalyOverpaid):
		v.Surplus = net.Sub(c.terms.Amount)
	case c.f.Order.Status.IsOpen():
		v.Missing = c.terms.Amount.Sub(net)
	}
}
