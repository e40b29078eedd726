package api

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/conciliar/conciliar/store"
)

// refusedQuery are the parameters of the list of refused deliveries.
var refusedQuery = []string{"reason", "source", "since", "until", "limit", "cursor"}

// refusedFilter reads what refused deliveries are narrowed to.
func refusedFilter(q *filters) store.RefusedFilter {
	return store.RefusedFilter{Reason: q.text("reason"), Source: q.text("source"), Since: q.time("since"), Until: q.time("until")}
}

// listRefused answers refused deliveries, newest first.
func (a *api) listRefused() handler {
	return list(listSpec[store.RefusedFilter, store.RefusedDelivery, store.RefusedDelivery, int64]{
		name: "refused", places: byID, read: a.deps.Storage.RefusedDeliveries, show: permitted[store.RefusedDelivery],
		filter: refusedFilter,
	})
}

// groupRefused answers refused deliveries by hour, source and reason, with why the newest
// of each were.
func (a *api) groupRefused(c *gin.Context, _ *requestEvent) error {
	q := &filters{values: c.Request.URL.Query()}
	filter := refusedFilter(q)
	if q.err != nil {
		return q.err
	}
	ctx, cancel := bounded(c)
	defer cancel()
	groups, err := a.deps.Storage.RefusedGroups(ctx, filter, func(r store.RefusedDetail) (string, error) {
		w := a.webhookOf(r.Source)
		if w == nil {
			return "", nil
		}
		found, err := DiagnosisOf(w.Receiver, r)
		return found.Verdict, err
	})
	if err != nil {
		return err
	}
	return answerJSON(c, http.StatusOK, struct {
		Items []store.RefusedGroup `json:"items"`
	}{groups})
}
