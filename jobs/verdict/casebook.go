package verdict

import (
	"cmp"
	"slices"
	"strings"

	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// A casebook is the facts with what the fold makes of them.
type casebook struct {
	f     store.OrderFacts
	terms order.Terms
	// settled and shares are the fold's word: what counts follows from the rules and
	// never from what is open or was resolved. unsettled is why it has none.
	settled   order.Settlement
	shares    []order.Share
	unsettled error
	// provisional are the shares that only an order of the provider's has shown.
	provisional map[string]store.ProvisionalPayment
}

func newCase(f store.OrderFacts) *casebook {
	c := &casebook{f: f, provisional: map[string]store.ProvisionalPayment{}}
	if f.Order == nil {
		return c
	}
	c.terms = f.Order.Terms
	states := make([]order.Payment, 0, len(f.Payments))
	for _, p := range f.Payments {
		states = append(states, p.Payment)
	}
	for _, p := range f.Order.ProvisionalPayments {
		if p.Counts() {
			states = append(states, p.Payment)
			c.provisional[p.Payment.ID] = p
		}
	}
	if c.unsettled = c.terms.Validate(); c.unsettled == nil {
		c.settled, c.shares, c.unsettled = order.Judge(c.terms, f.Rules, states)
	}
	slices.SortStableFunc(c.shares, func(a, b order.Share) int {
		return cmp.Or(a.Payment.ChangedAt().Compare(b.Payment.ChangedAt()), cmp.Compare(a.Payment.ID, b.Payment.ID))
	})
	return c
}

// has reports whether the fold yields an anomaly of the kind.
func (c *casebook) has(kind order.AnomalyKind) bool {
	return slices.ContainsFunc(c.settled.Anomalies, func(a order.Anomaly) bool { return a.Kind == kind })
}

// detail is a detail of the fold's anomaly of the kind.
func (c *casebook) detail(kind order.AnomalyKind, name string) string {
	i := slices.IndexFunc(c.settled.Anomalies, func(a order.Anomaly) bool { return a.Kind == kind })
	return c.settled.Anomalies[i].Detail[name]
}

// resolved is the anomaly of the kind about the payment that a person closed; nil
// while one is open, or none was.
func (c *casebook) resolved(kind order.AnomalyKind, paymentID string) *store.Anomaly {
	i := slices.IndexFunc(c.f.Anomalies, func(a store.Anomaly) bool {
		return a.Kind == kind && a.PaymentID == paymentID && (a.ClosedAt == nil || a.ByPerson())
	})
	if i < 0 || c.f.Anomalies[i].ClosedAt == nil {
		return nil
	}
	return &c.f.Anomalies[i]
}

// open is the id of the open anomaly of the kind about the payment; 0 for none.
func (c *casebook) open(kind order.AnomalyKind, paymentID string) int64 {
	for _, a := range c.f.Anomalies {
		if a.Kind == kind && a.PaymentID == paymentID && a.ClosedAt == nil {
			return a.ID
		}
	}
	return 0
}

// having are the shares that a test holds for.
func (c *casebook) having(test func(order.Share) bool) []order.Share {
	var found []order.Share
	for _, s := range c.shares {
		if test(s) {
			found = append(found, s)
		}
	}
	return found
}

// fitting are the shares in one of the states that would count.
func (c *casebook) fitting(states ...order.PaymentStatus) []order.Share {
	return c.having(func(s order.Share) bool {
		return s.Misfits == nil && !s.Moneyless && slices.Contains(states, s.Payment.Status)
	})
}

// about names shares and what they come to where they are in one currency.
func about(code string, shares []order.Share, worth func(order.Share) decimal.Decimal) Said {
	s := Said{Code: code}
	var sum decimal.Decimal
	same := len(shares) > 0
	for _, share := range shares {
		p := share.Payment
		s.PaymentIDs = append(s.PaymentIDs, p.ID)
		same = same && p.Amount.Valid && p.Currency == shares[0].Payment.Currency
		sum = sum.Add(worth(share))
	}
	if same {
		s.Amount, s.Currency = decimal.NewNullDecimal(sum), shares[0].Payment.Currency
	}
	return s
}

func charged(s order.Share) decimal.Decimal { return s.Payment.Amount.Decimal }

// named are the shares of payments with these ids, which are joined by commas.
func (c *casebook) named(ids string) []order.Share {
	wanted := strings.Split(ids, ",")
	return c.having(func(s order.Share) bool { return slices.Contains(wanted, s.Payment.ID) })
}

// priced is a sentence about an amount in the order's currency.
func (c *casebook) priced(code string, amount decimal.Decimal) Said {
	return Said{Code: code, Amount: decimal.NewNullDecimal(amount), Currency: c.terms.Currency}
}

// A headline is what the money says; its act gives way to that of unread news
// unless it is urgent.
type headline struct {
	Verdict

	urgent bool
	// unpaid is true where it says that no money is there: what is not read yet may say
	// otherwise.
	unpaid bool
}

// unlessResolved takes the act away where a person resolved the anomaly, and says who.
func (c *casebook) unlessResolved(h headline, kind order.AnomalyKind, paymentID string) headline {
	if a := c.resolved(kind, paymentID); a != nil {
		h.Act, h.Link, h.Decide, h.urgent = Said{}, Link{Kind: LinkAnomaly, ID: a.ID}, false, false
		h.More = append(h.More, Said{Code: "resolved", By: a.ClosedBy, Since: *a.ClosedAt, Note: a.Note})
		return h
	}
	if id := c.open(kind, paymentID); id != 0 && h.Link.Kind == "" {
		h.Link = Link{Kind: LinkAnomaly, ID: id}
	}
	return h
}

// misfitCodes are the kinds of payments that do not count, the weightiest first.
var misfitCodes = []order.AnomalyKind{order.AnomalyForeignCollector, order.AnomalyCurrencyMismatch, order.AnomalyWrongMode}
