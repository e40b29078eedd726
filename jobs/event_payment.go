package jobs

import (
	"context"
	"fmt"
	"time"

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
	if err != nil {
		return store.SettleResult{}, err
	}
	s.circuits.Succeeded(event.Source)
	payment, err := paymentOf(fetched, event.Now)
	if err != nil {
		// A person will want to see what the provider said, so the attempt
		// counts as judged only when that is kept.
		if keepErr := s.store.KeepResource(ctx, a, fetched.Raw); keepErr != nil {
			return store.SettleResult{}, ofStore(keepErr)
		}
		return store.SettleResult{}, err
	}
	result, err := s.store.Settle(ctx, a, store.FetchedPayment{
		Source: event.Source, Payment: payment, Reference: fetched.Reference, Raw: fetched.Raw,
	}, complete)
	return result, ofStore(err)
}

// paymentOf translates a fetched payment into the database' words. The error is
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
		ID: p.ID, Status: order.PaymentStatus(p.Status), StatusDetail: p.StatusDetail, Amount: p.Amount, Refunded: p.Refunded,
		Currency: p.Currency, CollectorID: p.CollectorID, LiveMode: p.LiveMode, Validation: p.Validation,
		UpdatedAt: p.UpdatedAt, FetchedAt: fetchedAt,
	}
}
