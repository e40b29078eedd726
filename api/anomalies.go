package api

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// anomalyQuery are the parameters of the list of anomalies.
var anomalyQuery = []string{"state", "kind", "order_reference", "payment_id", "since", "until", "limit", "cursor"}

// An AnomalyDocument is an anomaly as callers and commands see it.
type AnomalyDocument struct {
	ID             int64             `json:"id"`
	Kind           order.AnomalyKind `json:"kind"`
	OrderReference *string           `json:"order_reference"`
	PaymentID      *string           `json:"payment_id"`
	Detail         json.RawMessage   `json:"detail"`
	OpenedAt       time.Time         `json:"opened_at"`
	ClosedAt       *time.Time        `json:"closed_at"`
	// ClosedBy is "settlement" or "reconciliation" for one that closed
	// automatically, else who resolved it.
	ClosedBy *string `json:"closed_by"`
	Note     string  `json:"note"`
}

// NewAnomalyDocument returns the anomaly's document.
func NewAnomalyDocument(a store.Anomaly) AnomalyDocument {
	return AnomalyDocument{
		ID: a.ID, Kind: a.Kind, OrderReference: nullable(a.Reference), PaymentID: nullable(a.PaymentID), Detail: a.Detail,
		OpenedAt: a.OpenedAt.UTC(), ClosedAt: utc(a.ClosedAt), ClosedBy: nullable(a.ClosedBy), Note: a.Note,
	}
}

func nullable(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func openAnomalyFilter(q *filters) store.AnomalyFilter {
	return store.AnomalyFilter{
		Kind: q.word("kind", order.Words(order.AnomalyKinds())), Order: q.text("order_reference"), PaymentID: q.text("payment_id"),
		Since: q.time("since"), Until: q.time("until"),
	}
}

// listAnomalies answers anomalies, newest first: open ones unless asked
// otherwise.
func (a *api) listAnomalies() handler {
	return list(listSpec[store.AnomalyFilter, store.Anomaly, AnomalyDocument, int64]{
		name: "anomalies", places: byID, read: a.deps.Storage.Anomalies, show: document(NewAnomalyDocument),
		filter: func(q *filters) store.AnomalyFilter {
			filter := openAnomalyFilter(q)
			filter.State = q.stateOf(store.AnomalyStates(), store.AnomalyOpen)
			return filter
		},
	})
}

// resolveAnomaly closes an anomaly that a person has dealt with.
func (a *api) resolveAnomaly(c *gin.Context, ev *requestEvent) error {
	id, err := idOf(c, ev, anAnomaly)
	if err != nil {
		return err
	}
	note, err := a.note(c)
	if err != nil {
		return err
	}
	ctx, cancel := bounded(c)
	defer cancel()
	resolved, err := a.deps.Storage.ResolveAnomaly(ctx, id, note, actorOf(ev))
	if err != nil {
		return err
	}
	ev.outcome, ev.reference = "resolved", resolved.Reference
	return answerJSON(c, http.StatusOK, NewAnomalyDocument(resolved))
}
