package jobs

import (
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func atNoon() time.Time { return noon }

// minutes are the waits of the default.
var minutes = Backoff{Attempts: 7, Waits: []time.Duration{
	time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute, 32 * time.Minute,
}}

func TestBackoff_WaitsInOrderAndRepeatsTheLast(t *testing.T) {
	t.Parallel()
	for attempt, wait := range map[int]int{1: 1, 2: 2, 3: 4, 4: 8, 5: 16, 6: 32, 7: 32, 8: 32, 1000: 32, 0: 1, -1: 1} {
		require.Equal(t, time.Duration(wait)*time.Minute, minutes.wait(attempt), "after attempt %d", attempt)
	}
}

func TestNextRetry_IsWithinItsWait(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		waits := make([]time.Duration, rapid.IntRange(1, 9).Draw(t, "waits"))
		for i := range waits {
			waits[i] = time.Duration(rapid.Int64Range(1, int64(32*24*time.Hour)).Draw(t, "wait"))
		}
		attempt := rapid.IntRange(1, 12).Draw(t, "attempt")
		policy := NewRetryPolicy(Backoff{Waits: waits, Attempts: 12}, atNoon)

		// However often the job failed before, and whenever it was made.
		next := policy.NextRetry(&rivertype.JobRow{
			Attempt:     attempt,
			CreatedAt:   noon.Add(-time.Duration(rapid.Int64Range(0, int64(1000*time.Hour)).Draw(t, "age"))),
			ScheduledAt: noon.Add(time.Duration(rapid.Int64Range(int64(-time.Hour), int64(time.Hour)).Draw(t, "due"))),
			Errors:      make([]rivertype.AttemptError, rapid.IntRange(0, 20).Draw(t, "errors")),
		})

		wait := waits[min(attempt, len(waits))-1]
		if next.Before(noon.Add(wait)) {
			t.Fatalf("%s after now, want %s at least", next.Sub(noon), wait)
		}
		if next.After(noon.Add(wait + wait/10)) {
			t.Fatalf("%s after now, want %s and a tenth at most", next.Sub(noon), wait)
		}
	})
}

// Events that failed together must not come back together.
func TestNextRetry_IsSpread(t *testing.T) {
	t.Parallel()
	policy := NewRetryPolicy(minutes, atNoon)
	early, late := 0, 0
	for range 1000 {
		switch after := policy.NextRetry(&rivertype.JobRow{Attempt: 1}).Sub(noon); {
		case after < 62*time.Second:
			early++
		case after > 64*time.Second:
			late++
		}
	}
	// A third each are expected; fewer than 100 of a thousand never happen.
	require.Greater(t, early, 100)
	require.Greater(t, late, 100)
}

func TestNextRetry_IsNotBeforeTheProviderSaid(t *testing.T) {
	t.Parallel()
	w := &eventWorker[PaymentArgs, *PaymentArgs]{eventShell: &eventShell{policy: NewRetryPolicy(minutes, atNoon)}}
	next := func(notBefore time.Time) time.Time {
		return w.NextRetry(&river.Job[PaymentArgs]{JobRow: &rivertype.JobRow{Attempt: 2}, Args: PaymentArgs{eventRef{notBefore: notBefore}}})
	}
	require.Equal(t, noon.Add(time.Hour), next(noon.Add(time.Hour)))
	for _, sooner := range []time.Time{{}, noon, noon.Add(-time.Hour), noon.Add(119 * time.Second)} {
		require.False(t, next(sooner).Before(noon.Add(2*time.Minute)))
		require.False(t, next(sooner).After(noon.Add(132*time.Second)))
	}
}
