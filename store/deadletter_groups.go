package store

import (
	"context"
	"time"

	"github.com/shopspring/decimal"
)

// A DeadLetterGroup is the open dead letters of one cause.
type DeadLetterGroup struct {
	Reason     string
	ErrorClass string
	Count      int64
	// Oldest is the earliest of their first deaths, since when money waits.
	Oldest time.Time
}

// OpenDeadLetters counts the open dead letters by their cause, the most
// frequent first.
func (s *Store) OpenDeadLetters(ctx context.Context) ([]DeadLetterGroup, error) {
	groups, err := readAll[DeadLetterGroup](ctx, s.pool, `
		SELECT reason, error_class, count(*), min(created_at) FROM webhook_dead_letter
		WHERE state = 'open' GROUP BY reason, error_class ORDER BY 3 DESC, 1, 2`)
	return groups, wrap(err, "open dead letters")
}

// A Stake is what is known of the money that a dead letter is about.
type Stake struct {
	DeadLetterID int64
	// Reference is the order's; nil where the payment names none.
	Reference *string
	// Amount is the payment's as it was applied last.
	Amount   decimal.NullDecimal
	Currency string
}

// Stakes returns the stakes of dead letters by their ids. One whose payment was never
// fetched has none.
func (s *Store) Stakes(ctx context.Context, letters []DeadLetter) (map[int64]Stake, error) {
	ids := make([]int64, len(letters))
	for i, l := range letters {
		ids[i] = l.ID
	}
	found, err := readAll[Stake](ctx, s.pool, `
		SELECT d.id, p.order_reference, p.amount, p.currency
		FROM webhook_dead_letter d JOIN webhook_queue q ON q.id = d.queue_id
		JOIN payments p ON p.source = q.source AND p.payment_id = q.resource_id
		WHERE d.id = ANY ($1)`, ids)
	if err != nil {
		return nil, wrap(err, "stakes of dead letters")
	}
	stakes := make(map[int64]Stake, len(found))
	for _, stake := range found {
		stakes[stake.DeadLetterID] = stake
	}
	return stakes, nil
}
