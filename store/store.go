// Package store is the books: every SQL statement, every transaction, the
// order in which locks are taken, and the meaning of a constraint violation.
//
// Locks are always taken in this order, so that no two transactions can wait
// for each other: the job's row, the payment, then its orders by reference.
// The payment and the orders are locked by advisory locks, because the row may
// not exist yet: an order may be registered while its first payment settles.
package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/conciliar/conciliar/store/order"
)

// UnknownOrder says what becomes of a payment whose order is not known.
type UnknownOrder string

const (
	// UnknownOrderWait keeps the payment with an anomaly; it settles when the
	// order appears.
	UnknownOrderWait UnknownOrder = "wait"
	// UnknownOrderCreate makes the order from the payment.
	UnknownOrderCreate UnknownOrder = "create"
	// UnknownOrderIgnore keeps the payment without an anomaly.
	UnknownOrderIgnore UnknownOrder = "ignore"
)

// A Job is the event job to insert for one event.
type Job struct {
	// ID is the job's id, drawn from River's own sequence.
	ID int64
	// QueueID is the event's id.
	QueueID int64
	// At is when the job may run, by PostgreSQL's clock: a process whose own
	// clock is wrong must not delay what it accepts.
	At time.Time
	// Origin is the event's origin.
	Origin string
	// Background is true for a job that every other passes.
	Background bool
	// Trace is the traceparent that the job's attempts go on with; may be empty.
	Trace string
}

// InsertJobs inserts the event jobs of one transaction. Any error rolls the
// transaction back.
type InsertJobs func(ctx context.Context, tx pgx.Tx, jobs []Job) error

// InsertStep inserts the job that does a run's next step, to run at the given
// time, and returns the job's id. Any error rolls the transaction back.
type InsertStep func(ctx context.Context, tx pgx.Tx, runID int64, at time.Time) (jobID int64, err error)

// Options are what a Store needs besides its pool.
type Options struct {
	// Rules say which payments may move an order.
	Rules order.Rules
	// UnknownOrder is the policy for payments without an order.
	UnknownOrder UnknownOrder
	// InsertJobs inserts event jobs. A Store without it cannot accept events.
	InsertJobs InsertJobs
	// InsertStep inserts the steps of runs. A Store without it cannot start one.
	InsertStep InsertStep
	// Logger receives what no caller is told. Required.
	Logger *slog.Logger
}

// A Store reads and writes the books. It is safe for concurrent use.
type Store struct {
	pool         *pgxpool.Pool
	rules        order.Rules
	unknownOrder UnknownOrder
	insertJobs   InsertJobs
	insertStep   InsertStep
	logger       *slog.Logger
}

// New returns a Store on pool.
func New(pool *pgxpool.Pool, opts Options) (*Store, error) {
	switch opts.UnknownOrder {
	case UnknownOrderWait, UnknownOrderCreate, UnknownOrderIgnore:
	default:
		return nil, fmt.Errorf("store: unknown policy %q for payments without an order", opts.UnknownOrder)
	}
	if opts.Logger == nil {
		return nil, errors.New("store: a logger is required")
	}
	return &Store{
		pool: pool, rules: opts.Rules, unknownOrder: opts.UnknownOrder,
		insertJobs: opts.InsertJobs, insertStep: opts.InsertStep, logger: opts.Logger,
	}, nil
}

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.pool.Ping(ctx); err != nil {
		return fmt.Errorf("store: ping: %w", err)
	}
	return nil
}

// inTxTries bounds how often one call tries its transaction again at once. A
// deadlock's victim succeeds as soon as the other side has committed.
const inTxTries = 5

// inTx runs fn in a transaction and commits it. A transaction that PostgreSQL
// broke up to resolve a conflict is tried again at once, so fn must have no
// effect outside of it.
func (s *Store) inTx(ctx context.Context, fn func(tx pgx.Tx) error) error {
	for try := 1; ; try++ {
		err := pgx.BeginFunc(ctx, s.pool, fn)
		if err == nil || try == inTxTries || !isConflict(err) {
			return err
		}
		s.logger.DebugContext(ctx, "transaction tried again", "try", try, "error", err)
		pause := time.NewTimer(time.Duration(try) * rand.N(5*time.Millisecond)) //nolint:gosec // spreads load, guards nothing
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		}
	}
}

// isConflict reports what a second try resolves: a serialization failure or a
// deadlock (PostgreSQL documentation, appendix A, class 40), or a duplicate
// whose first delivery went to the archive meanwhile.
func isConflict(err error) bool {
	if errors.Is(err, errDuplicateVanished) {
		return true
	}
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && (pgErr.Code == "40001" || pgErr.Code == "40P01")
}

// isDataError reports an error that lies in the values of one statement, and
// so would come again: class 22 (data exception), 23 (integrity constraint)
// and 54 (program limit exceeded).
func isDataError(err error) bool {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) || len(pgErr.Code) != 5 {
		return false
	}
	switch pgErr.Code[:2] {
	case "22", "23", "54":
		return true
	}
	return false
}
