package store

import (
	"time"

	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/store/order"
)

// A paymentDocument is a payment as callers see it.
type paymentDocument struct {
	ID             string              `json:"id"`
	Source         string              `json:"source"`
	Status         order.PaymentStatus `json:"status"`
	StatusDetail   string              `json:"status_detail"`
	Amount         *string             `json:"amount"`
	ShippingAmount string              `json:"shipping_amount"`
	RefundedAmount string              `json:"refunded_amount"`
	Currency       *string             `json:"currency"`
	CollectorID    string              `json:"collector_id"`
	LiveMode       bool                `json:"live_mode"`
	// PaymentMethod and PaymentType are null where they were not said, or not read yet.
	PaymentMethod   *string    `json:"payment_method"`
	PaymentType     *string    `json:"payment_type"`
	ProviderOrderID *string    `json:"provider_order_id"`
	DateLastUpdated *time.Time `json:"date_last_updated"`
	FetchedAt       time.Time  `json:"fetched_at"`
	costDocument
	// ReleaseDate is when the money is or was made available.
	ReleaseDate   *time.Time `json:"release_date"`
	ReleaseStatus *string    `json:"release_status"`
	// Releases are those that reports show.
	Releases []releaseDocument `json:"releases"`
}

// A releaseDocument is money of a payment that became available, as a report says, and
// the payout that it is a part of; null while there is none.
type releaseDocument struct {
	ReleasedAt time.Time  `json:"released_at"`
	Amount     string     `json:"amount"`
	PayoutID   *string    `json:"payout_id"`
	PaidOutAt  *time.Time `json:"paid_out_at"`
}

// A costDocument is what a payment, or the payments of a day, cost their collector.
// Null is what was not said.
type costDocument struct {
	FeeAmount            *string `json:"fee_amount"`
	ApplicationFeeAmount *string `json:"application_fee_amount"`
	FinancingFeeAmount   *string `json:"financing_fee_amount"`
	ShippingFeeAmount    *string `json:"shipping_fee_amount"`
	TaxesAmount          *string `json:"taxes_amount"`
	NetAmount            *string `json:"net_amount"`
}

func newCostDocument(c PaymentCost, currency string) costDocument {
	money := func(d decimal.NullDecimal) *string { return order.FormatKnown(d, currency) }
	return costDocument{
		FeeAmount: money(c.Fee), ApplicationFeeAmount: money(c.ApplicationFee), FinancingFeeAmount: money(c.FinancingFee),
		ShippingFeeAmount: money(c.ShippingFee), TaxesAmount: money(c.Taxes), NetAmount: money(c.Net),
	}
}

func newPaymentDocument(p OrderPayment) paymentDocument {
	return paymentDocument{
		ID: p.ID, Source: p.Source, Status: p.Status, StatusDetail: p.StatusDetail, Amount: order.FormatKnown(p.Amount, p.Currency),
		ShippingAmount: order.FormatAmount(p.Shipping, p.Currency), RefundedAmount: order.FormatAmount(p.Refunded, p.Currency),
		Currency: orNil(p.Currency), CollectorID: p.CollectorID, LiveMode: p.LiveMode,
		PaymentMethod: orNil(p.Method.ID), PaymentType: orNil(p.Method.Type), ProviderOrderID: orNil(p.ProviderOrderID),
		DateLastUpdated: said(p.UpdatedAt), FetchedAt: p.FetchedAt.UTC(),
		costDocument: newCostDocument(p.Cost, p.Currency), ReleaseDate: said(p.Cost.ReleaseDate), ReleaseStatus: orNil(p.Cost.ReleaseStatus),
		Releases: mapped(p.Releases, func(r PaymentRelease) releaseDocument {
			return releaseDocument{r.ReleasedAt.UTC(), order.FormatAmount(r.Amount, p.Currency), r.PayoutID, said(deref(r.PaidOutAt))}
		}),
	}
}

// A PaymentSummaryDocument is a payment in the list of payments.
type PaymentSummaryDocument struct {
	paymentDocument
	// OrderReference is null where the payment names none.
	OrderReference *string   `json:"order_reference"`
	UpdatedAt      time.Time `json:"updated_at"`
}

// NewPaymentSummaryDocument returns the payment's document.
func NewPaymentSummaryDocument(p PaymentSummary) PaymentSummaryDocument {
	return PaymentSummaryDocument{newPaymentDocument(p.OrderPayment), orNil(p.Reference), p.WrittenAt.UTC()}
}

// A PaymentDayDocument is what the payments of one currency that were made on one day
// brought.
type PaymentDayDocument struct {
	Day            string `json:"day"`
	Currency       string `json:"currency"`
	Payments       int64  `json:"payments"`
	GrossAmount    string `json:"gross_amount"`
	RefundedAmount string `json:"refunded_amount"`
	costDocument
	// NetUnknown is how many of them have not said what is left, CostUnknown how many have
	// not said all that was taken of them.
	NetUnknown  int64 `json:"net_unknown"`
	CostUnknown int64 `json:"cost_unknown"`
}

// NewPaymentDayDocument returns the day's document.
func NewPaymentDayDocument(d PaymentDay) PaymentDayDocument {
	return PaymentDayDocument{
		Day: d.Day.Format(time.DateOnly), Currency: d.Currency, Payments: d.Payments, NetUnknown: d.Unknown, CostUnknown: d.CostUnknown,
		GrossAmount: order.FormatAmount(d.Gross, d.Currency), RefundedAmount: order.FormatAmount(d.Refunded, d.Currency),
		costDocument: newCostDocument(d.Cost, d.Currency),
	}
}
