package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/jackc/pgx/v5"
)

// States of a bulk replay.
const (
	BulkReplayRunning   = "running"
	BulkReplayDone      = "done"
	BulkReplayCancelled = "cancelled"
	// BulkReplayStalled is what one that runs reads as when its step is gone.
	// What it has not replayed is still open, so another one can take over.
	BulkReplayStalled = "stalled"
)

// ErrBulkReplayNotFound means that no bulk replay has that id.
var ErrBulkReplayNotFound = noSuch("bulk replay", "bulk_replay_not_found")

// A BulkReplay is a replay of many dead letters, done in steps.
type BulkReplay struct {
	ID     int64            `json:"id"`
	State  string           `json:"state"`
	Filter DeadLetterFilter `json:"filter"`
	// Total is how many were to be replayed, Replayed how many were. They
	// differ in the end when some were handled otherwise meanwhile.
	Total    int64 `json:"total"`
	Replayed int64 `json:"replayed"`
	// Outcome is what became of the events that it made.
	Outcome     BulkReplayOutcome `json:"outcome"`
	RequestedBy string            `json:"requested_by"`
	StartedAt   time.Time         `json:"started_at"`
	FinishedAt  *time.Time        `json:"finished_at"`
}

// A BulkReplayOutcome counts the events of a bulk replay by how they ended.
type BulkReplayOutcome struct {
	// Completed ended well, Waiting have no end yet.
	Completed int64 `json:"completed"`
	Waiting   int64 `json:"waiting"`
	// Failed failed for good again, SameCause of them of what the event before them
	// failed of.
	Failed    int64 `json:"failed"`
	SameCause int64 `json:"same_cause"`
}

// bulkReplayEvents are the ids of the events that the bulk replay with the id made, as a
// query: an event that it made replays another one that it touched.
func bulkReplayEvents(id string) string {
	touched := `SELECT unnest(a.queue_ids) FROM operator_actions a WHERE a.target_kind = 'bulk_replay' AND a.target_id = ` + id + ` AND a.action = 'bulk_replay_step'`
	of := func(table string) string {
		return `SELECT e.id FROM ` + table + ` e WHERE e.id IN (` + touched + `) AND e.replay_of IN (` + touched + `)`
	}
	return of("webhook_queue") + ` UNION ALL ` + of("webhook_archive")
}

// InsertReplayStep inserts the job that does a bulk replay's next step at the
// given time, and returns the job's id.
type InsertReplayStep func(ctx context.Context, tx pgx.Tx, bulkID int64, at time.Time) (jobID int64, err error)

// replayPace is the time from one step to the next. With it, what was dead comes
// back no faster than a provider's rate limit lets through, and there is time to
// look at the first ones and to cancel the rest.
const replayPace = 5 * time.Second

// A BulkReplayRequest asks for a bulk replay.
type BulkReplayRequest struct {
	// Filter selects among the open dead letters; its State must be empty.
	Filter DeadLetterFilter
	// Limit is how many are replayed at most, the oldest ones; 0 is no limit.
	Limit int64
	By    Actor
	// AtOnce is how many are replayed in the call itself. More are left to
	// steps, which InsertStep inserts.
	AtOnce     int
	InsertStep InsertReplayStep
}

// CountReplayable counts the open dead letters that the filter selects.
func (s *Store) CountReplayable(ctx context.Context, filter DeadLetterFilter) (int64, error) {
	var c conditions
	filter.State = DeadLetterOpen
	filter.narrow(&c)
	n, err := readValue[int64](ctx, s.pool, `SELECT count(*)`+deadLetterFrom+` WHERE `+c.sql(), c.args...)
	return n, wrap(err, "count dead letters")
}

