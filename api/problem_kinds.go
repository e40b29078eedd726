package api

import (
	"cmp"
	"net/http"
	"slices"
)

// problemBase is where the kinds of problem are described.
const problemBase = "https://github.com/conciliar/conciliar/blob/main/docs/problems.md#"

const internalDetail = "Something went wrong on our side. Search the service's log for the request id."

// A ProblemKind is one row of the table of everything that can be wrong.
type ProblemKind struct {
	// Code is the stable word.
	Code string
	// Status is the HTTP status.
	Status int
	// Title says what kind of problem it is.
	Title string
	// Remedy says what the caller can do.
	Remedy string
}

// URI identifies the kind (RFC 9457, section 3.1.1).
func (k *ProblemKind) URI() string { return problemBase + k.Code }

// catalogue is filled by kind while the package starts, and read afterwards.
var catalogue []*ProblemKind

func kind(status int, code, title, remedy string) *ProblemKind {
	k := &ProblemKind{Code: code, Status: status, Title: title, Remedy: remedy}
	catalogue = append(catalogue, k)
	return k
}

// ProblemKinds returns the table of everything that can be wrong, by status.
func ProblemKinds() []ProblemKind {
	kinds := make([]ProblemKind, len(catalogue))
	for i, k := range catalogue {
		kinds[i] = *k
	}
	slices.SortStableFunc(kinds, func(a, b ProblemKind) int { return cmp.Compare(a.Status, b.Status) })
	return kinds
}

var (
	problemUnknownParameter = kind(http.StatusBadRequest, "unknown_parameter", "Unknown query parameter",
		"Remove the parameter, or correct its name.")
	problemInvalidParameter = kind(http.StatusBadRequest, "invalid_parameter", "Invalid query parameter",
		"Correct the value named in the detail.")
	problemInvalidJSON = kind(http.StatusBadRequest, "invalid_json", "Invalid JSON",
		"Send a single JSON object.")
	problemInvalidField = kind(http.StatusBadRequest, "invalid_field", "Invalid field",
		"Correct the field named in the detail.")
	problemCurrencyUnknown = kind(http.StatusBadRequest, "currency_unknown", "No such currency",
		"Use the ISO 4217 code, in upper case.")
	problemAmountTooFine = kind(http.StatusBadRequest, "amount_too_fine", "The amount is finer than the currency's smallest unit",
		"Round the amount to the unit named in the detail.")
	problemInvalidReference = kind(http.StatusBadRequest, "invalid_reference", "Invalid order reference",
		"Use 1 to 64 UTF-8 characters without NUL; percent-encode them in the path.")
	problemReservedReference = kind(http.StatusBadRequest, "reserved_reference", "Reserved order reference",
		"Use another reference.")
	problemUnreadableBody = kind(http.StatusBadRequest, "unreadable_body", "Incomplete body",
		"Retry.")
	problemWebhookMalformed = kind(http.StatusBadRequest, "webhook_malformed", "Malformed delivery",
		"None if the provider sent it. The refused deliveries say what was wrong.")
	problemWebhookUnauthenticated = kind(http.StatusUnauthorized, "webhook_unauthenticated", "Missing or invalid signature",
		"Check the signing secret. The refused deliveries say what was wrong.")
	problemUnauthorized = kind(http.StatusUnauthorized, "unauthorized", "Valid token required",
		"Send \"Authorization: Bearer\" with a token for this endpoint.")
	problemNotLoggedIn = kind(http.StatusUnauthorized, "not_logged_in", "Operator login required",
		"Log in at /dashboard/login.")
	problemSourceNotAllowed = kind(http.StatusForbidden, "source_not_allowed", "Source address not allowed",
		"Add the address to SOURCE_IP_CIDRS, or stop enforcing it.")
	problemCrossOrigin = kind(http.StatusForbidden, "cross_origin", "Cross-site request",
		"Act on the service's own pages. Behind a proxy, pass on the Host header.")
	problemRoleForbidden = kind(http.StatusForbidden, "role_forbidden", "The role does not allow this",
		"Ask an admin, or log in as one.")
	problemNotFound = kind(http.StatusNotFound, "not_found", "Not found",
		"Check the path.")
	problemOrderNotFound = kind(http.StatusNotFound, "order_not_found", "No such order",
		"Register the order first, or check its reference.")
	problemRunNotFound = kind(http.StatusNotFound, "run_not_found", "No such run",
		"Check the run's id; the status lists the recent ones.")
	_ = kind(http.StatusUnprocessableEntity, "refused_by_schema", "Refused by the database schema",
		"Change the value. The service's log names the constraint, which the database's owner added.")
	problemMethodNotAllowed = kind(http.StatusMethodNotAllowed, "method_not_allowed", "Method not allowed",
		"Use a method listed in the Allow header.")
	problemTimeout = kind(http.StatusRequestTimeout, "request_timeout", "Request timeout",
		"Retry.")
	_ = kind(http.StatusConflict, "order_conflict", "Order registered with other terms",
		"Keep the registered terms, amend the order, or use another reference.")
	_ = kind(http.StatusConflict, "order_cancelled", "Order cancelled",
		"Use another reference: a cancelled order keeps its terms.")
	problemPreconditionFailed = kind(http.StatusPreconditionFailed, "precondition_failed", "Changed meanwhile",
		"Fetch it again, and repeat the call with its ETag in If-Match.")
	_ = kind(http.StatusGone, "cursor_expired", "Cursor expired",
		"Take the end of the feed (after=latest), read the orders, and follow from that cursor.")
	problemBodyTooLarge = kind(http.StatusRequestEntityTooLarge, "body_too_large", "Body too large",
		"Send at most 1 MiB.")
	problemMediaType = kind(http.StatusUnsupportedMediaType, "unsupported_media_type", "Unsupported media type",
		"Send uncompressed JSON as application/json.")
	problemRateLimited = kind(http.StatusTooManyRequests, "rate_limited", "Too many requests",
		"Wait for the time in Retry-After.")
	problemInternal = kind(http.StatusInternalServerError, "internal", "Internal error",
		"Retry. If this persists, search the service's log for the request id.")
	problemNotReady = kind(http.StatusServiceUnavailable, "not_ready", "Not ready",
		"Wait. The detail names the failing checks; the log says why.")
	problemOverloaded = kind(http.StatusServiceUnavailable, "overloaded", "Overloaded",
		"Retry after the time in Retry-After.")
	_ = kind(http.StatusServiceUnavailable, "shutting_down", "Shutting down",
		"Retry after the time in Retry-After.")
	problemStorage = kind(http.StatusServiceUnavailable, "storage_unavailable", "Database unavailable",
		"Retry after the time in Retry-After.")
)

