package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// An Attempt names one run of an event's job.
type Attempt struct {
	QueueID int64
	JobID   int64
	// Number is the job's attempt, 1 for the first.
	Number int
	// At is when it began, as the job's row says: after a restore under the running
	// service another job may have the id, and run its attempt of the same number.
	At time.Time
}

// Outcomes of a completed event.
const (
	// OutcomeSettled: the payment's state was new and was applied.
	OutcomeSettled = "settled"
	// OutcomeUnchanged: the payment's state was known already.
	OutcomeUnchanged = "unchanged"
	// OutcomeCovered: a fetch that began after the event was received had
	// already told what the event could tell.
	OutcomeCovered = "covered"
	// OutcomeFollowed: what the event names was fetched, and what that names
	// became events of their own.
	OutcomeFollowed = "followed"
	// OutcomeProvisional: an order of the provider's was fetched, and a payment of it
	// is not known yet: what the order says of it counts until then.
	OutcomeProvisional = "provisional"
	// OutcomeForwarded: the event's body is on its way to where its source says.
	OutcomeForwarded = "forwarded"
	// OutcomeKept: the event informs, and there is nothing to do.
	OutcomeKept = "kept"
	// OutcomeUnhandled: the event is about money, and this release cannot settle it.
	OutcomeUnhandled = "unhandled"
	// OutcomeDiscarded: a hint that anybody may have sent, or a delivery whose
	// signature also stood under another topic, and that led to nothing.
	OutcomeDiscarded = "discarded"
	// OutcomeTest: the provider's own test delivery.
	OutcomeTest = "test"
)

// ErrStaleAttempt means that the job is not running this attempt any more:
// another process took it up, or somebody ended it. Nothing was changed.
var ErrStaleAttempt = errors.New("the attempt is stale")

// ErrEventNotFound means that no event has that id.
var ErrEventNotFound = noSuch("event", "event_not_found")

// An AttemptStart is what a worker needs to know before it asks the provider.
type AttemptStart struct {
	// Work is what the event asks for.
	Work       string
	Source     string
	Topic      string
	Action     string
	ResourceID string
	// Origin is one of EventOrigins.
	Origin string
	// CollectorID is the account that the event is asked for with, as far as that is
	// known: a hint. Empty when nothing is said.
	CollectorID string
	RequestID   string
	ReceivedAt  time.Time
	// Payload is the notification's body, of an event that is to be followed or
	// forwarded; nil for any other. NotifiedAt is when the notification says that it
	// was made; zero when it says nothing.
	Payload    []byte
	NotifiedAt time.Time
	// Now is PostgreSQL's clock, and Mark the newest event id that was drawn: a
	// fetch that follows began after both.
	Now  time.Time
	Mark int64
	// Hint is true when anybody may have sent the event: no signature was verified,
	// and it is not an event of our own.
	Hint bool
	// Look is true for an event of our own that looks again for a payment which only an
	// order of the provider's has shown.
	Look bool
	// NotBefore is what an answer that changes nothing must be as new as, going by
	// the event's notification; zero when any answer will do.
	NotBefore time.Time
	// Completed is true when the event has ended already.
	Completed bool
	// Covered is true when the event asks for a payment and a fetch of it began
	// after the event came: its outcome holds everything the event could tell.
	// Their ids tell, and no clock: the fetch's mark is not below the event's id. A
	// mark above every id that was drawn, as after a restore, proves nothing.
	Covered bool
}

// isHint is the condition on a row q of webhook_queue for AttemptStart.Hint. What
// replays a hint is one.
const isHint = `NOT q.signed AND q.origin IN ('webhook', 'replay')`

// isLook is the condition on a row q of webhook_queue for AttemptStart.Look.
const isLook = `q.work = '` + WorkFollow + `' AND q.origin IN ('` + OriginFollow + `', '` + OriginReconciliation + `') AND EXISTS (
	SELECT FROM payment_aliases a WHERE a.source = q.source AND a.provider_order_id = q.resource_id AND a.awaited)`

// notificationSlack is how much later than the state that it tells of a
// notification may be dated.
const notificationSlack = 10 * time.Second

// StartAttempt reads the event that an attempt is about.
func (s *Store) StartAttempt(ctx context.Context, queueID int64) (AttemptStart, error) {
	starts, err := s.startAttempts(ctx, []int64{queueID})
	if err != nil {
		return AttemptStart{}, fmt.Errorf("event %d: %w", queueID, err)
	}
	return startOf(starts, queueID)
}

// startOf is the start of one of several attempts.
func startOf(starts map[int64]AttemptStart, queueID int64) (AttemptStart, error) {
	a, found := starts[queueID]
	if !found {
		return AttemptStart{}, fmt.Errorf("event %d: %w", queueID, ErrEventNotFound.With(queueID))
	}
	return a, nil
}

