package dashboard

import (
	"strings"

	"github.com/conciliar/conciliar/store"
)

// causeLength is how much of an error a list shows.
const causeLength = 80

// badges are the colour that goes with a word of ours. A colour never says
// anything alone: the word stands in it.
var badges = map[string]map[string]string{
	"working": {"healthy": "good", "degraded": "warn", "unhealthy": "bad"},
	"circuit": {"closed": "good", "half_open": "warn", "open": "bad"},
	"event_status": {
		"pending": "info", "processing": "info", "failed": "warn", "held": "warn", "completed": "good", "dead_letter": "bad",
	},
	"dead_letter_state": {"open": "warn", "reopened": "info"},
	"delivery_state":    {"pending": "info", "delivered": "good", "dead": "bad"},
	"anomaly_state":     {"open": "warn"},
	"refund_state":      {"requested": "info", "sent": "info", "unknown": "warn", "done": "good", "failed": "bad"},
	"payout_state":      {"explained": "good", "open": "warn"},
	"run_status":        {"running": "info", "succeeded": "good", "failed": "bad", "stopped_by_cap": "bad"},
	"finding_state":     {"repaired": "good", "waiting": "info", "failed": "bad", "left": "warn"},
	"bulk_replay_state": {"running": "info", "stalled": "bad"},
	"order_status": {
		"paid": "good", "pending": "info", "in_process": "info", "authorized": "info", "partially_paid": "warn",
		"partially_refunded": "warn", "in_mediation": "bad", "charged_back": "bad",
	},
	"payment_status": {
		"approved": "good", "pending": "info", "in_process": "info", "authorized": "info", "in_mediation": "bad", "charged_back": "bad",
	},
}

// Badge is the colour's name for a word; empty for a neutral one.
func (r *reader) Badge(family string, word any) string { return badges[family][plain(word)] }

// conditionLinks are where an operator looks into a condition.
var conditionLinks = map[string]string{
	"webhooks_all_refused":          "/dashboard/refused",
	"queue_stalled":                 "/dashboard/events?state=pending",
	"queue_latency_high":            "/dashboard/events?state=pending",
	"dead_letter_rate_high":         "/dashboard/dead-letters",
	"dead_letters_open":             "/dashboard/dead-letters",
	"odd_payments_open":             "/dashboard/dead-letters",
	"anomalies_open":                "/dashboard/anomalies",
	"fraud_alert_open":              "/dashboard/anomalies?kind=fraud_alert",
	"chargeback_documents_urgent":   "/dashboard/events?topic=topic_chargebacks_wh",
	"chargeback_documents_due":      "/dashboard/events?topic=topic_chargebacks_wh",
	"reconciliation_stalled":        "/dashboard/runs",
	"reconciliation_failed":         "/dashboard/runs",
	"reconciliation_overdue":        "/dashboard/runs",
	"reconciliation_limit_exceeded": "/dashboard/runs",
	"reconciliation_incomplete":     "/dashboard/runs",
	"signature_failures_rising":     "/dashboard/refused",
	"topic_never_verified":          "/dashboard/refused",
	"money_topic_unhandled":         "/dashboard/events",
	"channel_silent":                "/dashboard/refused",
	"logins_failing":                "/dashboard/logins",
	"provider_credentials_rejected": "/dashboard/events?state=held",
	"provider_outage":               "/dashboard/events?state=held",
	"provider_recovering":           "/dashboard/events?state=held",
	"seller_credentials_rejected":   "/dashboard/events?state=held",
	"seller_outage":                 "/dashboard/events?state=held",
	"seller_deauthorized":           "/dashboard/events?topic=mp-connect",
	"seller_not_reconciled":         "/dashboard/runs",
	"refunds_unresolved":            "/dashboard/refunds",
	"delivery_receiver_stopped":     "/dashboard/deliveries",
	"deliveries_failing":            "/dashboard/deliveries?state=pending",
	"delivery_dead_letters_open":    "/dashboard/deliveries?state=dead",
}

// Link is where the operator looks into a word; empty when there is no place.
func (r *reader) Link(family string, word any) string {
	if family == "condition" {
		return conditionLinks[plain(word)]
	}
	return ""
}

// Cause is the class of an attempt's error in words, else the beginning of the
// error itself.
func (r *reader) Cause(text any) string {
	message := plain(text)
	if class, _, ok := strings.Cut(message, ": "); ok && r.Has("error_class", class) {
		return r.Word("error_class", class)
	}
	if runes := []rune(message); len(runes) > causeLength {
		return string(runes[:causeLength]) + "…"
	}
	return message
}

// Remedy is what an operator does about a dead letter: what its class asks for,
// else its reason.
func (r *reader) Remedy(reason, class string) string {
	// The reason says more than the class where it was a person's doing.
	if r.Has("error_class.do", class) && reason != "cancelled" && reason != "deleted" {
		return r.Word("error_class.do", class)
	}
	return r.Word("reason.do", reason)
}

// hopeless are the causes that a replay meets again.
var hopeless = map[string]bool{"forbidden": true, "resource_not_found": true, "event_not_found": true}

// Hopeless reports whether dead letters of that cause are dismissed rather than replayed.
func (r *reader) Hopeless(class string) bool { return hopeless[class] }

// Replayable reports whether a dead letter in that state can be replayed.
func (r *reader) Replayable(state string) bool {
	return state == store.DeadLetterOpen || state == store.DeadLetterReopened
}
