package api

import (
	"cmp"
	"net/http"
	"slices"
)

// problemBase is where the kinds of problem are described.
const problemBase = "https://github.com/conciliar/conciliar/blob/main/docs/problems.md#"

const internalDetail = "Something went wrong on our side. The request's id finds it in the service's log."

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
		"Correct the value that the detail names.")
	problemInvalidJSON = kind(http.StatusBadRequest, "invalid_json", "The body is not valid JSON",
		"Send one JSON object and nothing after it.")
	problemInvalidField = kind(http.StatusBadRequest, "invalid_field", "Invalid field in the body",
		"Correct the field that the detail names.")
	problemCurrencyUnknown = kind(http.StatusBadRequest, "currency_unknown", "No such currency",
		"Use the ISO 4217 code, in upper case.")
	problemAmountTooFine = kind(http.StatusBadRequest, "amount_too_fine", "The amount is finer than the currency's smallest unit",
		"Round the amount to the unit that the detail names.")
	problemInvalidReference = kind(http.StatusBadRequest, "invalid_reference", "Invalid order reference",
		"Use 1 to 64 characters of UTF-8 without NUL, percent-encoded where the path needs it.")
	problemUnreadableBody = kind(http.StatusBadRequest, "unreadable_body", "The body could not be read to its end",
		"Send the call again.")
	problemWebhookMalformed = kind(http.StatusBadRequest, "webhook_malformed", "The delivery cannot be read in one way only",
		"Nothing, when the provider sent it: the refused deliveries say what was wrong.")
	problemWebhookUnauthenticated = kind(http.StatusUnauthorized, "webhook_unauthenticated", "The delivery's signature is missing or does not hold",
		"Check the signing secret: the refused deliveries say what was wrong.")
	problemUnauthorized = kind(http.StatusUnauthorized, "unauthorized", "A valid token is required",
		"Send \"Authorization: Bearer\" with a token for this endpoint.")
	problemNotLoggedIn = kind(http.StatusUnauthorized, "not_logged_in", "The operator's login is required",
		"Log in at /dashboard/login.")
	problemSourceNotAllowed = kind(http.StatusForbidden, "source_not_allowed", "The sender's address is not allowed",
		"Add the address to the allowed ranges, or stop enforcing them.")
	problemCrossOrigin = kind(http.StatusForbidden, "cross_origin", "The call comes from another site",
		"Act on the service's own pages; behind a proxy, let it pass the Host header on.")
	problemNotFound = kind(http.StatusNotFound, "not_found", "Nothing is here",
		"Check the path.")
	problemOrderNotFound = kind(http.StatusNotFound, "order_not_found", "No such order",
		"Register the order first, or check its reference.")
	problemRunNotFound = kind(http.StatusNotFound, "run_not_found", "No such run",
		"Check the run's id; the status lists the recent ones.")
	problemMethodNotAllowed = kind(http.StatusMethodNotAllowed, "method_not_allowed", "Method not allowed",
		"Use a method that the Allow header names.")
	problemTimeout = kind(http.StatusRequestTimeout, "request_timeout", "The call took too long to arrive",
		"Send the call again.")
	problemOrderConflict = kind(http.StatusConflict, "order_conflict", "The order is registered with other terms",
		"Keep the registered terms, or use another reference.")
	problemBodyTooLarge = kind(http.StatusRequestEntityTooLarge, "body_too_large", "The body is too large",
		"Send at most 1 MiB.")
	problemMediaType = kind(http.StatusUnsupportedMediaType, "unsupported_media_type", "The body's type is not supported",
		"Send JSON, uncompressed, as application/json.")
	problemRateLimited = kind(http.StatusTooManyRequests, "rate_limited", "Too many calls",
		"Wait as long as Retry-After says.")
	problemInternal = kind(http.StatusInternalServerError, "internal", "Internal error",
		"Try again; when it stays, look the request's id up in the service's log.")
	problemNotReady = kind(http.StatusServiceUnavailable, "not_ready", "Not ready",
		"Wait; the detail names the checks that fail, and the log says why.")
	problemOverloaded = kind(http.StatusServiceUnavailable, "overloaded", "Too much is waiting",
		"Send the call again after Retry-After.")
	problemShuttingDown = kind(http.StatusServiceUnavailable, "shutting_down", "The service is stopping",
		"Send the call again after Retry-After.")
	problemStorage = kind(http.StatusServiceUnavailable, "storage_unavailable", "The books cannot be reached",
		"Send the call again after Retry-After.")
)

// What can be wrong with what operators look at and do.
var (
	problemEventNotFound = kind(http.StatusNotFound, "event_not_found", "No such event",
		"Check the id: it is the queue_id that the delivery was answered with.")
	problemDeadLetterNotFound = kind(http.StatusNotFound, "dead_letter_not_found", "No such dead letter",
		"Check the id; the list of dead letters has it, an event's id is another.")
	problemBulkReplayNotFound = kind(http.StatusNotFound, "bulk_replay_not_found", "No such bulk replay",
		"Check the id that the bulk replay was answered with.")
	problemAnomalyNotFound = kind(http.StatusNotFound, "anomaly_not_found", "No such anomaly",
		"Check the id; the list of anomalies has it.")
	problemRefusedNotFound = kind(http.StatusNotFound, "refused_not_found", "No such refused delivery",
		"Check the id; the newest 10,000 of seven days are kept.")
	problemStateConflict = kind(http.StatusConflict, "state_conflict", "It is not in a state for this",
		"Look at it again: somebody dealt with it before.")
	problemReplayWaits = kind(http.StatusConflict, "replay_waits", "An earlier replay has not ended yet",
		"Wait for the event that the detail names.")
)
