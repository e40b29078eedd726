package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/shopspring/decimal"
)

// write writes what the fold says, and nothing else: where a statement changes another
// number of rows it fails with errGroupDiffers.
func (g *group) write(ctx context.Context, tx pgx.Tx) error {
	told, err := g.writeLedger(ctx, tx)
	if err != nil {
		return err
	}
	var batch pgx.Batch
	if len(told) > 0 {
		expect(&batch, len(told), insertOrderEvents, told)
		if l, ok := tx.(*ledgerTx); ok {
			l.told = true
		}
	}
	// An event that has ended keeps its first end, so their number says nothing.
	endEvents.queue(&batch, g.ended)
	jobIDs := make([]int64, len(g.ended))
	for i, e := range g.ended {
		jobIDs[i] = e.JobID
	}
	slices.Sort(jobIDs)
	batch.Queue(completeJobs, jobIDs).Exec(func(tag pgconn.CommandTag) error { return differs(tag, len(jobIDs)) })
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil || len(g.follows) == 0 {
		return err
	}
	_, err = g.store.insertEvents(ctx, tx, g.follows)
	return err
}

// expect adds to a batch a statement that must change one row for each of those given,
// of which there may be none.
func expect[T any](b *pgx.Batch, changes int, statement rowsStatement[T], rows []T, args ...any) {
	if len(rows) == 0 {
		return
	}
	statement.queue(b, rows, args...).Exec(func(tag pgconn.CommandTag) error { return differs(tag, changes) })
}

func differs(tag pgconn.CommandTag, changes int) error {
	if tag.RowsAffected() != int64(changes) {
		return fmt.Errorf("%w: %d and not %d by %s", errGroupDiffers, tag.RowsAffected(), changes, tag)
	}
	return nil
}

// writeLedger writes payments and orders with their logs, and returns the events that
// tell of it.
func (g *group) writeLedger(ctx context.Context, tx pgx.Tx) ([]orderEventRow, error) {
	var saved, confirmed []paymentState
	for _, p := range g.payments {
		switch {
		case p.save != nil:
			saved = append(saved, *p.save)
		case p.confirm != nil:
			confirmed = append(confirmed, *p.confirm)
		}
	}
	slices.SortFunc(saved, comparePaymentStates)
	slices.SortFunc(confirmed, comparePaymentStates)
	places, hashes, err := g.store.payersOf(ctx, tx, saved)
	if err != nil {
		return nil, err
	}
	var made []newOrder
	var settled []settledOrder
	for reference, o := range g.orders {
		if o.made {
			made = append(made, newOrder{reference, o.known.Terms, orderFromPayment})
		}
		if o.settled != nil {
			settled = append(settled, *o.settled)
		}
	}
	slices.SortFunc(made, func(a, b newOrder) int { return strings.Compare(a.reference, b.reference) })
	slices.SortFunc(settled, func(a, b settledOrder) int { return strings.Compare(a.reference, b.reference) })
	var batch pgx.Batch
	expect(&batch, len(made), insertOrders, made)
	expect(&batch, len(saved), savePayments, saved, places, hashes)
	expect(&batch, len(g.states), logPayments, g.states)
	expect(&batch, len(confirmed), confirmPayments, confirmed)
	telling := groupTelling{orders: map[string]*Order{}}
	g.queueOrders(&batch, settled, &telling)
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return nil, err
	}
	g.show(saved, confirmed, telling.orders)
	return telling.events(ctx, tx, g.timeline)
}

// show completes the group's orders with what they show: payments as they are saved, those
// that are new behind the others, and timelines.
func (g *group) show(saved, confirmed []paymentState, orders map[string]*Order) {
	for _, states := range [][]paymentState{saved, confirmed} {
		for _, s := range states {
			if o := g.orders[s.Reference]; o != nil {
				o.show(s)
			}
		}
	}
	for reference, o := range orders {
		o.Payments, o.Timeline = g.orders[reference].shown, g.orders[reference].timeline
	}
}

// show shows a payment as it is saved.
func (o *groupOrder) show(s paymentState) {
	p := OrderPayment{Source: s.Source, Payment: s.Payment, Cost: s.Cost, Method: s.Method}
	p.Cost.ReleaseDate = p.Cost.ReleaseDate.Truncate(time.Microsecond)
	i := slices.IndexFunc(o.shown, func(q OrderPayment) bool { return q.Source == p.Source && q.ID == p.ID })
	if i < 0 {
		o.shown = append(o.shown, p)
		return
	}
	o.shown[i] = p
}

