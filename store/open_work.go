package store

import "context"

// OpenWorkMost is the most that OpenWork counts of each.
const OpenWorkMost = 1000

// OpenWork is how much waits for a person, up to OpenWorkMost of each.
type OpenWork struct {
	DeadLetters, Anomalies int64
	// Deliveries are messages that their receiver did not accept.
	Deliveries int64
}

// OpenWork counts what waits for a person. It is quick enough for each page.
func (s *Store) OpenWork(ctx context.Context) (OpenWork, error) {
	work, err := readOne[OpenWork](ctx, s.pool, `
		SELECT (SELECT count(*) FROM (SELECT FROM webhook_dead_letter WHERE state = 'open' LIMIT $1) d),
		       (SELECT count(*) FROM (SELECT FROM anomalies WHERE closed_at IS NULL LIMIT $1) a),
		       (SELECT count(*) FROM (SELECT FROM deliveries WHERE state = 'dead' LIMIT $1) o)`, OpenWorkMost)
	return work, wrap(err, "open work")
}
