package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// Why a receiver is stopped.
const (
	// StoppedGone: it answered 410.
	StoppedGone = "gone"
	// StoppedByOperator: somebody stopped it.
	StoppedByOperator = "operator"
)

// ErrReceiverNotFound means that nothing was ever to be delivered to that receiver.
var ErrReceiverNotFound = noSuch("receiver", "not_found")

// A Receiver is whom messages are delivered to.
type Receiver struct {
	Name string `json:"name"`
	// Since is when it was first known: nothing earlier is delivered on its own.
	Since time.Time `json:"since"`
	// StoppedAt is when it was stopped, StopReason why and StoppedBy by whom; nil and
	// empty while it is not.
	StoppedAt  *time.Time `json:"stopped_at"`
	StopReason string     `json:"stop_reason"`
	StoppedBy  string     `json:"stopped_by"`
	// Pending counts its deliveries that have not ended and were never attempted,
	// Failed those that were, and Dead its dead letters.
	Pending int64 `json:"pending"`
	Failed  int64 `json:"failed"`
	Dead    int64 `json:"dead_letter"`
	// OldestPendingAt is when the oldest of those that have not ended was made.
	OldestPendingAt *time.Time `json:"oldest_pending_at"`
	// Class is why one of them was not accepted; empty when none was refused.
	Class string `json:"error_class"`
}

// Age is how old the oldest delivery that has not ended is at the time; 0 when there is
// none.
func (r Receiver) Age(at time.Time) time.Duration {
	if r.OldestPendingAt == nil {
		return 0
	}
	return max(0, at.Sub(*r.OldestPendingAt))
}

// receiversQuery reads receivers with what waits for them.
const receiversQuery = `
	SELECT r.name, r.since, r.stopped_at, r.stop_reason, r.stopped_by,
	       coalesce(p.pending, 0), coalesce(p.failed, 0), coalesce(d.dead, 0), p.oldest, coalesce(p.class, '')
	FROM delivery_receivers r
	LEFT JOIN (SELECT receiver, count(*) FILTER (WHERE attempts = 0) AS pending, count(*) FILTER (WHERE attempts > 0) AS failed,
	                  min(created_at) AS oldest, min(error_class) FILTER (WHERE error_class <> '') AS class
	           FROM deliveries WHERE state = 'pending' GROUP BY receiver) p ON p.receiver = r.name
	LEFT JOIN (SELECT receiver, count(*) AS dead FROM deliveries WHERE state = 'dead' GROUP BY receiver) d ON d.receiver = r.name`

func readReceivers(ctx context.Context, q querier) ([]Receiver, error) {
	return readAll[Receiver](ctx, q, receiversQuery+` ORDER BY r.name`)
}

func readDeliveries(ctx context.Context, tx pgx.Tx, st *Status) (err error) {
	st.Receivers, err = readReceivers(ctx, tx)
	return err
}

// Receivers returns all receivers that there are or were, by name.
func (s *Store) Receivers(ctx context.Context) ([]Receiver, error) {
	found, err := readReceivers(ctx, s.pool)
	return found, wrap(err, "receivers")
}

// stopReceiver has a receiver told nothing. One that is stopped stays so as it is.
func stopReceiver(ctx context.Context, tx pgx.Tx, name, reason, by string) error {
	_, err := tx.Exec(ctx, `
		UPDATE delivery_receivers SET stopped_at = clock_timestamp(), stop_reason = $2, stopped_by = $3, parked = true
		WHERE name = $1 AND stopped_at IS NULL`, name, reason, text(by))
	return err
}

// StopReceiver sends a receiver nothing until it is started: its deliveries wait,
// and none is lost. Attempts under way end. The error may wrap ErrReceiverNotFound.
func (s *Store) StopReceiver(ctx context.Context, name string, by Actor) error {
	return s.changeReceiver(ctx, name, ActionStopReceiver, by, func(tx pgx.Tx) error {
		return stopReceiver(ctx, tx, name, StoppedByOperator, by.Name)
	})
}

// StartReceiver sends to a receiver again, and at once everything that waits for its
// next attempt; also when it was not stopped. The error may wrap ErrReceiverNotFound.
func (s *Store) StartReceiver(ctx context.Context, name string, by Actor) error {
	return s.changeReceiver(ctx, name, ActionStartReceiver, by, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			UPDATE delivery_receivers SET stopped_at = NULL, stop_reason = '', stopped_by = '', parked = true WHERE name = $1`, name)
		if err != nil {
			return err
		}
		// The jobs of those that wait come to nothing. An attempt under way is none of
		// them: its time has come.
		_, err = tx.Exec(ctx, `
			UPDATE deliveries SET job_id = NULL, next_attempt_at = clock_timestamp()
			WHERE receiver = $1 AND state = 'pending' AND next_attempt_at > clock_timestamp()`, name)
		return err
	})
}

func (s *Store) changeReceiver(ctx context.Context, name, action string, by Actor, change func(tx pgx.Tx) error) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		var known bool
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM delivery_receivers WHERE name = $1)`, text(name)).Scan(&known); err != nil {
			return err
		}
		if !known {
			return ErrReceiverNotFound.With(name)
		}
		if err := change(tx); err != nil {
			return err
		}
		return record(ctx, tx, act{by: by, action: action, kind: TargetReceiver, count: 1, note: name})
	})
	return wrap(err, "%s %s", action, name)
}
