package api

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/conciliar/conciliar/store"
)

// A MatchingCount is the answer to a call about many things that is only tried.
type MatchingCount struct {
	DryRun bool `json:"dry_run"`
	// Matching is how many open ones the filter selects.
	Matching int64 `json:"matching"`
}

// many answers a call that acts on all open things that its filter selects, with one
// note. known are the filter's members.
func many[F any](a *api, outcome string, known []string, filterOf func(q *filters) F,
	count func(ctx context.Context, filter F) (store.Matching, error),
	act func(ctx context.Context, filter F, limit int64, note store.Note, by store.Actor) (store.ManyDone, error),
) handler {
	return func(c *gin.Context, ev *requestEvent) error {
		members, err := a.bodies.readObject(c.Request, "filter", "note", "dry_run", "limit")
		if err != nil {
			return err
		}
		q, err := members.filter(known...)
		if err != nil {
			return err
		}
		filter := filterOf(q)
		if q.err != nil {
			return q.err
		}
		dryRun, err := members.flag("dry_run")
		if err != nil {
			return err
		}
		limit, err := members.positive("limit")
		if err != nil {
			return err
		}
		ctx, cancel := bounded(c)
		defer cancel()
		if dryRun {
			matching, err := count(ctx, filter)
			if err != nil {
				return err
			}
			ev.outcome = "counted"
			return answerJSON(c, http.StatusOK, MatchingCount{DryRun: true, Matching: matching.Count})
		}
		text, err := members.text("note", `"paid in cash"`)
		if err != nil {
			return err
		}
		note, err := store.ParseNote(text)
		if err != nil {
			return err
		}
		done, err := act(ctx, filter, limit, note, actorOf(ev))
		if err != nil {
			return err
		}
		ev.outcome = outcome
		return answerJSON(c, http.StatusOK, done)
	}
}

// dismissDeadLetters and resolveAnomalies act on all open ones that a filter selects.
func (a *api) dismissDeadLetters() handler {
	return many(a, "dismissed", openDeadLetters, deadLetterFilter, a.deps.Storage.MatchingDeadLetters, a.deps.Storage.DismissDeadLetters)
}

func (a *api) resolveAnomalies() handler {
	return many(a, "resolved", []string{"kind", "order_reference", "payment_id", "since", "until"}, openAnomalyFilter,
		a.deps.Storage.MatchingAnomalies, a.deps.Storage.ResolveAnomalies)
}