// StartBulkReplay replays the open dead letters that the filter selects now:
// those that die later are not swept in. Few are replayed before it returns, and
// then its state is done.
func (s *Store) StartBulkReplay(ctx context.Context, req BulkReplayRequest) (BulkReplay, error) {
	if req.Filter.State != "" {
		return BulkReplay{}, errors.New("bulk replay: only open dead letters are replayed, so the filter takes no state")
	}
	var bulk BulkReplay
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		c := conditions{}
		filter := req.Filter
		filter.State = DeadLetterOpen
		filter.narrow(&c)
		limit := "ALL"
		if req.Limit > 0 {
			limit = c.arg(req.Limit)
		}
		var total, upper int64
		err := tx.QueryRow(ctx, `
			SELECT count(*), coalesce(max(id), 0) FROM (SELECT d.id`+deadLetterFrom+` WHERE `+c.sql()+` ORDER BY d.id LIMIT `+limit+`) AS chosen`,
			c.args...).Scan(&total, &upper)
		if err != nil {
			return err
		}
		id, err := readValue[int64](ctx, tx, `
			INSERT INTO webhook_bulk_replays (filter, total, upper_id, requested_by, remote_ip, request_id, started_at)
			VALUES ($1, $2, $3, $4, $5::inet, $6, clock_timestamp()) RETURNING id`,
			mustJSON(req.Filter), total, upper, text(req.By.Name), addressOrNil(req.By.RemoteIP), text(req.By.RequestID))
		if err != nil {
			return err
		}
		// Even one that finds nothing was asked for.
		err = record(ctx, tx, act{by: req.By, action: ActionBulkReplay, kind: TargetBulkReplay, target: id, count: int(total), note: string(mustJSON(req.Filter))})
		if err != nil {
			return err
		}
		if total <= int64(req.AtOnce) {
			_, err = s.stepBulkReplay(ctx, tx, id, max(1, req.AtOnce))
		} else {
			err = insertReplayStep(ctx, tx, id, 0, req.InsertStep)
		}
		if err != nil {
			return err
		}
		bulk, err = readBulkReplay(ctx, tx, id)
		return err
	})
	return bulk, wrap(err, "bulk replay")
}

// insertReplayStep inserts the next step, after the pause by PostgreSQL's clock.
func insertReplayStep(ctx context.Context, tx pgx.Tx, id int64, pause time.Duration, insert InsertReplayStep) error {
	at, err := readValue[time.Time](ctx, tx, `SELECT clock_timestamp() + make_interval(secs => $1)`, pause.Seconds())
	if err != nil {
		return err
	}
	jobID, err := insert(ctx, tx, id, at)
	if err != nil {
		return err
	}
	return execute(ctx, tx, `UPDATE webhook_bulk_replays SET job_id = $2 WHERE id = $1`, id, jobID)
}

// StepBulkReplay replays the next batch of a bulk replay and completes the job
// of the attempt; when more is left it inserts the next step. One that was
// cancelled does nothing more.
func (s *Store) StepBulkReplay(ctx context.Context, a Attempt, id int64, batch int, next InsertReplayStep, complete CompleteJob) (BulkReplay, error) {
	var bulk BulkReplay
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := lockAttempt(ctx, tx, a); err != nil {
			return err
		}
		more, err := s.stepBulkReplay(ctx, tx, id, batch)
		if err != nil {
			return err
		}
		if more {
			if err := insertReplayStep(ctx, tx, id, replayPace, next); err != nil {
				return err
			}
		}
		if bulk, err = readBulkReplay(ctx, tx, id); err != nil {
			return err
		}
		return complete(ctx, tx)
	})
	return bulk, wrap(err, "step of bulk replay %d", id)
}

