package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/conciliar/conciliar/store/order"
)

// scheduleLook has aliases looked for again after wait that never were; 0 for never.
func scheduleLook(ctx context.Context, tx pgx.Tx, missing []order.Alias, wait time.Duration) error {
	if len(missing) == 0 || wait <= 0 {
		return nil
	}
	sources, aliases := make([]string, len(missing)), make([]string, len(missing))
	for i, a := range missing {
		sources[i], aliases[i] = a.Source, a.Payment.ID
	}
	return execute(ctx, tx, `
		UPDATE payment_aliases a SET next_look_at = now() + $3::interval
		FROM unnest($1::text[], $2::text[]) AS x (source, alias)
		WHERE a.source = x.source AND a.alias = x.alias AND a.looks = 0 AND a.next_look_at IS NULL`, sources, aliases, wait)
}

// A dueLook is an alias whose payment is to be looked for again.
type dueLook struct {
	source, alias, collectorID string

	order Ref
	looks int
}

func scanDueLook(row pgx.CollectableRow) (dueLook, error) {
	var d dueLook
	err := row.Scan(&d.source, &d.alias, &d.order.Topic, &d.order.ID, &d.collectorID, &d.looks)
	return d, err
}

// LookAgain makes events of the provider's orders that have payments which are not
// known and are to be looked for again by now, up to limit of them, and returns how
// many. waits are those between the looks. An order that an event without an end is
// about is left to it. It is safe to run in several processes at once.
func (s *Store) LookAgain(ctx context.Context, waits []time.Duration, limit int) (n int, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		rows, _ := tx.Query(ctx, `
			SELECT a.source, a.alias, a.provider_order_topic, a.provider_order_id, a.collector_id, a.looks FROM payment_aliases a
			WHERE `+dueLooks(waits)+` AND NOT EXISTS (`+openEventOf+`)
			ORDER BY a.next_look_at LIMIT $1 FOR UPDATE SKIP LOCKED`, limit)
		due, err := pgx.CollectRows(rows, scanDueLook)
		if err != nil {
			return err
		}
		for _, d := range due {
			var next *time.Duration
			if d.looks+1 < len(waits) {
				next = &waits[d.looks+1]
			}
			if _, err := tx.Exec(ctx, `
				UPDATE payment_aliases SET looks = looks + 1, next_look_at = now() + $3::interval
				WHERE source = $1 AND alias = $2`, d.source, d.alias, next); err != nil {
				return err
			}
		}
		n, err = s.insertLooks(ctx, tx, due, NewEvent{Origin: OriginFollow})
		return err
	})
	return n, wrap(err, "look for payments again")
}

// insertLooks makes one event, like the given one, of each provider's order that has
// aliases which are due, and returns how many.
func (s *Store) insertLooks(ctx context.Context, tx pgx.Tx, due []dueLook, like NewEvent) (int, error) {
	var events []NewEvent
	seen := map[[2]string]bool{}
	for _, d := range due {
		if key := [2]string{d.source, d.order.ID}; !seen[key] {
			seen[key] = true
			like.CollectorID = d.collectorID
			event, err := s.eventAbout(d.source, d.order, like)
			if err != nil {
				return 0, err
			}
			events = append(events, event)
		}
	}
	if len(events) == 0 {
		return 0, nil
	}
	_, err := s.insertEvents(ctx, tx, events)
	return len(events), err
}
