package api

import (
	"encoding/json"
	"time"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// An OrderDocument is an order as callers and commands see it.
type OrderDocument struct {
	Reference      string       `json:"reference"`
	Status         order.Status `json:"status"`
	Amount         string       `json:"amount"`
	Currency       string       `json:"currency"`
	PaidAmount     string       `json:"paid_amount"`
	RefundedAmount string       `json:"refunded_amount"`
	CreatedAt      time.Time    `json:"created_at"`
	UpdatedAt      time.Time    `json:"updated_at"`
	// CancelledAt is when the merchant called the order off.
	CancelledAt *time.Time           `json:"cancelled_at"`
	Payments    []paymentDocument    `json:"payments"`
	OddPayments []oddPaymentDocument `json:"odd_payments"`
	Timeline    []changeDocument     `json:"timeline"`
	Anomalies   []anomalyDocument    `json:"anomalies"`
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
	At      time.Time `json:"at"`
	Cause   string    `json:"cause"`
	QueueID *int64    `json:"queue_id"`
	// Actor is who did it and Reason why; null for what no person did.
	Actor  *string      `json:"actor"`
	Reason *string      `json:"reason"`
	Status order.Status `json:"status"`
	// Amount is what the order asked for from then on; null in entries of earlier
	// releases.
	Amount         *string `json:"amount"`
	Currency       string  `json:"currency"`
	PaidAmount     string  `json:"paid_amount"`
	RefundedAmount string  `json:"refunded_amount"`
}

type anomalyDocument struct {
	ID        int64             `json:"id"`
	Kind      order.AnomalyKind `json:"kind"`
	PaymentID *string           `json:"payment_id"`
	Detail    json.RawMessage   `json:"detail"`
	OpenedAt  time.Time         `json:"opened_at"`
}

// NewOrderDocument returns the order's document.
func NewOrderDocument(o store.Order) OrderDocument {
	doc := OrderDocument{
		Reference:      o.Reference,
		Status:         o.Status,
		Amount:         order.FormatAmount(o.Terms.Amount, o.Terms.Currency),
		Currency:       o.Terms.Currency,
		PaidAmount:     order.FormatAmount(o.Paid, o.Terms.Currency),
		RefundedAmount: order.FormatAmount(o.Refunded, o.Terms.Currency),
		CreatedAt:      o.CreatedAt.UTC(),
		UpdatedAt:      o.UpdatedAt.UTC(),
		CancelledAt:    utc(o.CancelledAt),
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
			At: t.At.UTC(), Cause: t.Cause, QueueID: t.QueueID, Actor: nullable(t.Actor), Reason: nullable(t.Reason),
			Status: t.Status, Currency: t.Currency,
			PaidAmount: order.FormatAmount(t.Paid, t.Currency), RefundedAmount: order.FormatAmount(t.Refunded, t.Currency),
		}
		if t.Amount.Valid {
			amount := order.FormatAmount(t.Amount.Decimal, t.Currency)
			doc.Timeline[i].Amount = &amount
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
