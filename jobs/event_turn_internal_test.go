package jobs

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTurns_AreEndedOnceAndGoToTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(1)
		first, err := turns.take(t.Context())
		require.NoError(t, err)
		limited, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err = turns.take(limited)
		require.ErrorIs(t, err, errNoTurn)
		require.NoError(t, limited.Err(), "half of its time is left")

		endTurn(first)
		endTurn(first)
		second, err := turns.take(t.Context())
		require.NoError(t, err)
		endTurn(first)
		require.Len(t, turns, 1, "another's turn is not ended")
		endTurn(second)
		require.Empty(t, turns)
		endTurn(t.Context())
	})
}

func TestTurns_AnAttemptThatIsStoppedWaitsForNone(t *testing.T) {
	t.Parallel()
	turns := newTurns(1)
	_, err := turns.take(t.Context())
	require.NoError(t, err)
	stopping, stop := context.WithCancel(t.Context())
	stop()
	_, err = turns.take(stopping)
	require.ErrorIs(t, err, context.Canceled)
}

func TestConfig_AttemptsUnderWayAreBoundByTheProvidersRate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		workers int
		rate    float64
		want    int
	}{{50, 20, 50}, {50, 120, 120}, {50, 1e6, 400}, {1, 0, 1}} {
		require.Equal(t, c.want, Config{Workers: c.workers, ProviderRate: c.rate}.attempts())
	}
}
