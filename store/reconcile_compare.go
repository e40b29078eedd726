package store

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/store/order"
)

// Kinds of what a run finds.
const (
	// FindingStuck: an event that nothing would have brought to its end.
	FindingStuck = "stuck"
	// FindingMissing: a payment that is not known in the state that the provider
	// shows, and that no event is about to fetch.
	FindingMissing = "missing"
	// FindingDrift: what is held differs from what it is held against, and
	// neither is later.
	FindingDrift = "drift"
	// FindingOdd: a payment that the search shows and that can't be booked as it is
	// shown. It is asked for, unless that was tried and is in a person's hands.
	FindingOdd = "odd"
	// FindingUnsettled: a difference that stands after it was asked for again. It
	// is an anomaly and counts as nothing else.
	FindingUnsettled = "unsettled"
)

// What something was held against, as a difference's detail says.
const (
	againstSearch   = "search"
	againstOrders   = "orders"
	againstLog      = "log"
	againstPayments = "payments"
)

// A FoundPayment is a payment as a provider's search shows it.
type FoundPayment struct {
	FetchedPayment
	// Odd says why the payment can't be booked as the search shows it; empty when
	// it can. Then its id, its reference and the time of its last change are known,
	// as far as they could be read.
	Odd string
	// ReferenceElsewhere is true when the payment has its reference from something
	// else that it names, which the search does not show.
	ReferenceElsewhere bool
}

// A Difference is what a comparison found.
type Difference struct {
	Kind      string `json:"kind"`
	Source    string `json:"source,omitempty"`
	PaymentID string `json:"payment_id,omitempty"`
	Reference string `json:"order_reference,omitempty"`
	// Detail holds what differs: "against" says what it was held against, and
	// for each field its values, such as held_status and found_status.
	Detail map[string]string `json:"detail"`

	liveMode *bool
	// seller is the account whose search showed it; empty for the main one.
	seller string
	// inHand is true when nothing is to be asked over it: an event about it is
	// under way, or in a person's hands.
	inHand bool
}

// facts are what is compared of a payment, as text: equal facts have equal
// texts.
type facts map[string]string

// dateLastUpdated is the one fact in which no money can stand.
const dateLastUpdated = "date_last_updated"

func factsOf(p order.Payment, reference string) facts {
	return facts{
		"status": string(p.Status), "status_detail": p.StatusDetail,
		"amount": plainOrNone(p.Amount), "refunded_amount": plain(p.Refunded), "shipping": plain(p.Shipping), "currency": p.Currency,
		"order_reference": reference, "collector_id": p.CollectorID, "live_mode": strconv.FormatBool(p.LiveMode),
		dateLastUpdated: dateText(p.UpdatedAt),
	}
}

// dateText writes a moment, and nothing where there is none.
func dateText(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format(time.RFC3339Nano)
}

// plainOrNone writes an amount without trailing zeros, and nothing where it is
// not said.
func plainOrNone(d decimal.NullDecimal) string {
	if !d.Valid {
		return ""
	}
	return plain(d.Decimal)
}

// plain writes an amount without trailing zeros.
func plain(d decimal.Decimal) string { return d.Normalize().String() }

// differing returns the facts in which held and other differ; held nil is
// nothing at all.
func differing(against string, held facts, called string, other facts) map[string]string {
	detail := map[string]string{}
	for field, value := range other {
		was, known := held[field]
		if known && was == value {
			continue
		}
		if known {
			detail["held_"+field] = was
		}
		detail[called+field] = value
	}
	if len(detail) > 0 {
		detail["against"] = against
	}
	return detail
}

// immaterial reports whether nothing follows from a difference that stands after
// it was asked for: one of dates alone, or a search that can't be read where the
// payment's own page can.
func immaterial(detail map[string]string) bool {
	for name := range detail {
		if name != "against" && name != "unreadable" && !strings.HasSuffix(name, dateLastUpdated) {
			return false
		}
	}
	return true
}

// A heldPayment is a payment as the ledger has it. Its fields are null where a
// join found none.
type heldPayment struct {
	source, id, status, detail, currency, collector, subscription, reference *string
	amount, refunded, shipping                                               decimal.NullDecimal
	number, mark                                                             *int64
	live, validation                                                         *bool
	createdAt, updatedAt, changedAt, fetchedAt                               *time.Time
}

const heldColumns = `p.source, p.payment_id, p.status, p.status_detail, p.currency, p.collector_id, p.subscription_id,
	p.order_reference, p.amount, p.refunded_amount, p.shipping, p.subscription_number, p.fetch_mark, p.live_mode, p.validation,
	p.date_created, p.date_last_updated, p.changed_at, p.fetched_at`

func (h *heldPayment) targets() []any {
	return []any{&h.source, &h.id, &h.status, &h.detail, &h.currency, &h.collector, &h.subscription,
		&h.reference, &h.amount, &h.refunded, &h.shipping, &h.number, &h.mark, &h.live, &h.validation,
		&h.createdAt, &h.updatedAt, &h.changedAt, &h.fetchedAt}
}

func (h *heldPayment) exists() bool { return h.id != nil }

