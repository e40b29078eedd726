package dashboard

import (
	"time"

	"github.com/conciliar/conciliar/jobs/health"
	"github.com/conciliar/conciliar/store"
)

// overviewView is the body of the overview.
type overviewView struct {
	Now        time.Time
	Health     health.Level
	Conditions []health.Fact
	Status     store.Status
	NextRun    *time.Time
	Alerts     []store.Alert
	// Activity is what happened over the span that the reader chose.
	Activity activityView
}

// Waiting is how many events have no end and are in nobody's hands.
func (v overviewView) Waiting() int64 {
	q := v.Status.Queue
	return q.Pending + q.Processing + q.Failed + q.Held
}

// OldestPending is the age of the oldest event that waits for its first attempt.
func (v overviewView) OldestPending() time.Duration {
	return time.Duration(v.Status.Queue.OldestPendingSeconds) * time.Second
}

// overview says whether all is well and, if not, why and what to do.
func (d *dashboard) overview(c *call) error {
	status, err := d.deps.Storage.Status(c.ctx)
	if err != nil {
		return err
	}
	schedule := d.deps.Schedule()
	v := overviewView{Now: d.now(), Status: status, NextRun: schedule.Next}
	v.Health, v.Conditions = health.Judge(status, health.Moment{Now: v.Now, RunEvery: schedule.Every})
	if v.Alerts, err = d.deps.Storage.OpenAlerts(c.ctx); err != nil {
		return err
	}
	if v.Activity, err = d.readActivity(c.ctx, c.reader, c.URL.Query().Get("span")); err != nil {
		return err
	}
	return d.show(c, "overview", &page{Title: "overview.title", Nav: "overview", Refresh: true, Body: v})
}
