package health

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/conciliar/conciliar/store"
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

// A Rank says how much money a condition keeps from where it belongs: the lower, the
// more.
type Rank int

const (
	// What the provider tells does not arrive.
	stopsArrivals Rank = iota
	// What arrived is not processed.
	stopsProcessing
	// A part of it is not, or not in time.
	stopsSome
	// What nobody told of is not found.
	hidesLosses
	// Decision is the rank of what is processed and waits for a person.
	Decision
	// Somebody who should know is not told.
	tellsNobody
	// Nothing is kept back yet.
	warns
)

// Conditions returns every condition, what stops most money first. docs/alerts.md
// shows them with what they mean.
//
// Events that wait for a retry or are held in an outage are not a condition of
// their own: the former end as dead letters, the latter open the circuit.
// Before the first reconciliation none is overdue.
func Conditions() []Condition {
	all := slices.Concat(intakeConditions(), machineConditions(), providerConditions(), reconciliationConditions(), decisionConditions(), deliveryConditions())
	slices.SortStableFunc(all, func(a, b Condition) int { return cmp.Compare(a.Stops, b.Stops) })
	return all
}

// named is a condition that is there while of names something, and is about what it
// names.
func named[V any](c Condition, key string, of func(store.Status) map[string]V) Condition {
	c.active = func(st store.Status, _ Moment) bool { return len(of(st)) > 0 }
	c.detail = func(st store.Status, _ Moment) details { return details{key: of(st)} }
	c.about = func(st store.Status, _ Moment) About { return About{Names: keysOf(of(st))} }
	return c
}

// counted is a condition that is there while of counts something, and is about how many.
func counted(c Condition, key string, of func(store.Status) map[string]int64) Condition {
	c = named(c, key, of)
	c.about = func(st store.Status, _ Moment) About { return About{Count: sumOf(of(st))} }
	return c
}

func keysOf[V any](of map[string]V) []string { return slices.Sorted(maps.Keys(of)) }

// namesOf are the names of sellers, by their accounts where they have none.
func namesOf(sellers map[string]string) []string {
	names := make([]string, 0, len(sellers))
	for account, name := range sellers {
		names = append(names, cmp.Or(name, account))
	}
	slices.Sort(names)
	return names
}

func sumOf(counts map[string]int64) (n int64) {
	for _, count := range counts {
		n += count
	}
	return n
}

// mostOf is the name that counts most; of several the first.
func mostOf(counts map[string]int64) (most string) {
	for _, name := range keysOf(counts) {
		if most == "" || counts[name] > counts[most] {
			most = name
		}
	}
	return most
}
