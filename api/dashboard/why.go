package dashboard

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// A sentence is one step of an explanation: a text below why, with its
// arguments.
type sentence struct {
	// Code is stable; the text is that of why.Code.
	Code string
	// Do is the text of what to do, that of why.do.Code; false when there is
	// nothing.
	Do bool
	// PaymentID, Amount and Currency are what the sentence speaks of; empty where
	// it speaks of none.
	PaymentID, Amount, Currency string
	// ProviderOrderID and Status are the provider's order that it speaks of, and what
	// that says of a payment; empty where it speaks of none.
	ProviderOrderID string
	Status          order.PaymentStatus
	// QueueID is the event that it speaks of; 0 for none.
	QueueID int64
	// Until is the time that it speaks of; zero for none.
	Until time.Time
}

// explain says why an order is in the state that it is in, and what is to be
// done: the answer to "why is order 123 not paid?". The first sentence is the
// verdict. It depends on its arguments alone: the order as it stands, and the
// events about its payments, the newest first.
func explain(o store.Order, events []store.Event) []sentence {
	said := []sentence{verdict(o)}
	payments := slices.Clone(o.Payments)
	slices.SortFunc(payments, func(a, b store.OrderPayment) int {
		return cmp.Or(a.UpdatedAt.Compare(b.UpdatedAt), cmp.Compare(a.ID, b.ID))
	})
	for _, p := range payments {
		said = append(said, aboutPayment(o, p))
	}
	for _, p := range o.ProvisionalPayments {
		said = append(said, aboutProvisional(p))
	}
	said = append(said, aboutDisputes(o)...)
	said = append(said, aboutMoney(o)...)
	return append(said, aboutEvents(events)...)
}

// explainUnknown says why there is no order with a reference although payments
// may name it.
func explainUnknown(events []store.Event) []sentence {
	s := sentence{Code: "order_unknown", Do: true}
	if len(events) > 0 {
		s.Code = "order_unknown_paid"
	}
	return append([]sentence{s}, aboutEvents(events)...)
}

// verdict is what the order's status means.
func verdict(o store.Order) sentence {
	s := sentence{Code: "order_" + string(o.Status), Amount: o.Terms.Amount.String(), Currency: o.Terms.Currency}
	switch o.Status {
	case order.StatusPaid, order.StatusCancelled, order.StatusRefunded:
		if o.Status == order.StatusCancelled && o.Terms.Cancelled {
			s.Code = "order_called_off"
		}
	case order.StatusPending:
		if len(o.Payments)+len(o.ProvisionalPayments) == 0 {
			s.Code = "order_without_payment"
		}
		s.Do = true
	case order.StatusPartiallyPaid:
		// What is missing is said by the anomaly, until a person closed it.
		s.Do = !slices.ContainsFunc(o.Anomalies, func(a store.Anomaly) bool { return a.Kind == order.AnomalyUnderpaid })
	default:
		s.Do = true
	}
	return s
}

// aboutPayment says what a payment is worth to the order, and why.
func aboutPayment(o store.Order, p store.OrderPayment) sentence {
	s := sentence{PaymentID: p.ID, Amount: p.Amount.Decimal.String(), Currency: p.Currency}
	for _, a := range o.Anomalies {
		if a.PaymentID != p.ID {
			continue
		}
		switch a.Kind {
		case order.AnomalyCurrencyMismatch, order.AnomalyForeignCollector, order.AnomalyWrongMode, order.AnomalyFraudAlert:
			s.Code, s.Do = "payment_"+string(a.Kind), true
			return s
		default: // about the order as a whole
		}
	}
	switch {
	case p.Validation || p.Amount.Valid && p.Amount.Decimal.IsZero():
		s.Code = "payment_moneyless"
	case p.Status == order.PaymentApproved && p.Refunded.IsPositive():
		s.Code, s.Amount = "payment_part_refunded", p.Refunded.String()
	case p.Status == order.PaymentApproved:
		s.Code = "payment_approved"
	case p.Reimbursed():
		s.Code = "payment_reimbursed"
	default:
		s.Code = "payment_" + string(p.Status)
		s.Do = p.Status == order.PaymentAuthorized || p.Status == order.PaymentInMediation
	}
	return s
}

