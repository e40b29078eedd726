package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/conciliar/conciliar/store/order"
)

// ErrCollector means that an order cannot belong to the account that was named.
var ErrCollector = &InvalidError{What: "the collector_id", code: "invalid_field"}

// RegisterOrder creates the order, or confirms it when it is there with the same
// terms. Payments that came before it settle in the same transaction. An order
// that was made from a payment takes the merchant's terms. The order belongs to the
// account of the terms, which are to name a seller or the main account; to the main
// one when they name none. The error is an *OrderConflictError when the terms
// contradict those of the merchant that stand, wraps ErrCollector for a new order of
// an account that is not ours, and is a *SchemaError when the owner of the database has forbidden such an order.
func (s *Store) RegisterOrder(ctx context.Context, reference string, terms order.Terms) (created bool, err error) {
	rules := s.rulesNow()
	if terms.CollectorID == rules.CollectorID {
		terms.CollectorID = ""
	}
	isOurs := terms.CollectorID == "" || slices.Contains(rules.Sellers, terms.CollectorID)
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		created = false
		if err := lockOrders(ctx, tx, []string{reference}); err != nil {
			return err
		}
		known, err := loadOrder(ctx, tx, reference)
		if err != nil {
			return err
		}
		why := settling{cause: causeRegistered}
		switch {
		case !isOurs && (known == nil || known.origin == orderFromPayment):
			return ErrCollector.because("is neither the main account nor one of the sellers")
		case known == nil:
			if err := insertOrder(ctx, tx, reference, terms, orderFromMerchant); err != nil {
				return refusedBySchema("order", err)
			}
			known, created = &knownOrder{Terms: terms}, true
		case known.origin == orderFromPayment:
			why.act = true
			if err := setTerms(ctx, tx, reference, known, terms); err != nil {
				return err
			}
		case !known.asks(terms) || known.CollectorID != terms.CollectorID:
			return &OrderConflictError{Reference: reference, Known: known.Terms, Asked: terms}
		}
		_, err = s.settleOrder(ctx, tx, reference, *known, why)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("register order %q: %w", reference, err)
	}
	return created, nil
}

// An OrderAct is what a person, or a program for one, does to an order.
type OrderAct struct {
	Reference string
	// Reason says why; required.
	Reason Note
	By     Actor
	// Allow, if set, is asked before anything is changed, with the order as it
	// stands. Its error is the act's.
	Allow func(Order) error
}

// AmendOrder gives the order other terms, settles it in the same transaction, and
// returns it. The same terms again change nothing. The error wraps
// ErrOrderNotFound, or order.ErrInvalidTerms; it is an *OrderCancelledError for an
// order that was cancelled, and a *SchemaError when the owner of the database has
// forbidden such an order.
func (s *Store) AmendOrder(ctx context.Context, act OrderAct, terms order.Terms) (Order, error) {
	if err := terms.Validate(); err != nil {
		return Order{}, fmt.Errorf("amend order %q: %w", act.Reference, err)
	}
	return s.actOnOrder(ctx, act, ActionAmendOrder, func(tx pgx.Tx, known *knownOrder) (cause string, err error) {
		switch {
		case known.Cancelled:
			return "", &OrderCancelledError{Reference: act.Reference}
		case known.asks(terms) && known.origin == orderFromMerchant:
			return "", nil
		}
		terms.CollectorID = known.CollectorID
		return causeAmended, setTerms(ctx, tx, act.Reference, known, terms)
	})
}

// CancelOrder cancels the order, and returns it. Money that is there or comes
// later still counts. What is cancelled already stays as it is. The error wraps
// ErrOrderNotFound.
func (s *Store) CancelOrder(ctx context.Context, act OrderAct) (Order, error) {
	return s.actOnOrder(ctx, act, ActionCancelOrder, func(tx pgx.Tx, known *knownOrder) (cause string, err error) {
		if known.Cancelled {
			return "", nil
		}
		known.Cancelled = true
		_, err = tx.Exec(ctx, `UPDATE orders SET cancelled_at = now() WHERE reference = $1`, act.Reference)
		return causeCancelled, err
	})
}

// actOnOrder does something to an order, settles it, and records who did it. An
// empty cause means that nothing was to be done.
func (s *Store) actOnOrder(ctx context.Context, a OrderAct, action string, change func(tx pgx.Tx, known *knownOrder) (cause string, err error)) (o Order, err error) {
	what := map[string]string{ActionAmendOrder: "amend", ActionCancelOrder: "cancel"}[action]
	if err := a.Reason.check(); err != nil {
		return Order{}, fmt.Errorf("%s order %q: %w", what, a.Reference, err)
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if err := lockOrders(ctx, tx, []string{a.Reference}); err != nil {
			return err
		}
		known, err := loadOrder(ctx, tx, a.Reference)
		if err != nil {
			return err
		}
		if known == nil {
			return ErrOrderNotFound.With(a.Reference)
		}
		if o, err = readOrder(ctx, tx, a.Reference); err != nil {
			return err
		}
		if a.Allow != nil {
			if err := a.Allow(o); err != nil {
				return err
			}
		}
		cause, err := change(tx, known)
		if err != nil || cause == "" {
			return err
		}
		why := settling{cause: cause, act: true, actor: a.By.Name, reason: a.Reason.text}
		if _, err := s.settleOrder(ctx, tx, a.Reference, *known, why); err != nil {
			return err
		}
		if err := record(ctx, tx, act{by: a.By, action: action, kind: TargetOrder, order: a.Reference, count: 1, note: a.Reason.text}); err != nil {
			return err
		}
		o, err = readOrder(ctx, tx, a.Reference)
		return err
	})
	if err != nil {
		return Order{}, fmt.Errorf("%s order %q: %w", what, a.Reference, err)
	}
	return o, nil
}

// asks reports whether the order asks for this.
func (o *knownOrder) asks(terms order.Terms) bool {
	return o.Amount.Equal(terms.Amount) && o.Currency == terms.Currency
}

// setTerms gives an order the merchant's terms, its account included. That it was cancelled stays.
func setTerms(ctx context.Context, tx pgx.Tx, reference string, known *knownOrder, terms order.Terms) error {
	terms.Cancelled = known.Cancelled
	known.Terms = terms
	_, err := tx.Exec(ctx, `UPDATE orders SET amount = $2, currency = $3, origin = $4, collector_id = $5 WHERE reference = $1`,
		reference, terms.Amount, terms.Currency, orderFromMerchant, terms.CollectorID)
	return refusedBySchema("order", err)
}
