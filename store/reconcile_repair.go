package store

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"
)

// repairBatch is how many differences one transaction puts right.
const repairBatch = 100

// A repair is a difference that is to be put right.
type repair struct {
	finding   int64
	source    string
	paymentID string
	reference string
	// collectorID is the account that the payment was paid to, as it is held.
	collectorID string
}

// Repair puts right a batch of what drifted, and reports whether that was all.
// An order is derived from its payments again. A payment whose row is not a state
// that was applied goes back to the latest that was, and every payment that
// drifted enters the inbox, to be asked for like any other. Payments come before
// all orders: an order must not follow from one that is about to be put right.
func (st *RunStep) Repair(ctx context.Context) (done bool, err error) {
	err = st.advance(ctx, "repair", func(tx pgx.Tx) (progress, error) {
		rows, _ := tx.Query(ctx, `
			SELECT f.id, coalesce(f.source, ''), coalesce(f.payment_id, ''), coalesce(f.order_reference, ''),
			       coalesce((SELECT p.collector_id FROM payments p WHERE p.source = f.source AND p.payment_id = f.payment_id), '')
			FROM webhook_reconciliation_findings f
			WHERE f.run_id = $1 AND kind = 'drift' AND repaired_at IS NULL
			ORDER BY f.payment_id IS NULL, f.id LIMIT $2`, st.Run.ID, repairBatch)
		repairs, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (repair, error) {
			var r repair
			err := row.Scan(&r.finding, &r.source, &r.paymentID, &r.reference, &r.collectorID)
			return r, err
		})
		if err != nil {
			return progress{}, err
		}
		done = len(repairs) < repairBatch
		if len(repairs) == 0 {
			return progress{}, nil
		}
		return progress{}, st.repair(ctx, tx, repairs)
	})
	return done, err
}

// repair locks as every settlement does, payments before orders and each in
// their order.
func (st *RunStep) repair(ctx context.Context, tx pgx.Tx, repairs []repair) error {
	slices.SortFunc(repairs, func(a, b repair) int {
		return slices.Compare([]string{a.source, a.paymentID}, []string{b.source, b.paymentID})
	})
	var references []string
	var events []NewEvent
	var findings, all []int64
	for _, r := range repairs {
		all = append(all, r.finding)
		if r.paymentID == "" {
			references = append(references, r.reference)
			continue
		}
		restored, err := restorePayment(ctx, tx, r.source, r.paymentID)
		if err != nil {
			return err
		}
		references = append(references, restored...)
		events = append(events, st.eventAbout(Difference{Source: r.source, PaymentID: r.paymentID, seller: r.collectorID}))
		findings = append(findings, r.finding)
	}
	references = referencesOf(references...)
	if err := lockOrders(ctx, tx, references); err != nil {
		return err
	}
	for _, reference := range references {
		known, err := loadOrder(ctx, tx, reference)
		if err != nil {
			return err
		}
		if known == nil || known.refused() != "" {
			continue
		}
		if _, err := st.store.settleOrder(ctx, tx, reference, *known, settling{cause: causeRepair}); err != nil {
			return err
		}
	}
	queueIDs := make([]int64, len(events))
	if len(events) > 0 {
		receipts, err := st.store.insertEvents(ctx, tx, events)
		if err != nil {
			return err
		}
		for i, r := range receipts {
			queueIDs[i] = r.QueueID
		}
	}
	return execute(ctx, tx, `
		UPDATE webhook_reconciliation_findings f
		SET repaired_at = now(), queue_id = coalesce(e.queue_id, f.queue_id)
		FROM unnest($1::bigint[]) AS r (id) LEFT JOIN unnest($2::bigint[], $3::bigint[]) AS e (id, queue_id) ON e.id = r.id
		WHERE f.id = r.id`, all, findings, queueIDs)
}

// restorePayment locks a payment and, when its row is not a state that was applied,
// puts back the latest that was. It returns the orders that this concerns.
func restorePayment(ctx context.Context, tx pgx.Tx, source, paymentID string) ([]string, error) {
	if err := lockPayment(ctx, tx, source, paymentID); err != nil {
		return nil, err
	}
	held, err := loadPayment(ctx, tx, source, paymentID)
	if err != nil || held == nil {
		return nil, err
	}
	logged, err := latestLogged(ctx, tx, source, paymentID)
	if err != nil || logged == nil {
		return nil, err
	}
	tag, err := tx.Exec(ctx, `
		UPDATE payments p SET status = $3, status_detail = $4, amount = $5, refunded_amount = $6, currency = nullif($7, ''),
			order_reference = nullif($8, ''), date_last_updated = $9, changed_at = $10, shipping = coalesce($11, p.shipping)
		WHERE source = $1 AND payment_id = $2 AND NOT `+soundColumn,
		source, paymentID, logged.Status, logged.StatusDetail, logged.Amount, logged.Refunded, logged.Currency,
		logged.reference, orNull(logged.UpdatedAt), changedAt(logged.Payment), logged.shipping)
	if err != nil || tag.RowsAffected() == 0 {
		return nil, err
	}
	return []string{held.reference, logged.reference}, nil
}