// stepBulkReplay replays up to batch dead letters and reports whether more are
// left.
func (s *Store) stepBulkReplay(ctx context.Context, tx pgx.Tx, id int64, batch int) (more bool, err error) {
	var state string
	var filter DeadLetterFilter
	var total, replayed, upper, cursor int64
	var started time.Time
	var by Actor
	var remote *netip.Addr
	err = tx.QueryRow(ctx, `
		SELECT state, filter, total, replayed, upper_id, cursor_id, started_at, requested_by, remote_ip, request_id
		FROM webhook_bulk_replays WHERE id = $1 FOR UPDATE`, id).
		Scan(&state, &filter, &total, &replayed, &upper, &cursor, &started, &by.Name, &remote, &by.RequestID)
	if err = ErrBulkReplayNotFound.ifNone(err, id); err != nil || state != BulkReplayRunning {
		return false, err
	}
	if remote != nil {
		by.RemoteIP = *remote
	}
	batch = min(batch, int(total-replayed))
	letters, last, err := claimDeadLetters(ctx, tx, filter, started, cursor, upper, batch)
	if err != nil {
		return false, err
	}
	if len(letters) > 0 {
		if err := s.replayLetters(ctx, tx, id, letters, by); err != nil {
			return false, err
		}
	}
	more = len(letters) == batch && replayed+int64(len(letters)) < total
	_, err = tx.Exec(ctx, `
		UPDATE webhook_bulk_replays
		SET replayed = replayed + $2, cursor_id = greatest(cursor_id, $3),
		    state = CASE WHEN $4 THEN state ELSE 'done' END, finished_at = CASE WHEN $4 THEN NULL ELSE clock_timestamp() END
		WHERE id = $1`, id, len(letters), last, more)
	return more, err
}

// claimDeadLetters marks the next open dead letters of a bulk replay as replayed
// and returns their events, and the last one's id. A dead letter that an
// operator holds right now is waited for, and left out when it is not open then.
func claimDeadLetters(ctx context.Context, tx pgx.Tx, filter DeadLetterFilter, started time.Time, cursor, upper int64, batch int) (events []int64, last int64, err error) {
	var c conditions
	filter.State = DeadLetterOpen
	filter.narrow(&c)
	c.add("d.id > ?", cursor)
	c.add("d.id <= ?", upper)
	// One that died again meanwhile died after it was asked for.
	c.add("d.died_at <= ?", started)
	rows, _ := tx.Query(ctx, `
		WITH claimed AS (
			SELECT d.id`+deadLetterFrom+` WHERE `+c.sql()+` ORDER BY d.id LIMIT `+c.arg(batch)+` FOR UPDATE OF d
		)
		UPDATE webhook_dead_letter d SET state = 'replayed' FROM claimed WHERE claimed.id = d.id
		RETURNING d.id, d.queue_id`, c.args...)
	var letter, event int64
	_, err = pgx.ForEachRow(rows, []any{&letter, &event}, func() error {
		events = append(events, event)
		last = max(last, letter)
		return nil
	})
	return events, last, err
}

// replayLetters makes new events of those of dead letters.
func (s *Store) replayLetters(ctx context.Context, tx pgx.Tx, id int64, queueIDs []int64, by Actor) error {
	events, err := s.loadReplays(ctx, tx, queueIDs)
	if err != nil {
		return err
	}
	if len(events) != len(queueIDs) {
		return fmt.Errorf("%d of %d events are not there", len(queueIDs)-len(events), len(queueIDs))
	}
	for i := range events {
		// Whatever is live passes what was dead.
		events[i].Background = true
	}
	receipts, err := s.insertEvents(ctx, tx, events)
	if err != nil {
		return err
	}
	touched := append([]int64(nil), queueIDs...)
	for _, r := range receipts {
		touched = append(touched, r.QueueID)
	}
	return record(ctx, tx, act{
		by: by, action: ActionBulkReplayStep, kind: TargetBulkReplay, target: id, events: touched, count: len(queueIDs),
	})
}

// BulkReplay returns one bulk replay, or ErrBulkReplayNotFound.
func (s *Store) BulkReplay(ctx context.Context, id int64) (BulkReplay, error) {
	var bulk BulkReplay
	err := s.readSnapshot(ctx, func(tx pgx.Tx) (err error) {
		bulk, err = readBulkReplay(ctx, tx, id)
		return err
	})
	return bulk, wrap(err, "bulk replay %d", id)
}

