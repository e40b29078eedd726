package dashboard

import (
	"net/url"
	"strconv"

	"github.com/conciliar/conciliar/store"
)

// actions lists what operators did, the newest first.
func (d *dashboard) actions(c *call) error {
	f := c.filters()
	filter := store.ActionFilter{
		Action: choice(f, "action", "field.action", "action", store.OperatorActions()), Actor: f.typed("operator", "field.operator", 16),
		TargetKind: choice(f, "target", "field.target", "target", store.OperatorTargets()),
	}
	filter.Since, filter.Until = f.on("day", "field.day")
	found, err := read(c, f, d.deps.Storage.Actions, filter, f.page())
	if err != nil {
		return err
	}
	v := f.listed("/dashboard/actions", tableOf("actions.caption", "actions.none", found.Items, actionColumns...).unseen(), idText(found.Next))
	v.Hint = "actions.hint"
	return d.show(c, "list", &page{Title: "nav.actions", Nav: "actions", Refresh: v.First, Body: v})
}

var actionColumns = []column[store.OperatorAction]{
	{"field.action", partTitle, func(a store.OperatorAction) cell { return wordCell("action", a.Action) }},
	{"field.time", "", func(a store.OperatorAction) cell { return timeCell(a.At) }},
	{"field.operator", partState, func(a store.OperatorAction) cell { return plainCell(a.Actor) }},
	{"field.target", "", actionTarget},
	{"field.count", partMinorNumber, func(a store.OperatorAction) cell { return numberCell(a.Count) }},
	{"field.note", partCause, func(a store.OperatorAction) cell {
		if a.Action == store.ActionBulkReplay || a.Action == store.ActionReconcile {
			return idCell(a.Note) // a filter or a scope, and nobody's words
		}
		return plainCell(a.Note)
	}},
	{"field.address", partMinor, func(a store.OperatorAction) cell { return idCell(a.RemoteIP) }},
}

// targetPages are where what was acted on is shown, by its id.
var targetPages = map[string]string{
	store.TargetEvent: "/events/", store.TargetDeadLetter: "/dead-letters/", store.TargetAnomaly: "/anomalies/", store.TargetRun: "/runs/",
	store.TargetBulkReplay: "/replays/", store.TargetDelivery: "/deliveries/",
}

// actionTarget is what was acted on, with the way to it.
func actionTarget(a store.OperatorAction) cell {
	kind := wordCell("target", a.TargetKind)
	switch page, known := targetPages[a.TargetKind]; {
	case a.Reference != "":
		return kind.over(plainCell(a.Reference).leading(orderPath(a.Reference)))
	case a.TargetKind == store.TargetReceiver:
		return kind.leading(Base + "/deliveries?" + url.Values{"receiver": {a.Note}}.Encode())
	case known && a.TargetID != nil:
		id := strconv.FormatInt(*a.TargetID, 10)
		return kind.over(plainCell(id).leading(Base + page + id))
	}
	return kind
}
