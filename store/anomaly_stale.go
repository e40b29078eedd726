package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/conciliar/conciliar/store/order"
)

// staleBatch is how many open anomalies are held against what yields them at a
// time.
const staleBatch = 500

// A staleAnomaly is an open anomaly that nothing yields any more.
type staleAnomaly struct {
	ID        int64             `json:"anomaly_id"`
	Kind      order.AnomalyKind `json:"kind"`
	Reference string            `json:"order_reference"`
	PaymentID string            `json:"payment_id"`

	source string
}

// eachStale reads the open anomalies that close by themselves and yet were left
// open. What was settled under earlier rules is left to the fold of the upgrade,
// and an order whose terms plain SQL wrote to the sweep that settles it.
func (s *Store) eachStale(ctx context.Context, tx pgx.Tx, each func(staleAnomaly)) error {
	for after := int64(0); ; {
		rows, _ := tx.Query(ctx, `
			SELECT a.id, a.kind, coalesce(a.order_reference, ''), coalesce(a.payment_id, ''), coalesce(a.source, ''),
			       o.settled_at IS NOT NULL AS has_order,
			       (o.reference IS NULL OR o.settled_at IS NOT NULL) AND coalesce(o.fold_version, $4) >= $4 AND coalesce(p.fold_version, $4) >= $4
			FROM anomalies a
			LEFT JOIN orders o ON o.reference = a.order_reference
			LEFT JOIN payments p ON p.source = a.source AND p.payment_id = a.payment_id
			WHERE a.closed_at IS NULL AND a.kind = ANY ($1) AND a.id > $2
			ORDER BY a.id LIMIT $3`, foldedKinds, after, staleBatch, order.FoldVersion)
		var ofOrders, ofPayments []staleAnomaly
		var a staleAnomaly
		var hasOrder, folded bool
		read := 0
		if _, err := pgx.ForEachRow(rows, []any{&a.ID, &a.Kind, &a.Reference, &a.PaymentID, &a.source, &hasOrder, &folded}, func() error {
			read++
			after = a.ID
			switch {
			case !folded:
			case hasOrder:
				ofOrders = append(ofOrders, a)
			default:
				ofPayments = append(ofPayments, a)
			}
			return nil
		}); err != nil {
			return err
		}
		if err := s.staleOfOrders(ctx, tx, ofOrders, each); err != nil {
			return err
		}
		if err := s.staleOfPayments(ctx, tx, ofPayments, each); err != nil {
			return err
		}
		if read < staleBatch {
			return nil
		}
	}
}

// anomalyKey tells the anomalies of one order or one payment apart.
type anomalyKey struct {
	kind      order.AnomalyKind
	reference string
	paymentID string
}

// staleOfOrders holds anomalies of orders against the fold of their payments.
func (s *Store) staleOfOrders(ctx context.Context, tx pgx.Tx, open []staleAnomaly, each func(staleAnomaly)) error {
	if len(open) == 0 {
		return nil
	}
	var references []string
	for _, a := range open {
		references = append(references, a.Reference)
	}
	yielded, unsound := map[anomalyKey]bool{}, map[string]bool{}
	err := eachFold(ctx, tx, `true`, `o.reference = ANY ($1)`, []any{referencesOf(references...)}, func(fold orderFold) {
		settled, _, err := order.Fold(fold.terms, s.rulesNow(), fold.known, fold.aliases)
		if err != nil {
			unsound[fold.reference] = true // another invariant tells of it
			return
		}
		for _, a := range settled.Anomalies {
			yielded[anomalyKey{a.Kind, fold.reference, a.PaymentID}] = true
		}
	})
	if err != nil {
		return err
	}
	for _, a := range open {
		if !yielded[anomalyKey{a.Kind, a.Reference, a.PaymentID}] && !unsound[a.Reference] {
			each(a)
		}
	}
	return nil
}

