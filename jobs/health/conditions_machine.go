package health

import (
	"maps"
	"time"

	"github.com/conciliar/conciliar/store"
)

// machineConditions are about the service itself.
func machineConditions() []Condition {
	return []Condition{
		{
			Code: "queue_paused", Health: Unhealthy, Stops: stopsProcessing, Lasting: 1,
			Reason: "The queue of webhooks is paused: nothing is processed.",
			active: func(st store.Status, _ Moment) bool { return isPaused(st) },
			detail: func(st store.Status, _ Moment) details {
				p := st.Signals.Machine.Paused[WebhookQueue]
				return details{"since": p.Since, "by": p.By, "pending": waiting(st)}
			},
			about: func(st store.Status, _ Moment) About {
				p := st.Signals.Machine.Paused[WebhookQueue]
				return About{Since: &p.Since, By: p.By, Waiting: waiting(st), Names: []string{WebhookQueue}}
			},
		},
		{
			// Messages are sent by a worker.
			Code: "no_worker", Health: Unhealthy, Stops: stopsProcessing, Lasting: 2, Quiet: true,
			Reason: "No process with workers is running: nothing is processed, reconciled or alerted.",
			active: func(st store.Status, _ Moment) bool { return st.Signals.Machine.NoWorker },
			detail: func(st store.Status, _ Moment) details {
				return details{"worked_at": st.Signals.Machine.WorkedAt, "pending": waiting(st)}
			},
			about: func(st store.Status, _ Moment) About {
				return About{Since: st.Signals.Machine.WorkedAt, Waiting: waiting(st)}
			},
		},
		{
			Code: "queue_stalled", Health: Unhealthy, Stops: stopsProcessing, Lasting: 2, Within: []string{"queue_paused"},
			Reason: "Events have waited more than 30 minutes for their first attempt.",
			active: func(st store.Status, _ Moment) bool { return pendingFor(st) > pendingUnhealthy },
			detail: pendingDetail,
			about:  aboutPending,
		},
		{
			// At least one in ten of what was received, and ten or more. What was replayed
			// well or dismissed is over.
			Code: "dead_letter_rate_high", Health: Unhealthy, Stops: stopsSome, Lasting: 2,
			Reason: "At least 10% of the last hour's events ended as dead letters and are open.",
			active: func(st store.Status, _ Moment) bool {
				died := st.Signals.Decisions.Total()
				return died >= deathsJudged && died*deathsShare >= st.Throughput.Received1h
			},
			detail: func(st store.Status, _ Moment) details {
				return details{"died_1h": st.Signals.Decisions.Deaths1h, "received_1h": st.Throughput.Received1h}
			},
			about: func(st store.Status, _ Moment) About {
				return About{Count: st.Signals.Decisions.Total(), Class: mostOf(st.Signals.Decisions.Deaths1h)}
			},
		},
		{
			Code: "queue_latency_high", Health: Degraded, Stops: stopsSome, Lasting: 2, Within: []string{"queue_stalled", "queue_paused"},
			Reason: "Events have waited more than 5 minutes for their first attempt.",
			active: func(st store.Status, _ Moment) bool {
				age := pendingFor(st)
				return age > pendingDegraded && age <= pendingUnhealthy
			},
			detail: pendingDetail,
			about:  aboutPending,
		},
		named(Condition{
			Code: "job_queue_paused", Health: Degraded, Stops: tellsNobody, Lasting: 2, Each: "queues",
			Reason: "A queue of jobs is paused: what it does is not done.",
		}, "queues", otherPaused),
		{
			// A message about it would fail the same way.
			Code: "alert_delivery_failing", Health: Degraded, Stops: tellsNobody, Lasting: 1, Quiet: true,
			Reason: "Alert messages are not being delivered.",
			active: func(st store.Status, _ Moment) bool { return st.Signals.UndeliveredSince != nil },
			detail: func(st store.Status, _ Moment) details {
				return details{"undelivered_since": st.Signals.UndeliveredSince}
			},
			about: func(st store.Status, _ Moment) About { return About{Since: st.Signals.UndeliveredSince} },
		},
		{
			// The process that would send a message about it is missing.
			Code: "alert_evaluation_stalled", Health: Degraded, Stops: tellsNobody, Lasting: 1, Quiet: true,
			Reason: "Alerts have not been evaluated for 5 minutes: no worker leads.",
			active: func(st store.Status, _ Moment) bool {
				last := st.Signals.EvaluatedAt
				return last != nil && !st.Signals.Machine.NoWorker && st.Signals.At.Sub(*last) >= evaluationLate
			},
			detail: func(st store.Status, _ Moment) details { return details{"evaluated_at": st.Signals.EvaluatedAt} },
			about:  func(st store.Status, _ Moment) About { return About{Since: st.Signals.EvaluatedAt} },
		},
		{
			Code: "account_unknown", Health: Degraded, Stops: warns, Lasting: 2,
			Reason: "Our account at the payment provider is not known: payments to other accounts would pay orders.",
			active: func(st store.Status, _ Moment) bool { return st.Signals.AccountUnknown > 0 },
			detail: func(st store.Status, _ Moment) details { return details{"processes": st.Signals.AccountUnknown} },
		},
		{
			Code: "clock_set_back", Health: Degraded, Stops: warns, Lasting: 1, Each: "furthest_by_column",
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
			Code: "configuration_file_rejected", Health: Degraded, Stops: warns, Lasting: 1, Each: "files",
			Reason: "A configuration file cannot be used as it is now; what was read before stays in use.",
			active: func(st store.Status, _ Moment) bool { return len(st.Signals.FilesRejected) > 0 },
			detail: func(st store.Status, _ Moment) details { return details{"files": st.Signals.FilesRejected} },
			about:  func(st store.Status, _ Moment) About { return About{Names: keysOf(st.Signals.FilesRejected)} },
		},
		{
			Code: "configuration_files_differ", Health: Degraded, Stops: warns, Lasting: 2, Each: "files",
			Reason: "Processes use different contents of a configuration file.",
			active: func(st store.Status, _ Moment) bool { return len(st.Signals.FilesDiffer) > 0 },
			detail: func(st store.Status, _ Moment) details { return details{"files": st.Signals.FilesDiffer} },
			about:  func(st store.Status, _ Moment) About { return About{Names: keysOf(st.Signals.FilesDiffer)} },
		},
		{
			Code: "logins_failing", Health: Degraded, Stops: warns, Lasting: 1,
			Reason: "At least 20 logins with a wrong password in the last hour.",
			active: func(st store.Status, _ Moment) bool { return st.Signals.FailedLogins >= failedLoginsJudged },
			detail: func(st store.Status, _ Moment) details { return details{"failed_1h": st.Signals.FailedLogins} },
			about:  func(st store.Status, _ Moment) About { return About{Count: st.Signals.FailedLogins} },
		},
		{
			Code: "db_pool_saturated", Health: Degraded, Stops: warns, Lasting: 2,
			Reason: "A process is waiting for database connections.",
			active: func(st store.Status, _ Moment) bool {
				return st.Signals.PoolWait >= saturatedWait || st.Signals.PoolGaveUp >= saturatedGaveUp
			},
			detail: func(st store.Status, _ Moment) details {
				return details{"mean_wait_ms": st.Signals.PoolWait.Milliseconds(), "gave_up": st.Signals.PoolGaveUp}
			},
		},
	}
}

