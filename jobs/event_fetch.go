package jobs

import (
	"context"
	"errors"

	"github.com/riverqueue/river/rivertype"

	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// A Fetcher asks a provider for the truth.
type Fetcher interface {
	// Fetch fetches what an event names. Where that can't be read, the notification's
	// body may name what to fetch instead; it is nil where it has no say. The error is
	// a *provider.Error, or wraps provider.ErrUnknownTopic.
	Fetch(ctx context.Context, ref provider.Ref, notification []byte) (provider.Found, error)
	// OrderReference is the order reference that a notification's body names; empty
	// when it names none. It proves nothing.
	OrderReference(notification []byte) string
	// Authorization reads the action of an event about a seller's consent: given or
	// withdrawn. told is false for any other.
	Authorization(action string) (given, told bool)
	// IsTest reports whether a delivery's body says of itself that it is the
	// provider's test. It is believed where what the delivery names is not found.
	IsTest(body []byte) bool
	// Payment fetches one payment: the question by which a provider that is down
	// is tried. Its error is a *provider.Error.
	Payment(ctx context.Context, id string) (provider.Payment, error)
	// MerchantOrderReference fetches the order reference that a merchant order
	// names; empty when it names none. Its error is a *provider.Error.
	MerchantOrderReference(ctx context.Context, id string) (string, error)
	// CheckCredentials returns nil when the provider accepts our credentials.
	CheckCredentials(ctx context.Context) error
	// SearchPayments fetches one page of payments. Its error is a *provider.Error.
	SearchPayments(ctx context.Context, query provider.SearchQuery) (provider.SearchPage, error)
}

// fetch fetches what an event names and applies it: a payment is settled, and
// what is to be fetched next becomes events.
func (s *eventShell) fetch(ctx context.Context, job *rivertype.JobRow, a store.Attempt, event store.AttemptStart) (store.SettleResult, error) {
	account := s.accounts.of(event.Source, event.CollectorID)
	asks := s.accounts.fetcher(account)
	if asks == nil {
		return store.SettleResult{}, errNoAccount
	}
	found, event, err := s.found(ctx, asks, account, event)
	if odd, ok := errors.AsType[*provider.OddPayment](err); ok {
		own := *odd // another event may have been answered the same
		odd = &own
		if odd.Reference == "" && odd.MerchantOrderID != "" {
			// It helps a person to find the order, and settles nothing.
			odd.Reference, _ = asks.MerchantOrderReference(ctx, odd.MerchantOrderID)
		}
		return store.SettleResult{}, s.putAside(ctx, a, event.Source, odd, err)
	}
	if err != nil {
		return store.SettleResult{}, err
	}
	if !event.Hint {
		s.circuits.Succeeded(account)
	}
	if p := found.Payment; p != nil {
		if owner := s.accounts.of(event.Source, p.CollectorID); owner != account && s.isOurs(owner, p.CollectorID) {
			return store.SettleResult{}, &otherAccountError{collectorID: p.CollectorID}
		}
	}
	fetched := store.Fetched{Event: event, Background: job.Priority >= priorityBackground, Trace: traceparentOf(ctx)}
	for _, ref := range found.Next {
		fetched.Next = append(fetched.Next, store.Ref(ref))
	}
	if c := found.Chargeback; c != nil {
		kept := store.Chargeback(*c)
		fetched.Chargeback = &kept
	}
	if c := found.Claim; c != nil {
		kept := store.Claim(*c)
		fetched.Claim = &kept
	}
	fetched.Ordered, fetched.Wait = orderedPayments(event, found.Ordered), s.policy.backoff.wait(1)
	if found.Payment != nil {
		p := *found.Payment
		if p.Reference, err = s.referenceOf(ctx, asks, event.Source, p, job.Attempt >= job.MaxAttempts); err != nil {
			return store.SettleResult{}, err
		}
		payment, odd, err := paymentOf(p, event)
		if err != nil {
			return store.SettleResult{}, s.putAside(ctx, a, event.Source, odd, err)
		}
		fetched.Payment = &store.FetchedPayment{
			Source: event.Source, Payment: payment, Reference: p.Reference, Cost: store.PaymentCost(p.Cost), Method: store.PaymentMethod(p.Method),
			Raw: p.Raw, NotBefore: event.NotBefore,
		}
	}
	endTurn(ctx)
	result, err := s.settler.Apply(ctx, a, fetched)
	if errors.Is(err, store.ErrAnswerOlder) {
		// What answers may be a copy that lags.
		if noted := s.store.AskAgain(ctx, a); noted != nil {
			return store.SettleResult{}, ofStore(noted)
		}
	}
	return result, ofStore(err)
}

// found fetches what an event names, and returns the event as the fetch began. A payment
// is fetched once for all events about it that wait at that moment.
func (s *eventShell) found(ctx context.Context, asks Fetcher, account store.Account, event store.AttemptStart) (provider.Found, store.AttemptStart, error) {
	if event.Work == store.WorkPayment {
		return s.shared.fetch(ctx, asks, account, event)
	}
	found, err := asks.Fetch(ctx, provider.Ref{Topic: event.Topic, ID: event.ResourceID}, event.Payload)
	return found, event, err
}

// orderedPayments translates payments as an order of the provider's has them into the
// ledger's words.
func orderedPayments(event store.AttemptStart, ordered []provider.OrderedPayment) []store.OrderedPayment {
	payments := make([]store.OrderedPayment, len(ordered))
	for i, p := range ordered {
		payments[i] = store.OrderedPayment{
			Order: store.Ref(p.Order), Reference: p.Reference, Said: p.Said,
			Alias: order.Alias{
				Source: event.Source, PaymentID: p.PaymentID, Numbered: p.PaymentID != "", OrderCreatedAt: p.OrderCreatedAt,
				Provisional: !p.Shown, Awaited: p.Awaited,
				Payment: order.Payment{
					ID: p.ID, Status: order.PaymentStatus(p.Status), StatusDetail: p.Said, Amount: p.Amount, Refunded: p.Refunded,
					Currency: p.Currency, CollectorID: p.CollectorID, LiveMode: p.LiveMode, UpdatedAt: p.OrderUpdatedAt,
					FetchedAt: event.Now, FetchMark: event.Mark,
				},
			},
		}
		if !p.OrderUpdatedAt.IsZero() {
			payments[i].UpdatedNanos = p.OrderUpdatedAt.UnixNano()
		}
		if _, known := order.LookupCurrency(p.Currency); !known {
			payments[i].Payment.Currency = ""
			if !moneyless(payments[i].Payment.Status) {
				payments[i].Payment.Status = ""
			}
		}
	}
	return payments
}

// referenceOf is the order reference of a payment: its own, or that of the merchant
// order that it names. One that can't be read delays the payment by its attempts at
// most, and not at all where asking again does not help; then what is known of the
// payment already stays.
func (s *eventShell) referenceOf(ctx context.Context, asks Fetcher, source string, p provider.Payment, last bool) (string, error) {
	if p.Reference != "" || p.MerchantOrderID == "" {
		return p.Reference, nil
	}
	reference, err := asks.MerchantOrderReference(ctx, p.MerchantOrderID)
	var asked *provider.Error
	switch {
	case err == nil:
		return reference, nil
	case ctx.Err() != nil, !errors.As(err, &asked):
		return "", err
	}
	switch asked.Kind {
	case provider.Unavailable, provider.Unreadable, provider.RateLimited, provider.ResourceNotFound, provider.NotFound, provider.NotListed, provider.Locked:
		if !last {
			return "", err
		}
	case provider.Unauthorized, provider.Forbidden, provider.Unexpected, provider.Odd:
	}
	known, knownErr := s.store.Payment(ctx, source, p.ID)
	if knownErr != nil && !errors.Is(knownErr, store.ErrPaymentNotFound) {
		return "", ofStore(knownErr)
	}
	s.logger.WarnContext(ctx, "the merchant order of a payment without a reference can't be read",
		"payment_id", p.ID, "merchant_order_id", p.MerchantOrderID, "order_reference", known.Reference, "error", err)
	return known.Reference, nil
}

// putAside keeps what the provider said of a payment that can't be booked, and
// returns why not. A person will want to see it, so the attempt counts as judged
// only when it is kept.
func (s *eventShell) putAside(ctx context.Context, a store.Attempt, source string, odd *provider.OddPayment, why error) error {
	fields := make([]string, len(odd.Fields))
	for i, field := range odd.Fields {
		fields[i] = string(field)
	}
	err := s.store.KeepOdd(ctx, a, store.OddAnswer{Source: source, Reference: odd.Reference, Fields: fields, Problem: odd.Problem, Raw: odd.Raw})
	if err != nil {
		return ofStore(err)
	}
	s.metrics.countOdd(odd.Fields)
	return why
}
