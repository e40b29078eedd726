package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// actorSQL is the actor in a timeline of an order that plain SQL changed.
const actorSQL = "sql"

// A RefusedOrder is an order that plain SQL gave terms that no payment can meet.
// It settles nothing.
type RefusedOrder struct {
	Reference string
	Err       error
}

// SettleUnsettled settles up to limit orders that plain SQL inserted, cancelled or
// gave other terms, and returns how many, and those that can't be settled for
// their terms: these stay as they are. It is safe to run in several processes at
// once.
func (s *Store) SettleUnsettled(ctx context.Context, limit int) (settled int, refused []RefusedOrder, err error) {
	after := ""
	for settled < limit {
		references, err := readColumn[string](ctx, s.pool, `
			SELECT reference FROM orders WHERE settled_at IS NULL AND reference > $1 ORDER BY reference LIMIT $2`, after, limit)
		if err != nil {
			return settled, refused, fmt.Errorf("unsettled orders: %w", err)
		}
		for _, reference := range references {
			after = reference
			invalid, err := s.settleUnsettled(ctx, reference)
			if err != nil {
				return settled, refused, fmt.Errorf("settle order %q: %w", reference, err)
			}
			if invalid != nil {
				refused = append(refused, RefusedOrder{reference, invalid})
			} else {
				settled++
			}
		}
		if len(references) < limit {
			break
		}
	}
	return settled, refused, nil
}

// settleUnsettled settles one order, unless another process has done so. invalid
// says why no payment can meet its terms.
func (s *Store) settleUnsettled(ctx context.Context, reference string) (invalid, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		invalid = nil
		if err := lockOrders(ctx, tx, []string{reference}); err != nil {
			return err
		}
		known, err := loadOrder(ctx, tx, reference)
		if err != nil || known == nil || known.settled {
			return err
		}
		if known.refused() != "" {
			invalid = known.Validate()
			return nil
		}
		cause, err := causeOfSQL(ctx, tx, reference, *known)
		if err != nil {
			return err
		}
		why := settling{cause: cause, act: true, actor: actorSQL}
		if cause == "" {
			why = settling{cause: causeRepair}
		}
		_, err = s.settleOrder(ctx, tx, reference, *known, why)
		return err
	})
	return invalid, err
}

// causeOfSQL is what plain SQL did to an order that is not settled; empty when it has
// the terms that it had, and is only to be settled again.
func causeOfSQL(ctx context.Context, tx pgx.Tx, reference string, o knownOrder) (string, error) {
	var known, knownCancelled, sameTerms bool
	err := tx.QueryRow(ctx, `
		SELECT count(*) > 0, coalesce(bool_or(cause = $2), false),
		       coalesce((SELECT l.amount = $3 AND l.currency = $4 AND coalesce(l.collector_id, $5) = $5 FROM order_logs l WHERE l.order_reference = $1 ORDER BY l.id DESC LIMIT 1), false)
		FROM order_logs WHERE order_reference = $1`, reference, causeCancelled, o.Amount, o.Currency, o.CollectorID).
		Scan(&known, &knownCancelled, &sameTerms)
	switch {
	case err != nil:
		return "", err
	case !known:
		return causeRegistered, nil
	case o.Cancelled && !knownCancelled:
		return causeCancelled, nil
	case sameTerms && o.Cancelled == knownCancelled:
		return "", nil
	}
	return causeAmended, nil
}
