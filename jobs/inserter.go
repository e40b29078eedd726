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
	return &Inserter{client: client}, nil
}

// Insert inserts the event jobs in tx. It is a store.InsertJobs.
func (i *Inserter) Insert(ctx context.Context, tx pgx.Tx, jobs []store.Job) error {
	params := make([]river.InsertManyParams, len(jobs))
	for k, job := range jobs {
		metadata, err := traceMetadata(job.Trace)
		if err != nil {
			return fmt.Errorf("insert event jobs: %w", err)
		}
		args, err := argsOf(job.Work, eventRef{QueueID: job.QueueID, preset: preset{id: job.ID, at: job.At}})
		if err != nil {
			return fmt.Errorf("insert event jobs: %w", err)
		}
		params[k] = river.InsertManyParams{
			Args:       args,
			InsertOpts: &river.InsertOpts{Priority: priorityOf(job), Metadata: metadata},
		}
		if job.Hint {
			params[k].InsertOpts.MaxAttempts = hintAttempts
		}
	}
	inserted, err := i.client.InsertManyTx(ctx, tx, params)
	if err != nil {
		return fmt.Errorf("insert event jobs: %w", err)
	}
	for k, result := range inserted {
		if result.UniqueSkippedAsDuplicate || result.Job.ID != jobs[k].ID {
			return fmt.Errorf("insert event jobs: job %d of event %d was not inserted as asked", jobs[k].ID, jobs[k].QueueID)
		}
	}
	return nil
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

func priorityOf(job store.Job) int {
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

// A preset is what a job takes from PostgreSQL instead of leaving it to River.
// An event job's id is drawn together with the event's, which saves a
// statement that would write it back. The time is PostgreSQL's: River would
// take this process's clock, and a clock that runs ahead would delay the job.
type preset struct {
	id int64
	at time.Time
}

// presetArgs are arguments of a job that is never inserted without its preset.
type presetArgs interface {
	// presetOf returns the preset, or an error when it is not complete.
	presetOf() (preset, error)
}

type presetHook struct{ river.HookDefaults }

// InsertBegin applies the preset of a job. One without an id is given one by River,
// and one that waits keeps its time: that it was made before it is due tells it from one
// that a clock put off which was ahead.
func (*presetHook) InsertBegin(_ context.Context, params *rivertype.JobInsertParams) error {
	args, ok := params.Args.(presetArgs)
	if !ok {
		return nil
	}
	p, err := args.presetOf()
	if err != nil {
		return err
	}
	if p.id != 0 {
		params.ID = &p.id
	}
	params.CreatedAt = &p.at
	if params.State != rivertype.JobStateScheduled {
		params.ScheduledAt = &p.at
	}
	return nil
}
