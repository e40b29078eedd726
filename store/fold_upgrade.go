package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/store/order"
)

// A PaymentExtra is what the rules of this release look at and earlier ones
// did not read from a provider's answer.
type PaymentExtra struct {
	Shipping           decimal.Decimal
	SubscriptionID     string
	SubscriptionNumber int64
	// CreatedAt is when the payment was made; zero when not said.
	CreatedAt time.Time
}

// A ReadExtra reads the extra facts from an answer as it was received. It is false
// where they can't be read: then what was read before stays.
type ReadExtra func(source string, raw []byte) (PaymentExtra, bool)

// A FoldPosition is where the fold of an upgrade is: what it did comes before.
type FoldPosition struct {
	Source    string
	PaymentID string
	Reference string
}

// BeginFold makes the ledger follow the rules of this release, and reports whether
// anything in them was settled under earlier ones. From then on a process that
// knows only those takes no event and no order.
func (s *Store) BeginFold(ctx context.Context) (behind bool, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		ledger, err := readValue[int](ctx, tx, `SELECT `+foldVersion)
		if err != nil {
			return err
		}
		if err := checkFold(ledger); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE books SET fold_version = $1 WHERE fold_version < $1`, order.FoldVersion); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM payments WHERE`+beforeFold+`)
			OR EXISTS (SELECT FROM orders WHERE`+beforeFold+`AND settled_at IS NOT NULL)`).Scan(&behind)
	})
	return behind, wrap(err, "bring the ledger under the rules of this release")
}

// A payment that was read under earlier rules.
type foldPayment struct {
	source, id, reference string
	extra                 PaymentExtra
	hasOrder              bool
}

