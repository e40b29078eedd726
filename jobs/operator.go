package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"github.com/conciliar/conciliar/store"
)

// WakeLimit is how many events one call of ProcessQueue wakes at most.
const WakeLimit = 10_000

// An Operator does what people ask of jobs. It works nothing and never leads.
type Operator struct {
	client *river.Client[pgx.Tx]
	store  *store.Store
}

// NewOperator returns an Operator on pool.
func NewOperator(pool *pgxpool.Pool, cfg Config, s *store.Store) (*Operator, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if s == nil {
		return nil, errors.New("an operator needs a store")
	}
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{Logger: cfg.riverLogger(), MaxAttempts: cfg.Backoff.Attempts, Schema: cfg.Schema})
	if err != nil {
		return nil, fmt.Errorf("operator's client: %w", err)
	}
	return &Operator{client: client, store: s}, nil
}

// Client is an insert-only client, for River UI.
func (o *Operator) Client() *river.Client[pgx.Tx] { return o.client }

// A QueueProcessed says what ProcessQueue did.
type QueueProcessed struct {
	// Before and After are the queue's part of the status.
	Before store.QueueStatus `json:"before"`
	After  store.QueueStatus `json:"after"`
	// Provider is the provider's circuit when it was asked for: while it is not
	// closed, that provider's events wait for it and are not woken.
	Provider store.CircuitState `json:"provider"`
	// Woken is how many events were made due.
	Woken int64 `json:"woken"`
	// Processed of them ended well, Failed of them failed their attempt, and
	// Held of them came upon an outage, which spent no attempt. The rest had
	// not ended their attempt when the time was up.
	Processed int64 `json:"processed"`
	Failed    int64 `json:"failed"`
	Held      int64 `json:"held"`
	// TimedOut is true when there is such a rest.
	TimedOut bool `json:"timed_out"`
}

// ProcessQueue makes the next attempt of up to limit events due now, of those
// that are pending and of those that failed and wait for their next, and waits
// until each has had it, or until the time is up. It does not attempt them: a
// Runner does, in this process or another. Once the events are woken, ctx ending
// shortens the wait and is not an error.
func (o *Operator) ProcessQueue(ctx context.Context, limit int, wait time.Duration, by store.Actor) (QueueProcessed, error) {
	woken, err := o.Wake(ctx, limit, by)
	if err != nil {
		return QueueProcessed{}, err
	}
	return o.Await(ctx, woken, wait)
}

// Woken is what Wake woke.
type Woken struct {
	before   store.QueueStatus
	provider store.CircuitState
	events   []store.WokenEvent
}

// Wake is the first half of ProcessQueue: it makes the attempts due.
func (o *Operator) Wake(ctx context.Context, limit int, by store.Actor) (Woken, error) {
	if limit < 1 || limit > WakeLimit {
		return Woken{}, fmt.Errorf("process queue: the limit must be from 1 to %d", WakeLimit)
	}
	before, err := o.store.Queue(ctx)
	if err != nil {
		return Woken{}, err
	}
	provider, err := o.store.Provider(ctx)
	if err != nil {
		return Woken{}, err
	}
	events, err := o.store.WakeEvents(ctx, limit, by, retryJob(o.client))
	if err != nil {
		return Woken{}, err
	}
	return Woken{before: before, provider: provider.Circuit, events: events}, nil
}

// Await is the second half of ProcessQueue: it waits for the attempts.
func (o *Operator) Await(ctx context.Context, woken Woken, wait time.Duration) (QueueProcessed, error) {
	done := QueueProcessed{Before: woken.before, Provider: woken.provider, Woken: int64(len(woken.events))}
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	progress, err := o.store.WaitWoken(waiting, woken.events)
	if err != nil {
		return QueueProcessed{}, err
	}
	if done.After, err = o.store.Queue(context.WithoutCancel(ctx)); err != nil {
		return QueueProcessed{}, err
	}
	done.Processed, done.Failed, done.Held = progress.Processed, progress.Failed, progress.Held
	done.TimedOut = progress.Waiting > 0
	return done, nil
}

// retryJob is a store.RetryJob of the client's.
func retryJob(client *river.Client[pgx.Tx]) store.RetryJob {
	return func(ctx context.Context, tx pgx.Tx, jobID int64) error {
		if _, err := client.JobRetryTx(ctx, tx, jobID); err != nil {
			return fmt.Errorf("retry job %d: %w", jobID, err)
		}
		return nil
	}
}

// errNoQueue undoes the record of what was not done.
var errNoQueue = errors.New("there is no such queue")

// ResumeQueue lets a paused queue be worked again, and reports whether there is one of
// that name.
func (o *Operator) ResumeQueue(ctx context.Context, name string, by store.Actor) (resumed bool, err error) {
	if name == "" || name == "*" {
		return false, nil
	}
	err = o.store.ActOnJobs(ctx, store.JobAction{By: by, Action: store.ActionResumeQueue, Queue: name}, func(tx pgx.Tx) error {
		err := o.client.QueueResumeTx(ctx, tx, name, nil)
		if errors.Is(err, rivertype.ErrNotFound) {
			return errNoQueue
		}
		return err
	})
	if errors.Is(err, errNoQueue) {
		return false, nil
	}
	return err == nil, err
}

// ReplayDeadLetters replays the open dead letters that the filter selects, at
// most limit of them, or all when limit is 0. Few are replayed at once; for many
// a chain of jobs is begun, which a Runner works.
func (o *Operator) ReplayDeadLetters(ctx context.Context, filter store.DeadLetterFilter, limit int64, by store.Actor) (store.BulkReplay, error) {
	return o.store.StartBulkReplay(ctx, store.BulkReplayRequest{
		Filter: filter, Limit: limit, By: by, AtOnce: replayBatch, InsertStep: insertReplayStep(o.client),
	})
}
