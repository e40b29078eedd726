package config_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/config"
)

// watchedPair is a value made of a file that names another.
type watchedPair struct {
	dir     string
	watched *config.Watched[string]
}

func (p watchedPair) write(tb testing.TB, name, content string) {
	tb.Helper()
	require.NoError(tb, os.WriteFile(filepath.Join(p.dir, name), []byte(content), 0o600))
}

func newWatchedPair(tb testing.TB) watchedPair {
	tb.Helper()
	p := watchedPair{dir: tb.TempDir()}
	p.write(tb, "main", "first")
	p.write(tb, "first", "one")
	p.write(tb, "second", "two")
	var err error
	p.watched, err = config.Watch("pair", func(read config.ReadFile) (string, error) {
		name, err := read(filepath.Join(p.dir, "main"))
		if err != nil {
			return "", errors.New("no main")
		}
		content, err := read(filepath.Join(p.dir, string(name)))
		if err != nil {
			return "", errors.New("names no file")
		}
		return string(content), nil
	})
	require.NoError(tb, err)
	return p
}

func TestWatched_KeepsTheOldValueOverWhatCannotBeUsed(t *testing.T) {
	t.Parallel()
	p := newWatchedPair(t)
	var told []string
	p.watched.OnChange(func(v string) { told = append(told, v) })
	reload := func() bool {
		changed, err := p.watched.Reload()
		require.Equal(t, p.watched.Problem(), err)
		return changed
	}
	first := p.watched.Digest()
	require.Equal(t, "one", p.watched.Value())
	require.False(t, reload(), "nothing changed")

	p.write(t, "main", "none")
	require.False(t, reload())
	require.EqualError(t, p.watched.Problem(), "names no file")
	require.Equal(t, "one", p.watched.Value())
	require.Equal(t, first, p.watched.Digest(), "the digest is that of what is in use")

	p.write(t, "main", "second")
	require.True(t, reload())
	require.Equal(t, "two", p.watched.Value())
	p.write(t, "second", "three")
	require.True(t, reload(), "a file that another names counts as well")
	require.Equal(t, []string{"two", "three"}, told)

	p.write(t, "main", "first")
	require.True(t, reload())
	require.Equal(t, first, p.watched.Digest(), "the same contents, the same digest")

	p.write(t, "main", "none")
	require.False(t, reload())
	p.write(t, "main", "first")
	require.False(t, reload(), "back to what is in use")
	require.NoError(t, p.watched.Problem())
}

func TestWatch_FailsWhereThereIsNoValueYet(t *testing.T) {
	t.Parallel()
	_, err := config.Watch("nothing", func(config.ReadFile) (int, error) { return 0, errors.New("unusable") })
	require.EqualError(t, err, "unusable")
}

func TestKeepCurrent_TakesAChangeOnceItIsWhole(t *testing.T) {
	t.Parallel()
	p := newWatchedPair(t)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		now := make(chan os.Signal)
		var told []string
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			config.KeepCurrent(ctx, now, func(name string, err error) {
				if err != nil {
					name += ": " + err.Error()
				}
				told = append(told, name)
			}, p.watched)
		}()
		readings := func(n int) {
			for range n {
				<-time.After(config.WatchEvery)
				synctest.Wait()
			}
		}
		readings(2)
		p.write(t, "first", "changed")
		readings(1)
		require.Equal(t, "one", p.watched.Value(), "it may be half written")
		p.write(t, "first", "changed again")
		readings(1)
		require.Equal(t, "one", p.watched.Value())
		readings(1)
		require.Equal(t, "changed again", p.watched.Value())

		p.write(t, "main", "none")
		readings(5)
		p.write(t, "main", "second")
		now <- syscall.SIGHUP
		synctest.Wait()
		require.Equal(t, "two", p.watched.Value(), "a signal does not wait")
		cancel()
		<-ended
		require.Equal(t, "pair|pair: names no file|pair", strings.Join(told, "|"), "a problem is told once")
	})
}
