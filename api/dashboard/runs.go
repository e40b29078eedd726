package dashboard

import (
	"time"

	"github.com/conciliar/conciliar/store"
)

// runsView is the body of the list of reconciliations.
type runsView struct {
	Items   []store.Run
	Next    int64
	NextRun *time.Time
	// Running is the regular one that runs now; nil when none does.
	Running *store.Run
}

// runs lists reconciliations, newest first.
func (d *dashboard) runs(c *call) error {
	q := c.query()
	at := q.page()
	if q.err != nil {
		return q.err
	}
	items, err := d.deps.Storage.Runs(c.ctx, at.Before, at.Limit+1)
	if err != nil {
		return err
	}
	v := runsView{Items: items, NextRun: d.deps.Schedule().Next}
	if len(items) > at.Limit {
		v.Items = items[:at.Limit]
		v.Next = v.Items[at.Limit-1].ID
	}
	for i := range v.Items {
		if v.Items[i].Status == store.RunRunning && v.Items[i].Scope == store.ScopeRegular {
			v.Running = &v.Items[i]
		}
	}
	return d.show(c, "runs", &page{Title: "nav.runs", Nav: "runs", Refresh: at.Before == 0, Body: v})
}

// runView is the body of a reconciliation's page.
type runView struct {
	store.Run

	Now time.Time
}

// Took is how long the run took, or has taken until now.
func (v runView) Took() time.Duration { return tookOf(v.Run, v.Now) }

func tookOf(r store.Run, now time.Time) time.Duration {
	if r.FinishedAt != nil {
		now = *r.FinishedAt
	}
	return now.Sub(r.StartedAt)
}

// run shows one reconciliation.
func (d *dashboard) run(c *call, id int64) error {
	run, err := d.deps.Storage.Run(c.ctx, id)
	if err != nil {
		return err
	}
	return d.show(c, "run", &page{Title: "nav.runs", About: "run.name", ID: id, Nav: "runs", Refresh: run.FinishedAt == nil, Body: runView{Run: run, Now: d.now()}})
}

// startRun starts a reconciliation, or joins the one that is running.
func (d *dashboard) startRun(c *call) error {
	run, joined, err := d.deps.Storage.StartRun(c.ctx, store.RunRequest{
		Trigger: store.TriggerManual, Scope: store.ScopeRegular, By: c.actor(),
	})
	if err != nil {
		return err
	}
	done := "run_started"
	if joined {
		done = "run_joined"
	}
	return c.redirect("/dashboard/runs/%d?done=%s", run.ID, done)
}
