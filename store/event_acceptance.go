package store

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// freshFor is how long the inbox's last transaction speaks for the next one.
	freshFor = 2 * time.Second
	// tryTimeout bounds a try: the caller waits for two seconds.
	tryTimeout = 1500 * time.Millisecond
)

// acceptance is whether a process makes webhooks durable.
type acceptance struct {
	last atomic.Pointer[attempted]
	// failed counts the events that were not accepted.
	failed atomic.Int64
}

// attempted is how a transaction of the inbox, or a try, ended.
type attempted struct {
	at  time.Time
	err error
}

// record notes how a transaction of so many events ended, or a try, of none. Values
// that cannot be stored are their event's matter, and the next one would be accepted.
func (a *acceptance) record(events int, err error) {
	if err != nil {
		a.failed.Add(int64(events))
	}
	if isDataError(err) {
		err = nil
	}
	a.last.Store(&attempted{at: time.Now(), err: err})
}

// broken reports that the last thing known is a failure.
func (a *acceptance) broken() bool {
	last := a.last.Load()
	return last != nil && last.err != nil
}

// Ready is nil when a webhook would be made durable now. The inbox's last
// transaction says so; when there was none for two seconds, TryAccept does. The
// error is the database's.
func (in *Inbox) Ready(ctx context.Context) error {
	known := &in.store.acceptance
	if last := known.last.Load(); last != nil && time.Since(last.at) < freshFor {
		return last.err
	}
	err := in.store.TryAccept(ctx)
	known.record(0, err)
	return err
}

var errTried = errors.New("tried, and to be rolled back")

// TryAccept inserts an event with its job, as the inbox does, and rolls it back.
// The error is what would keep a webhook from becoming durable: a lock, a full disk,
// a database that takes no writes.
func (s *Store) TryAccept(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	_, err := s.onceTx(ctx, durableTx, func(tx pgx.Tx) error {
		event := NewEvent{Source: "conciliar", Topic: "readiness", Origin: OriginWebhook, Work: WorkPayment}
		if _, err := s.insertEvents(ctx, tx, []NewEvent{event}); err != nil {
			return err
		}
		return errTried
	}, false)
	if errors.Is(err, errTried) {
		return nil
	}
	return fmt.Errorf("no event can be made durable: %w", err)
}
