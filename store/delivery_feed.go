package store

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// deliverBatch is how many order events become deliveries in one transaction.
const deliverBatch = 200

// lockSeedFeed is the class of the advisory lock of the process that makes deliveries of the
// feed's events.
const lockSeedFeed = 6

// DeliverOrderEvents makes the receiver of order events known, and has this process
// make deliveries for it from now on. What happened before it was first known is not
// delivered.
func (s *Store) DeliverOrderEvents(ctx context.Context) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error { return knowReceiver(ctx, tx, ReceiverOrderEvents) })
	if err == nil {
		s.deliversOrders.Store(true)
	}
	return wrap(err, "make the receiver of order events known")
}

// QueueOrderEvents makes deliveries of the events that the feed has and the receiver
// has not, a batch of them, and reports whether more may follow. Like any reader of the
// feed the receiver has a position in it, so that nothing is missed or made twice,
// whichever process gave the events their positions, and a process that does not know
// the receiver loses nothing for it. It does nothing when this process does not deliver
// them, or another is at it.
func (s *Store) QueueOrderEvents(ctx context.Context) (more bool, err error) {
	if !s.deliversOrders.Load() {
		return false, nil
	}
	var behind bool
	if err := s.pool.QueryRow(ctx, `SELECT EXISTS (`+behindFeed+`)`, ReceiverOrderEvents).Scan(&behind); err != nil || !behind {
		return false, wrap(err, "make deliveries of order events")
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		more = false
		var mine bool
		if err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock(hashtextextended($1, $2))`, ReceiverOrderEvents, lockSeedFeed).Scan(&mine); err != nil || !mine {
			return err
		}
		var since time.Time
		var from int64
		err := tx.QueryRow(ctx, behindFeed, ReceiverOrderEvents).Scan(&since, &from)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		added, last, err := deliveriesAfter(ctx, tx, from, since)
		if err != nil || last == from {
			return err
		}
		if err := s.addDeliveries(ctx, tx, ReceiverOrderEvents, added); err != nil {
			return err
		}
		more = last-from == deliverBatch
		_, err = tx.Exec(ctx, `UPDATE delivery_receivers SET position = $2 WHERE name = $1`, ReceiverOrderEvents, last)
		return err
	})
	return more, wrap(err, "make deliveries of order events")
}

// behindFeed reads how far a receiver is, where the feed is further.
const behindFeed = `
	SELECT r.since, r.position FROM delivery_receivers r, order_feed f WHERE r.name = $1 AND r.position < f.position`

// deliveriesAfter are the deliveries of the feed's next events, and the position of the
// last of these.
func deliveriesAfter(ctx context.Context, tx pgx.Tx, from int64, since time.Time) (added []NewDelivery, last int64, err error) {
	last = from
	rows, _ := tx.Query(ctx, `
		SELECT id, position, order_reference, created_at >= $2 FROM order_events
		WHERE position > $1 ORDER BY position LIMIT $3`, from, since, deliverBatch)
	var id int64
	var reference string
	var wanted bool
	_, err = pgx.ForEachRow(rows, []any{&id, &last, &reference, &wanted}, func() error {
		if wanted {
			added = append(added, ofOrderEvent(id, reference, nil))
		}
		return nil
	})
	return added, last, err
}

// ofOrderEvent is the delivery of an order event.
func ofOrderEvent(id int64, reference string, replayOf *int64) NewDelivery {
	return NewDelivery{
		Receiver: ReceiverOrderEvents, Stream: reference, MessageID: strconv.FormatInt(id, 10), OrderEventID: &id, ReplayOf: replayOf,
	}
}
