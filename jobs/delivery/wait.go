package delivery

import (
	"math/rand/v2"
	"time"
)

// jitter is how much of a wait is added at most, so that messages which failed
// together do not come back together.
const jitter = 0.10

// wait is how long to wait after attempt n failed, the first being 1, and never less
// than the receiver asked for; 0 when there is no further attempt.
func (r Receiver) wait(n int, asked time.Duration) time.Duration {
	if n > len(r.Waits) {
		return 0
	}
	wait := r.Waits[max(n, 1)-1]
	return max(asked, wait+time.Duration(rand.Float64()*jitter*float64(wait))) //nolint:gosec // spreads load, guards nothing
}
