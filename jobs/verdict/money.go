package verdict

import (
	"slices"

	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// money is what the money says, the first that holds: what must not be shipped, what
// is too much, what is disputed, what came and does not count, and then the status.
func (c *casebook) money() headline {
	if h, is := c.fraud(); is {
		return h
	}
	if c.has(order.AnomalyPaidAfterCancel) {
		h := headline{Verdict: Verdict{Said: c.priced("paid_after_cancel", c.settled.Paid.Sub(c.settled.Refunded)), Tone: Warn, Act: Said{Code: "paid_after_cancel"}, Decide: true}}
		return c.unlessResolved(h, order.AnomalyPaidAfterCancel, "")
	}
	if c.settled.Status == order.StatusPaid {
		return c.paid()
	}
	if disputed := c.fitting(order.PaymentChargedBack, order.PaymentInMediation); len(undecidedOrLost(disputed)) > 0 {
		return c.disputed()
	}
	if h, is := c.misfit(""); is {
		return h
	}
	if id := c.open(order.AnomalyPaymentMoved, ""); id != 0 {
		return headline{Verdict: Verdict{Said: Said{Code: "payment_moved"}, Tone: Warn, Act: Said{Code: "payment_moved"}, Link: Link{Kind: LinkAnomaly, ID: id}, Decide: true}}
	}
	if len(c.f.Near) > 0 && c.settled.Status.IsOpen() {
		near := c.f.Near[0]
		said := Said{Code: "near_miss", PaymentIDs: idsOf(near.PaymentID), Amount: near.Amount, Currency: near.Currency, Reference: near.Reference}
		return headline{Verdict: Verdict{Said: said, Tone: Warn, Act: said, Link: Link{Kind: LinkAnomaly, ID: near.AnomalyID}, Decide: true}}
	}
	return c.unsettledMoney()
}

func (c *casebook) fraud() (headline, bool) {
	i := slices.IndexFunc(c.f.Anomalies, func(a store.Anomaly) bool { return a.Kind == order.AnomalyFraudAlert && a.ClosedAt == nil })
	if i < 0 {
		return headline{}, false
	}
	a := c.f.Anomalies[i]
	said := Said{Code: "fraud_alert", PaymentIDs: idsOf(a.PaymentID), Since: a.OpenedAt}
	return headline{Verdict: Verdict{Said: said, Tone: Bad, Act: said, Link: Link{Kind: LinkAnomaly, ID: a.ID}, Decide: true}, urgent: true}, true
}

// paid is for an order whose amount is there.
func (c *casebook) paid() headline {
	net := c.settled.Paid.Sub(c.settled.Refunded)
	switch {
	case c.has(order.AnomalyDuplicatePayment):
		extra := c.named(c.detail(order.AnomalyDuplicatePayment, "payment_ids"))
		act := about("duplicate_payment", extra, order.Share.Net)
		said := c.priced("duplicate_payment", net.Sub(c.terms.Amount))
		h := headline{Verdict: Verdict{Said: said, Tone: Warn, Act: act, Decide: true}}
		return c.unlessResolved(h, order.AnomalyDuplicatePayment, "")
	case c.has(order.AnomalyOverpaid):
		said := c.priced("overpaid", net.Sub(c.terms.Amount))
		return c.unlessResolved(headline{Verdict: Verdict{Said: said, Tone: Warn, Act: said, Decide: true}}, order.AnomalyOverpaid, "")
	case c.has(order.AnomalyDisputedPayment):
		return c.disputed()
	}
	if h, is := c.misfit("paid"); is {
		return h
	}
	for _, p := range c.f.Order.ProvisionalPayments {
		if _, counts := c.provisional[p.Payment.ID]; counts && p.Payment.Status.HasMoney() {
			said := c.priced("paid_provisionally", net)
			said.ProviderOrderID = p.ProviderOrderID
			return headline{Verdict: Verdict{Said: said, Tone: Good}}
		}
	}
	return headline{Verdict: Verdict{Said: c.priced("paid", net), Tone: Good}}
}

// misfit is for money that came and does not count, beside the status that is
// otherwise the headline; empty for an order that is not paid.
func (c *casebook) misfit(beside string) (headline, bool) {
	for _, kind := range misfitCodes {
		var open, settled, returned []order.Share
		var closed *store.Anomaly
		for _, s := range c.having(func(s order.Share) bool { return slices.Contains(s.Misfits, kind) }) {
			matters := slices.ContainsFunc(c.settled.Anomalies, func(a order.Anomaly) bool { return a.Kind == kind && a.PaymentID == s.Payment.ID })
			a := c.resolved(kind, s.Payment.ID)
			switch {
			case matters && a != nil:
				settled, closed = append(settled, s), a
			case matters:
				open = append(open, s)
			case s.Payment.Status.HasMoney():
				returned = append(returned, s)
			}
		}
		switch {
		case len(open) > 0:
			said := about(string(kind), open, charged)
			said.Account = open[0].Payment.CollectorID
			act := said
			if kind == order.AnomalyCurrencyMismatch && beside != "" {
				act.Code = "money_beside"
			}
			h := headline{Verdict: Verdict{Said: said, Tone: Warn, Act: act, Decide: kind != order.AnomalyWrongMode}}
			if id := c.open(kind, open[0].Payment.ID); id != 0 {
				h.Link = Link{Kind: LinkAnomaly, ID: id}
			}
			if beside != "" {
				h.Said, h.More = c.priced(beside, c.settled.Paid.Sub(c.settled.Refunded)), []Said{said}
			}
			return h, true
		case beside == "" && len(settled) > 0 && c.nothingCounts():
			said := about("misfit_resolved", settled, charged)
			said.By, said.Since, said.Note = closed.ClosedBy, *closed.ClosedAt, closed.Note
			return headline{Verdict: Verdict{Said: said, Tone: Info, Link: Link{Kind: LinkAnomaly, ID: closed.ID}}}, true
		case beside == "" && len(returned) > 0 && c.nothingCounts():
			said := about("misfit_returned", returned, charged)
			return headline{Verdict: Verdict{Said: said, Tone: Info, Act: Said{Code: "misfit_returned"}}}, true
		}
	}
	return headline{}, false
}

// nothingCounts reports whether no payment counts as money or may become some.
func (c *casebook) nothingCounts() bool {
	return len(c.fitting(order.PaymentPending, order.PaymentInProcess, order.PaymentAuthorized, order.PaymentApproved,
		order.PaymentInMediation, order.PaymentRefunded, order.PaymentChargedBack)) == 0
}

// unsettledMoney is what the status says of an order that is not paid, and of which
// nothing is disputed.
func (c *casebook) unsettledMoney() headline {
	price := c.terms.Amount
	net := c.settled.Paid.Sub(c.settled.Refunded)
	simple := func(tone Tone, said Said, act string, unpaid bool) headline {
		h := headline{Verdict: Verdict{Said: said, Tone: tone}, unpaid: unpaid}
		if act != "" {
			h.Act = said
			h.Act.Code = act
		}
		return h
	}
	waiting := func(status order.PaymentStatus, act string, unpaid bool) headline {
		return simple(Info, about(string(status), c.fitting(status), charged), act, unpaid)
	}
	switch c.settled.Status {
	case order.StatusRefunded:
		return simple(Info, c.priced("refunded", c.settled.Refunded), "", false)
	case order.StatusPartiallyRefunded:
		return simple(Info, c.priced("partially_refunded", c.settled.Refunded), "partially_refunded", false)
	case order.StatusPartiallyPaid:
		rest := about("underpaid_rest_pending", c.fitting(order.PaymentPending, order.PaymentInProcess, order.PaymentAuthorized), charged)
		missing := c.priced("underpaid", price.Sub(net))
		h := simple(Warn, missing, "underpaid", false)
		if len(rest.PaymentIDs) > 0 {
			h = headline{Verdict: Verdict{Said: missing, Tone: Info, More: []Said{rest}, Act: rest}}
			return h
		}
		h.Decide = true
		return c.unlessResolved(h, order.AnomalyUnderpaid, "")
	case order.StatusAuthorized:
		return waiting(order.PaymentAuthorized, "authorized", false)
	case order.StatusInProcess:
		return waiting(order.PaymentInProcess, "in_process", true)
	case order.StatusCancelled:
		if c.terms.Cancelled {
			return simple(Info, Said{Code: "cancelled_by_shop"}, "", true)
		}
		return simple(Info, Said{Code: "expired"}, "expired", true)
	case order.StatusRejected:
		return c.rejected()
	case order.StatusPending:
		if len(c.fitting(order.PaymentPending)) > 0 {
			return waiting(order.PaymentPending, "pending", true)
		}
		return c.nobodyPaid(price)
	case order.StatusPaid, order.StatusInMediation, order.StatusChargedBack: // said before
	}
	return simple(Info, Said{Code: "not_known"}, "", true)
}

// rejected is for an order of which no payment succeeded, at least one being rejected.
func (c *casebook) rejected() headline {
	tries := c.fitting(order.PaymentRejected, order.PaymentCancelled)
	last := tries[len(tries)-1].Payment
	said := Said{Code: "expired", PaymentIDs: idsOf(last.ID), Since: last.ChangedAt()}
	act := Said{Code: "expired"}
	if last.Status == order.PaymentRejected {
		said.Code, said.Detail = "rejected", last.StatusDetail
		act = said
	}
	return headline{Verdict: Verdict{Said: said, Tone: Info, Act: act}, unpaid: true}
}

// nobodyPaid is for an order without a payment that counts or may.
func (c *casebook) nobodyPaid(price decimal.Decimal) headline {
	h := headline{Verdict: Verdict{Said: c.priced("no_payment", price), Tone: Info, Act: Said{Code: "no_payment"}}, unpaid: true}
	if len(c.having(func(s order.Share) bool { return s.Moneyless })) > 0 {
		h.Said.Code = "card_check_only"
	}
	for _, p := range c.f.Order.ProvisionalPayments {
		if p.Payment.Status == "" {
			h.Said, h.Tone, h.Act = aboutProvisional(p), Warn, Said{Code: "provisional_unclear", ProviderOrderID: p.ProviderOrderID}
		}
	}
	return h
}

// unregistered is for a reference without an order.
func (c *casebook) unregistered() Verdict {
	v := Verdict{Said: Said{Code: "unregistered"}, Tone: Info, Act: Said{Code: "unregistered"}}
	if len(c.f.Payments) > 0 || len(c.f.Events) > 0 {
		v = Verdict{Said: Said{Code: "unregistered_paid"}, Tone: Warn, Act: Said{Code: "unregistered_paid"}, Decide: len(c.f.Payments) > 0}
		for _, p := range c.f.Payments {
			v.PaymentIDs = append(v.PaymentIDs, p.ID)
		}
	}
	if len(c.f.NearOrders) > 0 {
		v.Tone, v.Act = Warn, Said{Code: "unregistered_near", Reference: c.f.NearOrders[0]}
		v.Link = Link{Kind: LinkOrder, Reference: c.f.NearOrders[0]}
	}
	n := c.news()
	v.More = n.said
	if n.act.Code != "" {
		v.Act, v.Link, v.Tone = n.act, n.link, Warn
	}
	return v
}
