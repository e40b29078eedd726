package store

import (
	"encoding/json"
	"time"

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
	CancelledAt *time.Time `json:"cancelled_at"`
	// CollectorID is the seller that the order belongs to; null for the main account.
	CollectorID *string           `json:"collector_id"`
	Payments    []paymentDocument `json:"payments"`
	// ProvisionalPayments are those that only a Mercado Pago order has shown.
	ProvisionalPayments []provisionalDocument `json:"provisional_payments"`
	OddPayments         []oddPaymentDocument  `json:"odd_payments"`
	Chargebacks         []chargebackDocument  `json:"chargebacks"`
	Claims              []claimDocument       `json:"claims"`
	Timeline            []changeDocument      `json:"timeline"`
	Anomalies           []anomalyDocument     `json:"anomalies"`
}

// A provisionalDocument is a payment as a Mercado Pago order has it, which is not known
// yet. Status is null where the order's words settle nothing.
type provisionalDocument struct {
	Alias           string               `json:"alias"`
	Source          string               `json:"source"`
	ProviderOrderID string               `json:"provider_order_id"`
	Status          *order.PaymentStatus `json:"status"`
	OrderStatus     string               `json:"order_status"`
	Amount          *string              `json:"amount"`
	RefundedAmount  string               `json:"refunded_amount"`
	Currency        *string              `json:"currency"`
	CollectorID     string               `json:"collector_id"`
	LiveMode        bool                 `json:"live_mode"`
	DateLastUpdated *time.Time           `json:"date_last_updated"`
	FetchedAt       time.Time            `json:"fetched_at"`
}

func newProvisionalDocument(p ProvisionalPayment) provisionalDocument {
	q := p.Payment
	doc := provisionalDocument{
		Alias: q.ID, Source: p.Source, ProviderOrderID: p.ProviderOrderID, OrderStatus: p.Said, Currency: orNil(q.Currency),
		RefundedAmount: order.FormatAmount(q.Refunded, q.Currency), CollectorID: q.CollectorID, LiveMode: q.LiveMode, FetchedAt: q.FetchedAt.UTC(),
	}
	if q.Status != "" {
		doc.Status = &q.Status
	}
	if q.Amount.Valid {
		doc.Amount = orNil(order.FormatAmount(q.Amount.Decimal, q.Currency))
	}
	if !q.UpdatedAt.IsZero() {
		at := q.UpdatedAt.UTC()
		doc.DateLastUpdated = &at
	}
	return doc
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

// A chargebackDocument is a chargeback of the order's payments. What was not said is
// null.
type chargebackDocument struct {
	ID                    string     `json:"id"`
	PaymentIDs            []string   `json:"payment_ids"`
	Amount                *string    `json:"amount"`
	Currency              *string    `json:"currency"`
	CoverageApplied       *bool      `json:"coverage_applied"`
	DocumentationRequired *bool      `json:"documentation_required"`
	DocumentationStatus   string     `json:"documentation_status"`
	DocumentationDeadline *time.Time `json:"date_documentation_deadline"`
	DocumentsWanted       bool       `json:"documents_wanted"`
	DateLastUpdated       *time.Time `json:"date_last_updated"`
}

// A claimDocument is a claim about the order or one of its payments.
type claimDocument struct {
	ID string `json:"id"`
	// PaymentID is null where the claim is about an order of the provider's.
	PaymentID       *string    `json:"payment_id"`
	ProviderOrderID *string    `json:"provider_order_id"`
	Status          string     `json:"status"`
	Type            string     `json:"type"`
	Stage           string     `json:"stage"`
	DateLastUpdated *time.Time `json:"date_last_updated"`
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
func NewOrderDocument(o Order) OrderDocument {
	doc := OrderDocument{
		Reference:      o.Reference,
		Status:         o.Status,
		Amount:         order.FormatAmount(o.Terms.Amount, o.Terms.Currency),
		Currency:       o.Terms.Currency,
		PaidAmount:     order.FormatAmount(o.Paid, o.Terms.Currency),
		RefundedAmount: order.FormatAmount(o.Refunded, o.Terms.Currency),
		CreatedAt:      o.CreatedAt.UTC(),
		UpdatedAt:      o.UpdatedAt.UTC(),
		CancelledAt:    said(deref(o.CancelledAt)),
		CollectorID:    orNil(o.Terms.CollectorID),
		Payments:       make([]paymentDocument, len(o.Payments)),
		OddPayments:    make([]oddPaymentDocument, len(o.OddPayments)),
		Chargebacks:    make([]chargebackDocument, len(o.Chargebacks)),
		Claims:         make([]claimDocument, len(o.Claims)),
		Timeline:       make([]changeDocument, len(o.Timeline)),
		Anomalies:      make([]anomalyDocument, len(o.Anomalies)),
	}
	for i, p := range o.Payments {
		doc.Payments[i] = newPaymentDocument(p)
	}
	doc.ProvisionalPayments = make([]provisionalDocument, len(o.ProvisionalPayments))
	for i, p := range o.ProvisionalPayments {
		doc.ProvisionalPayments[i] = newProvisionalDocument(p)
	}
	for i, p := range o.OddPayments {
		doc.OddPayments[i] = oddPaymentDocument{
			ID: p.PaymentID, Source: p.Source, ErrorClass: p.Class, Fields: p.Fields, Problem: p.Problem,
			QueueID: p.QueueID, DeadLetterID: p.DeadLetterID, FetchedAt: p.FetchedAt.UTC(),
		}
	}
	for i, c := range o.Chargebacks {
		doc.Chargebacks[i] = chargebackDocument{
			ID: c.ID, PaymentIDs: c.PaymentIDs, Currency: orNil(c.Currency), CoverageApplied: c.CoverageApplied,
			DocumentationRequired: c.DocumentationRequired, DocumentationStatus: c.DocumentationStatus, DocumentsWanted: c.DocumentsWanted,
			DocumentationDeadline: said(c.DocumentationDeadline), DateLastUpdated: said(c.UpdatedAt),
		}
		if c.Amount.Valid {
			amount := order.FormatAmount(c.Amount.Decimal, c.Currency)
			doc.Chargebacks[i].Amount = &amount
		}
	}
	for i, c := range o.Claims {
		doc.Claims[i] = claimDocument{
			ID: c.ID, PaymentID: orNil(c.PaymentID), ProviderOrderID: orNil(c.OrderID),
			Status: c.Status, Type: c.Type, Stage: c.Stage, DateLastUpdated: said(c.UpdatedAt),
		}
	}
	for i, t := range o.Timeline {
		doc.Timeline[i] = changeDocument{
			At: t.At.UTC(), Cause: t.Cause, QueueID: t.QueueID, Actor: orNil(t.Actor), Reason: orNil(t.Reason),
			Status: t.Status, Currency: t.Currency,
			PaidAmount: order.FormatAmount(t.Paid, t.Currency), RefundedAmount: order.FormatAmount(t.Refunded, t.Currency),
		}
		if t.Amount.Valid {
			amount := order.FormatAmount(t.Amount.Decimal, t.Currency)
			doc.Timeline[i].Amount = &amount
		}
	}
	for i, a := range o.Anomalies {
		doc.Anomalies[i] = newAnomalyDocument(a)
	}
	return doc
}

func newAnomalyDocument(a Anomaly) anomalyDocument {
	return anomalyDocument{ID: a.ID, Kind: a.Kind, PaymentID: orNil(a.PaymentID), Detail: a.Detail, OpenedAt: a.OpenedAt.UTC()}
}

// said is a time as callers see it: null for one that was not said.
func said(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	at = at.UTC()
	return &at
}
