package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"
)

// An OrderEvent is what the shop is told of an order.
type OrderEvent struct {
	ID int64 `json:"id"`
	// Position is its place in the feed; nil until it has one.
	Position  *int64 `json:"position"`
	Type      string `json:"type"`
	Reference string `json:"order_reference"`
	// PreviousStatus is the order's before; nil for an order that was not there.
	PreviousStatus *string `json:"previous_status"`
	Cause          string  `json:"cause"`
	// QueueID is the event that led to it; nil where none did.
	QueueID   *int64    `json:"queue_id"`
	CreatedAt time.Time `json:"created_at"`
}

// An OrderEventDetail is an order event with what is sent, and what came of sending it.
type OrderEventDetail struct {
	OrderEvent
	// Body is what is sent; null once it is not kept any more.
	Body       json.RawMessage  `json:"body"`
	Deliveries []DeliveryDetail `json:"deliveries"`
}

// An OrderEventFilter selects order events; an empty field selects all.
type OrderEventFilter struct {
	Type, Reference, Cause string
	// Since and Until bound the time at which they were written: [Since, Until).
	Since, Until time.Time
}

const orderEventColumns = `id, position, type, order_reference, previous_status, cause, queue_id, created_at`

// OrderEvents returns one page of the order events that the filter selects.
func (s *Store) OrderEvents(ctx context.Context, filter OrderEventFilter, page Page) (List[OrderEvent], error) {
	var c conditions
	c.equal("type", filter.Type)
	c.equal("order_reference", filter.Reference)
	c.equal("cause", filter.Cause)
	c.between("created_at", filter.Since, filter.Until)
	return readPage(ctx, s, "order events", `SELECT `+orderEventColumns+` FROM order_events`, "id", c, page, rowTo[OrderEvent],
		func(e OrderEvent) int64 { return e.ID })
}

// OrderEvent returns an order event with its deliveries, the earliest first. The error
// wraps ErrOrderEventNotFound.
func (s *Store) OrderEvent(ctx context.Context, id int64) (OrderEventDetail, error) {
	detail := OrderEventDetail{Deliveries: []DeliveryDetail{}}
	err := s.readSnapshot(ctx, func(tx pgx.Tx) error {
		var err error
		if detail.OrderEvent, err = readOne[OrderEvent](ctx, tx, `SELECT `+orderEventColumns+` FROM order_events WHERE id = $1`, id); err != nil {
			return ErrOrderEventNotFound.ifNone(err, id)
		}
		if detail.Body, err = readValue[json.RawMessage](ctx, tx, `SELECT coalesce(body, 'null') FROM order_events WHERE id = $1`, id); err != nil {
			return err
		}
		sent, err := readAll[Delivery](ctx, tx, deliveriesFrom+` WHERE d.order_event_id = $1 ORDER BY d.id`, id)
		if err != nil {
			return err
		}
		for _, d := range sent {
			attempts, err := readAttempts(ctx, tx, d.ID)
			if err != nil {
				return err
			}
			detail.Deliveries = append(detail.Deliveries, DeliveryDetail{Delivery: d, Log: attempts})
		}
		return nil
	})
	return detail, wrap(err, "order event %d", id)
}