// What can be wrong with what operators look at and do.
var (
	problemEventNotFound = kind(http.StatusNotFound, "event_not_found", "No such event",
		"Check the id: it is the queue_id in the answer to the delivery.")
	problemDeadLetterNotFound = kind(http.StatusNotFound, "dead_letter_not_found", "No such dead letter",
		"Check the id in the list of dead letters; it is not the event's id.")
	problemBulkReplayNotFound = kind(http.StatusNotFound, "bulk_replay_not_found", "No such bulk replay",
		"Check the id in the answer that started it.")
	problemAnomalyNotFound = kind(http.StatusNotFound, "anomaly_not_found", "No such anomaly",
		"Check the id in the list of anomalies.")
	_ = kind(http.StatusNotFound, "payout_not_found", "No such payout",
		"Check the id in the list of payouts; it is the provider's own.")
	_ = kind(http.StatusNotFound, "refund_not_found", "No such refund",
		"Check the id in the list of refunds.")
	problemRefusedNotFound = kind(http.StatusNotFound, "refused_not_found", "No such refused delivery",
		"Check the id. Only the newest 10,000 of the last seven days are kept.")
	_ = kind(http.StatusConflict, "state_conflict", "State conflict",
		"Fetch it again: someone has already dealt with it.")
	_ = kind(http.StatusConflict, "refund_exceeds", "More than can be refunded",
		"Ask for no more than the detail says: what was refunded, or is asked for already, counts.")
	_ = kind(http.StatusConflict, "refund_changed", "What can be refunded has changed",
		"Look at the payment again; another refund of it may have been asked for.")
	_ = kind(http.StatusConflict, "replay_waits", "Replay in progress",
		"Wait for the event named in the detail.")
	_ = kind(http.StatusConflict, "payload_expired", "Body no longer kept",
		"None: PAYLOAD_RETENTION has passed, or the payer was forgotten.")
)
