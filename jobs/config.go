package jobs

import (
	"cmp"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"go.opentelemetry.io/otel/trace"
)

// Config is what jobs need to know of the configuration.
type Config struct {
	// Schema is the schema of River's tables; empty for the session's.
	Schema string
	// Workers is how many attempts ask at once in this process, see attempts.
	Workers int
	// JobTimeout bounds one attempt. RescueAfter is when a job whose worker
	// died is tried again, and must be longer.
	JobTimeout  time.Duration
	RescueAfter time.Duration
	// Retention is how long completed events are kept; their jobs stay a day
	// longer.
	Retention time.Duration
	// PayloadRetention is how long bodies, addresses and fetched answers are kept after
	// their event's end.
	PayloadRetention time.Duration
	// Backoff is how failed attempts are repeated. A job keeps the number of
	// attempts that it was inserted with.
	Backoff Backoff
	Logger  *slog.Logger
	// ReconcileSchedule is the cron expression of the runs that start by
	// themselves; empty for none. See ParseSchedule.
	ReconcileSchedule string
	// Reindex rebuilds the indexes of River's jobs once a day. Not every role may.
	Reindex bool
	// Helper makes a Runner that works beside a service, for the length of one
	// command: it leads nothing and starts no scheduled runs.
	Helper bool
	// Registerer takes the metrics of attempts; nil for none.
	Registerer prometheus.Registerer
	// TracerProvider takes the traces of attempts; nil for none.
	TracerProvider trace.TracerProvider
	// ProviderRate is how many requests a second go to a provider at most. What
	// waited an outage out is let go at that pace.
	ProviderRate float64
	// RiverLogger is what River logs to; Logger when nil.
	RiverLogger *slog.Logger
}

// reindexed are the indexes that River rebuilds once a day: its own choice without those
// that our migrations drop, or none.
func (c Config) reindexed() []string {
	if !c.Reindex {
		return []string{}
	}
	return slices.DeleteFunc(river.ReindexerIndexNamesDefault(), func(name string) bool {
		return name == "river_job_args_index" || name == "river_job_metadata_index"
	})
}

// attemptsPerWorker is how many attempts are under way for each that may ask.
const attemptsPerWorker = 8

// attempts is how many attempts of events are under way at once, with those that wait
// for their turn or for their group. They are no more than a provider may be asked for in
// a second: a webhook that comes now waits for those before it.
func (c Config) attempts() int {
	return max(c.Workers, int(min(float64(attemptsPerWorker*c.Workers), c.ProviderRate)))
}

func (c Config) riverLogger() *slog.Logger { return cmp.Or(c.RiverLogger, c.Logger) }

func (c Config) validate() error {
	var problems []error
	check := func(ok bool, problem string) {
		if !ok {
			problems = append(problems, errors.New(problem))
		}
	}
	check(c.Workers > 0, "workers must be positive")
	check(c.JobTimeout > 0, "the job timeout must be positive")
	check(c.RescueAfter > c.JobTimeout, "jobs may be rescued only after their timeout")
	check(c.Retention > 0 && c.PayloadRetention > 0, "the retentions must be positive")
	check(len(c.Backoff.Waits) > 0 && slices.Min(c.Backoff.Waits) > 0, "the backoff must have waits, and none of 0s or less")
	check(c.Backoff.Attempts > 0, "the number of attempts must be positive")
	check(c.Logger != nil, "a logger is required")
	return errors.Join(problems...)
}
