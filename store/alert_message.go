package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrMessageNotFound means that no message about alerts has that id.
var ErrMessageNotFound = noSuch("message about alerts", "not_found")

// An AlertMessage is a message about alerts, and what became of it.
type AlertMessage struct {
	ID        int64
	CreatedAt time.Time
	Body      json.RawMessage
	// Attempts is how many attempts failed, and Error what came of the
	// latest of them.
	Attempts int
	Error    string
	// DeliveredAt is when it arrived, FailedAt when it was given up; nil before.
	DeliveredAt, FailedAt *time.Time
}

// AlertMessage returns a message. The error wraps ErrMessageNotFound.
func (s *Store) AlertMessage(ctx context.Context, id int64) (AlertMessage, error) {
	m, err := readOne[AlertMessage](ctx, s.pool, `
		SELECT id, created_at, body, attempts, error, delivered_at, failed_at FROM alert_messages WHERE id = $1`, id)
	return m, wrap(ErrMessageNotFound.ifNone(err, id), "message %d", id)
}

// AlertDelivered notes that the message arrived and completes the job that sent
// it, all or nothing.
func (s *Store) AlertDelivered(ctx context.Context, id int64, complete CompleteJob) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			UPDATE alert_messages SET delivered_at = coalesce(delivered_at, now()), failed_at = NULL, error = '' WHERE id = $1`, id)
		if err != nil {
			return err
		}
		return complete(ctx, tx)
	})
	return wrap(err, "message %d delivered", id)
}

// AlertNotDelivered notes that an attempt to send the message failed, why, and whether
// that was the last time.
func (s *Store) AlertNotDelivered(ctx context.Context, id int64, why string, last bool) error {
	return wrap(execute(ctx, s.pool, `
		UPDATE alert_messages SET attempts = attempts + 1, error = $2, failed_at = CASE WHEN $3 THEN now() END
		WHERE id = $1 AND delivered_at IS NULL`, id, text(why), last), "message %d not delivered", id)
}
