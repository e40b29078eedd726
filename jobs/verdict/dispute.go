package verdict

import (
	"slices"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// undecidedOrLost are the disputed shares that the merchant has not won.
func undecidedOrLost(disputed []order.Share) []order.Share {
	return slices.DeleteFunc(slices.Clone(disputed), func(s order.Share) bool { return s.Payment.Reimbursed() })
}

func lost(s order.Share) bool { return s.Payment.StatusDetail == order.DetailSettled }

// disputed is for an order with money that is charged back or in mediation, whether
// another payment pays the order or not. Only what is not decided asks for proof.
func (c *casebook) disputed() headline {
	back := undecidedOrLost(c.fitting(order.PaymentChargedBack))
	undecided := slices.DeleteFunc(slices.Clone(back), lost)
	mediation := c.fitting(order.PaymentInMediation)
	h := headline{Verdict: Verdict{Tone: Bad}}
	switch {
	case len(undecided) > 0:
		h.Said = about("charged_back", undecided, charged)
		h.Act, h.urgent = c.proof(undecided)
	case len(mediation) > 0:
		h.Said = about("in_mediation", mediation, charged)
		h.Act, h.urgent = about("in_mediation", mediation, charged), true
	default:
		h.Said = about("charged_back_lost", back, charged)
	}
	if c.settled.Status != order.StatusPaid {
		return h
	}
	h.More = append(h.More, c.priced("others_cover", c.settled.Paid.Sub(c.settled.Refunded)))
	if h.Tone = Warn; h.Act.Code == "" {
		h.Tone = Info
	}
	return c.unlessResolved(h, order.AnomalyDisputedPayment, h.PaymentIDs[0])
}

// proof is what to do about charge-backs that are not decided, and whether it has a
// deadline.
func (c *casebook) proof(shares []order.Share) (act Said, urgent bool) {
	act = about("chargeback_proof", shares, charged)
	known := false
	for _, b := range c.f.Order.Chargebacks {
		if !slices.ContainsFunc(b.PaymentIDs, func(id string) bool { return slices.Contains(act.PaymentIDs, id) }) {
			continue
		}
		known = known || b.DocumentationStatus != ""
		if b.DocumentsWanted && (act.Until.IsZero() || b.DocumentationDeadline.Before(act.Until)) {
			act.Code, act.Until = "chargeback_documents", b.DocumentationDeadline
			if act.Until.IsZero() {
				act.Code = "chargeback_documents_undated"
				return act, true
			}
		}
	}
	if act.Code == "chargeback_proof" && known {
		act.Code = "chargeback_review"
		return act, false
	}
	return act, true
}

// claims says which claims are open.
func (c *casebook) claims() (said []Said) {
	if c.f.Order == nil {
		return nil
	}
	for _, claim := range c.f.Order.Claims {
		switch {
		case claim.Closed:
		case claim.PaymentID != "":
			said = append(said, Said{Code: "claim_about_payment", PaymentIDs: idsOf(claim.PaymentID)})
		default:
			said = append(said, Said{Code: "claim_about_order"})
		}
	}
	return said
}

// payments says what each payment is to the order, in the order of their changes.
func (c *casebook) payments() []Said {
	var said []Said
	if c.f.Order == nil || c.unsettled != nil {
		return nil
	}
	for _, s := range c.shares {
		if p, is := c.provisional[s.Payment.ID]; is {
			said = append(said, aboutProvisional(p))
			continue
		}
		said = append(said, c.aboutPayment(s))
	}
	for _, p := range c.f.Order.ProvisionalPayments {
		if !p.Counts() {
			said = append(said, aboutProvisional(p))
		}
	}
	return said
}

func (c *casebook) aboutPayment(s order.Share) Said {
	p := s.Payment
	said := about("payment_"+string(p.Status), []order.Share{s}, charged)
	said.Detail, said.Account = p.StatusDetail, p.CollectorID
	if i := slices.IndexFunc(misfitCodes, func(kind order.AnomalyKind) bool { return slices.Contains(s.Misfits, kind) }); i >= 0 {
		said.Code = "payment_" + string(misfitCodes[i])
		return said
	}
	switch {
	case s.Moneyless:
		said.Code = "payment_moneyless"
	case p.Status == order.PaymentApproved && s.Refunded.IsPositive():
		said.Code, said.Amount.Decimal = "payment_part_refunded", s.Refunded
	case p.Status == order.PaymentApproved:
		said.Amount.Decimal = s.Paid
	case p.Reimbursed():
		said.Code, said.Amount.Decimal = "payment_reimbursed", s.Paid
	case p.Status == order.PaymentChargedBack && lost(s):
		said.Code = "payment_charged_back_lost"
	}
	return said
}

// aboutProvisional says what a payment is worth that only the provider's order has
// shown.
func aboutProvisional(p store.ProvisionalPayment) Said {
	said := Said{
		Code: "provisional", ProviderOrderID: p.ProviderOrderID, PaymentIDs: idsOf(p.Payment.ID), Status: p.Payment.Status,
		Amount: p.Payment.Amount, Currency: p.Payment.Currency,
	}
	if p.Payment.Status == "" {
		said.Code = "provisional_unclear"
	}
	return said
}