// startAttempts reads the events that attempts are about, by their ids; one that is not
// there is not among them. What the attempts fetch is fetched after it, so one mark is
// all of theirs.
func (s *Store) startAttempts(ctx context.Context, queueIDs []int64) (map[int64]AttemptStart, error) {
	starts := make(map[int64]AttemptStart, len(queueIDs))
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	var batch pgx.Batch // without a Begin it is a transaction, too
	renewPlans(&batch, conn.Conn(), len(queueIDs))
	batch.Queue(plainPlansSQL)
	queueEach(&batch, func(row pgx.CollectableRow) error {
		var a AttemptStart
		var id int64
		var notified, askedAgain *time.Time
		err := row.Scan(&id, &notified, &askedAgain, &a.Work, &a.Source, &a.Topic, &a.Action, &a.ResourceID, &a.Origin, &a.CollectorID, &a.RequestID, &a.ReceivedAt,
			&a.Payload, &a.Now, &a.Mark, &a.Hint, &a.Look, &a.Completed, &a.Covered)
		a.NotifiedAt = deref(notified)
		// A sender that anybody may be is not worth a second call, and a fraud alert is
		// of no change of its payment.
		if notified != nil && askedAgain == nil && !a.Hint && a.Work == WorkPayment {
			a.NotBefore = notified.Add(-notificationSlack)
		}
		starts[id] = a
		return err
	}, `
		SELECT q.id, q.notified_at, q.asked_again_at, q.work, q.source, q.topic, q.action, q.resource_id, q.origin, q.collector_id, q.request_id, q.received_at,
		       CASE WHEN q.work IN ('`+WorkFollow+`', '`+WorkForward+`') THEN q.payload END, clock_timestamp(), drawn.last_value, `+isHint+`, `+isLook+`, q.completed_at IS NOT NULL,
		       q.work = '`+WorkPayment+`' AND EXISTS (
		           SELECT FROM payments p
		           WHERE p.source = q.source AND p.payment_id = q.resource_id
		             AND p.fetch_mark >= q.id AND p.fetch_mark <= drawn.last_value
		             AND (q.notified_at IS NULL OR `+isHint+` OR p.date_last_updated >= q.notified_at - make_interval(secs => $2)))
		FROM webhook_queue_id_seq drawn, webhook_queue q
		WHERE q.id = ANY ($1)`, queueIDs, notificationSlack.Seconds())
	return starts, conn.SendBatch(ctx, &batch).Close()
}

// FetchMark is PostgreSQL's clock and the newest event id that was drawn: a fetch that
// follows began after both.
func (s *Store) FetchMark(ctx context.Context) (now time.Time, mark int64, err error) {
	err = s.pool.QueryRow(ctx, `SELECT clock_timestamp(), last_value FROM webhook_queue_id_seq`).Scan(&now, &mark)
	return now, mark, wrap(err, "the mark of a fetch")
}

// ErrAnswerOlder means that an answer changes nothing although the notification is
// of a later change. Nothing was changed.
var ErrAnswerOlder = errors.New("the answer is older than its notification")

// AskAgain notes that the attempt is put off because its answer was older than its
// notification, which an event is once. A stale attempt notes nothing.
func (s *Store) AskAgain(ctx context.Context, a Attempt) error {
	return wrap(execute(ctx, s.pool, `
		UPDATE webhook_queue SET asked_again_at = now()
		WHERE id = $1 AND completed_at IS NULL
		  AND EXISTS (SELECT FROM river_job WHERE `+runsAttempt("$2", "$3", "$4")+`)`, a.QueueID, a.JobID, a.Number, a.At), "ask again for event %d", a.QueueID)
}

// A CompleteJob completes the job of the attempt in tx. It is called as the
// transaction's last statement.
type CompleteJob func(ctx context.Context, tx pgx.Tx) error

// completeJobs completes jobs that the transaction has locked and found to be running, as
// River's JobCompleteTx completes one. River's own statement takes every change that a job
// may know, looks each row up twice and returns it whole.
const completeJobs = `UPDATE river_job SET state = 'completed', finalized_at = clock_timestamp() WHERE id = ANY ($1) AND state = 'running'`

// CompleteJobOf completes the attempt's job, which the transaction has locked.
func CompleteJobOf(a Attempt) CompleteJob {
	return func(ctx context.Context, tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, completeJobs, []int64{a.JobID})
		if err == nil && tag.RowsAffected() != 1 {
			err = ErrStaleAttempt
		}
		return err
	}
}

// Complete ends an event that needed no settlement.
func (s *Store) Complete(ctx context.Context, a Attempt, outcome string, complete CompleteJob) error {
	return s.end(ctx, a, outcome, complete, func(pgx.Tx) error { return nil })
}

