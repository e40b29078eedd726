package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Statuses of an event, as the view webhook_queue_status derives them.
const (
	StatusPending    = "pending"
	StatusProcessing = "processing"
	StatusFailed     = "failed"
	StatusHeld       = "held"
	StatusCompleted  = "completed"
	StatusDeadLetter = "dead_letter"
)

// EventStatuses are all statuses that there are.
func EventStatuses() []string {
	return []string{StatusPending, StatusProcessing, StatusFailed, StatusHeld, StatusCompleted, StatusDeadLetter}
}

// EventOrigins are all origins that there are.
func EventOrigins() []string {
	return []string{OriginWebhook, OriginReconciliation, OriginReplay}
}

// An EventFilter selects events; an empty field selects all.
type EventFilter struct {
	Status     string
	Topic      string
	Origin     string
	ResourceID string
	// RequestID is the delivery's own, as its sender gave it.
	RequestID string
	// Order selects the events about payments that belong or belonged to the
	// order with this reference.
	Order string
	// Since and Until bound the time of receipt: [Since, Until).
	Since, Until time.Time
}

// An Event is one webhook that was accepted, or what a reconciliation or a
// replay made.
type Event struct {
	QueueID    int64   `json:"queue_id"`
	Status     string  `json:"status"`
	Outcome    *string `json:"outcome"`
	Source     string  `json:"source"`
	Topic      string  `json:"topic"`
	Action     string  `json:"action"`
	ResourceID string  `json:"resource_id"`
	Origin     string  `json:"origin"`
	// ReplayOf is the event that this one replays.
	ReplayOf  *int64 `json:"replay_of"`
	RequestID string `json:"request_id"`
	LiveMode  *bool  `json:"live_mode"`
	// Signed is true when the delivery's signature was verified.
	Signed      bool       `json:"signed"`
	ReceivedAt  time.Time  `json:"received_at"`
	CompletedAt *time.Time `json:"completed_at"`
	// Attempts counts those that began.
	Attempts    int        `json:"attempts"`
	NextRetryAt *time.Time `json:"next_retry_at"`
	LastError   *string    `json:"last_error"`
	// DeadLetterID and DeadLetterState are those of its dead letter.
	DeadLetterID    *int64  `json:"dead_letter_id"`
	DeadLetterState *string `json:"dead_letter_state"`
	// Archived is true when it has been moved to the archive.
	Archived bool `json:"archived"`
}

// A live event is read with the view that knows its status. An archived one has
// ended, and no job or dead letter stands beside it.
const (
	liveEventColumns = `q.id, v.status, q.outcome, q.source, q.topic, q.action, q.resource_id, q.origin, q.replay_of, q.request_id,
	q.live_mode, q.signed, q.received_at, q.completed_at, v.attempts, v.next_retry_at, v.last_error, v.dead_letter_id, v.dead_letter_state, false`
	liveEventFrom = ` FROM webhook_queue q JOIN webhook_queue_status v ON v.id = q.id`

	archivedEventColumns = `q.id, 'completed', q.outcome, q.source, q.topic, q.action, q.resource_id, q.origin, q.replay_of, q.request_id,
	q.live_mode, q.signed, q.received_at, q.completed_at, q.attempts, NULL::timestamptz, q.attempt_errors -> -1 ->> 'error', NULL::bigint, NULL::text, true`
	archivedEventFrom = ` FROM webhook_archive q`
)

func scanEvent(row pgx.Row, extra ...any) (Event, error) {
	var e Event
	err := row.Scan(append([]any{
		&e.QueueID, &e.Status, &e.Outcome, &e.Source, &e.Topic, &e.Action, &e.ResourceID, &e.Origin, &e.ReplayOf, &e.RequestID,
		&e.LiveMode, &e.Signed, &e.ReceivedAt, &e.CompletedAt, &e.Attempts, &e.NextRetryAt, &e.LastError,
		&e.DeadLetterID, &e.DeadLetterState, &e.Archived,
	}, extra...)...)
	toUTC(&e.ReceivedAt, e.CompletedAt, e.NextRetryAt)
	if e.LastError != nil {
		*e.LastError = strings.TrimPrefix(*e.LastError, cancelPrefix)
	}
	return e, err
}

