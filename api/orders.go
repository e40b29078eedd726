package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

const (
	// storageTimeout bounds what one call may ask of the database.
	storageTimeout = 10 * time.Second
	// An amount has at most this many digits before and after the point.
	amountDigits   = 15
	amountDecimals = 8
)

// putOrder registers an order, or confirms it: 201 when new, 200 when it is
// there with the same terms, 409 when it is there with others.
func (a *api) putOrder(c *gin.Context, ev *requestEvent) error {
	reference, err := referenceOf(c)
	if err != nil {
		return err
	}
	ev.reference = reference
	members, err := a.bodies.readObject(c.Request, "amount", "currency")
	if err != nil {
		return err
	}
	terms, err := parseTerms(members)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), storageTimeout)
	defer cancel()
	created, err := a.deps.Storage.RegisterOrder(ctx, reference, terms)
	if err != nil {
		return err
	}
	o, err := a.deps.Storage.Order(ctx, reference)
	if err != nil {
		return err
	}
	status := http.StatusOK
	ev.outcome = "confirmed"
	if created {
		status = http.StatusCreated
		ev.outcome = "created"
		c.Writer.Header()["Location"] = []string{"/api/orders/" + url.PathEscape(reference)}
	}
	return answerJSON(c, status, newOrderDocument(o))
}

// showOrder answers the order with everything known about it.
func (a *api) showOrder(c *gin.Context, ev *requestEvent) error {
	reference, err := referenceOf(c)
	if err != nil {
		return err
	}
	ev.reference = reference
	ctx, cancel := context.WithTimeout(c.Request.Context(), storageTimeout)
	defer cancel()
	o, err := a.deps.Storage.Order(ctx, reference)
	if err != nil {
		return err
	}
	return answerJSON(c, http.StatusOK, newOrderDocument(o))
}

// referenceOf decodes the path's last part. A plus sign is one: only a query
// writes a space so.
func referenceOf(c *gin.Context) (string, error) {
	reference, err := url.PathUnescape(c.Param("reference"))
	if err != nil || !store.ValidReference(reference) {
		return "", newProblem(problemInvalidReference, "A reference has 1 to 64 UTF-8 characters without NUL.")
	}
	return reference, nil
}

// parseTerms reads what the merchant asks for an order.
func parseTerms(o object) (order.Terms, error) {
	text, err := o.text("amount", `"150.00"`)
	if err != nil {
		return order.Terms{}, err
	}
	amount, err := parseAmount(text)
	if err != nil {
		return order.Terms{}, err
	}
	currency, err := o.text("currency", `"ARS"`)
	if err != nil {
		return order.Terms{}, err
	}
	terms := order.Terms{Amount: amount, Currency: currency}
	if err := terms.Validate(); err != nil {
		return order.Terms{}, termsProblem(terms, err)
	}
	return terms, nil
}

// termsProblem says why no payment could meet the terms.
func termsProblem(terms order.Terms, err error) error {
	switch {
	case errors.Is(err, order.ErrUnknownCurrency):
		return newProblem(problemCurrencyUnknown, `The field "currency" must be a code of ISO 4217 in upper case, like "ARS".`)
	case errors.Is(err, order.ErrAmountTooFine):
		currency, _ := order.LookupCurrency(terms.Currency)
		return newProblem(problemAmountTooFine, fmt.Sprintf(`The field "amount" is finer than the smallest unit of %s, which is %s.`,
			currency.Code, order.FormatAmount(currency.SmallestUnit(), currency.Code)))
	}
	return newProblem(problemInvalidField, "The amount or the currency is invalid for an order.").because(err)
}

