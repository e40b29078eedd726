package jobs

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
)

func TestClock_IsPostgreSQLs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var failure error
		off, takes := -10*time.Minute, 400*time.Millisecond
		c := &clock{logger: slog.New(slog.NewTextHandler(&log, nil))}
		c.ask = func(context.Context) (store.Server, error) {
			<-time.After(takes / 2)
			told := time.Now().Add(off)
			<-time.After(takes / 2)
			return store.Server{Now: told.Round(0)}, failure
		}
		require.Equal(t, time.Now(), c.Now(), "not asked for yet")
		require.Nil(t, c.NowOrNil())

		require.NoError(t, c.set(t.Context()))
		require.Equal(t, time.Now().Add(-10*time.Minute).Round(0), c.Now())
		require.Contains(t, log.String(), "ahead_seconds=600")
		<-time.After(time.Hour)
		require.Equal(t, time.Now().Add(-10*time.Minute).Round(0), c.Now())

		// What took long says little.
		off, takes = time.Hour, 3*time.Second
		require.NoError(t, c.set(t.Context()))
		require.Equal(t, time.Now().Add(-10*time.Minute).Round(0), c.Now())
		failure = errors.New("gone")
		require.ErrorIs(t, c.set(t.Context()), failure)
		require.Equal(t, time.Now().Add(-10*time.Minute).Round(0), c.Now())

		// It is told of once, until it is right again.
		failure, off, takes = nil, -10*time.Minute, 0
		require.NoError(t, c.set(t.Context()))
		require.Equal(t, 1, strings.Count(log.String(), "level=WARN"))
		off = time.Second
		require.NoError(t, c.set(t.Context()))
		require.Equal(t, time.Now().Add(time.Second).Round(0), c.Now())
		off = -time.Minute
		require.NoError(t, c.set(t.Context()))
		require.Equal(t, 2, strings.Count(log.String(), "level=WARN"))
	})
}

func TestClock_IsAskedForAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		c := &clock{logger: slog.New(slog.DiscardHandler), ask: func(context.Context) (store.Server, error) {
			if asked++; asked == 1 {
				return store.Server{}, errors.New("gone")
			}
			return store.Server{Now: time.Now().Add(time.Hour).Round(0)}, nil
		}}
		ctx, cancel := context.WithCancel(t.Context())
		go c.keep(ctx)
		<-time.After(3 * clockEvery)
		cancel()
		synctest.Wait()
		require.Equal(t, time.Now().Add(time.Hour).Round(0), c.Now())
	})
}
