package api

import (
	"context"

	"github.com/gin-gonic/gin"

	"github.com/conciliar/conciliar/store"
)

var (
	// findingQuery are the parameters of the list of a run's findings.
	findingQuery = []string{"kind", "state", "limit", "cursor"}
	// pageQuery are those of a list without filters.
	pageQuery = []string{"limit", "cursor"}
)

// listFindings answers what a run found and what became of it, the newest first.
func (a *api) listFindings() handler {
	return a.ofRun(func(id int64) handler {
		return list(listSpec[store.FindingFilter, store.Finding, store.Finding, int64]{
			name: "findings", places: byID, read: a.deps.Storage.Findings, show: whole[store.Finding],
			filter: func(q *filters) store.FindingFilter {
				return store.FindingFilter{RunID: id, Kind: q.word("kind", store.FindingKinds()), State: q.word("state", store.FindingStates())}
			},
		})
	})
}

// listUnseen answers the ranges that a run did not see whole, the newest first.
func (a *api) listUnseen() handler {
	return a.ofRun(func(id int64) handler {
		return list(listSpec[int64, store.RunUnseen, store.RunUnseen, int64]{
			name: "unseen", places: byID, read: a.deps.Storage.Unseen, show: whole[store.RunUnseen],
			filter: func(*filters) int64 { return id },
		})
	})
}

// ofRun answers about the run that the path names, which must be there.
func (a *api) ofRun(answer func(id int64) handler) handler {
	return about(aRun, func(ctx context.Context, c *gin.Context, ev *requestEvent, id int64) error {
		if _, err := a.deps.Storage.Run(ctx, id); err != nil {
			return err
		}
		return answer(id)(c, ev)
	})
}