func (h *heldPayment) payment() order.Payment {
	p := order.Payment{
		ID: *h.id, Status: order.PaymentStatus(*h.status), StatusDetail: *h.detail, Currency: orEmpty(h.currency),
		CollectorID: *h.collector, SubscriptionID: orEmpty(h.subscription), SubscriptionNumber: *h.number,
		Amount: h.amount, Refunded: h.refunded.Decimal, Shipping: h.shipping.Decimal, LiveMode: *h.live,
		Validation: *h.validation, CreatedAt: deref(h.createdAt), FetchedAt: *h.fetchedAt, FetchMark: *h.mark,
	}
	date(&p, h.updatedAt, h.changedAt)
	return p
}

func (h *heldPayment) orderReference() string { return orEmpty(h.reference) }

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// compareFound holds what a search shows against what is held. No difference is
// nil: also where the search shows an older state, as searches do for minutes.
func compareFound(f FoundPayment, h *heldPayment) *Difference {
	d := &Difference{
		Kind: FindingMissing, Source: f.Source, PaymentID: f.Payment.ID, Reference: f.Reference,
		liveMode: &f.Payment.LiveMode,
	}
	if f.Odd != "" {
		d.Kind, d.Detail, d.liveMode = FindingOdd, map[string]string{"against": againstSearch, "unreadable": f.Odd}, nil
		return d
	}
	found := factsOf(f.Payment, f.Reference)
	if !h.exists() {
		d.Detail = differing(againstSearch, nil, "found_", found)
		return d
	}
	held := h.payment()
	if f.ReferenceElsewhere {
		found["order_reference"] = h.orderReference()
	}
	if f.Payment.UpdatedAt.IsZero() {
		// A date that is not said says nothing else.
		found[dateLastUpdated] = dateText(held.UpdatedAt)
	}
	d.Detail = differing(againstSearch, factsOf(held, h.orderReference()), "found_", found)
	switch c := f.Payment.ChangedAt().Compare(held.ChangedAt()); {
	case len(d.Detail) == 0:
		return nil
	case c > 0:
		return d
	case c < 0 || f.Payment.Status.Rank() < held.Status.Rank():
		return nil
	case f.Payment.Status.Rank() > held.Status.Rank():
		return d
	}
	d.Kind = FindingDrift
	return d
}

// compareSearch compares what the search of one account shows with what is held.
// It returns what differs and is in nobody's hands, what is odd in any case, and
// the ids of the payments that are equal.
//
// A payment that an event without an end is about is about to be fetched. One
// that an attempt found hopeless after it changed, or that died within a day, is
// in a person's hands; buried, when true, returns it all the same.
func compareSearch(ctx context.Context, tx pgx.Tx, account Account, found []FoundPayment, buried bool) (differ []Difference, equal []string, err error) {
	now, err := readValue[time.Time](ctx, tx, `SELECT now()`)
	if err != nil {
		return nil, nil, err
	}
	ids, changed := make([]string, len(found)), make([]time.Time, len(found))
	for i := range found {
		// The search was asked just now.
		found[i].Payment.FetchedAt = now
		found[i].FetchedPayment = storable(found[i].FetchedPayment)
		ids[i], changed[i] = found[i].Payment.ID, found[i].Payment.ChangedAt()
	}
	// One statement, so that an event which settles meanwhile is seen either
	// without its end or with what it brought.
	rows, _ := tx.Query(ctx, `
		SELECT f.n,
		       EXISTS (SELECT FROM `+openAbout("$1", "f.id")+` LEFT JOIN webhook_dead_letter d ON d.queue_id = q.id
		               WHERE q.work = $4 AND (d.id IS NULL OR d.state = 'reopened')),
		       EXISTS (SELECT FROM `+openAbout("$1", "f.id")+` JOIN webhook_dead_letter d ON d.queue_id = q.id
		               WHERE q.work = $4 AND d.state IN ('open', 'dismissed') AND d.died_at > f.changed
		                 AND (d.reason IN ('permanent_failure', 'cancelled') OR d.died_at > now() - interval '1 day')),
		       `+heldColumns+`
		FROM unnest($2::text[], $3::timestamptz[]) WITH ORDINALITY AS f (id, changed, n)
		LEFT JOIN payments p ON p.source = $1 AND p.payment_id = f.id`, account.Source, ids, changed, WorkPayment)
	var n int
	var open, dead bool
	var h heldPayment
	_, err = pgx.ForEachRow(rows, append([]any{&n, &open, &dead}, h.targets()...), func() error {
		d := compareFound(found[n-1], &h)
		if d != nil {
			d.seller = account.CollectorID
		}
		switch {
		case d == nil:
			equal = append(equal, ids[n-1])
		case d.Kind == FindingOdd:
			d.inHand = open || dead
			differ = append(differ, *d)
		case !open && (buried || !dead):
			differ = append(differ, *d)
		}
		return nil
	})
	return differ, equal, err
}

// topicPayment is the topic of the events that a reconciliation makes. Every
// provider has one of that name for a payment.
const topicPayment = "payment"
