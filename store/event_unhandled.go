package store

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
)

// ReadEvent reads an event's delivery once more: what it names and what it asks for,
// as the provider's words are understood now. It is false for a source that nobody
// knows.
type ReadEvent func(ev NewEvent) (resourceID, work string, known bool)

// ReplayUnhandled looks at up to limit events after the given one that ended as
// unhandled, and replays those that were never replayed and that this release can
// settle. With archived it looks in the archive, too. It returns the last that it looked
// at and how many it replayed; done is true when there are no more. What it replays has
// time: every other event passes it.
func (s *Store) ReplayUnhandled(ctx context.Context, after int64, limit int, archived bool, read ReadEvent) (last int64, replayed int, done bool, err error) {
	if s.jobForm == nil {
		return after, 0, false, errors.New("this store cannot accept events")
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		last, replayed = after, 0
		// One statement sees an event that is being archived exactly once. The next ones
		// are found in each table before their replays are looked up: else all that are
		// left are read for each batch.
		looked, err := readAll[unhandled](ctx, tx, `
			WITH next AS MATERIALIZED (
				SELECT id FROM (
					(SELECT queue_id AS id FROM webhook_completed WHERE outcome = '`+OutcomeUnhandled+`' AND queue_id > $1 ORDER BY queue_id LIMIT $2)
					UNION ALL
					(SELECT id FROM webhook_archive WHERE outcome = '`+OutcomeUnhandled+`' AND id > $1 AND $3 ORDER BY id LIMIT $2)
				) e ORDER BY id LIMIT $2
			)
			SELECT id, q.replay IS NULL AND a.replay IS NULL
			FROM next
			LEFT JOIN LATERAL (SELECT r.id AS replay FROM webhook_queue r WHERE r.replay_of = next.id LIMIT 1) q ON true
			LEFT JOIN LATERAL (SELECT r.id AS replay FROM webhook_archive r WHERE r.replay_of = next.id LIMIT 1) a ON true
			ORDER BY id`, after, limit, archived)
		if err != nil || len(looked) == 0 {
			done = err == nil
			return err
		}
		last, done = looked[len(looked)-1].ID, len(looked) < limit
		var ids []int64
		for _, ev := range looked {
			if ev.Open {
				ids = append(ids, ev.ID)
			}
		}
		if len(ids) == 0 {
			return nil
		}
		found, err := s.loadReplays(ctx, tx, ids)
		if err != nil {
			return err
		}
		var events []NewEvent
		for _, ev := range found {
			resourceID, work, known := read(ev)
			if known && OutcomeAtOnce(work) == "" {
				ev.ResourceID, ev.Work, ev.Background = resourceID, work, true
				events = append(events, ev)
			}
		}
		replayed = len(events)
		if replayed == 0 {
			return nil
		}
		_, err = s.insertEvents(ctx, tx, events)
		return err
	})
	return last, replayed, done, wrap(err, "replay what an earlier release could not settle")
}

// An unhandled event is open until it was replayed.
type unhandled struct {
	ID   int64
	Open bool
}
