package store_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

func TestOrderDocument_HasTheShapeOfTheInterface(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 9, 0, 0, 500_000_000, time.FixedZone("", -4*3600))
	event := int64(42)
	doc := store.NewOrderDocument(store.Order{
		Reference: "shop-1", Status: order.StatusPaid, CreatedAt: at, UpdatedAt: at,
		Terms: order.Terms{Amount: decimal.RequireFromString("150.00"), Currency: "ARS"},
		Paid:  decimal.RequireFromString("150"), Refunded: decimal.Zero,
		Payments: []store.OrderPayment{{Source: "mercadopago", Payment: order.Payment{
			ID: "139221234567890123", Status: order.PaymentApproved, StatusDetail: "accredited", Currency: "ARS",
			Amount: decimal.NewNullDecimal(decimal.RequireFromString("150.0")), CollectorID: "77", LiveMode: true, UpdatedAt: at, FetchedAt: at,
		}, ProviderOrderID: "ORD01"}},
		ProvisionalPayments: []store.ProvisionalPayment{
			{ProviderOrderID: "ORD02", Said: "processed/partially_refunded", Alias: order.Alias{Source: "mercadopago", Payment: order.Payment{
				ID: "PAY02", Status: order.PaymentApproved, Currency: "ARS", CollectorID: "77", LiveMode: true, UpdatedAt: at, FetchedAt: at,
				Amount: decimal.NewNullDecimal(decimal.RequireFromString("20")), Refunded: decimal.RequireFromString("5"),
			}}},
			{ProviderOrderID: "ORDTST03", Said: "charged_back/reimbursed", Alias: order.Alias{Source: "mercadopago", Payment: order.Payment{ID: "PAY03", FetchedAt: at}}},
		},
		OddPayments: []store.OddPayment{{
			QueueID: 43, DeadLetterID: 5, Source: "mercadopago", PaymentID: "8", Class: "odd_payment", Fields: []string{"amount"},
			Problem: "payment: transaction_amount is missing", FetchedAt: at,
		}},
		Chargebacks: []store.Chargeback{
			{
				ID: "2170", PaymentIDs: []string{"139221234567890123"}, Amount: decimal.NewNullDecimal(decimal.RequireFromString("150")), Currency: "ARS",
				DocumentationRequired: new(true), DocumentationStatus: "pending", DocumentationDeadline: at, DocumentsWanted: true, UpdatedAt: at,
			},
			{ID: "2171", PaymentIDs: []string{}, CoverageApplied: new(false)},
		},
		Claims: []store.Claim{
			{ID: "52", PaymentID: "139221234567890123", Status: "opened", Type: "mediations", Stage: "claim", UpdatedAt: at},
			{ID: "53", OrderID: "31", Reference: "shop-1"},
		},
		Timeline: []store.OrderChange{
			{At: at, Cause: "payment", QueueID: &event, Status: order.StatusPaid, Paid: decimal.RequireFromString("150"), Currency: "ARS"},
			{
				At: at, Cause: "amended", Actor: "token:a1", Reason: "a discount", Status: order.StatusPaid, Paid: decimal.RequireFromString("150"),
				Amount: decimal.NewNullDecimal(decimal.RequireFromString("150")), Currency: "ARS",
			},
		},
		Anomalies: []store.Anomaly{{ID: 7, Kind: order.AnomalyWrongMode, PaymentID: "9", Detail: json.RawMessage(`{"mode":"test"}`), OpenedAt: at}},
	})
	raw, err := json.Marshal(doc)
	require.NoError(t, err)
	require.JSONEq(t, `{
		"reference": "shop-1", "status": "paid", "amount": "150.00", "currency": "ARS",
		"paid_amount": "150.00", "refunded_amount": "0.00",
		"created_at": "2026-03-01T13:00:00.5Z", "updated_at": "2026-03-01T13:00:00.5Z", "cancelled_at": null, "collector_id": null,
		"payments": [{"id": "139221234567890123", "source": "mercadopago", "status": "approved", "status_detail": "accredited",
			"amount": "150.00", "shipping_amount": "0.00", "refunded_amount": "0.00", "currency": "ARS", "collector_id": "77", "live_mode": true,
			"payment_method": null, "payment_type": null,
			"provider_order_id": "ORD01", "date_last_updated": "2026-03-01T13:00:00.5Z", "fetched_at": "2026-03-01T13:00:00.5Z",
			"fee_amount": null, "application_fee_amount": null, "financing_fee_amount": null, "shipping_fee_amount": null,
			"taxes_amount": null, "net_amount": null, "release_date": null, "release_status": null, "releases": []}],
		"provisional_payments": [
			{"alias": "PAY02", "source": "mercadopago", "provider_order_id": "ORD02", "status": "approved", "order_status": "processed/partially_refunded",
			 "amount": "20.00", "refunded_amount": "5.00", "currency": "ARS", "collector_id": "77", "live_mode": true,
			 "date_last_updated": "2026-03-01T13:00:00.5Z", "fetched_at": "2026-03-01T13:00:00.5Z"},
			{"alias": "PAY03", "source": "mercadopago", "provider_order_id": "ORDTST03", "status": null, "order_status": "charged_back/reimbursed",
			 "amount": null, "refunded_amount": "0", "currency": null, "collector_id": "", "live_mode": false,
			 "date_last_updated": null, "fetched_at": "2026-03-01T13:00:00.5Z"}],
		"odd_payments": [{"id": "8", "source": "mercadopago", "error_class": "odd_payment", "fields": ["amount"],
			"problem": "payment: transaction_amount is missing", "queue_id": 43, "dead_letter_id": 5, "fetched_at": "2026-03-01T13:00:00.5Z"}],
		"chargebacks": [
			{"id": "2170", "payment_ids": ["139221234567890123"], "amount": "150.00", "currency": "ARS", "coverage_applied": null,
			 "documentation_required": true, "documentation_status": "pending", "date_documentation_deadline": "2026-03-01T13:00:00.5Z",
			 "documents_wanted": true, "date_last_updated": "2026-03-01T13:00:00.5Z"},
			{"id": "2171", "payment_ids": [], "amount": null, "currency": null, "coverage_applied": false, "documentation_required": null,
			 "documentation_status": "", "date_documentation_deadline": null, "documents_wanted": false, "date_last_updated": null}],
		"claims": [
			{"id": "52", "payment_id": "139221234567890123", "provider_order_id": null, "status": "opened", "type": "mediations", "stage": "claim",
			 "date_last_updated": "2026-03-01T13:00:00.5Z"},
			{"id": "53", "payment_id": null, "provider_order_id": "31", "status": "", "type": "", "stage": "", "date_last_updated": null}],
		"timeline": [{"at": "2026-03-01T13:00:00.5Z", "cause": "payment", "queue_id": 42, "actor": null, "reason": null,
			"status": "paid", "amount": null, "currency": "ARS", "paid_amount": "150.00", "refunded_amount": "0.00"},
			{"at": "2026-03-01T13:00:00.5Z", "cause": "amended", "queue_id": null, "actor": "token:a1", "reason": "a discount",
			"status": "paid", "amount": "150.00", "currency": "ARS", "paid_amount": "150.00", "refunded_amount": "0.00"}],
		"anomalies": [{"id": 7, "kind": "wrong_mode", "payment_id": "9", "detail": {"mode": "test"}, "opened_at": "2026-03-01T13:00:00.5Z"}]
	}`, string(raw))
}
