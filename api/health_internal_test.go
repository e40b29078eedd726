package api

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestReadiness_ACheckIsBoundedAndItsRunShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release, runs := make(chan struct{}), atomic.Int64{}
		rd := newReadiness([]Check{
			{Name: "stuck", Check: func(context.Context) error { runs.Add(1); <-release; return nil }},
			{Name: "patient", Check: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }},
			{Name: "broken", Check: func(context.Context) error { return errors.New("broken") }},
			{Name: "panics", Check: func(context.Context) error { panic("no") }},
			{Name: "good", Check: func(context.Context) error { return nil }},
		}, slog.New(slog.DiscardHandler))
		start := time.Now()
		failed := make([][]string, 100)
		var callers sync.WaitGroup
		for i := range failed {
			callers.Go(func() { failed[i] = rd.run(t.Context()) })
		}
		callers.Wait()
		for _, names := range failed {
			require.Equal(t, []string{"stuck", "patient", "broken", "panics"}, names)
		}
		require.Equal(t, checkTimeout, time.Since(start), "by the bubble's own clock")
		require.EqualValues(t, 1, runs.Load(), "a check that hangs is not started again")
		close(release)
		synctest.Wait()

		// A caller who hangs up fails no check.
		gone, hangUp := context.WithCancel(t.Context())
		hangUp()
		good := newReadiness([]Check{{Name: "good", Check: context.Context.Err}}, slog.New(slog.DiscardHandler))
		require.Empty(t, good.run(gone))
	})
}
