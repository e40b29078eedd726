package store

import (
	"context"
	"time"
)

// A DeadLetterGroup is the open dead letters of one cause.
type DeadLetterGroup struct {
	Reason     string
	ErrorClass string
	Count      int64
	// Oldest is the earliest of their first deaths, since when money waits.
	Oldest time.Time
}

// OpenDeadLetters counts the open dead letters by their cause, the most
// frequent first.
func (s *Store) OpenDeadLetters(ctx context.Context) ([]DeadLetterGroup, error) {
	groups, err := readAll[DeadLetterGroup](ctx, s.pool, `
		SELECT reason, error_class, count(*), min(created_at) FROM webhook_dead_letter
		WHERE state = 'open' GROUP BY reason, error_class ORDER BY 3 DESC, 1, 2`)
	return groups, wrap(err, "open dead letters")
}
