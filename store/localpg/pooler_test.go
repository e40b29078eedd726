//go:build unix

package localpg

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

func TestPooler_LeadsToTheServerUntilItIsStopped(t *testing.T) {
	t.Parallel()
	s, err := Start(t.Context(), Options{TempDir: MemoryDir()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop(t.Context())) })
	p, err := StartPooler(t.Context(), PoolerOptions{Upstream: s.URL("postgres"), Settings: map[string]string{"pool_mode": "session"}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Stop()) })
	address, err := p.Through(s.URL("postgres"))
	require.NoError(t, err)
	conn, err := pgx.Connect(t.Context(), address)
	require.NoError(t, err)
	var pid uint32
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT pg_backend_pid()").Scan(&pid))
	require.NotEqual(t, pid, conn.PgConn().PID(), "it is not the pooler that answers")
	require.NoError(t, p.Stop())
	_, err = pgx.Connect(t.Context(), address)
	require.ErrorContains(t, err, "connection refused")
	require.NoDirExists(t, p.dir.path)
}

func TestPooler_SaysWhyItDoesNotStart(t *testing.T) {
	t.Parallel()
	_, err := StartPooler(t.Context(), PoolerOptions{Upstream: "postgres://app:hunter2@127.0.0.1:1/x", Settings: map[string]string{"pool_mode": "never"}})
	require.ErrorContains(t, err, "pool_mode")
	require.NotContains(t, err.Error(), "hunter2")
}
