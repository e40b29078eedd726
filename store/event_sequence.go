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

// behindStored reads the newest id that was drawn and the highest that is stored where
// that is higher. What is highest is only looked for then.
const behindStored = `
	SELECT last_value, (SELECT ` + highestID + `) FROM webhook_queue_id_seq
	WHERE last_value < greatest((SELECT max(id) FROM webhook_queue), (SELECT max(id) FROM webhook_archive))
	   OR EXISTS (SELECT FROM payments WHERE fetch_mark > last_value) OR EXISTS (SELECT FROM payment_aliases WHERE fetch_mark > last_value)
	   OR EXISTS (SELECT FROM chargebacks WHERE fetch_mark > last_value) OR EXISTS (SELECT FROM claims WHERE fetch_mark > last_value)`

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
func (s *Store) SequenceGap(ctx context.Context) (gap *SequenceGap, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		gap, err = sequenceGap(ctx, tx)
		return err
	})
	return gap, wrap(err, "sequence of events")
}

func sequenceGap(ctx context.Context, tx pgx.Tx) (*SequenceGap, error) {
	// The planner takes a third of all marks to be above one that it does not know, and
	// would look for the first by reading the table: there is none, so it would read all.
	if err := execute(ctx, tx, `SET LOCAL enable_seqscan = off`); err != nil {
		return nil, err
	}
	gap, err := readOne[SequenceGap](ctx, tx, behindStored)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // no gap
	}
	return &gap, err
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
