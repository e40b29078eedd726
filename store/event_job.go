package store

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// A Job is what the form of an event's job depends on.
type Job struct {
	// Work is what the event asks for.
	Work string
	// Origin is the event's origin.
	Origin string
	// Background is true for a job that every other passes.
	Background bool
	// Hint is true for an event that anybody may have sent.
	Hint bool
	// Trace is the traceparent that the job's attempts go on with; may be empty.
	Trace string
}

func jobOf(ev *NewEvent) Job {
	return Job{
		Work: ev.Work, Origin: ev.Origin, Background: ev.Background,
		Hint: ev.Origin == OriginWebhook && !ev.Signed, Trace: ev.Trace,
	}
}

// A JobForm is what River is told of an event's job, beside its ids and times.
type JobForm struct {
	Kind        string
	Queue       string
	MaxAttempts int
	// Priority is 1 for what goes first to 4 for what goes last.
	Priority int16
	// Metadata is a JSON object, or nil for an empty one.
	Metadata []byte
}

// FormJob says how an event's job is inserted.
type FormJob func(job Job) (JobForm, error)

// insertJobsInto begins what inserts the jobs of events as River's own insert would:
// available at once, by PostgreSQL's clock. A process whose own clock is wrong must
// not delay what it accepts. The rows are held to River's by a test in jobs.
const insertJobsInto = `INSERT INTO river_job (id, args, kind, queue, max_attempts, priority, metadata, created_at, scheduled_at, state, tags)`

// jobColumns are the columns of a row's job but for ids and times.
func jobColumns[T any](job func(T) JobForm) []column[T] {
	return []column[T]{
		value("kind", "text", func(row T) string { return job(row).Kind }),
		value("queue", "text", func(row T) string { return job(row).Queue }),
		value("max_attempts", "smallint", func(row T) int { return job(row).MaxAttempts }),
		value("priority", "smallint", func(row T) int16 { return job(row).Priority }),
		value("metadata", "jsonb", func(row T) []byte {
			if metadata := job(row).Metadata; metadata != nil {
				return metadata
			}
			return []byte("{}")
		}),
	}
}

// A requeued is a new job for an event that is there: ids that were drawn, and the
// job's form.
type requeued struct {
	jobID, queueID int64

	job JobForm
}

// requeueJobs inserts the jobs of events that are there, and tells the workers. Its own
// parameter is the queues to tell of.
var requeueJobs = writeRows(append([]column[requeued]{
	value("id", "bigint", func(r requeued) int64 { return r.jobID }),
	value("queue_id", "bigint", func(r requeued) int64 { return r.queueID }),
}, jobColumns(func(r requeued) JobForm { return r.job })...), 1, func(x string) string {
	return `
		WITH jobs AS (
			` + insertJobsInto + `
			SELECT id, jsonb_build_object('queue_id', queue_id), kind, queue, max_attempts, priority, metadata, now(), now(), 'available', '{}'
			FROM ` + x + `
		)
		SELECT ` + notifySQL("$1")
})

// requeue inserts new jobs of events that are there.
func (s *Store) requeue(ctx context.Context, tx pgx.Tx, jobs []requeued) error {
	if len(jobs) == 0 {
		return nil
	}
	queues := make([]string, len(jobs))
	for i, job := range jobs {
		queues[i] = job.job.Queue
	}
	_, err := requeueJobs.exec(ctx, tx, jobs, s.notices.due(queues, time.Now()))
	return err
}

// notifySQL tells River's producers that there are jobs in the queues of a parameter,
// as River's own insert does. It is a number that says nothing.
func notifySQL(queues string) string {
	return `(SELECT count(pg_notify(current_schema() || '.river_insert', json_build_object('queue', queue)::text)) FROM unnest(` + queues + `::text[]) AS queue)`
}

// noticeEvery is how often the producers of a queue are told of jobs at most, River's
// default. NOTIFY takes a lock that serialises commits.
const noticeEvery = 100 * time.Millisecond

// noticeLimit bounds one notice by itself.
const noticeLimit = 5 * time.Second

// notices remember when each queue's producers were told. A job of which they are not
// told, because they were a moment ago, is told of when that moment is over: they look
// by themselves only every few seconds.
type notices struct {
	// tell tells of a queue.
	tell func(queue string)

	mu   sync.Mutex
	told map[string]time.Time
	// owed are queues of which will be told.
	owed map[string]bool
}

func newNotices(tell func(queue string)) *notices {
	return &notices{tell: tell, told: map[string]time.Time{}, owed: map[string]bool{}}
}

// due returns which of these queues it is time to tell of, each once.
func (n *notices) due(queues []string, now time.Time) (due []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, queue := range queues {
		switch {
		case queue == "" || n.owed[queue]:
		case now.Sub(n.told[queue]) >= noticeEvery:
			n.told[queue] = now
			due = append(due, queue)
		case !slices.Contains(due, queue):
			n.owed[queue] = true
			time.AfterFunc(noticeEvery, func() { n.pay(queue) })
		}
	}
	return due
}

// pay tells of a queue of which that is owed.
func (n *notices) pay(queue string) {
	n.mu.Lock()
	n.told[queue] = time.Now()
	delete(n.owed, queue)
	n.mu.Unlock()
	n.tell(queue)
}

// TellProducers tells River's producers that there are jobs in queues.
func (s *Store) TellProducers(ctx context.Context, queues ...string) error {
	_, err := s.pool.Exec(ctx, `SELECT `+notifySQL("$1"), queues)
	return wrap(err, "tell workers of jobs")
}

// tellLate tells of jobs that were inserted a moment ago. What can't be told is found
// by LookOut.
func (s *Store) tellLate(queue string) {
	ctx, cancel := context.WithTimeout(context.Background(), noticeLimit)
	defer cancel()
	if err := s.TellProducers(ctx, queue); err != nil {
		s.logger.DebugContext(ctx, "late notice failed", "queue", queue, "error", err)
	}
}
