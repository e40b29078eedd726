package jobs

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/circuit"
)

// What a process with nothing to do asks of PostgreSQL, by how often its loops look.
// What happens once a minute, the roll-up and the evaluation of alerts, comes on top,
// some one and a half a second.
func TestLookout_AnIdleProcessAsksLittle(t *testing.T) {
	t.Parallel()
	per := func(statements int, every time.Duration) float64 { return float64(statements) / every.Seconds() }
	rate := per(1, lookoutEvery) +
		per(len(polledSeldom), seldomPoll) + // River's look for jobs, of each queue
		per(1, circuit.QuietLooks*circuit.DefaultTiming().Look) +
		per(3, takeoverAhead*defaultTakeoverTimes.every) + // one look, a transaction
		per(6, takeoverRarely*defaultTakeoverTimes.every) + // two looks, one of them a transaction
		per(1, sweepNothingEvery) +
		per(3, 5*time.Second) + per(1, 5*time.Second) // River's scheduler, and its leader
	require.Less(t, rate, 2.5)
}
