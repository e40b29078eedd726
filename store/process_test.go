package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/storetest"
)

func TestHeartbeat_ShowsItsProcess(t *testing.T) {
	t.Parallel()
	b := setup(t)
	alive := func() []store.Process {
		rows, err := b.pool.Query(t.Context(), `SELECT id, host, role, version, pool_max, pool_in_use FROM processes ORDER BY started_at, id`)
		require.NoError(t, err)
		found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (store.Process, error) {
			var p store.Process
			err := row.Scan(&p.ID, &p.Host, &p.Role, &p.Version, &p.PoolMax, &p.PoolInUse)
			return p, err
		})
		require.NoError(t, err)
		return found
	}
	first := store.NewHeartbeat(b.Store, store.Process{Host: "host-1", Role: store.RoleWorker, Version: "v1"}, noFiles)
	defer first.Close()
	require.Eventually(t, func() bool { return len(alive()) == 1 }, 30*time.Second, 5*time.Millisecond)
	second := store.NewHeartbeat(b.Store, store.Process{Role: store.RoleAPI, Version: "v2"}, noFiles)
	require.Eventually(t, func() bool { return len(alive()) == 2 }, 30*time.Second, 5*time.Millisecond)
	p := alive()[0]
	require.Equal(t, []string{"host-1", store.RoleWorker, "v1"}, []string{p.Host, p.Role, p.Version})
	require.EqualValues(t, b.pool.Config().MaxConns, p.PoolMax)
	require.Positive(t, p.PoolInUse+1)
	require.NotEqual(t, p.ID, alive()[1].ID)
	require.Zero(t, one[int](t, b, `SELECT count(*) FROM processes WHERE account_known`), "nobody has said whose the ledger is")

	second.Close()
	require.Len(t, alive(), 1, "one that stops takes itself off the list")
	require.NoError(t, b.KeepAccount(t.Context(), "1"))
	third := store.NewHeartbeat(b.Store, store.Process{Role: store.RoleAll}, noFiles)
	defer third.Close()
	require.Eventually(t, func() bool { return one[int](t, b, `SELECT count(*) FROM processes WHERE account_known`) == 1 }, 30*time.Second, 5*time.Millisecond)
}

// A pool tells how long its callers waited since the last look, and how many
// went without.
func TestHeartbeat_ShowsASaturatedPool(t *testing.T) {
	t.Parallel()
	config := storetest.Pool(t).Config()
	config.MaxConns, config.MinConns = 1, 0
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	defer pool.Close()
	fresh := pool.Stat()
	conn, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	opened := pool.Stat()
	wait, gaveUp := store.PoolStrain(fresh, opened)
	require.Positive(t, wait, "the connection had to be made")
	require.Zero(t, gaveUp)

	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		_, err := pool.Acquire(ctx)
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}
	wait, gaveUp = store.PoolStrain(opened, pool.Stat())
	require.EqualValues(t, 3, gaveUp)
	require.Zero(t, wait, "nobody got one")
	conn.Release()
}

// noFiles are the files of a process that has none.
func noFiles() []store.ProcessFile { return nil }
