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
	// off, and no whole payment is too many. Details: amount, paid, refunded,
	// surplus.
	AnomalyOverpaid AnomalyKind = "overpaid"
	// AnomalyDuplicatePayment: the order's amount stays covered without at least
	// one whole payment. Details: amount, payment_ids (those that are too many, the
	// latest first, joined by commas).
	AnomalyDuplicatePayment AnomalyKind = "duplicate_payment"
	// AnomalyDisputedPayment: the order is paid, and another payment of it is
	// charged back or in mediation. Details: amount, status.
	AnomalyDisputedPayment AnomalyKind = "disputed_payment"
	// AnomalyPaidAfterCancel: the merchant cancelled the order and its money is
	// there. Details: amount, paid, refunded, surplus.
	AnomalyPaidAfterCancel AnomalyKind = "paid_after_cancel"
	// AnomalyPaymentMoved: the order was paid and is no longer, without a refund or
	// a dispute. No payment's state says so; the order's own history does. Details:
	// amount, paid, refunded, missing.
	AnomalyPaymentMoved AnomalyKind = "payment_moved"
	// AnomalyAmbiguousPayment: an order of the provider's and the payments tell of
	// different money, or the order's words on a payment that is not known settle
	// nothing. It is about the alias. Details: why, amount, provider_order_id, said.
	AnomalyAmbiguousPayment AnomalyKind = "ambiguous_payment"
	// AnomalyReleasedDiffers: a report shows another amount released than the payment says
	// is left of it. Details: net, released, difference.
	AnomalyReleasedDiffers AnomalyKind = "released_differs"
	// AnomalyNotReleased: three days after a payment's release date, which reports cover,
	// nothing of it is released. Details: net, release_date, and where it is known the
	// reason (dispute, block) and release_status, the provider's word.
	AnomalyNotReleased AnomalyKind = "not_released"
	// AnomalyReleasedUnknown: a report shows the release of a payment that is not known.
	// Details: released.
	AnomalyReleasedUnknown AnomalyKind = "released_unknown"
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
	// amount, status, and where there is one near_orders: the references of open
	// orders that differ by their writing only (see ReferenceKey), joined by commas.
	AnomalyUnknownOrder AnomalyKind = "unknown_order"
	// AnomalyNoReference: a payment names no order. It is information: transfers
	// and sales at a counter have none. Details: amount, status.
	AnomalyNoReference AnomalyKind = "no_reference"
	// AnomalyFraudAlert: the provider warns of a fraud. No payment's state
	// says so; it comes from elsewhere than this package.
	AnomalyFraudAlert AnomalyKind = "fraud_alert"
	// AnomalyUnsettledDifference: what is held still differs from what the
	// provider shows, or from itself, after it was asked for again. No payment's
	// state says so; a reconciliation does. Details: what differs, by field.
	AnomalyUnsettledDifference AnomalyKind = "unsettled_difference"
)

// Words are the values of an enumeration as texts.
func Words[T ~string](values []T) []string {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = string(v)
	}
	return words
}

// AnomalyKinds returns every kind of anomaly, sorted. The slice is the
// caller's.
func AnomalyKinds() []AnomalyKind {
	kinds := append(foldKinds(), AnomalyAmbiguousPayment, AnomalyPaymentMoved, AnomalyFraudAlert, AnomalyUnsettledDifference,
		AnomalyReleasedDiffers, AnomalyNotReleased, AnomalyReleasedUnknown)
	slices.Sort(kinds)
	return kinds
}

// foldKinds are the kinds that follow from an order's terms and its payments.
func foldKinds() []AnomalyKind {
	return []AnomalyKind{
		AnomalyCurrencyMismatch,
		AnomalyDisputedPayment,
		AnomalyDuplicatePayment,
		AnomalyForeignCollector,
		AnomalyNoReference,
		AnomalyOverpaid,
		AnomalyPaidAfterCancel,
		AnomalyUnderpaid,
		AnomalyUnknownOrder,
		AnomalyWrongMode,
	}
}

// IsFolded reports whether anomalies of this kind follow from an order's terms and
// its payments: they close by themselves once these no longer yield them.
func (k AnomalyKind) IsFolded() bool { return slices.Contains(foldKinds(), k) }

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
// when it names one, else no_reference; beside it foreign_collector and
// wrong_mode where the rules say so, sorted by kind. An unknown mode allows no
// payment. near are the references of open orders that the payment may have
// meant; unknown_order names them.
//
// Only a payment that has money, is disputed or reserved yields any: there is
// nothing that could be missing elsewhere otherwise.
func Unmatched(r Rules, p Payment, reference string, near []string) []Anomaly {
	if !p.matters() {
		return nil
	}
	anomalies := r.rejections(p, r.IsForeign(p), r.CollectorID)
	switch {
	case !NamesOrder(reference):
		anomalies = append(anomalies, p.anomaly(AnomalyNoReference))
	case len(near) > 0:
		anomalies = append(anomalies, p.anomaly(AnomalyUnknownOrder, "near_orders", strings.Join(near, ",")))
	default:
		anomalies = append(anomalies, p.anomaly(AnomalyUnknownOrder))
	}
	sortAnomalies(anomalies)
	return anomalies
}

// rejections returns the anomalies of a payment that is not the merchant's own:
// foreign to the expected account, or of another mode.
func (r Rules) rejections(p Payment, foreign bool, expected string) []Anomaly {
	var anomalies []Anomaly
	if foreign {
		anomalies = append(anomalies, p.anomaly(AnomalyForeignCollector,
			"collector_id", p.CollectorID, "expected_collector_id", expected))
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
	detail := map[string]string{"currency": p.Currency, "status": string(p.Status)}
	if p.Amount.Valid {
		detail["amount"] = FormatAmount(p.Amount.Decimal, p.Currency)
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
