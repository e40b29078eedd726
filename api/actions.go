package api

import "github.com/conciliar/conciliar/store"

// actionQuery are the parameters of the list of operators' actions.
var actionQuery = []string{"action", "actor", "target_kind", "since", "until", "limit", "cursor"}

// listActions answers what operators did, newest first.
func (a *api) listActions() handler {
	return list(listSpec[store.ActionFilter, store.OperatorAction, store.OperatorAction, int64]{
		name: "actions", places: byID, read: a.deps.Storage.Actions, show: permitted[store.OperatorAction],
		filter: func(q *filters) store.ActionFilter {
			return store.ActionFilter{
				Action: q.word("action", store.OperatorActions()), Actor: q.text("actor"), TargetKind: q.word("target_kind", store.OperatorTargets()),
				Since: q.time("since"), Until: q.time("until"),
			}
		},
	})
}