const (
	bulkReplayColumns = `b.id,
		CASE WHEN b.state = 'running' AND (j.id IS NULL OR j.state IN ('completed', 'cancelled', 'discarded')) THEN 'stalled' ELSE b.state END,
		b.filter, b.total, b.replayed, b.requested_by, b.started_at, b.finished_at`
	bulkReplayFrom = ` FROM webhook_bulk_replays b LEFT JOIN river_job j ON j.id = b.job_id`
)

func scanBulkReplay(row pgx.Row) (BulkReplay, error) {
	var b BulkReplay
	var filter json.RawMessage
	err := row.Scan(&b.ID, &b.State, &filter, &b.Total, &b.Replayed, &b.RequestedBy, &b.StartedAt, &b.FinishedAt)
	if err != nil {
		return b, err
	}
	toUTC(&b.StartedAt, b.FinishedAt)
	if err := json.Unmarshal(filter, &b.Filter); err != nil {
		return b, fmt.Errorf("the filter of bulk replay %d: %w", b.ID, err)
	}
	return b, nil
}

func readBulkReplay(ctx context.Context, tx pgx.Tx, id int64) (BulkReplay, error) {
	b, err := scanBulkReplay(tx.QueryRow(ctx, `SELECT `+bulkReplayColumns+bulkReplayFrom+` WHERE b.id = $1`, id))
	if err = ErrBulkReplayNotFound.ifNone(err, id); err != nil {
		return b, err
	}
	return b, tx.QueryRow(ctx, `
		SELECT count(*) FILTER (WHERE v.id IS NULL OR v.status = 'completed'), count(*) FILTER (WHERE v.status NOT IN ('completed', 'dead_letter')),
		       count(*) FILTER (WHERE v.status = 'dead_letter'),
		       count(*) FILTER (WHERE v.status = 'dead_letter' AND (again.reason, again.error_class) = (before.reason, before.error_class))
		FROM (`+bulkReplayEvents("$1")+`) AS made
		LEFT JOIN webhook_queue q ON q.id = made.id
		LEFT JOIN webhook_queue_status v ON v.id = made.id
		LEFT JOIN webhook_dead_letter again ON again.queue_id = made.id
		LEFT JOIN webhook_dead_letter before ON before.queue_id = q.replay_of`, id).
		Scan(&b.Outcome.Completed, &b.Outcome.Waiting, &b.Outcome.Failed, &b.Outcome.SameCause)
}

// BulkReplays returns one page of the bulk replays. What became of their events is left
// out.
func (s *Store) BulkReplays(ctx context.Context, page Page) (List[BulkReplay], error) {
	return readPage(ctx, s, "bulk replays", `SELECT `+bulkReplayColumns+bulkReplayFrom, "b.id", conditions{}, page,
		func(row pgx.CollectableRow) (BulkReplay, error) { return scanBulkReplay(row) }, func(b BulkReplay) int64 { return b.ID })
}

// CancelBulkReplay stops a bulk replay before its next step. What was replayed
// stays so. One that has ended is a *StateError.
func (s *Store) CancelBulkReplay(ctx context.Context, id int64, by Actor) (BulkReplay, error) {
	var bulk BulkReplay
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		var state string
		var replayed int64
		err := tx.QueryRow(ctx, `SELECT state, replayed FROM webhook_bulk_replays WHERE id = $1 FOR UPDATE`, id).Scan(&state, &replayed)
		if err = ErrBulkReplayNotFound.ifNone(err, id); err != nil {
			return err
		}
		if state != BulkReplayRunning {
			return &StateError{What: "bulk replay", ID: id, State: state}
		}
		if _, err := tx.Exec(ctx, `UPDATE webhook_bulk_replays SET state = 'cancelled', finished_at = clock_timestamp() WHERE id = $1`, id); err != nil {
			return err
		}
		if err := record(ctx, tx, act{by: by, action: ActionCancelBulkReplay, kind: TargetBulkReplay, target: id, count: int(replayed)}); err != nil {
			return err
		}
		bulk, err = readBulkReplay(ctx, tx, id)
		return err
	})
	return bulk, wrap(err, "cancel bulk replay %d", id)
}