// WebhookQueue is River's queue of the events' jobs.
const WebhookQueue = "webhooks"

// isPaused reports whether no event's job is taken up.
func isPaused(st store.Status) bool {
	_, paused := st.Signals.Machine.Paused[WebhookQueue]
	return paused
}

// otherPaused are the other queues that are paused, with who paused them.
func otherPaused(st store.Status) map[string]store.PausedQueue {
	others := maps.Clone(st.Signals.Machine.Paused)
	delete(others, WebhookQueue)
	return others
}

// waiting is how many events wait for an attempt.
func waiting(st store.Status) int64 { return st.Queue.Pending + st.Queue.Failed }

// pendingFor is how long the oldest event has waited for its first attempt where
// nothing else says why none is made.
func pendingFor(st store.Status) time.Duration {
	if isPaused(st) || st.Signals.Machine.NoWorker {
		return 0
	}
	return time.Duration(st.Queue.OldestPendingSeconds) * time.Second
}

func aboutPending(st store.Status, m Moment) About {
	since := m.Now.Add(-pendingFor(st))
	return About{Since: &since, Waiting: st.Queue.Pending}
}

func pendingDetail(st store.Status, _ Moment) details {
	return details{"pending": st.Queue.Pending, "oldest_pending_seconds": st.Queue.OldestPendingSeconds}
}
