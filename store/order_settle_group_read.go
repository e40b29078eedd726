package store

import (
	"cmp"
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/conciliar/conciliar/store/order"
)

// read locks what of the group can be locked without waiting, and reads what it is folded
// from, in one round trip. What is locked by others stays unknown or not plain.
func (g *group) read(ctx context.Context, tx pgx.Tx) error {
	jobIDs := make([]int64, len(g.endings))
	for i, e := range g.endings {
		jobIDs[i] = e.attempt.JobID
	}
	var batch pgx.Batch
	renewPlans(&batch, tx.Conn(), len(g.endings))
	queueEach(&batch, func(row pgx.CollectableRow) error {
		var job heldJob
		err := row.Scan(job.fields()...)
		g.jobs[job.id] = &job
		return err
	}, `SELECT `+heldJobColumns+` FROM river_job WHERE id = ANY ($1) ORDER BY id FOR UPDATE SKIP LOCKED`, jobIDs)
	if len(g.payments) > 0 {
		g.queuePayments(&batch)
	}
	return tx.SendBatch(ctx, &batch).Close()
}

// queueEach adds to a batch a query, each row of which is handed to read.
func queueEach(b *pgx.Batch, read func(row pgx.CollectableRow) error, query string, args ...any) {
	b.Queue(query, args...).Query(func(rows pgx.Rows) error {
		_, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (struct{}, error) { return struct{}{}, read(row) })
		return err
	})
}

// queuePayments adds to a batch what locks and reads the group's payments and orders. The
// locks come first: each statement sees what their last holders committed.
func (g *group) queuePayments(b *pgx.Batch) {
	var sources, ids, names, references, keys []string
	var seeds []int64
	for key := range g.payments {
		sources, ids = append(sources, key[0]), append(ids, key[1])
	}
	for reference := range g.orders {
		references = append(references, reference)
	}
	slices.Sort(references)
	for i := range ids {
		names, seeds = append(names, paymentLockName(sources[i], ids[i])), append(seeds, lockSeedPayment)
	}
	for _, reference := range references {
		names, seeds = append(names, reference), append(seeds, lockSeedOrder)
		keys = append(keys, order.ReferenceKey(reference))
	}
	queueEach(b, func(row pgx.CollectableRow) error {
		var n int
		err := row.Scan(&n)
		switch {
		case err != nil:
		case n <= len(ids):
			g.payments[[2]string{sources[n-1], ids[n-1]}].plain = true
		default:
			g.orders[references[n-1-len(ids)]].plain = true
		}
		return err
	}, `
		SELECT x.n FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS x (name, seed, n)
		WHERE pg_try_advisory_xact_lock(hashtextextended(x.name, x.seed))`, names, seeds)
	b.Queue(`SELECT ` + foldVersion).QueryRow(func(row pgx.Row) error {
		var ledger int
		return cmp.Or(row.Scan(&ledger), checkFold(ledger))
	})
	g.queueKnownPayments(b, sources, ids)
	if len(references) > 0 {
		g.queueKnownOrders(b, references, keys)
	}
}

// queueKnownPayments adds to a batch what reads the payments, and which of them a group
// must leave alone.
func (g *group) queueKnownPayments(b *pgx.Batch, sources, ids []string) {
	queueEach(b, func(row pgx.CollectableRow) error {
		var known knownPayment
		var source string
		var version int
		var err error
		known.Payment, err = scanPayment(row, &source, &known.reference, &version)
		if err == nil {
			known.folded = version >= order.FoldVersion
			g.payments[[2]string{source, known.ID}].known = &known
		}
		return err
	}, `
		SELECT p.* FROM unnest($1::text[], $2::text[]) AS x (source, id), LATERAL (
			SELECT `+paymentColumns+`, source, coalesce(order_reference, ''), fold_version
			FROM payments WHERE source = x.source AND payment_id = x.id LIMIT 1) p`, sources, ids)
	queueEach(b, func(row pgx.CollectableRow) error {
		var n int
		err := row.Scan(&n)
		if err == nil {
			g.payments[[2]string{sources[n-1], ids[n-1]}].plain = false
		}
		return err
	}, `
		SELECT x.n FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS x (source, id, n)
		WHERE EXISTS (SELECT FROM anomalies a WHERE a.payment_id = x.id AND a.source = x.source AND `+checked(`a.closed_at IS NULL`)+`)
		   OR EXISTS (SELECT FROM payment_aliases a WHERE a.source = x.source AND a.payment_id = x.id)`, sources, ids)
}

