package health

import (
	"time"

	"github.com/conciliar/conciliar/store"
)

// Level is the service's health in one word.
type Level string

// The words, best first. Degraded: a person should look soon. Unhealthy: money
// is not being settled.
const (
	Healthy   Level = "healthy"
	Degraded  Level = "degraded"
	Unhealthy Level = "unhealthy"
)

// A Moment is what a judgement needs beside the database.
type Moment struct {
	// Now is what ages are measured from.
	Now time.Time
	// RunEvery is the period of the reconciliation's schedule; 0 when nothing is
	// scheduled, and then no reconciliation is overdue.
	RunEvery time.Duration
}

// A Condition is one reason for not being healthy. The status shows those that
// are active; the evaluation of alerts opens one for each that lasts.
type Condition struct {
	// Code is the condition's stable word, by which programs, alerts and
	// playbooks know it.
	Code   string
	Health Level
	// Stops is how much money it keeps back.
	Stops Rank
	// Reason is the sentence that the status gives: stable, too.
	Reason string
	// Lasting is how many evaluations in a row, a minute apart, must find it
	// active before its alert opens, and inactive before it closes.
	Lasting int
	// Quiet is true for a condition whose alert is shown and sends no message.
	Quiet bool
	// Within are the codes of worse conditions: while the alert of one of them
	// is open this one's stays open too, says nothing, and ends with it.
	Within []string

	// Each names the member of the detail that has an entry for each subject of the
	// condition: one that was not there before is told at once. Empty for a
	// condition that is told as a whole.
	Each string

	active func(st store.Status, m Moment) bool
	// detail is what a person wants to know beside the reason.
	detail func(st store.Status, m Moment) details
	// about is what its headline says beside its code; nil for nothing.
	about func(st store.Status, m Moment) About
}

// About is what the headline of a condition says of it as it is now.
type About struct {
	// Since is when it began; nil where nothing says.
	Since *time.Time
	// Count is how many things it is about, and Waiting how many webhooks wait because
	// of it.
	Count, Waiting int64
	// By is who brought it about; empty when nobody did or it is not known.
	By string
	// Names are what it is about: queues, sellers, receivers, topics or variables.
	Names []string
	// Class is the class of error that most of them ended with.
	Class string
}

// A Fact is a condition that is active.
type Fact struct {
	Condition
	About
}

// details are words and numbers by their names.
type details map[string]any

// ConditionOf returns the condition with that code; ok is false for a code that
// this release does not know.
func ConditionOf(code string) (c Condition, ok bool) {
	for _, c := range Conditions() {
		if c.Code == code {
			return c, true
		}
	}
	return Condition{}, false
}

// Judge says how healthy the service is and which conditions are active, what stops
// most money first. It depends on its arguments alone.
func Judge(st store.Status, m Moment) (Level, []Fact) {
	level, found := Healthy, []Fact{}
	for _, c := range Conditions() {
		if !c.active(st, m) {
			continue
		}
		fact := Fact{Condition: c}
		if c.about != nil {
			fact.About = c.about(st, m)
		}
		found = append(found, fact)
		if level != Unhealthy {
			level = c.Health
		}
	}
	return level, found
}
