package store

import (
	"encoding/json"
	"time"

	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/store/order"
)

// orderFields are what an order is, as callers and commands see it, alone and in lists.
type orderFields struct {
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
	CollectorID *string `json:"collector_id"`
}

func newOrderFields(o OrderSummary) orderFields {
	money := func(amount decimal.Decimal) string { return order.FormatAmount(amount, o.Terms.Currency) }
	return orderFields{
		Reference: o.Reference, Status: o.Status, Amount: money(o.Terms.Amount), Currency: o.Terms.Currency,
		PaidAmount: money(o.Paid), RefundedAmount: money(o.Refunded), CreatedAt: o.CreatedAt.UTC(), UpdatedAt: o.UpdatedAt.UTC(),
		CancelledAt: said(deref(o.CancelledAt)), CollectorID: orNil(o.Terms.CollectorID),
	}
}

// An OrderSummaryDocument is an order in a list.
type OrderSummaryDocument struct {
	orderFields
	// Anomalies are the kinds of those that are open about it.
	Anomalies []order.AnomalyKind `json:"anomalies"`
}

// NewOrderSummaryDocument returns the order's document.
func NewOrderSummaryDocument(o OrderSummary) OrderSummaryDocument {
	return OrderSummaryDocument{newOrderFields(o), append([]order.AnomalyKind{}, o.Anomalies...)}
}

// An OrderDocument is an order with all that is known of it.
type OrderDocument struct {
	orderFields
	Payments []paymentDocument `json:"payments"`
	// ProvisionalPayments are those that only an order of the provider's has shown.
	ProvisionalPayments []provisionalDocument `json:"provisional_payments"`
	OddPayments         []oddPaymentDocument  `json:"odd_payments"`
	Chargebacks         []chargebackDocument  `json:"chargebacks"`
	Claims              []claimDocument       `json:"claims"`
	Timeline            []changeDocument      `json:"timeline"`
	Anomalies           []anomalyDocument     `json:"anomalies"`
}

// A provisionalDocument is a payment as an order of the provider's has it, which is not known
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
	return provisionalDocument{
		Alias: q.ID, Source: p.Source, ProviderOrderID: p.ProviderOrderID, Status: orNil(q.Status), OrderStatus: p.Said,
		Amount: order.FormatKnown(q.Amount, q.Currency), Currency: orNil(q.Currency), RefundedAmount: order.FormatAmount(q.Refunded, q.Currency),
		CollectorID: q.CollectorID, LiveMode: q.LiveMode, DateLastUpdated: said(q.UpdatedAt), FetchedAt: q.FetchedAt.UTC(),
	}
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
	return OrderDocument{
		orderFields: newOrderFields(OrderSummary{
			Reference: o.Reference, Status: o.Status, Terms: o.Terms, Paid: o.Paid, Refunded: o.Refunded,
			CreatedAt: o.CreatedAt, UpdatedAt: o.UpdatedAt, CancelledAt: o.CancelledAt,
		}),
		Payments:    mapped(o.Payments, newPaymentDocument),
		OddPayments: mapped(o.OddPayments, newOddPaymentDocument),
		Chargebacks: mapped(o.Chargebacks, newChargebackDocument),
		Claims:      mapped(o.Claims, newClaimDocument),
		Timeline:    mapped(o.Timeline, newChangeDocument),
		Anomalies:   mapped(o.Anomalies, newAnomalyDocument),

		ProvisionalPayments: mapped(o.ProvisionalPayments, newProvisionalDocument),
	}
}

// mapped is what each of the items becomes; never nil.
func mapped[T, D any](items []T, to func(T) D) []D {
	made := make([]D, len(items))
	for i, item := range items {
		made[i] = to(item)
	}
	return made
}

func newOddPaymentDocument(p OddPayment) oddPaymentDocument {
	return oddPaymentDocument{
		ID: p.PaymentID, Source: p.Source, ErrorClass: p.Class, Fields: p.Fields, Problem: p.Problem,
		QueueID: p.QueueID, DeadLetterID: p.DeadLetterID, FetchedAt: p.FetchedAt.UTC(),
	}
}

func newChargebackDocument(c Chargeback) chargebackDocument {
	return chargebackDocument{
		ID: c.ID, PaymentIDs: c.PaymentIDs, Amount: order.FormatKnown(c.Amount, c.Currency), Currency: orNil(c.Currency), CoverageApplied: c.CoverageApplied,
		DocumentationRequired: c.DocumentationRequired, DocumentationStatus: c.DocumentationStatus, DocumentsWanted: c.DocumentsWanted,
		DocumentationDeadline: said(c.DocumentationDeadline), DateLastUpdated: said(c.UpdatedAt),
	}
}

func newClaimDocument(c Claim) claimDocument {
	return claimDocument{
		ID: c.ID, PaymentID: orNil(c.PaymentID), ProviderOrderID: orNil(c.OrderID),
		Status: c.Status, Type: c.Type, Stage: c.Stage, DateLastUpdated: said(c.UpdatedAt),
	}
}

func newChangeDocument(t OrderChange) changeDocument {
	return changeDocument{
		At: t.At.UTC(), Cause: t.Cause, QueueID: t.QueueID, Actor: orNil(t.Actor), Reason: orNil(t.Reason),
		Status: t.Status, Amount: order.FormatKnown(t.Amount, t.Currency), Currency: t.Currency,
		PaidAmount: order.FormatAmount(t.Paid, t.Currency), RefundedAmount: order.FormatAmount(t.Refunded, t.Currency),
	}
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
