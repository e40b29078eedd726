package jobs

import (
	"fmt"
	"slices"

	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// PaymentArgs are the arguments of the job that settles an event about a
// payment.
type PaymentArgs struct{ eventRef }

// Kind is the job's name in the database. The prefix "webhook_" makes it an
// event job for the trigger that mirrors dead letters.
func (PaymentArgs) Kind() string { return "webhook_payment" }

// paymentOf translates a fetched payment into the ledger's words. Where it can't
// be booked the error says why, and odd what is to be kept: order.ErrUnknownStatus
// for a status outside the known ones, and a *provider.Error of the kind Odd for
// money in a currency that doesn't exist.
func paymentOf(p provider.Payment, event store.AttemptStart) (order.Payment, *provider.OddPayment, error) {
	odd := func(field provider.Field, problem string) *provider.OddPayment {
		return &provider.OddPayment{
			ID: p.ID, Reference: p.Reference, MerchantOrderID: p.MerchantOrderID, UpdatedAt: p.UpdatedAt,
			Fields: []provider.Field{field}, Problem: problem, Raw: p.Raw,
		}
	}
	status, err := order.ParsePaymentStatus(p.Status)
	if err != nil {
		err = fmt.Errorf("payment %s: %w", p.ID, err)
		return order.Payment{}, odd(provider.FieldStatus, err.Error()), err
	}
	payment := translate(p)
	payment.Status, payment.FetchedAt, payment.FetchMark = status, event.Now, event.Mark
	switch _, known := order.LookupCurrency(p.Currency); {
	case known:
	case moneyless(status):
		payment.Currency = ""
	default:
		why := odd(provider.FieldCurrency, "payment: its currency is not one of ISO 4217")
		return order.Payment{}, why, &provider.Error{Kind: provider.Odd, Err: why}
	}
	return payment, nil, nil
}

// moneyless reports whether a payment in that state has no money, neither come nor
// reserved.
func moneyless(s order.PaymentStatus) bool {
	return slices.Contains([]order.PaymentStatus{
		order.PaymentPending, order.PaymentInProcess, order.PaymentRejected, order.PaymentCancelled,
	}, s)
}

// translate is paymentOf without a judgement on the status, and without the fetch.
func translate(p provider.Payment) order.Payment {
	return order.Payment{
		ID: p.ID, Status: order.PaymentStatus(p.Status), StatusDetail: p.StatusDetail,
		Amount: p.Amount, Shipping: p.Shipping, Refunded: p.Refunded, Currency: p.Currency,
		CollectorID: p.CollectorID, SubscriptionID: p.SubscriptionID, SubscriptionNumber: p.SubscriptionNumber,
		LiveMode: p.LiveMode, Validation: p.Validation, CreatedAt: p.CreatedAt, UpdatedAt: p.UpdatedAt,
	}
}
