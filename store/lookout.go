package store

import (
	"context"
	"slices"
	"time"
)

// PendingWork says what there is that the loops of a worker process look for.
type PendingWork struct {
	// OrderEvents have no position in the feed, Orders were never settled, Looks for
	// payments are due: see SequenceOrderEvents, SettleUnsettled and LookAgain.
	OrderEvents, Orders, Looks bool
	// Running is true while any job runs, by what its row says.
	Running bool
	// Queues are those in which jobs are due.
	Queues []string
}

// AllPending is what is to be taken for granted while nobody knows.
var AllPending = PendingWork{OrderEvents: true, Orders: true, Looks: true, Running: true}

// LookOut reads what is pending. It is cheap, and one statement for all loops: they look
// again and again although there is hardly ever anything. waits are those of LookAgain,
// queues are looked at for jobs that are due. The first in River's order is asked for: where
// many are due PostgreSQL would otherwise read the whole table for a queue that has none.
func (s *Store) LookOut(ctx context.Context, waits []time.Duration, queues []string) (w PendingWork, err error) {
	err = s.pool.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM order_events WHERE position IS NULL),
		       EXISTS (SELECT FROM orders WHERE settled_at IS NULL),
		       EXISTS (SELECT FROM payment_aliases a WHERE `+dueLooks(waits)+`),
		       EXISTS (SELECT FROM river_job WHERE state = 'running'),
		       ARRAY (SELECT q FROM unnest($1::text[]) q WHERE (
		           SELECT id FROM river_job WHERE state = 'available' AND queue = q AND scheduled_at <= now()
		           ORDER BY priority, scheduled_at, id LIMIT 1) IS NOT NULL)`,
		queues).Scan(&w.OrderEvents, &w.Orders, &w.Looks, &w.Running, &w.Queues)
	return w, wrap(err, "look for what is pending")
}

// dueLooks is true of an alias a that is to be looked for again.
func dueLooks(waits []time.Duration) string {
	return due("a.next_look_at", slices.Max(append([]time.Duration{0}, waits...))) + " AND a.payment_id IS NULL"
}
