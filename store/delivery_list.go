package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// A Delivery is a message on its way to a receiver, or at its end.
type Delivery struct {
	ID       int64  `json:"id"`
	Receiver string `json:"receiver"`
	// MessageID is the webhook-id that the receiver sees.
	MessageID string `json:"webhook_id"`
	// OrderEventID, Type and Reference are those of the order event that is sent;
	// QueueID the event that it comes from. Nil and empty for what has none.
	OrderEventID *int64 `json:"order_event_id"`
	Type         string `json:"type"`
	Reference    string `json:"order_reference"`
	QueueID      *int64 `json:"queue_id"`
	ReplayOf     *int64 `json:"replay_of"`
	State        string `json:"state"`
	Attempts     int    `json:"attempts"`
	Class        string `json:"error_class"`
	// NextAttemptAt is nil unless the delivery has a job: it ended, waits for an earlier
	// one about the same order, or its receiver is stopped.
	NextAttemptAt *time.Time `json:"next_attempt_at"`
	CreatedAt     time.Time  `json:"created_at"`
	EndedAt       *time.Time `json:"ended_at"`
}

// A DeliveryAttempt is one call to a receiver. Attempts are kept for 30 days.
type DeliveryAttempt struct {
	Number  int       `json:"number"`
	EndedAt time.Time `json:"ended_at"`
	// DurationMS is how long it took, in milliseconds.
	DurationMS int64 `json:"duration_ms"`
	// Status is the answer's; nil when none came. Class and Error say why it was not
	// accepted, and Answer is the beginning of what the receiver said.
	Status *int   `json:"status"`
	Class  string `json:"error_class"`
	Error  string `json:"error"`
	Answer string `json:"answer"`
}

// A DeliveryDetail is a delivery with its attempts, the earliest first.
type DeliveryDetail struct {
	Delivery
	Log []DeliveryAttempt `json:"log"`
}

// A DeliveryFilter selects deliveries; an empty field selects all.
type DeliveryFilter struct {
	Receiver, State, Reference string
	OrderEventID               int64
	QueueID                    int64
	// Since and Until bound the time at which they were made: [Since, Until).
	Since, Until time.Time
}

const deliveriesFrom = `
	SELECT d.id, d.receiver, d.message_id, d.order_event_id, coalesce(e.type, ''), coalesce(e.order_reference, ''),
	       coalesce(d.queue_id, e.queue_id), d.replay_of, d.state, d.attempts, d.error_class,
	       CASE WHEN d.state = 'pending' AND d.job_id IS NOT NULL THEN d.next_attempt_at END, d.created_at, d.ended_at
	FROM deliveries d LEFT JOIN order_events e ON e.id = d.order_event_id`

// Deliveries returns one page of the deliveries that the filter selects.
func (s *Store) Deliveries(ctx context.Context, filter DeliveryFilter, page Page) (List[Delivery], error) {
	var c conditions
	c.equal("d.receiver", filter.Receiver)
	c.equal("d.state", filter.State)
	c.equal("e.order_reference", filter.Reference)
	if filter.OrderEventID != 0 {
		c.add("d.order_event_id = ?", filter.OrderEventID)
	}
	if filter.QueueID != 0 {
		c.add("coalesce(d.queue_id, e.queue_id) = ?", filter.QueueID)
	}
	c.between("d.created_at", filter.Since, filter.Until)
	return readPage(ctx, s, "deliveries", deliveriesFrom, "d.id", c, page, rowTo[Delivery], func(d Delivery) int64 { return d.ID })
}

// Delivery returns a delivery with its attempts. The error wraps ErrDeliveryNotFound.
func (s *Store) Delivery(ctx context.Context, id int64) (DeliveryDetail, error) {
	var detail DeliveryDetail
	err := s.readSnapshot(ctx, func(tx pgx.Tx) error {
		var err error
		if detail.Delivery, err = readOne[Delivery](ctx, tx, deliveriesFrom+` WHERE d.id = $1`, id); err != nil {
			return ErrDeliveryNotFound.ifNone(err, id)
		}
		detail.Log, err = readAttempts(ctx, tx, id)
		return err
	})
	return detail, wrap(err, "delivery %d", id)
}

// readAttempts reads the attempts of a delivery, the earliest first.
func readAttempts(ctx context.Context, tx pgx.Tx, delivery int64) ([]DeliveryAttempt, error) {
	return readAll[DeliveryAttempt](ctx, tx, `
		SELECT number, ended_at, duration_ms, status, error_class, error, answer FROM delivery_attempts WHERE delivery_id = $1 ORDER BY id`, delivery)
}
