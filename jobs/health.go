package jobs

import (
	"time"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// Health is the service's state in one word.
type Health string

// The words, best first. Degraded: a person should look soon. Unhealthy: money
// is not being settled.
const (
	Healthy   Health = "healthy"
	Degraded  Health = "degraded"
	Unhealthy Health = "unhealthy"
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
)

// A Moment is what a judgement needs beside the books.
type Moment struct {
	// Now is what ages are measured from.
	Now time.Time
	// RunEvery is the period of the reconciliation's schedule; 0 when nothing is
	// scheduled, and then no reconciliation is overdue.
	RunEvery time.Duration
}

// A Condition is one reason for not being healthy.
type Condition struct {
	// Code is the condition's stable word, by which programs and playbooks know
	// it.
	Code   string
	Health Health
	// Reason is the sentence that the status gives: stable, too.
	Reason string
	holds  func(st store.Status, m Moment) bool
}

// Conditions returns every condition, the worst first:
//
//   - unhealthy: an event has waited for its first attempt for more than 30
//     minutes; 10 events or more died in the last hour, and those are at least
//     one in ten of what was received in it; 6 periods of the schedule have
//     passed since the last successful reconciliation;
//   - degraded: an event has waited for more than 5 minutes; dead letters are
//     open; anomalies are open that speak of money which is not where it should
//     be (all kinds but no_reference and wrong_mode, which a shop that is paid
//     by other ways as well has all the time); the circuit is not closed; the
//     newest finished reconciliation failed; 2 periods have passed since the
//     last successful one.
//
// Events that wait for a retry or wait out an outage are no reason by
// themselves: the former end in the dead letter, the latter open the circuit.
// Before the first reconciliation none is overdue.
func Conditions() []Condition {
	return []Condition{
		{"pending_stalled", Unhealthy, "Events have been waiting for their first attempt for more than 30 minutes.", func(st store.Status, _ Moment) bool {
			return oldestPending(st) > pendingUnhealthy
		}},
		{"deaths_many", Unhealthy, "One event in ten or more ended as a dead letter in the last hour.", func(st store.Status, _ Moment) bool {
			t := st.Throughput
			return t.Failed1h >= deathsJudged && t.Failed1h*deathsShare >= t.Received1h
		}},
		{"reconciliation_stalled", Unhealthy, "No reconciliation has succeeded for six periods of its schedule.", func(st store.Status, m Moment) bool {
			return overdue(st, m, overdueUnhealthy)
		}},
		{"pending_slow", Degraded, "Events have been waiting for their first attempt for more than 5 minutes.", func(st store.Status, _ Moment) bool {
			age := oldestPending(st)
			return age > pendingDegraded && age <= pendingUnhealthy
		}},
		{"dead_letters_open", Degraded, "Dead letters are open.", func(st store.Status, _ Moment) bool {
			return st.DeadLetters.Open > 0
		}},
		{"anomalies_open", Degraded, "Anomalies are open: money does not fit.", func(st store.Status, _ Moment) bool {
			for kind, n := range st.Anomalies.ByKind {
				if n > 0 && kind != string(order.AnomalyNoReference) && kind != string(order.AnomalyWrongMode) {
					return true
				}
			}
			return false
		}},
		{"provider_outage", Degraded, "The payment provider is not answering; its circuit is open.", func(st store.Status, _ Moment) bool {
			return st.Provider.Circuit != store.CircuitClosed && st.Provider.Circuit != store.CircuitHalfOpen
		}},
		{"provider_recovering", Degraded, "The payment provider is being tried again after an outage.", func(st store.Status, _ Moment) bool {
			return st.Provider.Circuit == store.CircuitHalfOpen
		}},
		{"reconciliation_failed", Degraded, "The latest reconciliation failed.", func(st store.Status, _ Moment) bool {
			for _, run := range st.RecentRuns {
				if run.FinishedAt != nil {
					return run.Status != runSucceeded
				}
			}
			return false
		}},
		{"reconciliation_overdue", Degraded, "No reconciliation has succeeded for two periods of its schedule.", func(st store.Status, m Moment) bool {
			return overdue(st, m, overdueDegraded) && !overdue(st, m, overdueUnhealthy)
		}},
	}
}

// runSucceeded is the state of a run that did all that it had to.
const runSucceeded = "succeeded"

func oldestPending(st store.Status) time.Duration {
	return time.Duration(st.Queue.OldestPendingSeconds) * time.Second
}

func overdue(st store.Status, m Moment, periods int) bool {
	last := st.LastSuccessAt
	return last != nil && m.RunEvery > 0 && m.Now.Sub(*last) >= time.Duration(periods)*m.RunEvery
}

// Judge says how healthy the service is and which conditions hold, the worst
// first. It depends on its arguments alone.
func Judge(st store.Status, m Moment) (Health, []Condition) {
	health, found := Healthy, []Condition{}
	for _, c := range Conditions() {
		if !c.holds(st, m) {
			continue
		}
		found = append(found, c)
		if health != Unhealthy {
			health = c.Health
		}
	}
	return health, found
}
