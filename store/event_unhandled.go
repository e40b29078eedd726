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
// unhandled and were never replayed, the archived ones too, and replays those that
// this release can settle. It returns the last that it looked at and how many it
// replayed; done is true when there are no more. What it replays has time: every
// other event passes it.
func (s *Store) ReplayUnhandled(ctx context.Context, after int64, limit int, read ReadEvent) (last int64, replayed int, done bool, err error) {
	if s.jobForm == nil {
		return after, 0, false, errors.New("this store cannot accept events")
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		last, replayed = after, 0
		// One statement sees an event that is being archived exactly once.
		ids, err := readColumn[int64](ctx, tx, `
			SELECT id FROM (
				SELECT id FROM webhook_queue WHERE outcome = '`+OutcomeUnhandled+`' AND id > $1
				UNION ALL
				SELECT id FROM webhook_archive WHERE outcome = '`+OutcomeUnhandled+`' AND id > $1
			) e
			WHERE NOT EXISTS (SELECT FROM webhook_queue r WHERE r.replay_of = e.id)
			  AND NOT EXISTS (SELECT FROM webhook_archive r WHERE r.replay_of = e.id)
			ORDER BY id LIMIT $2`, after, limit)
		if err != nil || len(ids) == 0 {
			done = err == nil
			return err
		}
		last, done = ids[len(ids)-1], len(ids) < limit
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
