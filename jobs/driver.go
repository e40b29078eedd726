package jobs

import (
	"cmp"
	"context"
	"sync"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
)

// A driver is River's for a pool that a pooler may stand before: it listens where a
// session is ours alone. It completes no job that the end of its event has completed.
type driver struct {
	*riverpgxv5.Driver

	listens *riverpgxv5.Driver
	ended   *endedJobs
}

func newDriver(pool, direct *pgxpool.Pool, ended *endedJobs) driver {
	return driver{riverpgxv5.New(pool), riverpgxv5.New(cmp.Or(direct, pool)), ended}
}

// GetListener implements riverdriver.Driver.
func (d driver) GetListener(params *riverdriver.GetListenenerParams) riverdriver.Listener {
	return d.listens.GetListener(params)
}

// GetExecutor implements riverdriver.Driver.
func (d driver) GetExecutor() riverdriver.Executor {
	return poolExecutor{d.Driver.GetExecutor(), d.ended}
}

// A poolExecutor is River's executor outside of transactions.
type poolExecutor struct {
	riverdriver.Executor

	ended *endedJobs
}

// JobSetStateIfRunningMany implements riverdriver.Executor. What it leaves out River's
// completer takes for deleted, of which it tells nobody.
func (e poolExecutor) JobSetStateIfRunningMany(ctx context.Context, params *riverdriver.JobSetStateIfRunningManyParams) ([]*rivertype.JobRow, error) {
	if params = e.ended.without(params); len(params.ID) == 0 {
		return nil, nil
	}
	return e.Executor.JobSetStateIfRunningMany(ctx, params)
}

// endedJobs are the jobs that were completed in the transactions that ended their events,
// or booked their deliveries' attempts, until River has completed them as well. That is
// its way with every job whose worker returns no error; it would be a statement for
// nothing, by the job's id alone.
type endedJobs struct {
	mu  sync.Mutex
	ids map[int64]struct{}
}

func newEndedJobs() *endedJobs { return &endedJobs{ids: map[int64]struct{}{}} }

// add notes that the job was completed and that its worker returns no error.
func (e *endedJobs) add(jobID int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ids[jobID] = struct{}{}
}

// without returns the parameters without the completions of such jobs, and forgets them.
// When River's statement fails and is tried again they are in it: by then they are not
// running, and an event whose job got such an id by a restore gets another (leave).
func (e *endedJobs) without(params *riverdriver.JobSetStateIfRunningManyParams) *riverdriver.JobSetStateIfRunningManyParams {
	e.mu.Lock()
	defer e.mu.Unlock()
	left := &riverdriver.JobSetStateIfRunningManyParams{Now: params.Now, Schema: params.Schema}
	for i, id := range params.ID {
		_, ended := e.ids[id]
		delete(e.ids, id)
		if ended && params.State[i] == rivertype.JobStateCompleted && !params.MetadataDoMerge[i] {
			continue
		}
		left.ID = append(left.ID, id)
		left.Attempt = append(left.Attempt, params.Attempt[i])
		left.ErrData = append(left.ErrData, params.ErrData[i])
		left.FinalizedAt = append(left.FinalizedAt, params.FinalizedAt[i])
		left.MetadataDoMerge = append(left.MetadataDoMerge, params.MetadataDoMerge[i])
		left.MetadataUpdates = append(left.MetadataUpdates, params.MetadataUpdates[i])
		left.ScheduledAt = append(left.ScheduledAt, params.ScheduledAt[i])
		left.State = append(left.State, params.State[i])
	}
	return left
}