// parseAmount reads a decimal as people write money, and only so: no sign, no
// exponent, no separator but the point.
func parseAmount(text string) (decimal.Decimal, error) {
	bad := func(what string) (decimal.Decimal, error) {
		return decimal.Decimal{}, newProblem(problemInvalidField, `The field "amount" `+what+".")
	}
	whole, decimals, point := strings.Cut(text, ".")
	switch {
	case !allDigits(whole) || point && !allDigits(decimals):
		return bad(`must be digits with at most one point, like "150.00"`)
	case len(whole) > 1 && whole[0] == '0':
		return bad("must not begin with extra zeros")
	case len(whole) > amountDigits:
		return bad(fmt.Sprintf("has more than %d digits before the point", amountDigits))
	case len(decimals) > amountDecimals:
		return bad(fmt.Sprintf("has more than %d digits after the point", amountDecimals))
	}
	amount, err := decimal.NewFromString(text)
	if err != nil {
		return decimal.Decimal{}, fmt.Errorf("amount of %d digits: %w", len(text), err)
	}
	if !amount.IsPositive() {
		return bad("must be more than zero")
	}
	return amount, nil
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

type orderDocument struct {
	Reference      string               `json:"reference"`
	Status         order.Status         `json:"status"`
	Amount         string               `json:"amount"`
	Currency       string               `json:"currency"`
	PaidAmount     string               `json:"paid_amount"`
	RefundedAmount string               `json:"refunded_amount"`
	CreatedAt      time.Time            `json:"created_at"`
	UpdatedAt      time.Time            `json:"updated_at"`
	Payments       []paymentDocument    `json:"payments"`
	OddPayments    []oddPaymentDocument `json:"odd_payments"`
	Timeline       []changeDocument     `json:"timeline"`
	Anomalies      []anomalyDocument    `json:"anomalies"`
}

type paymentDocument struct {
	ID              string              `json:"id"`
	Source          string              `json:"source"`
	Status          order.PaymentStatus `json:"status"`
	StatusDetail    string              `json:"status_detail"`
	Amount          *string             `json:"amount"`
	ShippingAmount  string              `json:"shipping_amount"`
	RefundedAmount  string              `json:"refunded_amount"`
	Currency        *string             `json:"currency"`
	CollectorID     string              `json:"collector_id"`
	LiveMode        bool                `json:"live_mode"`
	DateLastUpdated *time.Time          `json:"date_last_updated"`
	FetchedAt       time.Time           `json:"fetched_at"`
}

// An oddPaymentDocument is a payment that names the order and could not be booked.
type oddPaymentDocument struct {
	ID           string    `json:"id"`
	Source       string    `json:"source"`
	ErrorClass   string    `json:"error_class"`
	Fields       []string  `json:"fields"`
	Problem      string    `json:"problem"`
	QueueID      int64     `json:"queue_id"`
	DeadLetterID int64     `json:"dead_letter_id"`
	FetchedAt    time.Time `json:"fetched_at"`
}

// A changeDocument is the order as it stood after one change.
type changeDocument struct {
	At             time.Time    `json:"at"`
	Cause          string       `json:"cause"`
	QueueID        *int64       `json:"queue_id"`
	Status         order.Status `json:"status"`
	PaidAmount     string       `json:"paid_amount"`
	RefundedAmount string       `json:"refunded_amount"`
}

type anomalyDocument struct {
	ID        int64             `json:"id"`
	Kind      order.AnomalyKind `json:"kind"`
	PaymentID *string           `json:"payment_id"`
	Detail    json.RawMessage   `json:"detail"`
	OpenedAt  time.Time         `json:"opened_at"`
}

func newOrderDocument(o store.Order) orderDocument {
	doc := orderDocument{
		Reference:      o.Reference,
		Status:         o.Status,
		Amount:         order.FormatAmount(o.Terms.Amount, o.Terms.Currency),
		Currency:       o.Terms.Currency,
		PaidAmount:     order.FormatAmount(o.Paid, o.Terms.Currency),
		RefundedAmount: order.FormatAmount(o.Refunded, o.Terms.Currency),
		CreatedAt:      o.CreatedAt.UTC(),
		UpdatedAt:      o.UpdatedAt.UTC(),
		Payments:       make([]paymentDocument, len(o.Payments)),
		OddPayments:    make([]oddPaymentDocument, len(o.OddPayments)),
		Timeline:       make([]changeDocument, len(o.Timeline)),
		Anomalies:      make([]anomalyDocument, len(o.Anomalies)),
	}
	for i, p := range o.Payments {
		doc.Payments[i] = paymentDocument{
			ID: p.ID, Source: p.Source, Status: p.Status, StatusDetail: p.StatusDetail,
			ShippingAmount: order.FormatAmount(p.Shipping, p.Currency), RefundedAmount: order.FormatAmount(p.Refunded, p.Currency),
			CollectorID: p.CollectorID, LiveMode: p.LiveMode, FetchedAt: p.FetchedAt.UTC(),
		}
		if p.Amount.Valid {
			amount := order.FormatAmount(p.Amount.Decimal, p.Currency)
			doc.Payments[i].Amount = &amount
		}
		if p.Currency != "" {
			doc.Payments[i].Currency = &p.Currency
		}
		if !p.UpdatedAt.IsZero() {
			at := p.UpdatedAt.UTC()
			doc.Payments[i].DateLastUpdated = &at
		}
	}
	for i, p := range o.OddPayments {
		doc.OddPayments[i] = oddPaymentDocument{
			ID: p.PaymentID, Source: p.Source, ErrorClass: p.Class, Fields: p.Fields, Problem: p.Problem,
			QueueID: p.QueueID, DeadLetterID: p.DeadLetterID, FetchedAt: p.FetchedAt.UTC(),
		}
	}
	for i, t := range o.Timeline {
		doc.Timeline[i] = changeDocument{
			At: t.At.UTC(), Cause: t.Cause, QueueID: t.QueueID, Status: t.Status,
			PaidAmount: order.FormatAmount(t.Paid, o.Terms.Currency), RefundedAmount: order.FormatAmount(t.Refunded, o.Terms.Currency),
		}
	}
	for i, a := range o.Anomalies {
		doc.Anomalies[i] = anomalyDocument{ID: a.ID, Kind: a.Kind, Detail: a.Detail, OpenedAt: a.OpenedAt.UTC()}
		if a.PaymentID != "" {
			doc.Anomalies[i].PaymentID = &o.Anomalies[i].PaymentID
		}
	}
	return doc
}
