package dashboard

import (
	"time"

	"github.com/conciliar/conciliar/jobs/health"
	"github.com/conciliar/conciliar/store"
)

// overviewView is the body of the overview.
type overviewView struct {
	Now time.Time
	// Level is how the service itself does, Working what is wrong with it and Deciding
	// what waits for a person.
	Level             health.Level
	Working, Deciding []health.Fact
	Status            store.Status
	// NextRun is nil where nothing is scheduled, or nobody would run it.
	NextRun *time.Time
	Alerts  []store.Alert
	// AlertsSent is false where nobody is told of alerts.
	AlertsSent bool
	// WebhookAddress is where the provider is to deliver.
	WebhookAddress string
	// Activity is what happened over the span that the reader chose.
	Activity activityView
}

// OldestPending is the age of the oldest event that waits for its first attempt.
func (v overviewView) OldestPending() time.Duration {
	return time.Duration(v.Status.Queue.OldestPendingSeconds) * time.Second
}

// overview says what stops money, if anything does, and what to do.
func (d *dashboard) overview(c *call) error {
	status, err := d.deps.Storage.Status(c.ctx)
	if err != nil {
		return err
	}
	schedule := d.deps.Schedule()
	v := overviewView{
		Now: d.now(), Status: status, NextRun: schedule.Next,
		AlertsSent: d.deps.AlertsSent(), WebhookAddress: d.webhookAddress(c.Request),
	}
	_, facts := health.Judge(status, health.Moment{Now: v.Now, RunEvery: schedule.Every})
	v.Level, v.Working, v.Deciding = split(facts)
	if v.Level == health.Healthy && status.Signals.Intake.NeverAccepted {
		v.Level = levelUnknown
	}
	if status.Signals.Machine.NoWorker {
		v.NextRun = nil
	}
	if v.Alerts, err = d.deps.Storage.OpenAlerts(c.ctx); err != nil {
		return err
	}
	if v.Activity, err = d.readActivity(c.ctx, c.reader, c.URL.Query().Get("span")); err != nil {
		return err
	}
	return d.show(c, "overview", &page{Title: "overview.title", Nav: "overview", Refresh: true, Body: v})
}
