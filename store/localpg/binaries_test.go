//go:build unix

package localpg

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFind_PrefersTheNewestThatWorks(t *testing.T) {
	t.Parallel()
	// Folders as Debian makes them: 9.6, 13, 14, 16, 18 (a beta), and a 17
	// without initdb.
	pattern := []string{"testdata/folders/lib/postgresql/*/bin"}
	absolute := func(t *testing.T) []string {
		t.Helper()
		var dirs []string
		for _, dir := range installed(pattern) {
			dir, err := filepath.Abs(dir)
			require.NoError(t, err)
			dirs = append(dirs, dir)
		}
		return dirs
	}

	t.Run("NewestFolderFirst", func(t *testing.T) {
		t.Parallel()
		var versions []string
		for _, dir := range installed(pattern) {
			versions = append(versions, filepath.Base(filepath.Dir(dir)))
		}
		require.Equal(t, []string{"18", "17", "16", "14", "13", "9.6"}, versions)
	})

	t.Run("TheFirstThatIsWhole", func(t *testing.T) {
		t.Parallel()
		dirs := absolute(t)
		b := find(t.Context(), nil, dirs, 0)
		require.NotNil(t, b)
		require.Equal(t, binaries{dir: dirs[0], version: "18beta1", major: 18}, *b)

		b = find(t.Context(), nil, dirs[1:], 0)
		require.NotNil(t, b)
		require.Equal(t, binaries{dir: dirs[2], version: "16.9", major: 16}, *b, "17 has no initdb")
	})

	t.Run("TheVersionOfTheData", func(t *testing.T) {
		t.Parallel()
		b := find(t.Context(), nil, absolute(t), 14)
		require.NotNil(t, b)
		require.Equal(t, "14.18", b.version)
	})

	t.Run("NothingTooOld", func(t *testing.T) {
		t.Parallel()
		dirs := absolute(t)
		require.Nil(t, find(t.Context(), nil, dirs[4:], 0))
		require.Nil(t, find(t.Context(), nil, dirs, 13), "data of a version that we don't support")
	})

	t.Run("NothingWhereNothingIs", func(t *testing.T) {
		t.Parallel()
		require.Nil(t, find(t.Context(), nil, []string{"", "/nowhere", t.TempDir()}, 0))
	})
}

func TestFolderVersion_IsReadFromThePath(t *testing.T) {
	t.Parallel()
	for dir, want := range map[string]int{
		"/usr/lib/postgresql/15/bin":            15,
		"/usr/lib/postgresql/9.6/bin":           9,
		"/usr/pgsql-16/bin":                     16,
		"/usr/libexec/postgresql17":             17,
		"/opt/homebrew/opt/postgresql@14/bin":   14,
		"/opt/homebrew/opt/postgresql/bin":      0,
		"/opt/18/postgresql/bin":                0,
		"/usr/lib/postgresql/99999999999999999": 99999999999999999,
	} {
		require.Equal(t, want, folderVersion(dir), dir)
	}
}

func TestStart_NamesTheVersionThatIsNotInstalled(t *testing.T) {
	t.Parallel()
	dir := keptDir(t)
	require.NoError(t, start(t, Options{DataDir: dir}).Stop(t.Context()))
	version := filepath.Join(dir, "data", "PG_VERSION")

	require.NoError(t, os.WriteFile(version, []byte("11\n"), 0o600))
	_, err := Start(t.Context(), Options{DataDir: dir})
	require.ErrorContains(t, err, "PostgreSQL 11, which is not installed")

	require.NoError(t, os.WriteFile(version, []byte("eleven\n"), 0o600))
	_, err = Start(t.Context(), Options{DataDir: dir})
	require.ErrorContains(t, err, `"eleven"`)
}
