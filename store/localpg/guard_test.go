//go:build unix

package localpg

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

func TestGuard_EndsTheServerOfAKilledOwner(t *testing.T) {
	t.Parallel()

	t.Run("LeavesNothingOfATemporaryServer", func(t *testing.T) {
		t.Parallel()
		h := startHelper(t, "")
		require.True(t, exists(h.Dir))
		require.False(t, ended(h.postmaster))
		require.NoError(t, h.cmd.Process.Kill())
		eventually(t, "the server ends", func() bool { return ended(h.postmaster) })
		eventually(t, "the directory goes", func() bool { return !exists(h.Dir) })
		require.Error(t, h.cmd.Wait())
	})

	t.Run("LeavesKeptDataAndNoProcess", func(t *testing.T) {
		t.Parallel()
		dir := keptDir(t)
		h := startHelper(t, dir)
		conn, err := pgx.Connect(t.Context(), h.URL)
		require.NoError(t, err)
		_, err = conn.Exec(t.Context(), "CREATE TABLE kept AS SELECT 42 AS n")
		require.NoError(t, err)
		// The server is held back, so that its end comes after the owner's.
		require.NoError(t, syscall.Kill(h.postmaster, syscall.SIGSTOP))
		// A failure must not leave it so; there is no harm in a second time.
		t.Cleanup(func() { _ = syscall.Kill(h.postmaster, syscall.SIGCONT) })
		require.NoError(t, h.cmd.Process.Kill())
		require.Error(t, h.cmd.Wait())
		_ = conn.Close(t.Context())
		marker, err := os.Open(filepath.Join(dir, markerName))
		require.NoError(t, err)
		defer func() { _ = marker.Close() }()
		free, err := tryLock(marker)
		require.NoError(t, err)
		require.False(t, free, "the directory is given away before it is left")
		require.NoError(t, syscall.Kill(h.postmaster, syscall.SIGCONT))

		// The next start waits for the shutdown and then finds the data.
		next := start(t, Options{DataDir: dir})
		require.True(t, ended(h.postmaster))
		var n int
		require.NoError(t, connect(t, next).QueryRow(t.Context(), "SELECT n FROM kept").Scan(&n))
		require.Equal(t, 42, n)
	})
}

func TestGuard_SurvivesATerminalsInterrupt(t *testing.T) {
	t.Parallel()
	h := startHelper(t, "")
	// A terminal's Ctrl-C goes to the whole group in the foreground. The helper
	// fails when its server is gone before it could stop it.
	require.NoError(t, syscall.Kill(-h.cmd.Process.Pid, syscall.SIGINT))
	require.NoError(t, h.cmd.Wait())
	require.False(t, exists(h.Dir))
	require.True(t, ended(h.postmaster))
}

func TestGuard_NoticesAServerThatDies(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	require.Equal(t, "mmap", show(t, connect(t, s), "dynamic_shared_memory_type"), "shared memory would be left behind")
	require.NoError(t, syscall.Kill(postmaster(t, s.Dir()), syscall.SIGKILL))
	<-s.Done()
	require.NoError(t, s.Stop(t.Context()))
	require.False(t, exists(s.Dir()))
}

func TestStart_TheServerKnowsNoneOfOurVariables(t *testing.T) {
	t.Setenv("MERCADOPAGO_ACCESS_TOKEN", "kept-from-the-server")
	t.Setenv("PGPORT", "1")
	for _, variable := range environment() {
		require.NotContains(t, variable, "kept-from-the-server")
		require.NotContains(t, variable, "PGPORT")
	}
	require.NotEmpty(t, os.Getenv("PATH"))
	require.Contains(t, environment(), "PATH="+os.Getenv("PATH"))
}
