package api

import (
	"github.com/conciliar/conciliar/jobs/health"
	"github.com/conciliar/conciliar/store"
)

// alertQuery are the parameters of the list of alerts.
var alertQuery = []string{"state", "code", "since", "until", "limit", "cursor"}

// An AlertDocument is an alert as callers and commands see it.
type AlertDocument struct {
	store.Alert
	// Health and Reason are the condition's; empty for one that this release
	// does not know.
	Health health.Level `json:"health"`
	Reason string       `json:"reason"`
}

// NewAlertDocument returns the alert's document.
func NewAlertDocument(a store.Alert) AlertDocument {
	condition, _ := health.ConditionOf(a.Code)
	return AlertDocument{Alert: a, Health: condition.Health, Reason: condition.Reason}
}

// AlertCodes lists the code of every alert.
func AlertCodes() []string {
	var codes []string
	for _, c := range health.Conditions() {
		codes = append(codes, c.Code)
	}
	return codes
}

// listAlerts answers alerts, newest first: open ones unless asked otherwise.
func (a *api) listAlerts() handler {
	return list(listSpec[store.AlertFilter, store.Alert, AlertDocument, int64]{
		name: "alerts", places: byID, read: a.deps.Storage.Alerts, show: document(NewAlertDocument),
		filter: func(q *filters) store.AlertFilter {
			return store.AlertFilter{
				State: q.stateOf(store.AlertStates(), store.AlertOpen), Code: q.word("code", AlertCodes()),
				Since: q.time("since"), Until: q.time("until"),
			}
		},
	})
}
