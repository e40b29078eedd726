package jobs

import (
	"math/rand/v2"
	"time"

	"github.com/riverqueue/river/rivertype"
)

// retryCap is the longest step of the backoff, in units of the base delay.
const retryCap = 32

// retryJitter is how much of a step is added at most, so that events which
// failed together do not come back together.
const retryJitter = 0.10

// A RetryPolicy is the backoff: the delays after failed attempts: the base, then
// twice as long each time, up to 32 times the base. It is River's
// ClientRetryPolicy.
type RetryPolicy struct {
	base time.Duration
	// now is what River takes for now.
	now func() time.Time
}

// NewRetryPolicy returns the backoff that begins with base, by the clock now.
func NewRetryPolicy(base time.Duration, now func() time.Time) *RetryPolicy {
	return &RetryPolicy{base: base, now: now}
}

// NextRetry is when the job's attempt that just failed is repeated: its step
// counted from now, never less, plus up to a tenth.
func (p *RetryPolicy) NextRetry(job *rivertype.JobRow) time.Time {
	step := p.step(job.Attempt)
	return p.now().Add(step + time.Duration(rand.Float64()*retryJitter*float64(step))) //nolint:gosec // spreads load, guards nothing
}

// step is the delay after attempt number n, the first being 1.
func (p *RetryPolicy) step(n int) time.Duration {
	factor := 1
	for ; n > 1 && factor < retryCap; n-- {
		factor *= 2
	}
	return p.base * time.Duration(factor)
}
