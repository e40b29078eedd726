//go:build unix

package localpg

import (
	"context"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

// openDir is a temporary directory that root's server user can enter; the ones
// that testing makes are for their owner only. It is quick, where that is
// possible: most of the time here goes into making databases.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(MemoryDir(), "localpg-test-") //nolint:usetesting // t.TempDir is on a disk and closed to others
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o711))
	return dir
}

func keptDir(t *testing.T) string {
	t.Helper()
	return filepath.Join(openDir(t), "kept")
}

func TestStart_IsPrivateAndLeavesNothing(t *testing.T) {
	t.Parallel()

	t.Run("IsPrivateAndLeavesNothing", func(t *testing.T) {
		t.Parallel()
		s := start(t, Options{Settings: map[string]string{"max_connections": "17", "listen_addresses": "*"}})
		conn := connect(t, s)
		require.Equal(t, "127.0.0.1", show(t, conn, "listen_addresses"), "the address is not the caller's to change")
		require.Empty(t, show(t, conn, "unix_socket_directories"))
		require.Equal(t, "17", show(t, conn, "max_connections"))
		require.Equal(t, "off", show(t, conn, "fsync"))
		require.Equal(t, "UTF8", show(t, conn, "server_encoding"))
		require.True(t, strings.HasPrefix(show(t, conn, "server_version"), s.Version()))

		var kept string
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT rolpassword FROM pg_authid WHERE rolname = $1", superuser).Scan(&kept))
		require.Contains(t, kept, "SCRAM-SHA-256$1:", "a random password needs no stretching, and each connection would pay for it")

		stranger, err := url.Parse(s.URL("postgres"))
		require.NoError(t, err)
		stranger.User = url.UserPassword(superuser, "guess")
		_, err = pgx.Connect(t.Context(), stranger.String())
		var pgErr *pgconn.PgError
		require.ErrorAs(t, err, &pgErr)
		require.Equal(t, "28P01", pgErr.Code)

		info, err := os.Stat(s.Dir())
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
		require.False(t, exists(filepath.Join(s.Dir(), "password.new")), "the password file was left behind")
		pid := postmaster(t, s.Dir())
		require.NoError(t, s.Stop(t.Context()))
		require.NoError(t, s.Stop(t.Context()), "stopping twice is no mistake")
		require.False(t, exists(s.Dir()))
		require.True(t, ended(pid))
		require.False(t, listening(t, s.Port()))
		select {
		case <-s.Done():
		default:
			t.Fatal("Done is not closed after Stop")
		}
	})

	t.Run("CreatesDatabases", func(t *testing.T) {
		t.Parallel()
		s := start(t, Options{})
		const name = `odd "name" ☂`
		require.NoError(t, s.CreateDatabase(t.Context(), name))
		require.NoError(t, s.CreateDatabase(t.Context(), name), "a database that is there is no mistake")
		conn, err := pgx.Connect(t.Context(), s.URL(name))
		require.NoError(t, err)
		defer func() { _ = conn.Close(t.Context()) }()
		var current string
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT current_database()").Scan(&current))
		require.Equal(t, name, current)
	})

	t.Run("SyncsWhenAsked", func(t *testing.T) {
		t.Parallel()
		conn := connect(t, start(t, Options{Fsync: true}))
		require.Equal(t, "on", show(t, conn, "fsync"))
		require.Equal(t, "on", show(t, conn, "synchronous_commit"))
		require.Equal(t, "on", show(t, conn, "full_page_writes"))
	})

	t.Run("UsesThePortAndTheDirectoryAskedFor", func(t *testing.T) {
		t.Parallel()
		port, err := freePort(t.Context())
		require.NoError(t, err)
		parent := openDir(t)
		s := start(t, Options{Port: port, TempDir: parent})
		require.Equal(t, port, s.Port())
		require.Equal(t, parent, filepath.Dir(s.Dir()))
		connect(t, s)
	})
}

func TestStart_FailsWithAReason(t *testing.T) {
	t.Parallel()
	// Whatever goes wrong, nothing is left in the place for temporary files.
	fails := func(t *testing.T, ctx context.Context, opts Options) error {
		t.Helper()
		opts.TempDir = openDir(t)
		s, err := Start(ctx, opts)
		require.Error(t, err)
		require.Nil(t, s)
		left, readErr := os.ReadDir(opts.TempDir)
		require.NoError(t, readErr)
		require.Empty(t, left)
		return err
	}

	t.Run("ASettingThatDoesNotExist", func(t *testing.T) {
		t.Parallel()
		err := fails(t, t.Context(), Options{Settings: map[string]string{"no_such_setting": "1"}})
		require.ErrorContains(t, err, "no_such_setting", "PostgreSQL's own words are missing")
	})

	t.Run("APortThatIsTaken", func(t *testing.T) {
		t.Parallel()
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", "127.0.0.1:0")
		require.NoError(t, err)
		defer func() { _ = l.Close() }()
		_, port, err := net.SplitHostPort(l.Addr().String())
		require.NoError(t, err)
		n, err := strconv.Atoi(port)
		require.NoError(t, err)
		require.ErrorContains(t, fails(t, t.Context(), Options{Port: n}), "could not bind")
	})

	t.Run("APortThatCannotBe", func(t *testing.T) {
		t.Parallel()
		require.ErrorContains(t, fails(t, t.Context(), Options{Port: 65536}), "65536")
	})

	t.Run("GivenUpBeforehand", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.Error(t, fails(t, ctx, Options{}))
	})

	t.Run("ADirectoryThatTheServerCannotReach", func(t *testing.T) {
		t.Parallel()
		// As root the server's user is shut out, as anybody else we are.
		shut := filepath.Join(openDir(t), "shut")
		require.NoError(t, os.Mkdir(shut, 0o000))
		require.ErrorContains(t, fails(t, t.Context(), Options{DataDir: filepath.Join(shut, "kept")}), shut)
	})

	t.Run("GivenUpWhileStarting", func(t *testing.T) {
		t.Parallel()
		// Cancelled when the cluster is being made: the moment is seen from
		// outside, by the directory that initdb fills.
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		parent := openDir(t)
		answer := make(chan error, 1)
		go func() {
			_, err := Start(ctx, Options{TempDir: parent})
			answer <- err
		}()
		eventually(t, "initdb begins", func() bool {
			found, err := filepath.Glob(filepath.Join(parent, "*", "data*", "*"))
			return err == nil && len(found) > 0
		})
		cancel()
		require.ErrorIs(t, <-answer, context.Canceled)
		left, err := os.ReadDir(parent)
		require.NoError(t, err)
		require.Empty(t, left)
	})
}
