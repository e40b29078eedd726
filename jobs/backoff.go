package jobs

import (
	"math/rand/v2"
	"time"

	"github.com/riverqueue/river/rivertype"
)

// retryJitter is how much of a wait is added at most, so that events which
// failed together do not come back together.
const retryJitter = 0.10

// A Backoff says how often work is attempted and how long it waits in between:
// events, messages about alerts and the steps of runs alike.
type Backoff struct {
	// Waits are the waits after failed attempts, in their order. After more
	// failures than there are waits the last one repeats: what a job may be
	// attempted is part of the job, which may come from another configuration.
	Waits []time.Duration
	// Attempts is the attempt whose failure is final.
	Attempts int
}

// wait is how long to wait after attempt number n failed, the first being 1.
func (b Backoff) wait(n int) time.Duration {
	return b.Waits[min(max(n, 1), len(b.Waits))-1]
}

// A RetryPolicy applies a Backoff by a clock. It is River's ClientRetryPolicy.
type RetryPolicy struct {
	backoff Backoff
	// now is what River takes for now.
	now func() time.Time
}

// NewRetryPolicy returns the policy of a backoff, by the clock now.
func NewRetryPolicy(backoff Backoff, now func() time.Time) *RetryPolicy {
	return &RetryPolicy{backoff: backoff, now: now}
}

// NextRetry is when the job's attempt that just failed is repeated: its wait
// counted from now, never less, plus up to a tenth.
func (p *RetryPolicy) NextRetry(job *rivertype.JobRow) time.Time {
	wait := p.backoff.wait(job.Attempt)
	return p.now().Add(wait + time.Duration(rand.Float64()*retryJitter*float64(wait))) //nolint:gosec // spreads load, guards nothing
}
