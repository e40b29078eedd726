package store

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
)

// highestID is the highest id of an event, or mark of a fetch, that is stored.
const highestID = `greatest((SELECT max(id) FROM webhook_queue), (SELECT max(id) FROM webhook_archive),
	(SELECT max(fetch_mark) FROM payments), (SELECT max(fetch_mark) FROM payment_aliases),
	(SELECT max(fetch_mark) FROM chargebacks), (SELECT max(fetch_mark) FROM claims))`

// sequenceSkip is how far beyond that the sequence is moved: an id that is drawn at
// the same moment must not fall behind it.
const sequenceSkip = 1000

// A SequenceGap says that ids of events would be drawn that are in use already.
type SequenceGap struct {
	// Drawn is the newest id that the sequence gave, Stored the highest that is stored.
	Drawn, Stored int64
}

// SequenceGap returns how far the sequence of the events' ids is behind what is
// stored, as it is after a restore of some tables or of an older sequence; nil when it
// is not. A webhook would then be refused, and what a fetch has seen could not be told.
func (s *Store) SequenceGap(ctx context.Context) (*SequenceGap, error) {
	return sequenceGap(ctx, s.pool)
}

func sequenceGap(ctx context.Context, q querier) (*SequenceGap, error) {
	gap, err := readOne[SequenceGap](ctx, q, `SELECT last_value, stored FROM webhook_queue_id_seq, (SELECT `+highestID+` AS stored) highest WHERE stored > last_value`)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // no gap
	}
	return &gap, wrap(err, "sequence of events")
}

// CloseSequenceGap moves the sequence of the events' ids ahead of what is stored, and
// returns the gap that it closed; nil when there was none.
func (s *Store) CloseSequenceGap(ctx context.Context) (gap *SequenceGap, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		if gap, err = sequenceGap(ctx, tx); gap == nil || err != nil {
			return err
		}
		return execute(ctx, tx, `SELECT setval('webhook_queue_id_seq', $1)`, gap.Stored+sequenceSkip)
	})
	return gap, wrap(err, "move the sequence of events")
}
