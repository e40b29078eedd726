package store

import (
	"context"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5"
)

// sequenceBatch is how many order events get their position in one transaction.
const sequenceBatch = 500

// OrderChannel is the channel of LISTEN on which the sequencer names the orders whose
// events have just come into the feed.
const OrderChannel = "conciliar_orders"

// A Sequenced says what one step of the sequencer did.
type Sequenced struct {
	// Types are the types of the events that got their position.
	Types []string
	// More is true when events may be left: the step was full, or another process is
	// at it.
	More bool
}

// SequenceOrderEvents gives order events that have been committed their position in the
// feed, by id. Positions are dense and are committed one after the other, so that
// nothing can come before one that was seen: an event whose transaction is committed
// late has the next position, whatever its id. Events of one order stay in their
// order, because their ids are drawn under its lock. It waits for no other process.
func (s *Store) SequenceOrderEvents(ctx context.Context) (Sequenced, error) {
	var done Sequenced
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		done = Sequenced{}
		var position int64
		err := tx.QueryRow(ctx, `SELECT position FROM order_feed FOR UPDATE SKIP LOCKED`).Scan(&position)
		if errors.Is(err, pgx.ErrNoRows) {
			done.More = true
			return nil
		}
		if err != nil {
			return err
		}
		events, err := givePositions(ctx, tx, position)
		if err != nil || len(events) == 0 {
			return err
		}
		var references []string
		for _, e := range events {
			done.Types = append(done.Types, e.Type)
			references = append(references, e.Reference)
		}
		done.More = len(events) == sequenceBatch
		_, err = tx.Exec(ctx, `SELECT pg_notify($1, r) FROM unnest($2::text[]) r`, OrderChannel, referencesOf(references...))
		return err
	})
	return done, wrap(err, "give order events their position")
}

// A sequencedEvent is an order event that has its position.
type sequencedEvent struct {
	ID, Position    int64
	Type, Reference string
}

// givePositions gives the events that wait the positions after the feed's last one, and
// returns them in their order. The caller holds the feed's row: what the statement sees
// was committed after everything that has a position.
func givePositions(ctx context.Context, tx pgx.Tx, position int64) ([]sequencedEvent, error) {
	events, err := readAll[sequencedEvent](ctx, tx, `
		WITH next AS (
			SELECT id, $1 + row_number() OVER (ORDER BY id) AS position
			FROM (SELECT id FROM order_events WHERE position IS NULL ORDER BY id LIMIT $2) waiting
		)
		UPDATE order_events e SET position = next.position FROM next WHERE e.id = next.id
		RETURNING e.id, e.position, e.type, e.order_reference`, position, sequenceBatch)
	if err != nil || len(events) == 0 {
		return nil, err
	}
	slices.SortFunc(events, func(a, b sequencedEvent) int { return int(a.Position - b.Position) })
	_, err = tx.Exec(ctx, `UPDATE order_feed SET position = $1`, events[len(events)-1].Position)
	return events, err
}

// OrderEventsWritten receives when this process has committed order events. One
// sequencer may receive from it.
func (s *Store) OrderEventsWritten() <-chan struct{} { return s.orderEvents }

// A bell wakes one waiter, however often it was rung meanwhile.
type bell chan struct{}

func newBell() bell { return make(bell, 1) }

func (b bell) ring() {
	select {
	case b <- struct{}{}:
	default:
	}
}
