//go:build unix

package localpg

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDirectory_KeepsItsData(t *testing.T) {
	t.Parallel()

	t.Run("AreThereAgain", func(t *testing.T) {
		t.Parallel()
		dir := keptDir(t)
		first := start(t, Options{DataDir: dir})
		_, err := connect(t, first).Exec(t.Context(), "CREATE TABLE kept AS SELECT 42 AS n")
		require.NoError(t, err)
		require.NoError(t, first.Stop(t.Context()))

		second := start(t, Options{DataDir: dir})
		require.Equal(t, first.password, second.password)
		var n int
		require.NoError(t, connect(t, second).QueryRow(t.Context(), "SELECT n FROM kept").Scan(&n))
		require.Equal(t, 42, n)
	})

	t.Run("SurviveAnInterruptedBeginning", func(t *testing.T) {
		t.Parallel()
		dir := keptDir(t)
		first := start(t, Options{DataDir: dir})
		require.NoError(t, first.Stop(t.Context()))
		// As if initdb had been killed half-way.
		cluster := filepath.Join(dir, "data")
		require.NoError(t, os.Rename(cluster, cluster+".new"))
		require.NoError(t, os.Remove(filepath.Join(cluster+".new", "PG_VERSION")))
		connect(t, start(t, Options{DataDir: dir}))
		require.False(t, exists(cluster+".new"))
	})

	t.Run("AreUsedByOneOnly", func(t *testing.T) {
		t.Parallel()
		dir := keptDir(t)
		first := start(t, Options{DataDir: dir})
		_, err := Start(t.Context(), Options{DataDir: dir})
		require.ErrorContains(t, err, "in use by process "+strconv.Itoa(os.Getpid()))
		require.NoError(t, first.ping(t.Context()), "the first server was disturbed")
	})

	t.Run("HaveAMarkerThatOnlyItsOwnerReads", func(t *testing.T) {
		t.Parallel()
		dir := keptDir(t)
		start(t, Options{DataDir: dir})
		info, err := os.Stat(filepath.Join(dir, markerName))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	})

	t.Run("OutliveAProcessNumberThatIsSomebodyElsesNow", func(t *testing.T) {
		t.Parallel()
		dir := keptDir(t)
		require.NoError(t, start(t, Options{DataDir: dir}).Stop(t.Context()))
		// PostgreSQL itself refuses to start as long as this process lives.
		stale := strconv.Itoa(os.Getpid()) + "\n" + filepath.Join(dir, "data") + "\n"
		require.NoError(t, os.WriteFile(filepath.Join(dir, "data", "postmaster.pid"), []byte(stale), 0o600))
		connect(t, start(t, Options{DataDir: dir}))
	})

	t.Run("AreNotTakenFromAServerStartedByHand", func(t *testing.T) {
		t.Parallel()
		running := start(t, Options{})
		dir := keptDir(t)
		require.NoError(t, start(t, Options{DataDir: dir}).Stop(t.Context()))
		pidFile := filepath.Join(dir, "data", "postmaster.pid")
		number := strconv.Itoa(postmaster(t, running.Dir()))
		require.NoError(t, os.WriteFile(pidFile, []byte(number+"\n"), 0o600))
		_, err := Start(t.Context(), Options{DataDir: dir})
		require.ErrorContains(t, err, "in use by the PostgreSQL process "+number)
		require.True(t, exists(pidFile))
	})
}

func TestDirectory_AnotherServerIsNotTakenForOurs(t *testing.T) {
	t.Parallel()
	// It stands on the port that we want, and would let us in.
	other := start(t, Options{})
	dir := keptDir(t)
	require.NoError(t, os.Mkdir(dir, 0o700))
	body, err := json.Marshal(ownership{Password: other.password})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, markerName), body, 0o600))
	_, err = Start(t.Context(), Options{DataDir: dir, Port: other.Port()})
	require.ErrorContains(t, err, "could not bind")
}

func TestDirectory_AForeignOneIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "PG_VERSION")
	require.NoError(t, os.WriteFile(file, []byte("15\n"), 0o600))
	before, err := os.Stat(dir)
	require.NoError(t, err)

	_, err = Start(t.Context(), Options{DataDir: dir})
	require.ErrorContains(t, err, "not ours")

	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1, "something was added")
	after, err := os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, before.Mode(), after.Mode())
	require.Equal(t, before.ModTime(), after.ModTime())
	require.Equal(t, owner(t, before), owner(t, after))
}

func owner(t *testing.T, info os.FileInfo) [2]uint32 {
	t.Helper()
	stat, ok := info.Sys().(*syscall.Stat_t)
	require.True(t, ok)
	return [2]uint32{stat.Uid, stat.Gid}
}

func TestDirectory_ADamagedMarkerIsAnError(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, markerName), []byte(`{"password": 7`), 0o600))
	_, err := Start(t.Context(), Options{DataDir: dir})
	require.ErrorContains(t, err, "damaged")
	require.NotContains(t, err.Error(), "password")
}
