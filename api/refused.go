package api

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/conciliar/conciliar/store"
)

// refusedQuery are the parameters of the list of refused deliveries.
var refusedQuery = []string{"reason", "since", "until", "limit", "cursor"}

// listRefused answers refused deliveries, newest first.
func (a *api) listRefused() handler {
	spec := listSpec[store.RefusedFilter, store.RefusedDelivery, store.RefusedDelivery, int64]{
		name: "refused", places: byID, read: a.deps.Storage.RefusedDeliveries, show: as[store.RefusedDelivery],
		filter: func(q *filters) store.RefusedFilter {
			return store.RefusedFilter{Reason: q.text("reason"), Since: q.time("since"), Until: q.time("until")}
		},
	}
	whole := list(spec)
	spec.show = store.RefusedDelivery.WithoutContent
	bare := list(spec)
	return func(c *gin.Context, ev *requestEvent) error {
		if ev.seesContent() {
			return whole(c, ev)
		}
		return bare(c, ev)
	}
}

// showRefused answers a refused delivery with what was signed and sent.
func (a *api) showRefused(c *gin.Context, ev *requestEvent) error {
	id, err := idOf(c, "id", problemRefusedNotFound, "a refused delivery")
	if err != nil {
		return err
	}
	ctx, cancel := bounded(c)
	defer cancel()
	refused, err := a.deps.Storage.RefusedDelivery(ctx, id)
	if err != nil {
		return err
	}
	if !ev.seesContent() {
		refused = refused.WithoutContent()
	}
	return answerJSON(c, http.StatusOK, refused)
}
