// Package store is the ledger: every SQL statement, every transaction, the
// order in which locks are taken, and the meaning of a constraint violation.
//
// Locks are always taken in this order, so that no two transactions can wait
// for each other: the job's row, the payment, then its orders by reference.
// The payment and the orders are locked by advisory locks, because the row may
// not exist yet: an order may be registered while its first payment settles.
//
// An error of Query is that of its rows as well, so it is left to what reads
// them: pgx.CollectRows and pgx.ForEachRow return it.
package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
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

// InsertStep inserts the job that does a run's next step, to run at the given
// time, and returns the job's id. Any error rolls the transaction back.
type InsertStep func(ctx context.Context, tx pgx.Tx, runID int64, at time.Time) (jobID int64, err error)

// Options are what a Store needs besides its pool.
type Options struct {
	// Rules say which payments may move an order.
	Rules order.Rules
	// UnknownOrder is the policy for payments without an order.
	UnknownOrder UnknownOrder
	// FormJob says how event jobs are inserted. A Store without it cannot accept events.
	FormJob FormJob
	// WorkOf says what an event asks for that is replayed or follows from
	// another. A Store without it has a replay do what was done, and follows
	// nothing.
	WorkOf WorkOf
	// Providers are the sources that payments come from; all when empty. That they
	// are silent is not hidden by what others send.
	Providers []string
	// ReadPayers finds the payers that a document names. A Store without it forgets
	// nobody, and knows a forgotten payer by payment and e-mail address alone.
	ReadPayers ReadPayers
	// InsertStep inserts the steps of runs. A Store without it cannot start one.
	InsertStep InsertStep
	// Direct makes connections whose session is ours alone, past a pooler; nil where the
	// pool's are.
	Direct *pgxpool.Pool
	// InsertDeliveries inserts the jobs of deliveries. A Store without it leaves that to
	// other processes.
	InsertDeliveries InsertDeliveries
	// InsertRefund inserts the jobs that send refunds. A Store without it takes none.
	InsertRefund InsertRefund
	// Logger receives what no caller is told. Required.
	Logger *slog.Logger
}

// A Store reads and writes the ledger. It is safe for concurrent use.
type Store struct {
	pool *pgxpool.Pool
	// direct is the pool, or goes past a pooler.
	direct *pgxpool.Pool
	rules  order.Rules
	// account is the one that the ledger belongs to, nil until it was read.
	account atomic.Pointer[string]
	// sellers are the accounts beside it, nil until they were read.
	sellers      atomic.Pointer[[]string]
	unknownOrder UnknownOrder
	jobForm      FormJob
	notices      *notices
	workOf       WorkOf
	providers    []string
	readPayers   ReadPayers
	// forgottenKey is the key of forgotten payers' hashes, nil until it was read.
	forgottenKey atomic.Pointer[[]byte]
	insertStep   InsertStep
	// deliversOrders is true in a process that makes deliveries of order events.
	insertDeliveries InsertDeliveries
	deliversOrders   atomic.Bool
	insertRefund     InsertRefund
	logger           *slog.Logger
	acceptance       acceptance
	// orderEvents rings when this process has committed order events.
	orderEvents bell
}

// New returns a Store on pool.
func New(pool *pgxpool.Pool, opts Options) (*Store, error) {
	switch opts.UnknownOrder {
	case UnknownOrderWait, UnknownOrderCreate, UnknownOrderIgnore:
	default:
		return nil, fmt.Errorf("unknown policy %q for payments without an order", opts.UnknownOrder)
	}
	if opts.Logger == nil {
		return nil, errors.New("a logger is required")
	}
	s := &Store{
		pool: pool, direct: cmp.Or(opts.Direct, pool), rules: opts.Rules, unknownOrder: opts.UnknownOrder,
		jobForm: opts.FormJob, workOf: opts.WorkOf, providers: opts.Providers, readPayers: opts.ReadPayers, insertStep: opts.InsertStep, insertDeliveries: opts.InsertDeliveries, insertRefund: opts.InsertRefund, logger: opts.Logger,
		orderEvents: newBell(),
	}
	s.notices = newNotices(s.tellLate)
	return s, nil
}
