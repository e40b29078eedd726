package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// outageActor is who replays the dead letters of an outage, in the audit trail.
const outageActor = "outage"

// releaseGrace is how long after an outage's end events are still let go: a
// process that had not heard of the end yet may have held some more.
const releaseGrace = 3 * time.Second

// A ReleaseRequest asks for a step of letting go what waited an outage out.
type ReleaseRequest struct {
	Account Account
	// Queue is the River queue that event jobs wait in.
	Queue string
	// Ahead is how many events may wait for a worker: no more than that are let
	// go, so that live webhooks stay ahead of what was held.
	Ahead int
	// Retry makes a job due.
	Retry RetryJob
}

// A Release is what one step let go.
type Release struct {
	// Held events were made due, Replayed dead letters became new events.
	Held, Replayed int64
	// Ended is the outage when the step was its last, nil otherwise.
	Ended *Outage
}

// ReleaseOutage lets go some of what waited an ended outage out: held events
// become due, and dead letters that the outage made are replayed, each once. It
// does nothing while the circuit is not closed, or while another process is at
// it. Each step is one transaction: when its process dies, another goes on.
func (s *Store) ReleaseOutage(ctx context.Context, req ReleaseRequest) (Release, error) {
	var done Release
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		done = Release{}
		rows, _ := tx.Query(ctx, `
			SELECT `+outageColumns+` FROM provider_outages o
			WHERE source = $1 AND closed_at IS NOT NULL AND released_at IS NULL
			  AND EXISTS (SELECT FROM provider_state p WHERE p.source = o.source AND p.circuit = 'closed')
			ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED`, req.Account.String())
		outage, err := pgx.CollectExactlyOneRow(rows, scanOutage)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		return s.release(ctx, tx, req, outage, &done)
	})
	return done, wrap(err, "release the events of an outage of %s", req.Account)
}

func (s *Store) release(ctx context.Context, tx pgx.Tx, req ReleaseRequest, outage Outage, done *Release) error {
	waiting, err := readValue[int](ctx, tx, `
		SELECT count(*) FROM (
			SELECT FROM river_job WHERE state = 'available' AND queue = $1 AND scheduled_at <= now() LIMIT $2) w`, req.Queue, req.Ahead)
	if err != nil {
		return err
	}
	room := req.Ahead - waiting
	if room <= 0 {
		return nil
	}
	held, err := s.claimHeld(ctx, tx, req, room)
	if err != nil {
		return err
	}
	for _, jobID := range held {
		if err := req.Retry(ctx, tx, jobID); err != nil {
			return err
		}
	}
	done.Held = int64(len(held))
	if room -= len(held); room > 0 {
		letters, err := s.replayOutageDeadLetters(ctx, tx, outage, room)
		if err != nil {
			return err
		}
		done.Replayed = int64(letters)
		room -= letters
	}
	rows, _ := tx.Query(ctx, `
		UPDATE provider_outages
		SET held_released = held_released + $2, dead_letters_replayed = dead_letters_replayed + $3,
		    -- The clock may have been set back since it was closed.
		    released_at = CASE WHEN $4 AND NOT closed_at BETWEEN now() - make_interval(secs => $5) AND now() THEN greatest(now(), closed_at) END
		WHERE id = $1 RETURNING `+outageColumns, outage.ID, done.Held, done.Replayed, room > 0, releaseGrace.Seconds())
	outage, err = pgx.CollectExactlyOneRow(rows, scanOutage)
	if err == nil && outage.ReleasedAt != nil {
		done.Ended = &outage
	}
	return err
}

// claimHeld locks the jobs of held events, those first that River would fetch
// first. The lock keeps a job from being fetched in between: retried then, it
// would run once more. Held is what the view calls so, asked of the jobs: River's
// index has them in order, and the view would be read whole in each step.
func (s *Store) claimHeld(ctx context.Context, tx pgx.Tx, req ReleaseRequest, limit int) ([]int64, error) {
	// The event is asked of in a subquery, which PostgreSQL looks up job by job: a
	// join it would make for all jobs, to sort them.
	return readColumn[int64](ctx, tx, `
		SELECT j.id FROM river_job j
		WHERE j.state = 'scheduled' AND j.queue = $2 AND j.metadata ? 'snoozes'
		  AND (SELECT `+accountName("q", "$4")+` FROM webhook_queue q
		       WHERE q.id = CASE WHEN jsonb_typeof(j.args -> 'queue_id') = 'number' THEN (j.args ->> 'queue_id')::bigint END
		         AND q.job_id = j.id AND q.completed_at IS NULL) = $1
		ORDER BY j.priority, j.scheduled_at, j.id LIMIT $3 FOR UPDATE OF j SKIP LOCKED`, req.Account.String(), req.Queue, limit, s.sellerIDs())
}

// replayOutageDeadLetters replays dead letters that the outage made: of its class, and
// died between the first failure of the streak that opened the circuit and its
// closing. One that is replayed is not open any more, so each is replayed once.
func (s *Store) replayOutageDeadLetters(ctx context.Context, tx pgx.Tx, outage Outage, limit int) (int, error) {
	rows, _ := tx.Query(ctx, `
		WITH claimed AS (
			SELECT d.id FROM webhook_dead_letter d JOIN webhook_queue q ON q.id = d.queue_id
			WHERE d.state = 'open' AND d.error_class = 'provider_unavailable' AND d.reason = 'retries_exhausted'
			  AND d.died_at BETWEEN $2 AND $3 AND `+accountName("q", "$5")+` = $1
			ORDER BY d.id LIMIT $4 FOR UPDATE OF d SKIP LOCKED
		)
		UPDATE webhook_dead_letter d SET state = 'replayed' FROM claimed WHERE claimed.id = d.id
		RETURNING d.queue_id, d.id`, Account{outage.Source, outage.CollectorID}.String(), outage.FirstFailureAt, outage.ClosedAt, limit, s.sellerIDs())
	letters := map[int64]int64{}
	var queueIDs []int64
	var queueID, letter int64
	_, err := pgx.ForEachRow(rows, []any{&queueID, &letter}, func() error {
		letters[queueID] = letter
		queueIDs = append(queueIDs, queueID)
		return nil
	})
	if err != nil || len(letters) == 0 {
		return 0, err
	}
	events, err := s.loadReplays(ctx, tx, queueIDs)
	if err != nil {
		return 0, err
	}
	if len(events) != len(letters) {
		return 0, fmt.Errorf("%d of %d events are not there", len(letters)-len(events), len(letters))
	}
	receipts, err := s.insertEvents(ctx, tx, events)
	if err != nil {
		return 0, err
	}
	for i, event := range events {
		err := record(ctx, tx, act{
			by: Actor{Name: outageActor}, action: ActionReplay, kind: TargetDeadLetter, target: letters[event.ReplayOf],
			events: []int64{event.ReplayOf, receipts[i].QueueID}, count: 1, note: fmt.Sprintf("outage %d", outage.ID),
		})
		if err != nil {
			return 0, err
		}
	}
	return len(letters), nil
}
