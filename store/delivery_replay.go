package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// A DeliveryReplay is a new delivery of a message that was sent before.
type DeliveryReplay struct {
	DeliveryID int64 `json:"delivery_id"`
	// ReplayOf is nil for a message that is sent for the first time.
	ReplayOf *int64 `json:"replay_of"`
}

// A MessageExpiredError means that what a delivery said is not kept any more.
type MessageExpiredError struct {
	// What and ID name what was to be sent: a delivery, or an order event.
	What string
	ID   int64
}

func (e *MessageExpiredError) Error() string {
	return fmt.Sprintf("the body of %s %d is no longer kept", e.What, e.ID)
}

// Problem classifies the error for the caller.
func (e *MessageExpiredError) Problem() Problem {
	return Problem{Class: Conflict, Code: "payload_expired", Text: capitalised(e.Error()) + ".", Args: []any{"id", e.ID}}
}

// ErrOrderEventNotFound means that no order event has that id, or it is not in the feed
// yet.
var ErrOrderEventNotFound = noSuch("order event", "not_found")

// ReplayDelivery sends a delivery's message once more: with the same id and body, after
// what is pending in its stream. A dead one becomes replayed. The error wraps
// ErrDeliveryNotFound, or is a *MessageExpiredError, or a *StateError when the message
// is on its way.
func (s *Store) ReplayDelivery(ctx context.Context, id int64, by Actor) (DeliveryReplay, error) {
	var replay DeliveryReplay
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		var again NewDelivery
		var kept bool
		err := tx.QueryRow(ctx, `
			SELECT d.receiver, d.stream, d.message_id, d.order_event_id, d.queue_id, d.headers, d.body,
			       CASE WHEN d.order_event_id IS NULL THEN d.body IS NOT NULL ELSE e.body IS NOT NULL END
			FROM deliveries d LEFT JOIN order_events e ON e.id = d.order_event_id WHERE d.id = $1`, id).
			Scan(&again.Receiver, &again.Stream, &again.MessageID, &again.OrderEventID, &again.QueueID, &again.Headers, &again.Body, &kept)
		if err != nil {
			return ErrDeliveryNotFound.ifNone(err, id)
		}
		if !kept {
			return &MessageExpiredError{What: "delivery", ID: id}
		}
		again.ReplayOf = &id
		replay, err = s.replayMessage(ctx, tx, again)
		if err != nil {
			return err
		}
		return record(ctx, tx, act{by: by, action: ActionReplay, kind: TargetDelivery, target: id, count: 1, note: again.Receiver})
	})
	return replay, wrap(err, "replay delivery %d", id)
}

// replayMessage adds a delivery of a message, unless one is pending.
func (s *Store) replayMessage(ctx context.Context, tx pgx.Tx, again NewDelivery) (DeliveryReplay, error) {
	if err := lockStreams(ctx, tx, again.Receiver, []string{again.Stream}); err != nil {
		return DeliveryReplay{}, err
	}
	var pending int64
	err := tx.QueryRow(ctx, `
		SELECT id FROM deliveries WHERE receiver = $1 AND stream = $2 AND message_id = $3 AND state = 'pending' LIMIT 1`,
		again.Receiver, again.Stream, again.MessageID).Scan(&pending)
	if err == nil {
		return DeliveryReplay{}, &StateError{What: "delivery", ID: pending, State: DeliveryPending}
	}
	if !errors.Is(err, pgx.ErrNoRows) {
		return DeliveryReplay{}, err
	}
	if err := s.addDeliveries(ctx, tx, again.Receiver, []NewDelivery{again}); err != nil {
		return DeliveryReplay{}, err
	}
	if err := markReplayed(ctx, tx, []*int64{again.ReplayOf}); err != nil {
		return DeliveryReplay{}, err
	}
	replay := DeliveryReplay{ReplayOf: again.ReplayOf}
	err = tx.QueryRow(ctx, `
		SELECT max(id) FROM deliveries WHERE receiver = $1 AND stream = $2 AND message_id = $3 AND state = 'pending'`,
		again.Receiver, again.Stream, again.MessageID).Scan(&replay.DeliveryID)
	return replay, err
}

