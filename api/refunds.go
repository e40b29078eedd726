package api

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

const refundsPath = "/api/refunds"

// refundQuery are the parameters of the list of refunds.
var refundQuery = []string{"state", "payment_id", "order_reference", "limit", "cursor"}

// A RefundDocument is a refund as callers and commands see it.
type RefundDocument struct {
	ID             string `json:"id"`
	Source         string `json:"source"`
	PaymentID      string `json:"payment_id"`
	OrderReference string `json:"order_reference"`
	CollectorID    string `json:"collector_id"`
	Amount         string `json:"amount"`
	Currency       string `json:"currency"`
	// Whole is true when all of the payment goes back.
	Whole       bool      `json:"whole"`
	State       string    `json:"state"`
	RequestedBy string    `json:"requested_by"`
	Note        string    `json:"note"`
	RequestedAt time.Time `json:"requested_at"`
	// Tries is how often it was sent, and SentAt when it was first.
	Tries   int        `json:"tries"`
	SentAt  *time.Time `json:"sent_at"`
	EndedAt *time.Time `json:"ended_at"`
	// ProviderID is the provider's id of it, and ConfirmedAmount what the provider says
	// went back; null while they are not known.
	ProviderID      *string `json:"provider_id"`
	ConfirmedAmount *string `json:"confirmed_amount"`
	// Reason is why it failed or is not known, in a word, and Error what the provider
	// said; null where there is nothing to say.
	Reason *string `json:"reason"`
	Error  *string `json:"error"`
	// QueueID is the event that reads back what came of it.
	QueueID *int64 `json:"queue_id"`
}

// NewRefundDocument returns the refund's document.
func NewRefundDocument(r store.Refund) RefundDocument {
	return RefundDocument{
		ID: r.ID, Source: r.Source, PaymentID: r.PaymentID, OrderReference: r.OrderReference, CollectorID: r.CollectorID,
		Amount: order.FormatAmount(r.Amount, r.Currency), Currency: r.Currency, Whole: r.Whole, State: r.State,
		RequestedBy: r.RequestedBy, Note: r.Note, RequestedAt: r.RequestedAt, Tries: r.Tries, SentAt: r.SentAt, EndedAt: r.EndedAt,
		ProviderID: r.ProviderID, ConfirmedAmount: order.FormatKnown(r.Confirmed, r.Currency), Reason: nullable(r.Reason), Error: nullable(r.Error),
		QueueID: r.QueueID,
	}
}

// refundRoutes are those of refunds; none where nobody may refund.
func (a *api) refundRoutes() []route {
	if !a.deps.Refunds {
		return nil
	}
	return []route{
		{method: http.MethodGet, path: refundsPath, access: accessStatus, query: refundQuery, handle: a.listRefunds()},
		{method: http.MethodGet, path: refundsPath + "/:id", access: accessStatus, handle: a.showRefund},
	}
}

// listRefunds answers refunds, newest first.
func (a *api) listRefunds() handler {
	return list(listSpec[store.RefundFilter, store.Refund, RefundDocument, int64]{
		name: "refunds", places: byID, read: a.deps.Storage.Refunds, show: document(NewRefundDocument),
		filter: func(q *filters) store.RefundFilter {
			return store.RefundFilter{State: q.word("state", store.RefundStates()), PaymentID: q.text("payment_id"), OrderReference: q.text("order_reference")}
		},
	})
}

// showRefund answers one refund.
func (a *api) showRefund(c *gin.Context, _ *requestEvent) error {
	ctx, cancel := bounded(c)
	defer cancel()
	refund, err := a.deps.Storage.Refund(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	return answerJSON(c, http.StatusOK, NewRefundDocument(refund))
}
