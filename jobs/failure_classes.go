package jobs

import (
	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
)

// An Action is what follows an attempt.
type Action string

// The actions.
const (
	// ActionRetry: the attempt is spent, and the next comes after its step of the
	// backoff, or when the provider allows it if that is later. The last one's
	// failure ends in the dead letter.
	ActionRetry Action = "retry"
	// ActionPermanent: no other attempt; the event is a dead letter at once.
	ActionPermanent Action = "permanent"
	// ActionHold: as ActionRetry while the provider as a whole works. While it
	// does not, the event waits until it does, and no attempt is spent.
	ActionHold Action = "hold"
	// ActionPutOff: again within seconds, and no attempt is spent.
	ActionPutOff Action = "put off"
	// ActionDead: the attempts are over already; whatever ended the job made the
	// dead letter.
	ActionDead Action = "dead"
	// ActionDone: the event is completed.
	ActionDone Action = "done"
)

// A FailureClass is one way in which an attempt ends, and what follows.
type FailureClass struct {
	// Class is the stable word: the first of an attempt's error, the error_class
	// of a dead letter, or the outcome of a completed event.
	Class string
	// Cause is what happened.
	Cause  string
	Action Action
	// Remedy is what an operator does about it.
	Remedy string
}

const classInternal = "internal"

