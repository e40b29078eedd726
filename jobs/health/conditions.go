package health

import (
	"cmp"
	"time"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

const (
	pendingDegraded  = 5 * time.Minute
	pendingUnhealthy = 30 * time.Minute
	// A reconciliation that was missed once may be a restart.
	overdueDegraded  = 2
	overdueUnhealthy = 6
	// Deaths are judged as a share from this many on.
	deathsJudged = 10
	deathsShare  = 10
	// Refusals are judged from this many in 15 minutes on; they rise when they
	// are this many times what the day before had in as long.
	refusalsJudged = 10
	refusalsRise   = 3
	quartersOfADay = 24 * 4
	// A channel is judged from this many deliveries of the other in a day on.
	channelJudged = 10
	// A caller that waits this long for a database connection, on average, or
	// so many that get none.
	saturatedWait   = 100 * time.Millisecond
	saturatedGaveUp = 10
	// How long before their deadline documents about a chargeback are asked for.
	documentsSoon   = 3 * 24 * time.Hour
	documentsUrgent = 24 * time.Hour
	// A delivery has had four attempts by then.
	deliveryLate = 10 * time.Minute
	// Operators mistype a password now and then.
	failedLoginsJudged = 20
	// An account that can't be asked for its reports for this long, and reports that end
	// this long ago: an account's own schedule may be monthly.
	reportsFailing      = 6 * time.Hour
	reportsStaleRequest = 3 * 24 * time.Hour
	reportsStaleRead    = 35 * 24 * time.Hour
	// Alerts are evaluated every minute.
	evaluationLate = 5 * time.Minute
)

// Conditions returns every condition, the worst first. docs/alerts.md shows them
// with what they mean.
//
// Events that wait for a retry or are held in an outage are not a condition of
// their own: the former end as dead letters, the latter open the circuit.
// Before the first reconciliation none is overdue.
func Conditions() []Condition {
	return []Condition{
		{
			Code: "queue_stalled", Health: Unhealthy, Lasting: 2,
			Reason: "Events have waited more than 30 minutes for their first attempt.",
			active: func(st store.Status, _ Moment) bool { return oldestPending(st) > pendingUnhealthy },
			detail: pendingDetail,
		},
		{
			Code: "webhooks_not_accepted", Health: Unhealthy, Lasting: 1,
			Reason: "Webhooks are answered 503: they cannot be made durable.",
			active: func(st store.Status, _ Moment) bool { return st.Signals.NotAccepted > 0 || st.Signals.NotAccepting },
			detail: func(st store.Status, _ Moment) details { return details{"not_accepted": st.Signals.NotAccepted} },
		},
		{
			// At least one in ten of what was received, and ten or more.
			Code: "dead_letter_rate_high", Health: Unhealthy, Lasting: 2,
			Reason: "At least 10% of the last hour's events ended as dead letters.",
			active: func(st store.Status, _ Moment) bool {
				t := st.Throughput
				return t.Failed1h >= deathsJudged && t.Failed1h*deathsShare >= t.Received1h
			},
			detail: func(st store.Status, _ Moment) details {
				return details{"died_1h": st.Throughput.Failed1h, "received_1h": st.Throughput.Received1h}
			},
		},
		{
			Code: "provider_credentials_rejected", Health: Unhealthy, Lasting: 1, Within: []string{"provider_recovering"},
			Reason: "The payment provider rejects our credentials; every event is held.",
			active: func(st store.Status, _ Moment) bool {
				return isOpen(st.Provider) && st.Provider.Reason == store.ReasonCredentialsRejected
			},
			detail: providerDetail,
		},
		{
			Code: "reconciliation_stalled", Health: Unhealthy, Lasting: 2,
			Reason: "No reconciliation has succeeded for six periods of its schedule.",
			active: func(st store.Status, m Moment) bool { return overdue(st, m, overdueUnhealthy) },
			detail: successDetail,
		},
		{
			Code: "fraud_alert_open", Health: Degraded, Lasting: 1, Each: "orders_by_payment",
			Reason: "The provider warns of fraud: do not ship these orders.",
			active: func(st store.Status, _ Moment) bool { return fraudAlerts(st) > 0 },
			detail: func(st store.Status, _ Moment) details {
				orders := details{}
				for _, alert := range st.Signals.FraudAlerts {
					orders[alert.PaymentID] = alert.Reference
				}
				return details{"open": fraudAlerts(st), "orders_by_payment": orders}
			},
		},
		{
			Code: "chargeback_documents_urgent", Health: Degraded, Lasting: 1, Each: "chargebacks",
			Reason: "Documents about a chargeback must be sent within a day.",
			active: func(st store.Status, m Moment) bool { return len(documentsDue(st, m, 0, documentsUrgent)) > 0 },
			detail: func(st store.Status, m Moment) details {
				return details{"chargebacks": documentsDue(st, m, 0, documentsUrgent)}
			},
		},
		{
			Code: "chargeback_documents_due", Health: Degraded, Lasting: 1, Each: "chargebacks", Within: []string{"chargeback_documents_urgent"},
			Reason: "Documents about a chargeback must be sent within three days.",
			active: func(st store.Status, m Moment) bool {
				return len(documentsDue(st, m, documentsUrgent, documentsSoon)) > 0
			},
			detail: func(st store.Status, m Moment) details {
				return details{"chargebacks": documentsDue(st, m, documentsUrgent, documentsSoon)}
			},
		},
		{
			Code: "queue_latency_high", Health: Degraded, Lasting: 2, Within: []string{"queue_stalled"},
			Reason: "Events have waited more than 5 minutes for their first attempt.",
			active: func(st store.Status, _ Moment) bool {
				age := oldestPending(st)
				return age > pendingDegraded && age <= pendingUnhealthy
			},
			detail: pendingDetail,
		},
		{
			Code: "dead_letters_open", Health: Degraded, Lasting: 1,
			Reason: "Dead letters are open.",
			active: func(st store.Status, _ Moment) bool { return st.DeadLetters.Open > 0 },
			detail: func(st store.Status, _ Moment) details {
				return details{"open": st.DeadLetters.Open, "by_reason": st.DeadLetters.ByReason}
			},
		},
		{
			// Beside the dead letters that they are: these don't end by a replay, and
			// no message tells of one more dead letter.
			Code: "odd_payments_open", Health: Degraded, Lasting: 1,
			Reason: "Payments cannot be booked: something in the provider's answer is missing or not understood.",
			active: func(st store.Status, _ Moment) bool { return st.Signals.OddPayments > 0 },
			detail: func(st store.Status, _ Moment) details { return details{"open": st.Signals.OddPayments} },
		},
		{
			// All kinds but those that have a condition of their own, or that a shop
			// which is paid by other ways as well has all the time.
			Code: "anomalies_open", Health: Degraded, Lasting: 2,
			Reason: "Anomalies are open: payments and orders do not match.",
			active: func(st store.Status, _ Moment) bool { return len(misfits(st)) > 0 },
			detail: func(st store.Status, _ Moment) details { return details{"by_kind": misfits(st)} },
		},
		{
			Code: "account_unknown", Health: Degraded, Lasting: 2,
			Reason: "Our account at the payment provider is not known: payments to other accounts would pay orders.",
			active: func(st store.Status, _ Moment) bool { return st.Signals.AccountUnknown > 0 },
			detail: func(st store.Status, _ Moment) details { return details{"processes": st.Signals.AccountUnknown} },
		},
		{
			Code: "clock_set_back", Health: Degraded, Lasting: 1, Each: "furthest_by_column",
			Reason: "Times ahead of PostgreSQL's clock are stored: the clock was ahead and has been set back.",
			active: func(st store.Status, _ Moment) bool { return len(st.Signals.TimesAhead) > 0 },
			detail: func(st store.Status, _ Moment) details {
				furthest := details{}
				for _, t := range st.Signals.TimesAhead {
					furthest[t.StoredIn] = t.Furthest
				}
				return details{"furthest_by_column": furthest}
			},
		},
		{
			Code: "provider_outage", Health: Degraded, Lasting: 2, Within: []string{"provider_recovering"},
			Reason: "The payment provider is not answering; its circuit is open.",
			active: func(st store.Status, _ Moment) bool {
				return isOpen(st.Provider) && st.Provider.Reason != store.ReasonCredentialsRejected
			},
			detail: providerDetail,
		},
		{
			Code: "seller_credentials_rejected", Health: Degraded, Lasting: 1, Each: "sellers",
			Reason: "The payment provider rejects a seller's credentials; that seller's events are held.",
			active: func(st store.Status, _ Moment) bool { return len(sellersWhere(st, rejectsCredentials)) > 0 },
			detail: func(st store.Status, _ Moment) details {
				return details{"sellers": sellersWhere(st, rejectsCredentials)}
			},
		},
		{
			Code: "seller_outage", Health: Degraded, Lasting: 2, Each: "sellers",
			Reason: "The payment provider is not answering for a seller; that seller's events are held.",
			active: func(st store.Status, _ Moment) bool { return len(sellersWhere(st, isDown)) > 0 },
			detail: func(st store.Status, _ Moment) details { return details{"sellers": sellersWhere(st, isDown)} },
		},
		{
			Code: "seller_deauthorized", Health: Degraded, Lasting: 1, Each: "sellers",
			Reason: "A seller has withdrawn its consent to be asked for.",
			active: func(st store.Status, _ Moment) bool { return len(sellersWhere(st, isDeauthorized)) > 0 },
			detail: func(st store.Status, _ Moment) details { return details{"sellers": sellersWhere(st, isDeauthorized)} },
		},
		{
			Code: "provider_recovering", Health: Degraded, Lasting: 1, Quiet: true,
			Reason: "The payment provider is being retried after an outage.",
			active: func(st store.Status, _ Moment) bool { return st.Provider.Circuit == store.CircuitHalfOpen },
			detail: providerDetail,
		},
		{
			Code: "reconciliation_failed", Health: Degraded, Lasting: 1,
			Reason: "The latest reconciliation failed.",
			active: func(st store.Status, _ Moment) bool { return lastRunEnded(st, store.RunFailed) },
			detail: runDetail,
		},
		{
			Code: "reconciliation_limit_exceeded", Health: Degraded, Lasting: 1,
			Reason: "The latest reconciliation stopped at its limit: it would have changed too many orders.",
			active: func(st store.Status, _ Moment) bool { return lastRunEnded(st, store.RunStoppedByCap) },
			detail: runDetail,
		},
		{
			// Such a run succeeds: it goes on with what the search shows.
			Code: "reconciliation_incomplete", Health: Degraded, Lasting: 1,
			Reason: "The provider's search does not show all payments; reconciliations read it again for seven days.",
			active: func(st store.Status, _ Moment) bool { return len(unshown(st)) > 0 },
			detail: func(st store.Status, _ Moment) details {
				return details{"payments_by_reason": unshown(st), "changed_since": st.Signals.UnseenSince}
			},
		},
		{
			Code: "reconciliation_overdue", Health: Degraded, Lasting: 2, Within: []string{"reconciliation_stalled"},
			Reason: "No reconciliation has succeeded for two periods of its schedule.",
			active: func(st store.Status, m Moment) bool {
				return overdue(st, m, overdueDegraded) && !overdue(st, m, overdueUnhealthy)
			},
			detail: successDetail,
		},
		{
			// A run succeeds without a seller that can't be asked.
			Code: "seller_not_reconciled", Health: Degraded, Lasting: 2, Each: "sellers",
			Reason: "The latest reconciliation did not see a seller's payments.",
			active: func(st store.Status, _ Moment) bool { return len(sellersWhere(st, isUnsearched)) > 0 },
			detail: func(st store.Status, _ Moment) details { return details{"sellers": sellersWhere(st, isUnsearched)} },
		},
		{
			Code: "configuration_file_rejected", Health: Degraded, Lasting: 1, Each: "files",
			Reason: "A configuration file cannot be used as it is now; what was read before stays in use.",
			active: func(st store.Status, _ Moment) bool { return len(st.Signals.FilesRejected) > 0 },
			detail: func(st store.Status, _ Moment) details { return details{"files": st.Signals.FilesRejected} },
		},
		{
			Code: "configuration_files_differ", Health: Degraded, Lasting: 2, Each: "files",
			Reason: "Processes use different contents of a configuration file.",
			active: func(st store.Status, _ Moment) bool { return len(st.Signals.FilesDiffer) > 0 },
			detail: func(st store.Status, _ Moment) details { return details{"files": st.Signals.FilesDiffer} },
		},
		{
			Code: "delivery_receiver_stopped", Health: Degraded, Lasting: 1, Each: "receivers",
			Reason: "A receiver of our messages is stopped; what it should be told waits.",
			active: func(st store.Status, _ Moment) bool { return len(receiversStopped(st)) > 0 },
			detail: func(st store.Status, _ Moment) details { return details{"receivers": receiversStopped(st)} },
		},
		{
			Code: "deliveries_failing", Health: Degraded, Lasting: 2, Each: "receivers",
			Reason: "A receiver of our messages has not accepted one for more than 10 minutes.",
			active: func(st store.Status, _ Moment) bool { return len(receiversFailing(st)) > 0 },
			detail: func(st store.Status, _ Moment) details { return details{"receivers": receiversFailing(st)} },
		},
		{
			Code: "delivery_dead_letters_open", Health: Degraded, Lasting: 1, Each: "by_receiver",
			Reason: "Messages were not accepted by their receiver and are not sent again.",
			active: func(st store.Status, _ Moment) bool { return len(deadDeliveries(st)) > 0 },
			detail: func(st store.Status, _ Moment) details { return details{"by_receiver": deadDeliveries(st)} },
		},
		{
			Code: "no_webhooks_received", Health: Degraded, Lasting: 2,
			Reason: "No webhooks for hours, at a time of day that usually has some.",
			active: func(st store.Status, _ Moment) bool { return silentHours(st.Signals) > 0 },
			detail: func(st store.Status, _ Moment) details {
				return details{"silent_hours": silentHours(st.Signals)}
			},
		},
		{
			Code: "signature_failures_rising", Health: Degraded, Lasting: 2,
			Reason: "More webhooks fail signature verification than before.",
			active: func(st store.Status, _ Moment) bool { return refusalsRiseIn(st.Signals) },
			detail: func(st store.Status, _ Moment) details {
				return details{"refused_15m": st.Signals.RefusedLately, "refused_day_before": st.Signals.RefusedBefore}
			},
		},
		{
			Code: "topic_never_verified", Health: Degraded, Lasting: 2, Each: "refused_24h",
			Reason: "Webhooks of a topic are refused by signature, and none of that topic is ever verified.",
			active: func(st store.Status, _ Moment) bool { return len(st.Signals.Arrivals.Unverified) > 0 },
			detail: func(st store.Status, _ Moment) details { return details{"refused_24h": st.Signals.Arrivals.Unverified} },
		},
		{
			Code: "money_topic_unhandled", Health: Degraded, Lasting: 2, Each: "events_24h",
			Reason: "Events about money ended without effect in the last 24 hours.",
			active: func(st store.Status, _ Moment) bool { return len(st.Signals.Arrivals.Unhandled) > 0 },
			detail: func(st store.Status, _ Moment) details { return details{"events_24h": st.Signals.Arrivals.Unhandled} },
		},
		{
			// Deliveries are counted with a delay of minutes, refusals at once.
			Code: "channel_silent", Health: Degraded, Lasting: 5,
			Reason: "Only one of the provider's two channels arrives.",
			active: func(st store.Status, _ Moment) bool { return silentChannel(st.Signals.Arrivals) != "" },
			detail: func(st store.Status, _ Moment) details {
				a := st.Signals.Arrivals
				return details{"silent": silentChannel(a), "webhooks_24h": a.Webhooks, "ipn_24h": a.IPN}
			},
		},
		{
			Code: "logins_failing", Health: Degraded, Lasting: 1,
			Reason: "At least 20 logins with a wrong password in the last hour.",
			active: func(st store.Status, _ Moment) bool { return st.Signals.FailedLogins >= failedLoginsJudged },
			detail: func(st store.Status, _ Moment) details { return details{"failed_1h": st.Signals.FailedLogins} },
		},
		{
			Code: "db_pool_saturated", Health: Degraded, Lasting: 2,
			Reason: "A process is waiting for database connections.",
			active: func(st store.Status, _ Moment) bool {
				return st.Signals.PoolWait >= saturatedWait || st.Signals.PoolGaveUp >= saturatedGaveUp
			},
			detail: func(st store.Status, _ Moment) details {
				return details{"mean_wait_ms": st.Signals.PoolWait.Milliseconds(), "gave_up": st.Signals.PoolGaveUp}
			},
		},
		{
			// A message about it would fail the same way.
			Code: "alert_delivery_failing", Health: Degraded, Lasting: 1, Quiet: true,
			Reason: "Alert messages are not being delivered.",
			active: func(st store.Status, _ Moment) bool { return st.Signals.UndeliveredSince != nil },
			detail: func(st store.Status, _ Moment) details {
				return details{"undelivered_since": st.Signals.UndeliveredSince}
			},
		},
		{
			Code: "reports_failing", Health: Degraded, Lasting: 1,
			Reason: "Money reports can't be fetched or booked: payouts are not explained.",
			active: func(st store.Status, _ Moment) bool { return len(failingReports(st)) > 0 },
			detail: func(st store.Status, _ Moment) details { return failingReports(st) },
		},
		{
			Code: "reports_stale", Health: Degraded, Lasting: 1,
			Reason: "Money reports end days ago: payouts since then are not explained.",
			active: func(st store.Status, _ Moment) bool { return len(staleReports(st)) > 0 },
			detail: func(st store.Status, _ Moment) details { return staleReports(st) },
		},
		{
			// The process that would send a message about it is missing.
			Code: "alert_evaluation_stalled", Health: Degraded, Lasting: 1, Quiet: true,
			Reason: "Alerts have not been evaluated for 5 minutes: no worker leads.",
			active: func(st store.Status, _ Moment) bool {
				last := st.Signals.EvaluatedAt
				return last != nil && st.Signals.At.Sub(*last) >= evaluationLate
			},
			detail: func(st store.Status, _ Moment) details { return details{"evaluated_at": st.Signals.EvaluatedAt} },
		},
	}
}

func oldestPending(st store.Status) time.Duration {
	return time.Duration(st.Queue.OldestPendingSeconds) * time.Second
}

func pendingDetail(st store.Status, _ Moment) details {
	return details{"pending": st.Queue.Pending, "oldest_pending_seconds": st.Queue.OldestPendingSeconds}
}

// misfits are the open anomalies that speak of money which is not where it
// should be. An order that is not known yet may be on its way, and money that a
// dispute or a block holds back is where it should be.
func misfits(st store.Status) map[string]int64 {
	found := map[string]int64{}
	for kind, n := range st.Anomalies.ByKind {
		switch order.AnomalyKind(kind) {
		case order.AnomalyNoReference, order.AnomalyWrongMode, order.AnomalyFraudAlert:
			continue
		case order.AnomalyUnknownOrder:
			n -= st.Signals.UnknownOrdersFresh
		case order.AnomalyNotReleased:
			n -= st.Signals.ReleasesHeld
		default: // it counts, also one of a newer release
		}
		if n > 0 {
			found[kind] = n
		}
	}
	return found
}

func fraudAlerts(st store.Status) int64 { return st.Anomalies.ByKind[string(order.AnomalyFraudAlert)] }

// documentsDue are the chargebacks whose documents are taken for longer than after
// and for at most until from now on. One whose deadline was not said may be due soon.
func documentsDue(st store.Status, m Moment, after, until time.Duration) details {
	due := details{}
	for _, c := range st.Signals.Chargebacks {
		left, deadline := documentsSoon, "unknown"
		if c.Deadline != nil {
			left, deadline = c.Deadline.Sub(m.Now), c.Deadline.UTC().Format(time.RFC3339)
		}
		if left > after && left <= until {
			due[c.ID] = details{"deadline": deadline, "payment_id": c.PaymentID, "order_reference": c.Reference}
		}
	}
	return due
}

// failingReports are the accounts whose reports can't be fetched or booked, with why.
func failingReports(st store.Status) details {
	failing := details{}
	for _, r := range st.Signals.Reports {
		if r.FailingFor >= reportsFailing || r.Stuck > 0 {
			failing[r.Account] = details{"error": r.Error, "reports": r.Stuck}
		}
	}
	return failing
}

// staleReports are the accounts whose reports end too long ago.
func staleReports(st store.Status) details {
	stale := details{}
	for _, r := range st.Signals.Reports {
		limit := reportsStaleRequest
		if r.Mode == "read" {
			limit = reportsStaleRead
		}
		if r.Age >= limit {
			stale[r.Account] = details{"age_seconds": int64(r.Age.Seconds())}
		}
	}
	return stale
}

// isOpen reports whether the circuit keeps calls back; a state that is not known
// counts as one that does.
func isOpen(p store.ProviderState) bool {
	return p.Circuit != store.CircuitClosed && p.Circuit != store.CircuitHalfOpen
}

// receiversStopped are the receivers that are stopped and why.
func receiversStopped(st store.Status) map[string]string {
	found := map[string]string{}
	for _, r := range st.Receivers {
		if r.StoppedAt != nil {
			found[r.Name] = r.StopReason
		}
	}
	return found
}

// receiversFailing are the receivers for which something waits too long, and why it was
// not accepted; "waiting" where it was never tried.
func receiversFailing(st store.Status) map[string]string {
	found := map[string]string{}
	for _, r := range st.Receivers {
		if r.StoppedAt == nil && r.Age(st.Signals.At) > deliveryLate {
			found[r.Name] = cmp.Or(r.Class, "waiting")
		}
	}
	return found
}

// deadDeliveries counts the dead letters of each receiver that has some.
func deadDeliveries(st store.Status) map[string]int64 {
	found := map[string]int64{}
	for _, r := range st.Receivers {
		if r.Dead > 0 {
			found[r.Name] = r.Dead
		}
	}
	return found
}

// sellersWhere are the names of the sellers of which the condition holds, by account.
func sellersWhere(st store.Status, holds func(store.SellerStatus) bool) map[string]string {
	found := map[string]string{}
	for _, seller := range st.Sellers {
		if holds(seller) {
			found[seller.CollectorID] = seller.Name
		}
	}
	return found
}

func rejectsCredentials(s store.SellerStatus) bool {
	return s.Circuit != store.CircuitClosed && s.Reason == store.ReasonCredentialsRejected
}

func isDown(s store.SellerStatus) bool {
	return s.Circuit != store.CircuitClosed && s.Reason != store.ReasonCredentialsRejected
}

func isDeauthorized(s store.SellerStatus) bool { return s.DeauthorizedAt != nil }

func isUnsearched(s store.SellerStatus) bool { return s.Unsearched }

func providerDetail(st store.Status, _ Moment) details {
	return details{"circuit": st.Provider.Circuit, "since": st.Provider.Since, "held": st.Queue.Held}
}

func overdue(st store.Status, m Moment, periods int) bool {
	last := st.LastSuccessAt
	return last != nil && m.RunEvery > 0 && m.Now.Sub(*last) >= time.Duration(periods)*m.RunEvery
}

func successDetail(st store.Status, _ Moment) details {
	return details{"last_success_at": st.LastSuccessAt}
}

// lastFinished is the newest run that has ended; nil when there is none.
func lastFinished(st store.Status) *store.Run {
	for i := range st.RecentRuns {
		if st.RecentRuns[i].FinishedAt != nil {
			return &st.RecentRuns[i]
		}
	}
	return nil
}

// lastRunEnded reports whether the newest run that has ended did so like this. A
// state that is not known counts as a failure.
func lastRunEnded(st store.Status, status string) bool {
	run := lastFinished(st)
	if run == nil || run.Status == store.RunSucceeded {
		return false
	}
	if run.Status == store.RunStoppedByCap {
		return status == store.RunStoppedByCap
	}
	return status == store.RunFailed
}

func runDetail(st store.Status, _ Moment) details {
	run := lastFinished(st)
	if run == nil {
		return details{}
	}
	return details{"run_id": run.ID, "drift_found": run.DriftFound, "missing_found": run.MissingFound}
}

// unshown are the payments that the search did not show, by why, but those that
// it merely counts: its count may be wrong, and a reading of every row agreed
// with the one before.
func unshown(st store.Status) map[string]int64 {
	found := map[string]int64{}
	for reason, n := range st.Signals.Unseen {
		if n > 0 && reason != store.UnseenCounted {
			found[reason] = n
		}
	}
	return found
}

// refusalsRiseIn reports whether signatures are refused more than before, or
// more than they are accepted: a wrong secret refuses all of them, and after a
// day there is nothing better to compare with.
func refusalsRiseIn(g store.Signals) bool {
	if g.RefusedLately < refusalsJudged {
		return false
	}
	return g.RefusedLately*quartersOfADay >= refusalsRise*g.RefusedBefore || g.RefusedLately >= g.AcceptedLately
}

// silentChannel is the channel of which nothing came for a day while the other one
// did; empty when there is none. IPN proves nothing, so that alone it is never
// enough; Webhooks alone are, unless IPN had come along until then.
func silentChannel(a store.Arrivals24h) string {
	switch {
	case a.Webhooks == 0 && a.IPN >= channelJudged:
		return store.ChannelWebhooks
	case a.IPN == 0 && a.Webhooks >= channelJudged && a.IPNBefore >= channelJudged:
		return store.ChannelIPN
	}
	return ""
}