// queueKnownOrders adds to a batch what reads the orders and their payments, and which of
// them a group must leave alone: those that exist and are locked, and those with an
// anomaly or an alias. OFFSET 0 keeps a subquery as it is written: it is not made a hash
// of the whole table.
func (g *group) queueKnownOrders(b *pgx.Batch, references, keys []string) {
	queueEach(b, func(row pgx.CollectableRow) error {
		var reference string
		known := knownOrder{stored: true}
		var version int
		err := row.Scan(append([]any{&reference}, known.fields(&version)...)...)
		if err == nil {
			known.folded = version >= order.FoldVersion
			g.orders[reference].known = &known
		}
		return err
	}, `SELECT reference, `+knownOrderColumns+` FROM orders WHERE reference = ANY ($1) ORDER BY reference FOR UPDATE SKIP LOCKED`, references)
	queueEach(b, func(row pgx.CollectableRow) error {
		var n int
		var exists, touched, near bool
		err := row.Scan(&n, &exists, &touched, &near)
		if err == nil {
			o := g.orders[references[n-1]]
			o.near = near
			o.plain = o.plain && !touched && exists == (o.known != nil)
		}
		return err
	}, `
		SELECT x.n, EXISTS (SELECT FROM orders o WHERE o.reference = x.reference OFFSET 0),
		       EXISTS (SELECT FROM anomalies a WHERE a.order_reference = x.reference AND `+checked(`a.closed_at IS NULL`)+`)
		       OR EXISTS (SELECT FROM anomalies a WHERE a.flagged_order = x.reference)
		       OR EXISTS (SELECT FROM payment_aliases a WHERE a.order_reference = x.reference)
		       OR EXISTS (SELECT FROM (SELECT source, payment_id FROM payments WHERE order_reference = x.reference OFFSET 0) c
		                  JOIN payment_aliases a ON a.source = c.source AND a.payment_id = c.payment_id),
		       EXISTS (SELECT FROM anomalies a WHERE a.reference_key = x.key AND `+checked(`a.closed_at IS NULL`)+` AND a.order_reference <> x.reference)
		FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS x (reference, key, n)`, references, keys)
	queueEach(b, func(row pgx.CollectableRow) error {
		var reference string
		p, err := scanToldPayment(row, &reference)
		if err == nil {
			o := g.orders[reference]
			o.shown, o.payments = append(o.shown, p), append(o.payments, order.Known{Source: p.Source, Payment: p.Payment})
		}
		return err
	}, `
		SELECT p.* FROM unnest($1::text[]) AS x (reference), LATERAL (
			SELECT `+paymentColumns+`, `+toldColumnNames+`, '[]'::jsonb, source, order_reference FROM payments
			WHERE order_reference = x.reference ORDER BY created_at, payment_id) p`, references)
	queueEach(b, func(row pgx.CollectableRow) error {
		l, err := pgx.RowToStructByPos[struct {
			Reference string
			OrderChange
		}](row)
		if err == nil {
			o := g.orders[l.Reference]
			o.timeline = append(o.timeline, l.OrderChange)
		}
		return err
	}, `
		SELECT l.* FROM unnest($1::text[]) AS x (reference), LATERAL (
			SELECT l.order_reference, `+orderChangeColumns+` FROM order_logs l JOIN orders o ON o.reference = l.order_reference
			WHERE l.order_reference = x.reference ORDER BY l.id) l`, references)
}