// end does something and ends the event.
func (s *Store) end(ctx context.Context, a Attempt, outcome string, complete CompleteJob, do func(tx pgx.Tx) error) error {
	err := s.inFencedTx(ctx, func(tx pgx.Tx) error {
		failures, err := lockAttempt(ctx, tx, a)
		if err != nil {
			return err
		}
		if err := do(tx); err != nil {
			return err
		}
		if err := endEvent(ctx, tx, a, outcome, failures); err != nil {
			return err
		}
		return complete(ctx, tx)
	})
	return wrap(err, "complete event %d", a.QueueID)
}

// AttemptIsCurrent reports whether the job is still running this attempt.
// Unlike lockAttempt it promises nothing beyond the moment.
func (s *Store) AttemptIsCurrent(ctx context.Context, a Attempt) (bool, error) {
	current, err := readValue[bool](ctx, s.pool, `SELECT EXISTS (SELECT FROM river_job WHERE `+runsAttempt("$1", "$2", "$3")+`)`, a.JobID, a.Number, a.At)
	return current, wrap(err, "job %d", a.JobID)
}

// JobIsRunning reports whether any attempt of the job is running.
func (s *Store) JobIsRunning(ctx context.Context, jobID int64) (bool, error) {
	running, err := readValue[bool](ctx, s.pool, `SELECT EXISTS (SELECT FROM river_job WHERE id = $1 AND state = 'running')`, jobID)
	return running, wrap(err, "job %d", jobID)
}

// runsAttempt is the condition that a row of river_job runs the attempt that the
// parameters name: its job's id, its number and when it began.
func runsAttempt(jobID, number, at string) string {
	return fmt.Sprintf("id = %s AND state = 'running' AND attempt = %s AND attempted_at = %s", jobID, number, at)
}

// lockAttempt locks the job's row until the transaction ends and returns the
// errors of its earlier attempts. It fails with ErrStaleAttempt when the job is
// not running this very attempt: River completes by id alone, so a worker that
// lost its job must find out here, before it changes anything.
func lockAttempt(ctx context.Context, tx pgx.Tx, a Attempt) (json.RawMessage, error) {
	var job heldJob
	err := tx.QueryRow(ctx, `SELECT `+heldJobColumns+` FROM river_job WHERE id = $1 FOR UPDATE`, a.JobID).Scan(job.fields()...)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, ErrStaleAttempt
	}
	if err != nil {
		return nil, err
	}
	return job.failures, job.checkAttempt(a)
}

// A heldJob is a job whose row is locked.
type heldJob struct {
	id       int64
	running  bool
	attempt  int
	at       *time.Time
	failures json.RawMessage
}

const heldJobColumns = `id, state = 'running', attempt, attempted_at, coalesce(to_jsonb(errors), '[]')`

func (j *heldJob) fields() []any { return []any{&j.id, &j.running, &j.attempt, &j.at, &j.failures} }

// checkAttempt returns ErrStaleAttempt when the job is not running this very attempt.
func (j *heldJob) checkAttempt(a Attempt) error {
	if !j.running || j.attempt != a.Number || !deref(j.at).Equal(a.At) {
		return ErrStaleAttempt
	}
	return nil
}

// An endedEvent is an event that ends with an attempt.
type endedEvent struct {
	Attempt
	outcome  string
	failures json.RawMessage
}

// endEvents marks events done and keeps their attempts, which outlive River's
// rows. An event that has ended keeps its first end. One that is about a forgotten
// payer needs its body no longer.
var endEvents = writeRows([]column[endedEvent]{
	value("id", "bigint", func(e endedEvent) int64 { return e.QueueID }),
	value("outcome", "text", func(e endedEvent) string { return e.outcome }),
	value("attempts", "integer", func(e endedEvent) int { return e.Number }),
	value("failures", "jsonb", func(e endedEvent) json.RawMessage { return e.failures }),
}, 0, func(x string) string {
	return `
		UPDATE webhook_queue q
		SET completed_at = now(), outcome = x.outcome, attempts = x.attempts, attempt_errors = x.failures,
		    payload = CASE WHEN q.forgotten THEN '' ELSE q.payload END, resource = CASE WHEN NOT q.forgotten THEN q.resource END,
		    remote_ip = CASE WHEN NOT q.forgotten THEN q.remote_ip END, emptied_at = CASE WHEN q.forgotten THEN now() ELSE q.emptied_at END
		FROM ` + x + ` WHERE q.id = x.id AND q.completed_at IS NULL`
})

// endEvent marks one event done, see endEvents.
func endEvent(ctx context.Context, tx pgx.Tx, a Attempt, outcome string, failures json.RawMessage) error {
	_, err := endEvents.exec(ctx, tx, []endedEvent{{a, outcome, failures}})
	return err
}