// FailureClasses returns the table of every way in which an attempt ends. It is
// total: an error that no other row covers is "internal".
func FailureClasses() []FailureClass {
	const nothing = "Nothing."
	return []FailureClass{
		{provider.NotFound.String(), "The provider does not know the payment, or not yet (404).", ActionRetry,
			"Nothing while it is retried. As a dead letter: look the payment up at the provider, then replay or dismiss."},
		{provider.ResourceNotFound.String(), "The provider does not know what the event names, or not yet (404), and it is not a payment.", ActionRetry,
			"Nothing while it is retried. As a dead letter: its payments settle by their own webhooks or by reconciliation; dismiss it."},
		{provider.NotListed.String(), "An order of the provider's has a payment without an id, and the payments' search does not show it yet.", ActionRetry,
			"Nothing while it is retried: the payment's own webhook or a reconciliation settles it as well. As a dead letter: look the order up at the provider; dismiss it if its payment is settled here."},
		{provider.RateLimited.String(), "The provider rate-limited us (429). We wait for Retry-After; this is not an outage.", ActionRetry,
			"If this persists, lower PROVIDER_RATE_LIMIT."},
		{classNotAsked, "Our own PROVIDER_RATE_LIMIT left no time for the call.", ActionPutOff,
			"If this persists, raise PROVIDER_RATE_LIMIT or lower WORKERS."},
		{provider.Unavailable.String(), "No answer, a timeout, a broken connection, or an error on the provider's side (5xx, 408).", ActionHold,
			"Nothing: events are held until the outage ends, and its dead letters are replayed automatically."},
		{provider.Unreadable.String(), "The provider's answer was cut off, or is not JSON: a proxy's page, for example.", ActionHold,
			"Nothing in an outage. If one payment keeps failing, check MERCADOPAGO_BASE_URL and any proxies in between."},
		{provider.Odd.String(), "The payment can't be recorded: a field that its status needs is missing or unreadable. The error names the fields; the body is kept with the event.", ActionPermanent,
			"Look at the payment at the provider and settle it with the buyer or the provider's support; replay when it has changed."},
		{provider.Locked.String(), "The payment is locked by another change (423).", ActionRetry,
			nothing},
		{provider.Unauthorized.String(), "Our access token was rejected for this call (401). If it is rejected for every call, all events are held until it works.", ActionHold,
			"If all events are held: set a working MERCADOPAGO_ACCESS_TOKEN and restart. If it is one payment: it belongs to another account."},
		{provider.Forbidden.String(), "Our access token may not read this payment (403), but works otherwise. If it is rejected for every call, all events are held.", ActionPermanent,
			"If all events are held: see unauthorized. As a dead letter: the payment belongs to another account; dismiss it, or replay it after the account's permissions changed."},
		{provider.Unexpected.String(), "An answer that no other row covers: JSON about something else, a redirect, another 4xx.", ActionRetry,
			"Check MERCADOPAGO_BASE_URL and any proxies in between; replay afterwards."},
		{"unknown_status", "The payment has a status that the provider does not document. Its body is kept with the event.", ActionPermanent,
			"Look at the payment at the provider; replay with a release that knows the status."},
		{"unknown_source", "The event's source is not known to this process: a provider that it does not support, or a sender that SOURCES_FILE does not declare any more.", ActionRetry,
			"Run a release that supports the provider, or declare the sender again; replay afterwards."},
		{classTemplateFailed, "The event can't be forwarded: a template of SOURCES_FILE doesn't fit what came. The error names the template.", ActionPermanent,
			"Correct the template, then replay."},
		{"unknown_topic", "The event's topic is one that only a newer release can fetch.", ActionPutOff,
			"Start the newer release; its processes take the event."},
		{"event_not_found", "The job's event does not exist.", ActionPermanent,
			"Nothing: it was deleted."},
		{string(store.DatabaseUnavailable), "No connection to PostgreSQL, or it broke: a restart, a failover, the network.", ActionRetry,
			"Bring PostgreSQL back; the service reconnects automatically."},
		{string(store.DatabaseBusy), "No connection was free in time, in this process's pool or on the server.", ActionRetry,
			"Raise pool_max_conns in DATABASE_URL or max_connections, or lower WORKERS."},
		{string(store.DatabaseTimeout), "A statement or a lock took longer than PostgreSQL or the attempt allows.", ActionRetry,
			"Find what is slow or holds locks: pg_stat_activity."},
		{string(store.DatabaseConflict), "Transactions conflicted (deadlock, serialization), also when retried at once.", ActionRetry,
			nothing},
		{string(store.DatabaseFull), "PostgreSQL's disk is full, or it lacks another resource.", ActionRetry,
			"Free disk space; the service continues automatically."},
		{string(store.DatabaseRefused), "The data violates a constraint of the schema.", ActionRetry,
			"Report it with the dead letter's error, then replay."},
		{string(store.DatabaseError), "Another PostgreSQL error.", ActionRetry,
			"Check PostgreSQL's log; replay afterwards."},
		{"newer_release", "A newer release has taken over the ledger, and this process does not know its rules.", ActionPutOff,
			"Replace this process with the newer release."},
		{"timeout", "The attempt took longer than JOB_TIMEOUT.", ActionRetry,
			"If this persists, raise JOB_TIMEOUT."},
		{classInternal, "Anything else.", ActionRetry,
			"Report it with the dead letter's error, then replay."},
		{"panic", "The worker panicked; the log has the trace.", ActionRetry,
			"Report it with the trace, then replay."},
		{"worker_died", "The process died in the last attempt, or lost its database.", ActionDead,
			"Find what kills the process (memory, the platform's log), then replay."},
		{"unknown_kind", "A release that does not know the kind of job discarded it.", ActionDead,
			"Replay with the newer release."},
		{store.OutcomeSettled, "The payment was fetched, its state was new, and the order reflects it.", ActionDone, nothing},
		{store.OutcomeUnchanged, "The payment was fetched, and its state was already known.", ActionDone, nothing},
		{store.OutcomeCovered, "A fetch that began after the event arrived had already covered it.", ActionDone, nothing},
		{store.OutcomeFollowed, "What the event names was fetched, and each payment named there became an event.", ActionDone, nothing},
		{store.OutcomeProvisional, "An order of the provider's was fetched, and the payments' search does not show a payment of it yet: what the order says counts until it does.",
			ActionDone, "Nothing: it is looked for again after each wait of RETRY_SCHEDULE, then by each reconciliation for 30 days."},
		{store.OutcomeForwarded, "The event's body is on its way to where SOURCES_FILE says: its delivery says whether it arrived.", ActionDone, nothing},
		{store.OutcomeKept, "The topic is informational. The event is kept.", ActionDone, nothing},
		{store.OutcomeUnhandled, "The topic is about money, and this release cannot settle it. The event is kept.", ActionDone,
			"Replay it with a release that settles the topic."},
		{store.OutcomeDiscarded, "A delivery without a verified signature, or one whose signature also came under another topic, led to nothing.",
			ActionDone, nothing},
		{store.OutcomeTest, "The provider's own test.", ActionDone, nothing},
	}
}

// actions are the table's, by class.
var actions = func() map[string]Action {
	byClass := map[string]Action{}
	for _, c := range FailureClasses() {
		byClass[c.Class] = c.Action
	}
	return byClass
}()

// actionOf is what follows a failed attempt of a class; what the table lacks is
// retried.
func actionOf(class string) Action {
	if a, ok := actions[class]; ok {
		return a
	}
	return ActionRetry
}
