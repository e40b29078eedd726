package api

import (
	"time"

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

// A HealthRule is one reason for not being healthy.
type HealthRule struct {
	Health Health
	// Reason is the sentence that the report gives: stable, so that alerts can
	// tell one cause from another.
	Reason string
	holds  func(r StatusReport, x StatusExtras) bool
}

// HealthRules returns every rule, the worst first:
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
func HealthRules() []HealthRule {
	return []HealthRule{
		{Unhealthy, "Events have been waiting for their first attempt for more than 30 minutes.", func(r StatusReport, _ StatusExtras) bool {
			return r.oldestPending() > pendingUnhealthy
		}},
		{Unhealthy, "One event in ten or more ended as a dead letter in the last hour.", func(r StatusReport, _ StatusExtras) bool {
			t := r.Throughput
			return t.Failed1h >= deathsJudged && t.Failed1h*deathsShare >= t.Received1h
		}},
		{Unhealthy, "No reconciliation has succeeded for six periods of its schedule.", func(r StatusReport, x StatusExtras) bool {
			return r.overdue(x, overdueUnhealthy)
		}},
		{Degraded, "Events have been waiting for their first attempt for more than 5 minutes.", func(r StatusReport, _ StatusExtras) bool {
			age := r.oldestPending()
			return age > pendingDegraded && age <= pendingUnhealthy
		}},
		{Degraded, "Dead letters are open.", func(r StatusReport, _ StatusExtras) bool {
			return r.DeadLetters.Open > 0
		}},
		{Degraded, "Anomalies are open: money does not fit.", func(r StatusReport, _ StatusExtras) bool {
			for kind, n := range r.Anomalies.ByKind {
				if n > 0 && kind != string(order.AnomalyNoReference) && kind != string(order.AnomalyWrongMode) {
					return true
				}
			}
			return false
		}},
		{Degraded, "The payment provider is not answering; its circuit is open.", func(r StatusReport, _ StatusExtras) bool {
			return r.Provider.Circuit != CircuitClosed && r.Provider.Circuit != CircuitHalfOpen
		}},
		{Degraded, "The payment provider is being tried again after an outage.", func(r StatusReport, _ StatusExtras) bool {
			return r.Provider.Circuit == CircuitHalfOpen
		}},
		{Degraded, "The latest reconciliation failed.", func(r StatusReport, _ StatusExtras) bool {
			for _, run := range r.Reconciliation.Recent {
				if run.FinishedAt != nil {
					return run.Status != runSucceeded
				}
			}
			return false
		}},
		{Degraded, "No reconciliation has succeeded for two periods of its schedule.", func(r StatusReport, x StatusExtras) bool {
			return r.overdue(x, overdueDegraded) && !r.overdue(x, overdueUnhealthy)
		}},
	}
}

// runSucceeded is the state of a run that did all that it had to.
const runSucceeded = "succeeded"

func (r StatusReport) oldestPending() time.Duration {
	return time.Duration(r.Queue.OldestPendingSeconds) * time.Second
}

func (r StatusReport) overdue(x StatusExtras, periods int) bool {
	last := r.Reconciliation.LastSuccessAt
	return last != nil && x.RunEvery > 0 && x.Now.Sub(*last) >= time.Duration(periods)*x.RunEvery
}

func judge(r StatusReport, x StatusExtras) (Health, []string) {
	health, reasons := Healthy, []string{}
	for _, rule := range HealthRules() {
		if !rule.holds(r, x) {
			continue
		}
		reasons = append(reasons, rule.Reason)
		if health != Unhealthy {
			health = rule.Health
		}
	}
	return health, reasons
}
