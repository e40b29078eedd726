package dashboard

import (
	"strconv"
	"time"

	"github.com/conciliar/conciliar/store"
)

// runsView is the body of the list of reconciliations.
type runsView struct {
	listing

	NextRun *time.Time
	// Running is the regular one that runs now; nil when none does.
	Running *store.Run
}

// runs lists reconciliations, newest first.
func (d *dashboard) runs(c *call) error {
	f := c.filters()
	at := f.page()
	if f.refuseOthers(); f.err != nil {
		return f.err
	}
	items, err := d.deps.Storage.Runs(c.ctx, at.Before, at.Limit+1)
	if err != nil {
		return err
	}
	older := ""
	if len(items) > at.Limit {
		items = items[:at.Limit]
		older = idText(items[at.Limit-1].ID)
	}
	v := runsView{listing: f.listed("/dashboard/runs", tableOf("runs.caption", "runs.none", items, runColumns...).unseen(), older), NextRun: d.deps.Schedule().Next}
	for i := range items {
		if items[i].Status == store.RunRunning && items[i].Scope == store.ScopeRegular {
			v.Running = &items[i]
		}
	}
	return d.show(c, "runs", &page{Title: "nav.runs", Nav: "runs", Refresh: v.First, Body: v})
}

var runColumns = []column[store.Run]{
	{"field.run", partTitle, func(r store.Run) cell { return plainCell(r.ID).leading(Base + "/runs/" + strconv.FormatInt(r.ID, 10)) }},
	{"field.started", "", func(r store.Run) cell { return timeCell(r.StartedAt) }},
	{"field.state", partState, func(r store.Run) cell { return badgeCell("run_status", r.Status) }},
	{"field.trigger", "", func(r store.Run) cell {
		trigger := wordCell("trigger", r.Trigger)
		if r.Scope == store.ScopeBackfill {
			trigger = trigger.over(wordCell("scope", r.Scope))
		}
		return trigger
	}},
	{"field.payments_checked", partMinorNumber, func(r store.Run) cell { return numberCell(r.PaymentsChecked) }},
	{"field.orders_checked", partMinorNumber, func(r store.Run) cell { return numberCell(r.OrdersChecked) }},
	{"field.missing", partNumber, func(r store.Run) cell { return numberCell(r.MissingFound) }},
	{"field.drift", partNumber, func(r store.Run) cell { return numberCell(r.DriftFound) }},
	{"field.stuck", partNumber, func(r store.Run) cell { return numberCell(r.StuckRequeued) }},
	{"field.archived", partMinorNumber, func(r store.Run) cell { return numberCell(r.Archived) }},
}

// runView is the body of a reconciliation's page.
type runView struct {
	store.Run

	Now time.Time
	// Counts say what was found and what became of it; Counted is false where that is
	// of the newest findings alone.
	Counts  []store.FindingCount
	Counted bool
	// Findings are the newest, and Ranges the newest ranges that were not seen whole.
	Findings []store.Finding
	Ranges   []store.RunUnseen
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
	v := runView{Run: run, Now: d.now()}
	if v.Counts, v.Counted, err = d.deps.Storage.CountFindings(c.ctx, id); err != nil {
		return err
	}
	findings, err := d.deps.Storage.Findings(c.ctx, store.FindingFilter{RunID: id}, store.Page{Limit: pageRows})
	if err != nil {
		return err
	}
	unseen, err := d.deps.Storage.Unseen(c.ctx, id, store.Page{Limit: pageRows})
	if err != nil {
		return err
	}
	v.Findings, v.Ranges = findings.Items, unseen.Items
	return d.show(c, "run", &page{Title: "nav.runs", About: "run.name", ID: id, Nav: "runs", Refresh: run.FinishedAt == nil, Body: v})
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
	return c.done(Base+"/runs/"+idText(run.ID), done)
}
