package store

import (
	"context"
	"fmt"
	"slices"
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

// EventStatuses lists every status of an event.
func EventStatuses() []string {
	return []string{StatusPending, StatusProcessing, StatusFailed, StatusHeld, StatusCompleted, StatusDeadLetter}
}

// EventOrigins lists every origin of an event.
func EventOrigins() []string {
	return []string{OriginWebhook, OriginReconciliation, OriginReplay, OriginFollow, OriginReport}
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
	// order with this reference, and about chargebacks and claims of the order.
	Order string
	// Open selects those that have no end.
	Open bool
	// BulkReplay selects the events that the bulk replay with the id made; 0 selects all.
	BulkReplay int64
	// Source is who sent them, such as mercadopago.
	Source string
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
	// Work is what the event asks for.
	Work string `json:"-"`
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
	liveEventColumns = `q.id, v.status, q.outcome, q.source, q.topic, q.action, q.resource_id, q.origin, q.work, q.replay_of, q.request_id,
	q.live_mode, q.signed, q.received_at, q.completed_at, v.attempts, v.next_retry_at, v.last_error, v.dead_letter_id, v.dead_letter_state, false`
	liveEventFrom = ` FROM webhook_queue q JOIN webhook_queue_status v ON v.id = q.id`

	archivedEventColumns = `q.id, 'completed', q.outcome, q.source, q.topic, q.action, q.resource_id, q.origin, q.work, q.replay_of, q.request_id,
	q.live_mode, q.signed, q.received_at, q.completed_at, q.attempts, NULL::timestamptz, q.attempt_errors -> -1 ->> 'error', NULL::bigint, NULL::text, true`
	archivedEventFrom = ` FROM webhook_archive q`
)

func scanEvent(row pgx.Row, extra ...any) (Event, error) {
	var e Event
	err := row.Scan(append([]any{
		&e.QueueID, &e.Status, &e.Outcome, &e.Source, &e.Topic, &e.Action, &e.ResourceID, &e.Origin, &e.Work, &e.ReplayOf, &e.RequestID,
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
		return List[Event]{}, fmt.Errorf("events: a page of %d rows", page.Limit)
	}
	var c conditions
	c.equal("q.topic", filter.Topic)
	c.equal("q.source", filter.Source)
	if filter.BulkReplay != 0 {
		c.always("q.id IN (" + bulkReplayEvents(c.arg(filter.BulkReplay)) + ")")
	}
	c.equal("q.origin", filter.Origin)
	c.equal("q.resource_id", filter.ResourceID)
	c.equal("q.request_id", filter.RequestID)
	c.between("q.received_at", filter.Since, filter.Until)
	if filter.Order != "" {
		payments, disputes, err := s.resourcesOf(ctx, filter.Order)
		if err != nil {
			return List[Event]{}, err
		}
		c.add("q.resource_id = ANY (?)", slices.Concat(payments, disputes))
		// A chargeback may have the number of another order's payment.
		named, paid := c.arg(disputes), c.arg(payments)
		c.always("(q.work = '" + WorkFollow + "' AND q.resource_id = ANY (" + named + ")" +
			" OR q.work IN ('" + WorkPayment + "', '" + WorkFraudAlert + "') AND q.resource_id = ANY (" + paid + "))")
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
	open, from := filter.Open, liveEventFrom
	switch filter.Status {
	case "":
	case StatusCompleted:
		c.always("q.completed_at IS NOT NULL")
	default:
		open = true
		c.add("v.status = ?", filter.Status)
	}
	if open {
		from += ` JOIN webhook_open o ON o.queue_id = q.id`
	}
	statement := `(SELECT ` + liveEventColumns + from + ` WHERE ` + c.sql() + ` ORDER BY q.id DESC LIMIT ` + limit + `)`
	if !open {
		c.terms = c.terms[:common]
		c.within(archived)
		statement += ` UNION ALL (SELECT ` + archivedEventColumns + archivedEventFrom + ` WHERE ` + c.sql() + ` ORDER BY q.id DESC LIMIT ` + limit + `)
			ORDER BY 1 DESC LIMIT ` + limit
	}
	rows, _ := s.pool.Query(ctx, statement, c.args...)
	events, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Event, error) { return scanEvent(row) })
	return list(events, page, func(e Event) int64 { return e.QueueID }), wrap(err, "events")
}

// eventSpans are the ids that the events of the filter's time can have.
func (s *Store) eventSpans(ctx context.Context, filter EventFilter) (live, archived idSpan, err error) {
	if live, err = s.idSpanOf(ctx, "webhook_queue", filter.Since, filter.Until); err != nil {
		return live, archived, err
	}
	archived, err = s.idSpanOf(ctx, "webhook_archive", filter.Since, filter.Until)
	return live, archived, err
}

// resourcesOf returns the ids of what an order is about, whether the order is known
// or not: the payments that belong or belonged to it, those that can't be booked
// included, and the chargebacks and claims about it.
func (s *Store) resourcesOf(ctx context.Context, reference string) (payments, disputes []string, err error) {
	err = s.pool.QueryRow(ctx, `
		WITH paid AS (
			SELECT payment_id FROM payments WHERE order_reference = $1
			UNION
			SELECT payment_id FROM payment_logs WHERE order_reference = $1
			UNION
			SELECT payment_id FROM odd_payments WHERE order_reference = $1
		)
		SELECT ARRAY(SELECT payment_id FROM paid),
		       ARRAY(SELECT chargeback_id FROM chargebacks c WHERE `+chargebackOf("$1")+`
		             UNION
		             SELECT claim_id FROM claims c WHERE `+claimOf("$1")+`
		             UNION
		             SELECT provider_order_id FROM payment_aliases WHERE order_reference = $1)`, text(reference)).Scan(&payments, &disputes)
	return payments, disputes, wrap(err, "what order %q is about", reference)
}