// staleOfPayments holds anomalies of payments without an order against what those
// yield.
func (s *Store) staleOfPayments(ctx context.Context, tx pgx.Tx, open []staleAnomaly, each func(staleAnomaly)) error {
	for _, a := range open {
		var reference string
		p, err := scanPayment(tx.QueryRow(ctx, `
			SELECT `+paymentColumns+`, coalesce(order_reference, '') FROM payments WHERE source = $1 AND payment_id = $2`,
			a.source, a.PaymentID), &reference)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		stands := false
		if err == nil && reference == a.Reference {
			for _, yielded := range order.Unmatched(s.rulesNow(), p, reference, nil) {
				stands = stands || yielded.Kind == a.Kind
			}
		}
		if stands && a.Kind == order.AnomalyUnknownOrder && s.unknownOrder == UnknownOrderIgnore {
			stands = false
		}
		if !stands {
			each(a)
		}
	}
	return nil
}

// CloseStaleAnomalies closes the anomalies that nothing yields any more, by
// settling what they are about again, and returns how many it found.
func (s *Store) CloseStaleAnomalies(ctx context.Context) (int, error) {
	var stale []staleAnomaly
	err := s.readSnapshot(ctx, func(tx pgx.Tx) error {
		stale = nil
		return s.eachStale(ctx, tx, func(a staleAnomaly) { stale = append(stale, a) })
	})
	if err != nil {
		return 0, fmt.Errorf("anomalies that nothing yields: %w", err)
	}
	for _, a := range stale {
		if err := s.resettle(ctx, a, causeRepair); err != nil {
			return 0, fmt.Errorf("anomaly %d, which nothing yields: %w", a.ID, err)
		}
	}
	return len(stale), nil
}

// resettle settles what an anomaly is about again: its order, and its payment
// where that has none.
func (s *Store) resettle(ctx context.Context, a staleAnomaly, cause string) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		if a.PaymentID == "" {
			return s.settleKnown(ctx, tx, a.Reference, cause)
		}
		if err := lockPayment(ctx, tx, a.source, a.PaymentID); err != nil {
			return err
		}
		p, err := loadPayment(ctx, tx, a.source, a.PaymentID)
		if err != nil {
			return err
		}
		if p == nil {
			p = &knownPayment{Payment: order.Payment{ID: a.PaymentID, Validation: true}, folded: true}
		}
		references := referencesOf(a.Reference, p.reference)
		if err := lockOrders(ctx, tx, references); err != nil {
			return err
		}
		_, _, err = s.settlePayment(ctx, tx, settling{cause: cause}, a.source, *p, references)
		return err
	})
}

// settleKnown locks an order and settles it, when it is there.
func (s *Store) settleKnown(ctx context.Context, tx pgx.Tx, reference, cause string) error {
	if err := lockOrders(ctx, tx, []string{reference}); err != nil {
		return err
	}
	known, err := loadOrder(ctx, tx, reference)
	if err != nil || known == nil || known.refused() != "" {
		return err
	}
	_, err = s.settleOrder(ctx, tx, reference, *known, settling{cause: cause})
	return err
}

// staleAnomalies finds the anomalies that were left open.
func (s *Store) staleAnomalies(ctx context.Context, tx pgx.Tx, add func(row any)) error {
	return s.eachStale(ctx, tx, func(a staleAnomaly) { add(a) })
}

// unpayableOrders finds the orders that have terms from plain SQL that no payment can
// meet.
func (s *Store) unpayableOrders(ctx context.Context, tx pgx.Tx, add func(row any)) error {
	rows, _ := tx.Query(ctx, `SELECT reference, amount, currency FROM orders WHERE settled_at IS NULL ORDER BY reference`)
	var reference string
	var o knownOrder
	_, err := pgx.ForEachRow(rows, []any{&reference, &o.Amount, &o.Currency}, func() error {
		if why := o.refused(); why != "" {
			add(map[string]string{"order_reference": reference, "amount": o.Amount.String(), "currency": o.Currency, "problem": why})
		}
		return nil
	})
	return err
}

// beforeFold selects what was settled under earlier rules.
var beforeFold = ` fold_version < ` + strconv.Itoa(order.FoldVersion) + ` `
