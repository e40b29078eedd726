package jobs

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"github.com/conciliar/conciliar/store"
)

// An Inserter puts event jobs into River's table. It works nothing and never
// leads, so a process that only receives webhooks needs no more than this.
type Inserter struct {
	client *river.Client[pgx.Tx]
	// maxAttempts are those of an event's job.
	maxAttempts int
}

// NewInserter returns an Inserter on pool.
func NewInserter(pool *pgxpool.Pool, cfg Config) (*Inserter, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
		// River's notification on insert is throttled by the fetch cooldown.
		// A NOTIFY takes a lock that serialises commits, so the inserting side
		// keeps River's default of 100 ms.
		Hooks:       []rivertype.Hook{&presetHook{}},
		Logger:      cfg.riverLogger(),
		MaxAttempts: cfg.Backoff.Attempts,
		Schema:      cfg.Schema,
	})
	if err != nil {
		return nil, fmt.Errorf("insert-only client: %w", err)
	}
	return &Inserter{client: client, maxAttempts: cfg.Backoff.Attempts}, nil
}

// Form says how an event's job is inserted. It is a store.FormJob.
func (i *Inserter) Form(job store.Job) (store.JobForm, error) {
	metadata, err := traceMetadata(job.Trace)
	if err != nil {
		return store.JobForm{}, fmt.Errorf("event job: %w", err)
	}
	kind, err := kindOfWork(job.Work)
	if err != nil {
		return store.JobForm{}, fmt.Errorf("event job: %w", err)
	}
	attempts := i.maxAttempts
	if job.Hint {
		attempts = hintAttempts
	}
	return store.JobForm{Kind: kind, Queue: QueueWebhooks, MaxAttempts: attempts, Priority: priorityOf(job), Metadata: metadata}, nil
}

// InsertStep inserts the job that does a run's next step in tx. It is a
// store.InsertStep.
func (i *Inserter) InsertStep(ctx context.Context, tx pgx.Tx, runID int64, at time.Time) (int64, error) {
	inserted, err := i.client.InsertTx(ctx, tx, ReconcileStepArgs{RunID: runID, preset: preset{at: at}}, nil)
	if err != nil {
		return 0, fmt.Errorf("insert a step of run %d: %w", runID, err)
	}
	return inserted.Job.ID, nil
}

// Live webhooks, and what follows from them, pass what a person or a reconciliation asked for, and these
// pass what was years in the making.
const (
	priorityLive       = 1
	priorityCatchUp    = 2
	priorityBackground = 3
	priorityHint       = 4
)

func priorityOf(job store.Job) int16 {
	switch {
	case job.Hint:
		return priorityHint
	case job.Background:
		return priorityBackground
	case job.Origin == store.OriginWebhook, job.Origin == store.OriginFollow:
		return priorityLive
	}
	return priorityCatchUp
}

// A preset is what a job takes from PostgreSQL instead of leaving it to River: the
// time. River would take this process's clock, and a clock that runs ahead would
// delay the job.
type preset struct {
	at time.Time
}

// presetArgs are arguments of a job that is never inserted without its preset.
type presetArgs interface {
	// presetOf returns the preset, or an error when it is not complete.
	presetOf() (preset, error)
}

type presetHook struct{ river.HookDefaults }

// InsertBegin applies the preset of a job. One that waits keeps its time: that it was
// made before it is due tells it from one that a clock put off which was ahead.
func (*presetHook) InsertBegin(_ context.Context, params *rivertype.JobInsertParams) error {
	args, ok := params.Args.(presetArgs)
	if !ok {
		return nil
	}
	p, err := args.presetOf()
	if err != nil {
		return err
	}
	params.CreatedAt = &p.at
	if params.State != rivertype.JobStateScheduled {
		params.ScheduledAt = &p.at
	}
	return nil
}
