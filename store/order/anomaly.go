package order

import (
	"cmp"
	"slices"
	"strings"
)

// AnomalyKind says in which way money does not fit.
type AnomalyKind string

// The kinds of anomaly, and what their details hold beside the currency.
const (
	// AnomalyUnderpaid: money came, and less than the order's amount is there.
	// Details: amount, paid, refunded, missing.
	AnomalyUnderpaid AnomalyKind = "underpaid"
	// AnomalyOverpaid: more than the order's amount is there, refunds taken
	// off. Details: amount, paid, refunded, surplus.
	AnomalyOverpaid AnomalyKind = "overpaid"
	// AnomalyDuplicatePayment: two payments or more each cover the order's
	// amount by themselves. Details: amount, payment_ids (joined by commas).
	AnomalyDuplicatePayment AnomalyKind = "duplicate_payment"
	// AnomalyCurrencyMismatch: a payment is in another currency than its order.
	// Details: amount, status, order_currency.
	AnomalyCurrencyMismatch AnomalyKind = "currency_mismatch"
	// AnomalyForeignCollector: a payment went to another account. Details:
	// amount, status, collector_id, expected_collector_id.
	AnomalyForeignCollector AnomalyKind = "foreign_collector"
	// AnomalyWrongMode: a test payment where only real ones may move an order,
	// or the other way round. Details: amount, status, mode, allowed_mode.
	AnomalyWrongMode AnomalyKind = "wrong_mode"
	// AnomalyUnknownOrder: a payment names an order that is not known. Details:
	// amount, status.
	AnomalyUnknownOrder AnomalyKind = "unknown_order"
	// AnomalyNoReference: a payment names no order. Details: amount, status.
	AnomalyNoReference AnomalyKind = "no_reference"
	// AnomalyFraudAlert: the provider warns of a fraud. No payment's state
	// says so; it comes from elsewhere than this package.
	AnomalyFraudAlert AnomalyKind = "fraud_alert"
	// AnomalyUnsettledDifference: what is held still differs from what the
	// provider shows, or from itself, after it was asked for again. No payment's
	// state says so; a reconciliation does. Details: what differs, by field.
	AnomalyUnsettledDifference AnomalyKind = "unsettled_difference"
)

// AnomalyKinds returns every kind of anomaly, sorted. The slice is the
// caller's.
func AnomalyKinds() []AnomalyKind {
	return []AnomalyKind{
		AnomalyCurrencyMismatch,
		AnomalyDuplicatePayment,
		AnomalyForeignCollector,
		AnomalyFraudAlert,
		AnomalyNoReference,
		AnomalyOverpaid,
		AnomalyUnderpaid,
		AnomalyUnknownOrder,
		AnomalyUnsettledDifference,
		AnomalyWrongMode,
	}
}

// An Anomaly is money that does not fit.
type Anomaly struct {
	Kind AnomalyKind
	// PaymentID names the payment that does not fit; empty when the anomaly is
	// about the order as a whole.
	PaymentID string
	// Detail holds what a person needs to judge it: always the currency, and
	// what the kind lists. Money is written by FormatAmount; the same facts give
	// the same strings.
	Detail map[string]string
}

// Unmatched returns the anomalies of a payment that has no order: unknown_order
// when the payment names one (hasReference), else no_reference; beside it
// foreign_collector and wrong_mode where the rules say so, sorted by kind. An
// unknown mode allows no payment.
//
// A check of a card and a payment of nothing yield none: there is no money that
// could be missing anywhere.
func Unmatched(r Rules, p Payment, hasReference bool) []Anomaly {
	if p.moneyless() {
		return nil
	}
	kind := AnomalyNoReference
	if hasReference {
		kind = AnomalyUnknownOrder
	}
	anomalies := append(r.rejections(p), p.anomaly(kind))
	sortAnomalies(anomalies)
	return anomalies
}

// moneyless reports whether no money can stand behind the payment whatever its
// status says.
func (p Payment) moneyless() bool { return p.Validation || p.Amount.IsZero() }

// rejections returns the anomalies of a payment that is not the merchant's own.
// A payment that does not say who was paid is nobody's we know.
func (r Rules) rejections(p Payment) []Anomaly {
	var anomalies []Anomaly
	if r.CollectorID != "" && p.CollectorID != r.CollectorID {
		anomalies = append(anomalies, p.anomaly(AnomalyForeignCollector,
			"collector_id", p.CollectorID, "expected_collector_id", r.CollectorID))
	}
	if !r.Mode.allows(p.LiveMode) {
		mode := ModeTest
		if p.LiveMode {
			mode = ModeLive
		}
		anomalies = append(anomalies, p.anomaly(AnomalyWrongMode,
			"mode", string(mode), "allowed_mode", string(r.Mode)))
	}
	return anomalies
}

// anomaly returns an anomaly about the payment, with the facts that every such
// anomaly has and the given pairs of name and value.
func (p Payment) anomaly(kind AnomalyKind, pairs ...string) Anomaly {
	detail := map[string]string{
		"amount":   FormatAmount(p.Amount, p.Currency),
		"currency": p.Currency,
		"status":   string(p.Status),
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		detail[pairs[i]] = pairs[i+1]
	}
	return Anomaly{Kind: kind, PaymentID: p.ID, Detail: detail}
}

func sortAnomalies(anomalies []Anomaly) {
	slices.SortFunc(anomalies, func(a, b Anomaly) int {
		return cmp.Or(
			strings.Compare(string(a.Kind), string(b.Kind)),
			strings.Compare(a.PaymentID, b.PaymentID),
		)
	})
}
