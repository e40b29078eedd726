package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/shopspring/decimal"

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

// A PaymentFetcher asks a provider for the truth.
type PaymentFetcher interface {
	// Payment fetches one payment. Its error is a *provider.Error.
	Payment(ctx context.Context, id string) (provider.Payment, error)
	// CheckCredentials returns nil when the provider accepts our credentials.
	CheckCredentials(ctx context.Context) error
}

// settlePayment fetches the payment that an event is about and settles it.
func (s *eventShell) settlePayment(ctx context.Context, a store.Attempt, event store.AttemptStart, complete store.CompleteJob) (store.SettleResult, error) {
	fetched, err := s.payments[event.Source].Payment(ctx, event.ResourceID)
	var odd *provider.OddPayment
	if errors.As(err, &odd) {
		return store.SettleResult{}, s.keep(ctx, a, odd.Raw, err)
	}
	if err != nil {
		return store.SettleResult{}, err
	}
	s.circuits.Succeeded(event.Source)
	payment, err := paymentOf(fetched, event.Now)
	if err != nil {
		return store.SettleResult{}, s.keep(ctx, a, fetched.Raw, err)
	}
	result, err := s.store.Settle(ctx, a, store.FetchedPayment{
		Source: event.Source, Payment: payment, Reference: fetched.Reference, Raw: fetched.Raw,
	}, complete)
	return result, ofStore(err)
}

// keep keeps what the provider said of a payment that can't be booked, and
// returns why not. A person will want to see it, so the attempt counts as judged
// only when it is kept.
func (s *eventShell) keep(ctx context.Context, a store.Attempt, raw []byte, why error) error {
	if err := s.store.KeepResource(ctx, a, raw); err != nil {
		return ofStore(err)
	}
	return why
}

// paymentOf translates a fetched payment into the database's words. The error is
// order.ErrUnknownStatus for a status outside the known ones.
func paymentOf(p provider.Payment, fetchedAt time.Time) (order.Payment, error) {
	status, err := order.ParsePaymentStatus(p.Status)
	if err != nil {
		return order.Payment{}, fmt.Errorf("payment %s: %w", p.ID, err)
	}
	payment := translate(p, fetchedAt)
	payment.Status = status
	return payment, nil
}

// translate is paymentOf without a judgement on the status.
func translate(p provider.Payment, fetchedAt time.Time) order.Payment {
	return order.Payment{
		ID: p.ID, Status: order.PaymentStatus(p.Status), StatusDetail: p.StatusDetail,
		// What went back with the shipping is not part of the amount.
		Amount: p.Amount.Decimal, Refunded: decimal.Min(p.Refunded, p.Amount.Decimal),
		Currency: p.Currency, CollectorID: p.CollectorID, LiveMode: p.LiveMode, Validation: p.Validation,
		UpdatedAt: p.UpdatedAt, FetchedAt: fetchedAt,
	}
}