// markReplayed takes the dead among deliveries for dealt with.
func markReplayed(ctx context.Context, tx pgx.Tx, ids []*int64) error {
	_, err := tx.Exec(ctx, `UPDATE deliveries SET state = 'replayed' WHERE id = ANY ($1) AND state = 'dead'`, ids)
	return err
}

// DismissDelivery marks a dead delivery as dealt with, without sending it. The error
// wraps ErrDeliveryNotFound, or is a *StateError when the delivery is not dead.
func (s *Store) DismissDelivery(ctx context.Context, id int64, note Note, by Actor) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		var state string
		err := tx.QueryRow(ctx, `SELECT state FROM deliveries WHERE id = $1 FOR UPDATE`, id).Scan(&state)
		if err != nil {
			return ErrDeliveryNotFound.ifNone(err, id)
		}
		if state != DeliveryDead {
			return &StateError{What: "delivery", ID: id, State: state}
		}
		if _, err := tx.Exec(ctx, `UPDATE deliveries SET state = 'dismissed' WHERE id = $1`, id); err != nil {
			return err
		}
		return record(ctx, tx, act{by: by, action: ActionDismiss, kind: TargetDelivery, target: id, count: 1, note: note.String()})
	})
	return wrap(err, "dismiss delivery %d", id)
}

// An OrderEventReplay selects the order events that are sent once more, or for the
// first time: those from before the receiver was known too. Those on their way are left
// out. An empty field selects all.
type OrderEventReplay struct {
	// ID is the only one.
	ID int64
	// Type and Reference are the events'.
	Type, Reference string
	// Dead selects those whose delivery is a dead letter.
	Dead bool
	// Since and Until bound the time at which they were written: [Since, Until).
	Since, Until time.Time
}

// replayBatch is how many order events one transaction of a replay sends.
const replayBatch = 200

// A replayable is an order event that can be sent, with its latest delivery.
type replayable struct {
	ID        int64
	Reference string
	Latest    *int64
}

// conditions are those of the selection, on order_events e with the latest delivery
// last of each.
func (f OrderEventReplay) conditions() conditions {
	var c conditions
	c.always(`e.position IS NOT NULL AND e.body IS NOT NULL AND last.state IS DISTINCT FROM 'pending'`)
	if f.ID != 0 {
		c.add("e.id = ?", f.ID)
	}
	c.equal("e.type", f.Type)
	c.equal("e.order_reference", f.Reference)
	c.between("e.created_at", f.Since, f.Until)
	if f.Dead {
		c.always(`last.state = 'dead'`)
	}
	return c
}

const replayableFrom = ` FROM order_events e LEFT JOIN LATERAL (
	SELECT d.id, d.state FROM deliveries d WHERE d.receiver = '` + ReceiverOrderEvents + `' AND d.order_event_id = e.id ORDER BY d.id DESC LIMIT 1) last ON true `

// CountReplayableOrderEvents counts the order events that a replay would send.
func (s *Store) CountReplayableOrderEvents(ctx context.Context, filter OrderEventReplay) (n int64, err error) {
	c := filter.conditions()
	err = s.pool.QueryRow(ctx, `SELECT count(*)`+replayableFrom+`WHERE `+c.sql(), c.args...).Scan(&n)
	return n, wrap(err, "count order events to replay")
}

