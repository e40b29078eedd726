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
			{Name: "stuck", Check: func(context.Context, func(any)) error { runs.Add(1); <-release; return nil }},
			{Name: "patient", Check: func(ctx context.Context, _ func(any)) error { <-ctx.Done(); return ctx.Err() }},
			{Name: "broken", Check: func(context.Context, func(any)) error { return errors.New("broken") }},
			{Name: "panics", Check: func(context.Context, func(any)) error { panic("no") }},
			{Name: "good", Check: func(_ context.Context, show func(any)) error { show("shown"); return nil }},
		}, slog.New(slog.DiscardHandler))
		start := time.Now()
		failed, shown := make([][]string, 100), make([]map[string]any, 100)
		var callers sync.WaitGroup
		for i := range failed {
			callers.Go(func() { failed[i], shown[i] = rd.run(t.Context()) })
		}
		callers.Wait()
		for i, names := range failed {
			require.Equal(t, []string{"stuck", "patient", "broken", "panics"}, names)
			require.Equal(t, map[string]any{"good": "shown"}, shown[i])
		}
		require.Equal(t, checkTimeout, time.Since(start), "by the bubble's own clock")
		require.EqualValues(t, 1, runs.Load(), "a check that hangs is not started again")
		close(release)
		synctest.Wait()

		// A caller who hangs up fails no check.
		gone, hangUp := context.WithCancel(t.Context())
		hangUp()
		good := newReadiness([]Check{{Name: "good", Check: func(ctx context.Context, _ func(any)) error { return ctx.Err() }}}, slog.New(slog.DiscardHandler))
		missing, _ := good.run(gone)
		require.Empty(t, missing)
	})
}