// Events returns one page of the events that the filter selects, archived ones
// included.
func (s *Store) Events(ctx context.Context, filter EventFilter, page Page) (List[Event], error) {
	if page.Limit < 1 {
		return List[Event]{}, fmt.Errorf("store: events: a page of %d rows", page.Limit)
	}
	var c conditions
	c.equal("q.topic", filter.Topic)
	c.equal("q.origin", filter.Origin)
	c.equal("q.resource_id", filter.ResourceID)
	c.equal("q.request_id", filter.RequestID)
	c.between("q.received_at", filter.Since, filter.Until)
	if filter.Order != "" {
		ids, err := s.paymentsOf(ctx, filter.Order)
		if err != nil {
			return List[Event]{}, err
		}
		c.add("q.resource_id = ANY (?)", ids)
	}
	if page.Before != 0 {
		c.add("q.id < ?", page.Before)
	}
	live, archived, err := s.eventSpans(ctx, filter)
	if err != nil {
		return List[Event]{}, err
	}
	limit := c.arg(page.Limit + 1)
	common := len(c.terms)
	c.within(live)
	// What has no end is found by its own index, which is small.
	switch filter.Status {
	case "":
	case StatusCompleted:
		c.always("q.completed_at IS NOT NULL")
	default:
		c.always("q.completed_at IS NULL")
		c.add("v.status = ?", filter.Status)
	}
	statement := `(SELECT ` + liveEventColumns + liveEventFrom + ` WHERE ` + c.sql() + ` ORDER BY q.id DESC LIMIT ` + limit + `)`
	if filter.Status == "" || filter.Status == StatusCompleted {
		c.terms = c.terms[:common]
		c.within(archived)
		statement += ` UNION ALL (SELECT ` + archivedEventColumns + archivedEventFrom + ` WHERE ` + c.sql() + ` ORDER BY q.id DESC LIMIT ` + limit + `)
			ORDER BY 1 DESC LIMIT ` + limit
	}
	rows, err := s.pool.Query(ctx, statement, c.args...)
	if err != nil {
		return List[Event]{}, fmt.Errorf("store: events: %w", err)
	}
	events, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Event, error) { return scanEvent(row) })
	if err != nil {
		return List[Event]{}, fmt.Errorf("store: events: %w", err)
	}
	return list(events, page, func(e Event) int64 { return e.QueueID }), nil
}

// eventSpans are the ids that the events of the filter's time can have.
func (s *Store) eventSpans(ctx context.Context, filter EventFilter) (live, archived idSpan, err error) {
	if live, err = s.idSpanOf(ctx, "webhook_queue", filter.Since, filter.Until); err != nil {
		return live, archived, err
	}
	archived, err = s.idSpanOf(ctx, "webhook_archive", filter.Since, filter.Until)
	return live, archived, err
}