// ReplayOrderEvents sends the order events that the filter selects once more, in their
// order, a batch in each transaction, and returns how many. progress is told the total
// after each; nil for nobody. The error wraps ErrReceiverNotFound where nothing was
// ever to be sent, and for a single event ErrOrderEventNotFound, or is a
// *MessageExpiredError, or a *StateError when it is on its way.
func (s *Store) ReplayOrderEvents(ctx context.Context, filter OrderEventReplay, by Actor, progress func(total int64)) (total int64, err error) {
	if filter.ID != 0 {
		if err := s.canReplay(ctx, filter.ID); err != nil {
			return 0, wrap(err, "replay order event %d", filter.ID)
		}
	}
	for after, more := int64(0), true; more; {
		var sent int
		err := s.inTx(ctx, func(tx pgx.Tx) error {
			var err error
			after, sent, err = s.replayOrderEvents(ctx, tx, filter, after, by)
			return err
		})
		if err != nil {
			return total, wrap(err, "replay order events")
		}
		total += int64(sent)
		if progress != nil && sent > 0 {
			progress(total)
		}
		more = after != 0
	}
	return total, nil
}

// canReplay says why a single order event can't be replayed.
func (s *Store) canReplay(ctx context.Context, id int64) error {
	var sequenced, kept bool
	var pending *int64
	err := s.pool.QueryRow(ctx, `
		SELECT e.position IS NOT NULL, e.body IS NOT NULL,
		       (SELECT min(d.id) FROM deliveries d WHERE d.receiver = $2 AND d.order_event_id = e.id AND d.state = 'pending')
		FROM order_events e WHERE e.id = $1`, id, ReceiverOrderEvents).Scan(&sequenced, &kept, &pending)
	switch {
	case errors.Is(err, pgx.ErrNoRows), err == nil && !sequenced:
		return ErrOrderEventNotFound.With(id)
	case err != nil:
		return err
	case !kept:
		return &MessageExpiredError{What: "order event", ID: id}
	case pending != nil:
		return &StateError{What: "delivery", ID: *pending, State: DeliveryPending}
	}
	return nil
}

// replayOrderEvents sends one batch after the event with the id after, and returns the
// id of the last one that was looked at; 0 when no more follow.
func (s *Store) replayOrderEvents(ctx context.Context, tx pgx.Tx, filter OrderEventReplay, after int64, by Actor) (last int64, sent int, err error) {
	var known bool
	if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM delivery_receivers WHERE name = $1)`, ReceiverOrderEvents).Scan(&known); err != nil {
		return 0, 0, err
	}
	if !known {
		return 0, 0, ErrReceiverNotFound.With(ReceiverOrderEvents)
	}
	c := filter.conditions()
	c.add("e.id > ?", after)
	find := `SELECT e.id, e.order_reference, last.id` + replayableFrom + `WHERE ` + c.sql() + ` ORDER BY e.id LIMIT ` + c.arg(replayBatch)
	found, err := readAll[replayable](ctx, tx, find, c.args...)
	if err != nil || len(found) == 0 {
		return 0, 0, err
	}
	if len(found) == replayBatch {
		last = found[len(found)-1].ID
	}
	var streams []string
	for _, e := range found {
		streams = append(streams, e.Reference)
	}
	if err := lockStreams(ctx, tx, ReceiverOrderEvents, streams); err != nil {
		return 0, 0, err
	}
	// Under the locks: what was put on its way meanwhile is left out.
	if found, err = readAll[replayable](ctx, tx, find, c.args...); err != nil {
		return 0, 0, err
	}
	again, before := make([]NewDelivery, len(found)), make([]*int64, len(found))
	for i, e := range found {
		again[i], before[i] = ofOrderEvent(e.ID, e.Reference, e.Latest), e.Latest
	}
	if err := s.addDeliveries(ctx, tx, ReceiverOrderEvents, again); err != nil {
		return 0, 0, err
	}
	if err := markReplayed(ctx, tx, before); err != nil {
		return 0, 0, err
	}
	action := act{by: by, action: ActionReplay, kind: TargetDelivery, count: len(again), note: ReceiverOrderEvents}
	return last, len(again), record(ctx, tx, action)
}
