package api

import (
	"net/http"
	"net/url"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/payout"
)

const payoutsPath = "/api/payouts"

var (
	// payoutQuery are the parameters of the list of payouts.
	payoutQuery = []string{"state", "currency", "since", "until", "limit", "cursor"}
	// movementQuery are those of a payout with its movements.
	movementQuery = []string{"limit", "cursor"}
)

// A PayoutDocument is a payout as callers and commands see it.
type PayoutDocument struct {
	ID          string       `json:"id"`
	CollectorID string       `json:"collector_id"`
	PaidAt      time.Time    `json:"paid_at"`
	Amount      string       `json:"amount"`
	Currency    string       `json:"currency"`
	State       payout.State `json:"state"`
	// UnexplainedAmount is the amount less what is explained.
	UnexplainedAmount string `json:"unexplained_amount"`
	// OpeningBalance is the balance that its movements begin with, and BalanceKept the
	// one afterwards; null where it is not known.
	OpeningBalance *string `json:"opening_balance"`
	BalanceKept    *string `json:"balance_kept"`
}

// NewPayoutDocument returns the payout's document.
func NewPayoutDocument(p store.Payout) PayoutDocument {
	return PayoutDocument{
		ID: p.ID, CollectorID: p.CollectorID, PaidAt: p.PaidAt.UTC(), Amount: order.FormatAmount(p.Amount, p.Currency), Currency: p.Currency,
		State: p.State, UnexplainedAmount: order.FormatAmount(p.Unexplained, p.Currency),
		OpeningBalance: order.FormatKnown(p.Opening, p.Currency), BalanceKept: order.FormatKnown(p.Kept, p.Currency),
	}
}

// A MovementDocument is what came to the account's balance or went from it.
type MovementDocument struct {
	ID             int64     `json:"id"`
	CollectorID    string    `json:"collector_id"`
	PaymentID      *string   `json:"payment_id"`
	OrderReference *string   `json:"order_reference"`
	SourceID       *string   `json:"source_id"`
	RecordType     string    `json:"record_type"`
	Description    string    `json:"description"`
	Class          string    `json:"class"`
	HappenedAt     time.Time `json:"happened_at"`
	Credit         string    `json:"credit"`
	Debit          string    `json:"debit"`
	// Gross is the amount before deductions, which the others are; null where no report
	// says so.
	Gross        *string `json:"gross"`
	Fee          *string `json:"fee"`
	FinancingFee *string `json:"financing_fee"`
	ShippingFee  *string `json:"shipping_fee"`
	Taxes        *string `json:"taxes"`
	Coupon       *string `json:"coupon"`
	Currency     string  `json:"currency"`
	// PayoutID is the payout that it is a part of; null while there is none.
	PayoutID *string `json:"payout_id"`
}

// NewMovementDocument returns the movement's document.
func NewMovementDocument(m store.BookedMovement) MovementDocument {
	amount := func(d decimal.NullDecimal) *string { return order.FormatKnown(d, m.Currency) }
	return MovementDocument{
		ID: m.ID, CollectorID: m.CollectorID, PaymentID: nullable(m.PaymentID), OrderReference: nullable(m.Reference), SourceID: nullable(m.SourceID),
		RecordType: m.RecordType, Description: m.Description, Class: m.Class, HappenedAt: m.HappenedAt.UTC(),
		Credit: order.FormatAmount(m.Credit, m.Currency), Debit: order.FormatAmount(m.Debit, m.Currency),
		Gross: amount(m.Gross), Fee: amount(m.Fee), FinancingFee: amount(m.FinancingFee), ShippingFee: amount(m.ShippingFee),
		Taxes: amount(m.Taxes), Coupon: amount(m.Coupon), Currency: m.Currency, PayoutID: nullable(m.PayoutID),
	}
}

// A PayoutPartDocument is what movements of one kind add to a payout.
type PayoutPartDocument struct {
	Class       string `json:"class"`
	Description string `json:"description"`
	Movements   int64  `json:"movements"`
	Amount      string `json:"amount"`
}

// A PayoutDetailDocument is a payout with what makes it up.
type PayoutDetailDocument struct {
	PayoutDocument

	// Parts are its movements by their kind.
	Parts []PayoutPartDocument `json:"parts"`
	// Movements are a page of them, the latest first.
	Movements listDocument[MovementDocument] `json:"movements"`
}

// NewPayoutDetailDocument returns the document of a payout with a page of what makes it
// up.
func NewPayoutDetailDocument(p store.PayoutDetail, movements store.ListOf[store.BookedMovement, store.MoneyPlace]) PayoutDetailDocument {
	doc := PayoutDetailDocument{PayoutDocument: NewPayoutDocument(p.Payout), Parts: make([]PayoutPartDocument, len(p.Parts))}
	for i, part := range p.Parts {
		doc.Parts[i] = PayoutPartDocument{part.Class, part.Description, part.Movements, order.FormatAmount(part.Net, p.Currency)}
	}
	doc.Movements = newListDocument(movementList, nil, movements)
	return doc
}

var movementList = listSpec[string, store.BookedMovement, MovementDocument, store.MoneyPlace]{
	name:   "movements",
	places: places[store.MoneyPlace]{write: store.MoneyPlace.String, read: store.ParseMovementPlace},
	show:   document(NewMovementDocument),
}

// listPayouts answers payouts, the latest first.
func (a *api) listPayouts() handler {
	return list(listSpec[store.PayoutFilter, store.Payout, PayoutDocument, store.MoneyPlace]{
		name: "payouts", places: places[store.MoneyPlace]{write: store.MoneyPlace.String, read: store.ParsePayoutPlace},
		read: a.deps.Storage.Payouts, show: document(NewPayoutDocument),
		filter: func(q *filters) store.PayoutFilter {
			return store.PayoutFilter{
				State: payout.State(q.word("state", order.Words(payout.States()))), Currency: q.text("currency"), Since: q.time("since"), Until: q.time("until"),
			}
		},
	})
}

// showPayout answers a payout with a page of what makes it up.
func (a *api) showPayout(c *gin.Context, _ *requestEvent) error {
	q := &filters{values: c.Request.URL.Query()}
	page := pageOf(q, movementList.name, movementList.places)
	if q.err != nil {
		return q.err
	}
	ctx, cancel := bounded(c)
	defer cancel()
	id, err := url.PathUnescape(c.Param("id"))
	if err != nil {
		return store.ErrPayoutNotFound.With(c.Param("id"))
	}
	found, err := a.deps.Storage.Payout(ctx, id)
	if err != nil {
		return err
	}
	movements, err := a.deps.Storage.PayoutMovements(ctx, found.ID, page)
	if err != nil {
		return err
	}
	return answerJSON(c, http.StatusOK, NewPayoutDetailDocument(found, movements))
}
