package store

import (
	"context"
)

// SignedAsks is what an event asks for, and what else its signature was used for.
type SignedAsks struct {
	// Payload is the delivery's body as received.
	Payload []byte
	// OtherTopics is true when the same signature came under another topic too. A
	// signature covers the id, the request's id and the time, and no topic.
	OtherTopics bool
}

// SignedAsks reads what an event asks for.
func (s *Store) SignedAsks(ctx context.Context, queueID int64) (SignedAsks, error) {
	var asks SignedAsks
	err := s.pool.QueryRow(ctx, `
		SELECT q.payload, q.signed AND q.origin = 'webhook' AND EXISTS (
		           SELECT FROM webhook_queue other
		           WHERE other.resource_id = q.resource_id AND other.resource_id <> '' AND other.source = q.source AND other.request_id = q.request_id
		             AND other.signed AND other.origin = 'webhook' AND other.topic <> q.topic)
		FROM webhook_queue q WHERE q.id = $1`, queueID).Scan(&asks.Payload, &asks.OtherTopics)
	return asks, wrap(err, "what event %d asks for", queueID)
}
