package store

import (
	"context"
	"errors"
	"strconv"

	"github.com/jackc/pgx/v5"
)

// A Replay is a new event that does the work of another once more.
type Replay struct {
	QueueID  int64 `json:"queue_id"`
	ReplayOf int64 `json:"replay_of"`
}

// ReplayEvent makes a new event of the same delivery. Any event can be replayed,
// an archived one too; an open dead letter of it becomes replayed. The error
// wraps ErrEventNotFound, or is a *ReplayWaitsError or a *PayloadExpiredError.
//
// An event whose body was emptied is done once more by the id of what it names.
//
// What there is to do is asked again: an event that an older release could not
// settle is settled by one that can. A provider's test ends as one again.
func (s *Store) ReplayEvent(ctx context.Context, queueID int64, by Actor) (Replay, error) {
	var replay Replay
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if err := lockReplays(ctx, tx, queueID); err != nil {
			return err
		}
		made, err := s.replayInto(ctx, tx, queueID)
		if err != nil {
			return err
		}
		replay = made
		if _, err := tx.Exec(ctx, `UPDATE webhook_dead_letter SET state = 'replayed' WHERE queue_id = $1 AND `+checked(`state = 'open'`), queueID); err != nil {
			return err
		}
		return record(ctx, tx, act{
			by: by, action: ActionReplay, kind: TargetEvent, target: queueID, events: []int64{queueID, made.QueueID}, count: 1,
		})
	})
	return replay, wrap(err, "replay event %d", queueID)
}

// ReplayDeadLetter makes a new event of the dead letter's delivery. An open one
// becomes replayed; a reopened one stays what it is, as its own job lives. The
// error wraps ErrDeadLetterNotFound, or is a *StateError when it was replayed or
// dismissed already, or a *ReplayWaitsError.
func (s *Store) ReplayDeadLetter(ctx context.Context, id int64, by Actor) (Replay, error) {
	var replay Replay
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		queueID, err := eventOfDeadLetter(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := lockReplays(ctx, tx, queueID); err != nil {
			return err
		}
		letter, err := lockDeadLetter(ctx, tx, id, DeadLetterOpen, DeadLetterReopened)
		if err != nil {
			return err
		}
		if replay, err = s.replayInto(ctx, tx, queueID); err != nil {
			return err
		}
		if letter.state == DeadLetterOpen {
			if _, err := tx.Exec(ctx, `UPDATE webhook_dead_letter SET state = 'replayed' WHERE id = $1`, id); err != nil {
				return err
			}
		}
		return record(ctx, tx, act{
			by: by, action: ActionReplay, kind: TargetDeadLetter, target: id, events: []int64{queueID, replay.QueueID}, count: 1,
		})
	})
	return replay, wrap(err, "replay dead letter %d", id)
}

// lockSeedReplay is the class of advisory locks that make two operators, who
// replay one event at the same time, come one after the other. An archived event
// is deleted and inserted, so its row is nothing to lock.
const lockSeedReplay = 3

// lockReplays locks the replays of an event, before its dead letter's row.
func lockReplays(ctx context.Context, tx pgx.Tx, queueID int64) error {
	return execute(ctx, tx, `SELECT pg_advisory_xact_lock(hashtextextended($1, $2))`, strconv.FormatInt(queueID, 10), lockSeedReplay)
}

// eventOfDeadLetter is the event that the dead letter is about, for good.
func eventOfDeadLetter(ctx context.Context, tx pgx.Tx, id int64) (queueID int64, err error) {
	err = tx.QueryRow(ctx, `SELECT queue_id FROM webhook_dead_letter WHERE id = $1`, id).Scan(&queueID)
	return queueID, ErrDeadLetterNotFound.ifNone(err, id)
}

// replayInto makes the replay of one event, unless one has not ended yet. The
// caller holds the lock of the event's replays.
func (s *Store) replayInto(ctx context.Context, tx pgx.Tx, queueID int64) (Replay, error) {
	if s.jobForm == nil {
		return Replay{}, errors.New("this store cannot accept events")
	}
	waiting, err := readValue[int64](ctx, tx, `
		SELECT v.id FROM webhook_queue q JOIN webhook_queue_status v ON v.id = q.id
		WHERE q.replay_of = $1 AND q.completed_at IS NULL AND v.status <> 'dead_letter'
		ORDER BY v.id LIMIT 1`, queueID)
	if err == nil {
		return Replay{}, &ReplayWaitsError{QueueID: queueID, Replay: waiting}
	}
	if !errors.Is(err, pgx.ErrNoRows) {
		return Replay{}, err
	}
	events, err := s.loadReplays(ctx, tx, []int64{queueID})
	if err != nil {
		return Replay{}, err
	}
	if len(events) == 0 {
		return Replay{}, ErrEventNotFound.With(queueID)
	}
	if events[0].emptied && isItsBody(events[0].Work) {
		return Replay{}, &PayloadExpiredError{QueueID: queueID}
	}
	receipts, err := s.insertEvents(ctx, tx, events)
	if err != nil {
		return Replay{}, err
	}
	return Replay{QueueID: receipts[0].QueueID, ReplayOf: queueID}, nil
}

// loadReplays returns what replays the events, by their ids. The signature stays
// behind: it makes a delivery unique, and this is none. The request id and the
// query stay, so that the replay is found by what the delivery was called.
func (s *Store) loadReplays(ctx context.Context, tx pgx.Tx, queueIDs []int64) ([]NewEvent, error) {
	const columns = `id, source, topic, action, resource_id, payload, query, request_id, live_mode, signed, work, collector_id, emptied_at IS NOT NULL`
	// One statement sees an event that is being archived exactly once.
	rows, _ := tx.Query(ctx, `
		SELECT `+columns+` FROM webhook_queue WHERE id = ANY ($1)
		UNION ALL
		SELECT `+columns+` FROM webhook_archive WHERE id = ANY ($1)
		ORDER BY 1`, queueIDs)
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (NewEvent, error) {
		ev := NewEvent{Origin: OriginReplay}
		err := row.Scan(&ev.ReplayOf, &ev.Source, &ev.Topic, &ev.Action, &ev.ResourceID, &ev.Payload, &ev.Query, &ev.RequestID,
			&ev.LiveMode, &ev.Signed, &ev.Work, &ev.CollectorID, &ev.emptied)
		ev.Work = s.workAgain(ev)
		return ev, err
	})
}

// workAgain is what an event asks for when it is replayed. The provider knows its
// tests by their body, so such an event stays one. What nobody has signed is not sent
// on to anybody.
func (s *Store) workAgain(ev NewEvent) string {
	if ev.Work == WorkTest || s.workOf == nil {
		return ev.Work
	}
	work, known := s.workOf(ev.Source, ev.Topic, ev.ResourceID)
	switch {
	case !known:
		return ev.Work
	case work == WorkForward && !ev.Signed:
		return WorkKeep
	}
	return work
}