// shown is the entry of the timeline as an order shows it.
func (l groupLog) shown(at time.Time) OrderChange {
	return OrderChange{
		At: at, Cause: l.cause, QueueID: idOrNull(l.queueID), Status: l.Status, Paid: l.Paid, Refunded: l.Refunded,
		Amount: decimal.NewNullDecimal(l.Amount), Currency: l.Currency, Actor: l.actor, Reason: l.reason,
	}
}

func comparePaymentStates(a, b paymentState) int {
	return strings.Compare(paymentLockName(a.Source, a.Payment.ID), paymentLockName(b.Source, b.Payment.ID))
}

// queueOrders adds to a batch what writes orders and their timelines, and reads the
// orders that are to be told as they are then.
func (g *group) queueOrders(b *pgx.Batch, settled []settledOrder, telling *groupTelling) {
	if len(settled) == 0 {
		return
	}
	changed := 0
	settleOrders.queue(b, settled).Query(func(rows pgx.Rows) error {
		var reference string
		var created, updated time.Time
		var cancelled *time.Time
		tag, err := pgx.ForEachRow(rows, []any{&reference, &created, &updated, &cancelled}, func() error {
			known := g.orders[reference].known
			telling.orders[reference] = &Order{
				Reference: reference, Status: known.status, Terms: known.Terms, Paid: known.paid, Refunded: known.refunded,
				CreatedAt: created, UpdatedAt: updated, CancelledAt: cancelled,
			}
			cancelled = nil
			return nil
		})
		if err != nil {
			return err
		}
		return differs(tag, len(settled))
	})
	logs, told := make([]orderLog, len(g.timeline)), []string{}
	for i, l := range g.timeline {
		logs[i] = l.orderLog
		if l.told {
			told = append(told, l.reference)
		}
	}
	logOrders.queue(b, logs).Query(func(rows pgx.Rows) error {
		var id int64
		var at time.Time
		tag, err := pgx.ForEachRow(rows, []any{&id, &at, &telling.now}, func() error {
			l := &g.timeline[changed]
			for i := range l.news {
				l.news[i].logID = id
			}
			o := g.orders[l.reference]
			o.timeline = append(o.timeline, l.shown(at))
			changed++
			return nil
		})
		if err != nil {
			return err
		}
		return differs(tag, len(logs))
	})
	if len(told) > 0 {
		g.queueTelling(b, told, telling)
	}
}

// A groupTelling is what the events of a group's orders tell.
type groupTelling struct {
	now time.Time
	// orders are the orders as they are after the group. Those in full have more than
	// payments, whose money no report shows yet, and a timeline: they are read as any other.
	orders map[string]*Order
	full   []string
}

// queueTelling adds to a batch what finds the orders that are to be read in full, by the
// payments that the group knows of them.
func (g *group) queueTelling(b *pgx.Batch, told []string, telling *groupTelling) {
	var references, sources, ids []string
	for _, reference := range told {
		for _, p := range g.orders[reference].payments {
			references, sources, ids = append(references, reference), append(sources, p.Source), append(ids, p.ID)
		}
	}
	queueEach(b, func(row pgx.CollectableRow) error {
		var reference string
		err := row.Scan(&reference)
		if !slices.Contains(telling.full, reference) {
			telling.full = append(telling.full, reference)
		}
		return err
	}, `
		SELECT x.reference FROM unnest($1::text[], $2::text[], $3::text[]) AS x (reference, source, payment_id)
		WHERE EXISTS (SELECT FROM odd_payments o WHERE o.order_reference = x.reference OFFSET 0)
		   OR EXISTS (SELECT FROM account_movements m WHERE m.source = x.source AND m.payment_id = x.payment_id AND m.class = 'payment' OFFSET 0)
		   OR EXISTS (SELECT FROM chargebacks c WHERE `+chargebackAmong(`ARRAY[x.payment_id]`)+`)
		   OR EXISTS (SELECT FROM claims c WHERE `+claimAmong(`x.reference`, `ARRAY[x.payment_id]`)+`)`, references, sources, ids)
}

// events are the events that tell of the timeline's entries.
func (t *groupTelling) events(ctx context.Context, tx pgx.Tx, timeline []groupLog) ([]orderEventRow, error) {
	if len(t.full) > 0 {
		var batch pgx.Batch
		for _, reference := range t.full {
			t.orders[reference] = &Order{}
			queueOrder(&batch, reference, t.orders[reference])
		}
		if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
			return nil, err
		}
	}
	var events []orderEventRow
	for _, l := range timeline {
		if !l.told {
			continue
		}
		told, err := orderEventsOf(l.settling, l.origin, t.now, *t.orders[l.reference], l.news)
		if err != nil {
			return nil, err
		}
		events = append(events, told...)
	}
	return events, nil
}
