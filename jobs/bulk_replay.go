package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/conciliar/conciliar/store"
)

// QueueOperations is the River queue of what operators asked for.
const QueueOperations = "operations"

const (
	// operationsWorkers is how many of its jobs one process works.
	operationsWorkers = 1
	// replayBatch is how many dead letters one step replays. As many or fewer
	// are replayed at once, without a job.
	replayBatch = 100
)

// ReplayStepArgs are the arguments of the job that does one step of a bulk
// replay. They are stored data: fields are added, never renamed.
type ReplayStepArgs struct {
	BulkReplayID int64 `json:"bulk_replay_id"`

	preset preset
}

// Kind is the job's name in the database.
func (ReplayStepArgs) Kind() string { return "replay_step" }

func (a ReplayStepArgs) presetOf() (preset, error) {
	if a.preset.at.IsZero() {
		return preset{}, errors.New("a step is inserted with its bulk replay only")
	}
	return a.preset, nil
}

// InsertOpts puts steps into their own queue.
func (ReplayStepArgs) InsertOpts() river.InsertOpts { return river.InsertOpts{Queue: QueueOperations} }

// insertReplayStep inserts a step with the client. The time is PostgreSQL's.
func insertReplayStep(client *river.Client[pgx.Tx]) store.InsertReplayStep {
	return func(ctx context.Context, tx pgx.Tx, bulkID int64, at time.Time) (int64, error) {
		inserted, err := client.InsertTx(ctx, tx, ReplayStepArgs{BulkReplayID: bulkID, preset: preset{at: at}}, nil)
		if err != nil {
			return 0, fmt.Errorf("insert a step of bulk replay %d: %w", bulkID, err)
		}
		return inserted.Job.ID, nil
	}
}

// replayWorker does the steps of bulk replays.
type replayWorker struct {
	river.WorkerDefaults[ReplayStepArgs]

	store  *store.Store
	logger *slog.Logger
}

// Work replays the next batch and hands over to the next step.
func (w *replayWorker) Work(ctx context.Context, job *river.Job[ReplayStepArgs]) error {
	attempt := attemptOf(job.JobRow)
	next := insertReplayStep(river.ClientFromContext[pgx.Tx](ctx))
	bulk, err := w.store.StepBulkReplay(ctx, attempt, job.Args.BulkReplayID, replayBatch, next,
		func(ctx context.Context, tx pgx.Tx) error { return completeJob(ctx, tx, job) })
	if err != nil {
		if isStale(ctx, w.store, attempt, err) {
			return leave(ctx, w.store, attempt)
		}
		return err
	}
	w.logger.InfoContext(ctx, "bulk replay", "bulk_replay_id", bulk.ID, "state", bulk.State, "replayed", bulk.Replayed, "total", bulk.Total)
	return nil
}