// FoldPayments reads again up to limit payments after the position that were read
// under earlier rules, and settles those of them that have no order. It moves the
// position behind the last, and reports whether there are no more.
func (s *Store) FoldPayments(ctx context.Context, at *FoldPosition, limit int, read ReadExtra) (done bool, err error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT p.source, p.payment_id, coalesce(p.order_reference, ''), p.raw, o.reference IS NOT NULL,
		       p.shipping, coalesce(p.subscription_id, ''), p.subscription_number
		FROM payments p LEFT JOIN orders o ON o.reference = p.order_reference
		WHERE p.fold_version < $1 AND (p.source, p.payment_id) > ($2, $3)
		ORDER BY p.source, p.payment_id LIMIT $4`, order.FoldVersion, at.Source, at.PaymentID, limit)
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (foldPayment, error) {
		var p foldPayment
		var raw []byte
		err := row.Scan(&p.source, &p.id, &p.reference, &raw, &p.hasOrder,
			&p.extra.Shipping, &p.extra.SubscriptionID, &p.extra.SubscriptionNumber)
		// What was read of an answer stays when the answer is emptied.
		if extra, readable := read(p.source, raw); readable {
			p.extra = extra
		}
		return p, err
	})
	if err != nil {
		return false, fmt.Errorf("payments of an earlier release: %w", err)
	}
	var together []foldPayment
	for _, p := range found {
		if p.hasOrder {
			together = append(together, p)
			continue
		}
		if err := s.foldUnmatched(ctx, p); err != nil {
			return false, fmt.Errorf("payment %s of an earlier release: %w", p.id, err)
		}
	}
	if err := s.inTx(ctx, func(tx pgx.Tx) error { return foldRows(ctx, tx, together) }); err != nil {
		return false, fmt.Errorf("payments of an earlier release: %w", err)
	}
	if len(found) > 0 {
		last := found[len(found)-1]
		at.Source, at.PaymentID = last.source, last.id
	}
	return len(found) < limit, nil
}

// foldUnmatched reads a payment without an order again and settles it.
func (s *Store) foldUnmatched(ctx context.Context, p foldPayment) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		if err := lockPayment(ctx, tx, p.source, p.id); err != nil {
			return err
		}
		if err := foldRows(ctx, tx, []foldPayment{p}); err != nil {
			return err
		}
		known, err := loadPayment(ctx, tx, p.source, p.id)
		if err != nil || known == nil {
			return err
		}
		references := referencesOf(p.reference, known.reference)
		if err := lockOrders(ctx, tx, references); err != nil {
			return err
		}
		_, _, err = s.settlePayment(ctx, tx, settling{cause: causeUpgrade}, p.source, *known, references)
		return err
	})
}

// foldRows brings payments' rows, and the logs of their states, under the rules of
// this release: the extra facts, no reference where it names no order, and a date
// that is far ahead of its fetch counted as that. A payment that was fetched since
// is left as it is.
func foldRows(ctx context.Context, tx pgx.Tx, payments []foldPayment) error {
	if len(payments) == 0 {
		return nil
	}
	n := len(payments)
	sources, ids, shippings := make([]string, n), make([]string, n), make([]decimal.Decimal, n)
	subscriptions, numbers, nameless, created := make([]string, n), make([]int64, n), make([]bool, n), make([]*time.Time, n)
	for i, p := range payments {
		sources[i], ids[i], shippings[i] = p.source, p.id, p.extra.Shipping
		subscriptions[i], numbers[i] = text(p.extra.SubscriptionID), p.extra.SubscriptionNumber
		created[i] = orNull(p.extra.CreatedAt)
		nameless[i] = p.reference != "" && !order.NamesOrder(p.reference)
	}
	_, err := tx.Exec(ctx, `
		UPDATE payment_logs l
		SET changed_at = CASE WHEN l.date_last_updated > l.applied_at + $4 THEN l.applied_at ELSE l.changed_at END,
		    order_reference = CASE WHEN x.nameless THEN NULL ELSE l.order_reference END
		FROM unnest($1::text[], $2::text[], $3::boolean[]) AS x (source, id, nameless)
		WHERE l.source = x.source AND l.payment_id = x.id AND l.changed_at IS NULL
		  AND (x.nameless AND l.order_reference IS NOT NULL OR l.date_last_updated > l.applied_at + $4)`,
		sources, ids, nameless, order.ClockTolerance)
	if err != nil {
		return err
	}
	return execute(ctx, tx, `
		UPDATE payments p
		SET shipping = x.shipping, subscription_id = nullif(x.subscription, ''), subscription_number = x.number,
		    order_reference = CASE WHEN x.nameless THEN NULL ELSE p.order_reference END,
		    changed_at = coalesce(p.changed_at, (
		        SELECT max(l.changed_at) FROM payment_logs l
		        WHERE l.source = p.source AND l.payment_id = p.payment_id AND l.status = p.status AND l.date_last_updated = p.date_last_updated)),
		    date_created = coalesce(p.date_created, x.created), fold_version = $7
		FROM unnest($1::text[], $2::text[], $3::numeric[], $4::text[], $5::bigint[], $6::boolean[], $8::timestamptz[])
		     AS x (source, id, shipping, subscription, number, nameless, created)
		WHERE p.source = x.source AND p.payment_id = x.id AND p.fold_version < $7`,
		sources, ids, shippings, subscriptions, numbers, nameless, order.FoldVersion, created)
}

// FoldOrders settles again up to limit orders after the position that were settled
// under earlier rules. It moves the position behind the last, and reports whether
// there are no more. An order that can't be settled is left as it is: the error
// names it, and the others go on.
func (s *Store) FoldOrders(ctx context.Context, at *FoldPosition, limit int) (done bool, err error) {
	references, err := readColumn[string](ctx, s.pool, `
		SELECT reference FROM orders
		WHERE fold_version < $1 AND settled_at IS NOT NULL AND reference > $2
		ORDER BY reference LIMIT $3`, order.FoldVersion, at.Reference, limit)
	if err != nil {
		return false, fmt.Errorf("orders of an earlier release: %w", err)
	}
	var failed []error
	for _, reference := range references {
		at.Reference = reference
		err := s.inTx(ctx, func(tx pgx.Tx) error { return s.settleKnown(ctx, tx, reference, causeUpgrade) })
		if err != nil {
			failed = append(failed, fmt.Errorf("order %q of an earlier release: %w", reference, err))
		}
	}
	return len(references) < limit, errors.Join(failed...)
}