// paymentsOf returns the ids of the payments that belong or belonged to an
// order, whether the order is known or not.
func (s *Store) paymentsOf(ctx context.Context, reference string) ([]string, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT payment_id FROM payments WHERE order_reference = $1
		UNION
		SELECT payment_id FROM payment_logs WHERE order_reference = $1`, text(reference))
	if err != nil {
		return nil, fmt.Errorf("store: payments of order %q: %w", reference, err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("store: payments of order %q: %w", reference, err)
	}
	return ids, nil
}

// An EventDetail is an event with its whole history.
type EventDetail struct {
	Event
	JobID    *int64  `json:"job_id"`
	Query    string  `json:"query"`
	RemoteIP *string `json:"remote_ip"`
	// Payload is the body as received. Resource is the provider's answer where
	// an attempt could not apply it.
	Payload  Content  `json:"payload"`
	Resource *Content `json:"resource"`
	// AttemptErrors are the errors of every attempt that failed, oldest first.
	AttemptErrors []AttemptFailure `json:"attempt_errors"`
	// PaymentLogs and OrderChanges are what the event changed.
	PaymentLogs  []PaymentLog  `json:"payment_logs"`
	OrderChanges []EventChange `json:"order_changes"`
	// DeadLetter is nil when it never became one.
	DeadLetter *DeadLetter `json:"dead_letter"`
	// Replays are the events that replay this one.
	Replays []ReplayedAs `json:"replays"`
	// Actions are what operators did to it.
	Actions []OperatorAction `json:"actions"`
}

// A PaymentLog is one state of a payment that was applied.
type PaymentLog struct {
	PaymentID       string    `json:"payment_id"`
	OrderReference  *string   `json:"order_reference"`
	Status          string    `json:"status"`
	StatusDetail    string    `json:"status_detail"`
	Amount          string    `json:"amount"`
	RefundedAmount  string    `json:"refunded_amount"`
	Currency        string    `json:"currency"`
	DateLastUpdated time.Time `json:"date_last_updated"`
	AppliedAt       time.Time `json:"applied_at"`
}

// An EventChange is an order as it stood after the event had changed it.
type EventChange struct {
	OrderReference string    `json:"order_reference"`
	At             time.Time `json:"at"`
	Cause          string    `json:"cause"`
	Status         string    `json:"status"`
	PaidAmount     string    `json:"paid_amount"`
	RefundedAmount string    `json:"refunded_amount"`
}

// A ReplayedAs is an event that replays another.
type ReplayedAs struct {
	QueueID    int64     `json:"queue_id"`
	Status     string    `json:"status"`
	Outcome    *string   `json:"outcome"`
	ReceivedAt time.Time `json:"received_at"`
}

// Event returns one event with its history, from the archive too, or
// ErrEventNotFound.
func (s *Store) Event(ctx context.Context, queueID int64) (EventDetail, error) {
	var d EventDetail
	err := s.readSnapshot(ctx, func(tx pgx.Tx) (err error) {
		if d, err = readEvent(ctx, tx, queueID); err != nil {
			return err
		}
		if d.PaymentLogs, err = paymentLogsOf(ctx, tx, queueID); err != nil {
			return err
		}
		if d.OrderChanges, err = orderChangesOf(ctx, tx, queueID); err != nil {
			return err
		}
		if d.DeadLetterID != nil {
			letter, err := scanDeadLetter(tx.QueryRow(ctx, `SELECT `+deadLetterColumns+deadLetterFrom+` WHERE d.id = $1`, *d.DeadLetterID))
			if err != nil {
				return err
			}
			d.DeadLetter = &letter
		}
		if d.Replays, err = replaysOf(ctx, tx, queueID); err != nil {
			return err
		}
		d.Actions, err = actionsOnEvent(ctx, tx, queueID)
		return err
	})
	if err != nil {
		return EventDetail{}, fmt.Errorf("store: event %d: %w", queueID, err)
	}
	return d, nil
}

// readEvent reads an event and its attempts: from its own row when it has ended,
// else from its job or, when that is gone, from its dead letter.
func readEvent(ctx context.Context, tx pgx.Tx, queueID int64) (EventDetail, error) {
	var d EventDetail
	var payload, resource []byte
	var failures json.RawMessage
	const detail = `, q.job_id, q.query, host(q.remote_ip), q.payload, q.resource, `
	read := func(statement string) (err error) {
		d.Event, err = scanEvent(tx.QueryRow(ctx, statement, queueID), &d.JobID, &d.Query, &d.RemoteIP, &payload, &resource, &failures)
		return err
	}
	err := read(`
		SELECT ` + liveEventColumns + detail + `
		       CASE WHEN q.completed_at IS NOT NULL THEN q.attempt_errors
		            ELSE coalesce((SELECT to_jsonb(j.errors) FROM river_job j WHERE j.id = q.job_id),
		                          (SELECT l.errors FROM webhook_dead_letter l WHERE l.queue_id = q.id), '[]') END` +
		liveEventFrom + ` WHERE q.id = $1`)
	if errors.Is(err, pgx.ErrNoRows) {
		err = read(`SELECT ` + archivedEventColumns + detail + `q.attempt_errors` + archivedEventFrom + ` WHERE q.id = $1`)
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return d, ErrEventNotFound
	}
	if err != nil {
		return d, err
	}
	d.Payload = newContent(payload)
	if resource != nil {
		content := newContent(resource)
		d.Resource = &content
	}
	d.AttemptErrors, err = parseFailures(failures)
	return d, err
}

func paymentLogsOf(ctx context.Context, tx pgx.Tx, queueID int64) ([]PaymentLog, error) {
	rows, err := tx.Query(ctx, `
		SELECT payment_id, order_reference, status, status_detail, amount::text, refunded_amount::text, currency, date_last_updated, applied_at
		FROM payment_logs WHERE queue_id = $1 ORDER BY id`, queueID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (PaymentLog, error) {
		var p PaymentLog
		err := row.Scan(&p.PaymentID, &p.OrderReference, &p.Status, &p.StatusDetail, &p.Amount, &p.RefundedAmount, &p.Currency,
			&p.DateLastUpdated, &p.AppliedAt)
		toUTC(&p.DateLastUpdated, &p.AppliedAt)
		return p, err
	})
}

func orderChangesOf(ctx context.Context, tx pgx.Tx, queueID int64) ([]EventChange, error) {
	rows, err := tx.Query(ctx, `
		SELECT order_reference, changed_at, cause, status, paid_amount::text, refunded_amount::text
		FROM order_logs WHERE queue_id = $1 ORDER BY id`, queueID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (EventChange, error) {
		var o EventChange
		err := row.Scan(&o.OrderReference, &o.At, &o.Cause, &o.Status, &o.PaidAmount, &o.RefundedAmount)
		toUTC(&o.At)
		return o, err
	})
}

// replaysOf are the events that replay the event, oldest first.
func replaysOf(ctx context.Context, tx pgx.Tx, queueID int64) ([]ReplayedAs, error) {
	rows, err := tx.Query(ctx, `
		SELECT q.id, v.status, q.outcome, q.received_at`+liveEventFrom+` WHERE q.replay_of = $1
		UNION ALL
		SELECT q.id, 'completed', q.outcome, q.received_at`+archivedEventFrom+` WHERE q.replay_of = $1
		ORDER BY 1`, queueID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (ReplayedAs, error) {
		var r ReplayedAs
		err := row.Scan(&r.QueueID, &r.Status, &r.Outcome, &r.ReceivedAt)
		toUTC(&r.ReceivedAt)
		return r, err
	})
}