// aboutDisputes says what the provider waits for about charge-backs and claims.
func aboutDisputes(o store.Order) []sentence {
	var said []sentence
	for _, c := range o.Chargebacks {
		if !c.DocumentsWanted {
			continue
		}
		s := sentence{Code: "chargeback_documents", PaymentID: strings.Join(c.PaymentIDs, ", "), Until: c.DocumentationDeadline, Do: true}
		if s.Until.IsZero() {
			s.Code = "chargeback_documents_undated"
		}
		said = append(said, s)
	}
	for _, c := range o.Claims {
		switch {
		case c.Closed:
		case c.PaymentID != "":
			said = append(said, sentence{Code: "claim_about_payment", PaymentID: c.PaymentID, Do: true})
		default:
			said = append(said, sentence{Code: "claim_about_order", Do: true})
		}
	}
	return said
}

// aboutProvisional says what a payment is worth that only the provider's order has
// shown.
func aboutProvisional(p store.ProvisionalPayment) sentence {
	s := sentence{
		Code: "provisional", ProviderOrderID: p.ProviderOrderID, PaymentID: p.Payment.ID, Status: p.Payment.Status,
		Amount: p.Payment.Amount.Decimal.String(), Currency: p.Payment.Currency,
	}
	if p.Payment.Status == "" {
		s.Code, s.Do = "provisional_unclear", true
	}
	return s
}

// aboutMoney says what does not fit about the order as a whole.
func aboutMoney(o store.Order) []sentence {
	var said []sentence
	for _, a := range o.Anomalies {
		switch a.Kind {
		case order.AnomalyUnderpaid:
			missing := o.Terms.Amount.Sub(o.Paid.Sub(o.Refunded))
			said = append(said, sentence{Code: "underpaid", Amount: missing.String(), Currency: o.Terms.Currency, Do: true})
		case order.AnomalyOverpaid:
			surplus := o.Paid.Sub(o.Refunded).Sub(o.Terms.Amount)
			said = append(said, sentence{Code: "overpaid", Amount: surplus.String(), Currency: o.Terms.Currency, Do: true})
		case order.AnomalyDuplicatePayment:
			said = append(said, sentence{Code: "duplicate_payment", Do: true})
		case order.AnomalyDisputedPayment:
			said = append(said, sentence{Code: "disputed_payment", Do: true})
		case order.AnomalyPaidAfterCancel:
			left := o.Paid.Sub(o.Refunded)
			said = append(said, sentence{Code: "paid_after_cancel", Amount: left.String(), Currency: o.Terms.Currency, Do: true})
		case order.AnomalyPaymentMoved:
			said = append(said, sentence{Code: "payment_moved", Do: true})
		case order.AnomalyAmbiguousPayment:
			said = append(said, sentence{Code: "ambiguous_payment", Do: true})
		case order.AnomalyUnsettledDifference:
			said = append(said, sentence{Code: "unsettled_difference", Do: true})
		case order.AnomalyReleasedDiffers:
			said = append(said, sentence{Code: "released_differs", PaymentID: a.PaymentID, Do: true})
		case order.AnomalyNotReleased:
			said = append(said, sentence{Code: "not_released", PaymentID: a.PaymentID, Do: true})
		case order.AnomalyReleasedUnknown:
			said = append(said, sentence{Code: "released_unknown", PaymentID: a.PaymentID, Do: true})
		default: // about one payment
		}
	}
	return said
}

// errorClass is the class of an event's last failure: the first word of its
// error.
func errorClass(e store.Event) string {
	if e.LastError == nil {
		return ""
	}
	class, _, _ := strings.Cut(*e.LastError, ":")
	return class
}

// aboutEvents says what may still change: the newest event of each payment that
// has not ended, or that failed for good.
func aboutEvents(events []store.Event) []sentence {
	var said []sentence
	seen := map[string]bool{}
	for _, e := range events {
		if seen[e.ResourceID] {
			continue
		}
		s := sentence{PaymentID: e.ResourceID, QueueID: e.QueueID}
		switch e.Status {
		case store.StatusPending, store.StatusProcessing:
			s.Code = "event_waiting"
		case store.StatusFailed:
			s.Code = "event_retrying"
		case store.StatusHeld:
			s.Code = "event_held"
		case store.StatusDeadLetter:
			// One that was dismissed or replayed is in somebody's hands.
			if e.DeadLetterState == nil || *e.DeadLetterState != store.DeadLetterOpen {
				continue
			}
			s.Code, s.Do = "event_dead", true
			if class := errorClass(e); class == "odd_payment" || class == "unknown_status" {
				s.Code = "event_odd"
			}
		default:
			// It has ended; what came before it is told by it.
			seen[e.ResourceID] = true
			continue
		}
		seen[e.ResourceID] = true
		if e.Work == store.WorkFollow { // about no payment, but it names some
			s.PaymentID = ""
			if s.Code = "named_waiting"; s.Do {
				s.Code = "named_dead"
			}
		}
		said = append(said, s)
	}
	return said
}
