package main

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/storetest"
)

// opened connects through a PgBouncer with these settings, to a database whose role
// has what it should.
type opened struct {
	pool   *pgxpool.Pool
	pooler store.Pooler
	found  []finding
}

func databaseAt(address string) config.Database {
	return config.Database{DatabaseURL: config.NewSecret(address), DatabaseSchema: storetest.Schema}
}

// ourSettings are those of every session of the service.
func ourSettings() map[string]string {
	settings := maps.Clone(sessionSettings)
	settings["search_path"] = storetest.Schema
	return settings
}

func openThrough(t *testing.T, address string, pooler map[string]string, connections int, opts ...poolOption) (opened, error) {
	t.Helper()
	var o opened
	opts = append(opts, noting(&o.pooler), telling(func(f finding) { o.found = append(o.found, f) }))
	database := databaseAt(storetest.Pooler(t, address, pooler))
	var err error
	if o.pool, err = openPool(t.Context(), database, connections, sessionSettings, opts...); err == nil {
		t.Cleanup(o.pool.Close)
	}
	return o, err
}

// setUpDatabase makes the settings of our sessions those of a database.
func setUpDatabase(t *testing.T, address string, without ...string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(context.WithoutCancel(t.Context()))) }()
	for name, value := range ourSettings() {
		if len(without) > 0 && name == without[0] {
			continue
		}
		_, err = conn.Exec(t.Context(), fmt.Sprintf("ALTER DATABASE %s SET %s = '%s'", pgx.Identifier{conn.Config().Database}.Sanitize(), name, value))
		require.NoError(t, err)
	}
}

// requireSetUp fails unless each of as many sessions at once has our settings.
func requireSetUp(t *testing.T, pool *pgxpool.Pool, sessions int) {
	t.Helper()
	for range sessions {
		conn, err := pool.Acquire(t.Context())
		require.NoError(t, err)
		defer conn.Release()
		differing, err := store.DifferingSettings(t.Context(), conn.Conn(), ourSettings())
		require.NoError(t, err)
		require.Empty(t, differing)
	}
}

func TestOpenPool_SetsUpEachSessionOfAPooler(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string]map[string]string{
		"which refuses settings at the start": {"pool_mode": "session"},
		"which ignores them":                  {"pool_mode": "session", "ignore_startup_parameters": "default_transaction_isolation,jit,statement_timeout,lock_timeout,idle_in_transaction_session_timeout,search_path"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, err := openThrough(t, storetest.URL(t), settings, 3)
			require.NoError(t, err)
			require.Equal(t, store.PoolerSession, o.pooler)
			requireSetUp(t, o.pool, 3)
			require.Equal(t, []finding{ok(checkPooler, "A pooler in session mode.")}, o.found)
		})
	}
}

func TestOpenPool_TakesPostgreSQLItselfForNoPooler(t *testing.T) {
	t.Parallel()
	var pooler store.Pooler
	pool, err := openPool(t.Context(), databaseAt(storetest.URL(t)), 2, sessionSettings, noting(&pooler))
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	require.Equal(t, store.PoolerNone, pooler)
	requireSetUp(t, pool, 2)
}

func TestOpenPool_KnowsTransactionMode(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string]map[string]string{
		"with a pool of one":       {"pool_mode": "transaction", "default_pool_size": "1"},
		"with a usual pool":        {"pool_mode": "transaction"},
		"whose sessions go around": {"pool_mode": "transaction", "server_round_robin": "1", "min_pool_size": "5"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := storetest.URL(t)
			setUpDatabase(t, address)
			o, err := openThrough(t, address, settings, 5)
			require.NoError(t, err)
			require.Equal(t, store.PoolerTransaction, o.pooler)
			require.Equal(t, []finding{ok(checkPooler, "A pooler in transaction mode; its sessions are set up as they should.")}, o.found)
			// Statements are not named: each connection meets sessions of others.
			var asking sync.WaitGroup
			failed := make(chan error, 5)
			for i := range 5 {
				asking.Go(func() {
					for j := range 20 {
						var sum int
						if err := o.pool.QueryRow(t.Context(), `SELECT $1::int + $2::int`, i, j).Scan(&sum); err != nil || sum != i+j {
							failed <- fmt.Errorf("%d and %d: %d, %w", i, j, sum, err)
							return
						}
					}
				})
			}
			asking.Wait()
			require.Empty(t, failed)
		})
	}
}

func TestOpenPool_SaysWhatTheRoleLacksInTransactionMode(t *testing.T) {
	t.Parallel()
	t.Run("AndGoesOnWithoutALimit", func(t *testing.T) {
		t.Parallel()
		address := storetest.URL(t)
		setUpDatabase(t, address, "lock_timeout")
		o, err := openThrough(t, address, map[string]string{"pool_mode": "transaction"}, 2)
		require.NoError(t, err)
		require.Len(t, o.found, 1)
		require.Equal(t, stateWarn, o.found[0].State)
		require.Contains(t, o.found[0].Do, "SET lock_timeout = '15s';")
	})
	t.Run("AndRefusesAnotherSchema", func(t *testing.T) {
		t.Parallel()
		address := storetest.URL(t)
		setUpDatabase(t, address, "search_path")
		_, err := openThrough(t, address, map[string]string{"pool_mode": "transaction"}, 2)
		require.ErrorContains(t, err, "SET search_path = 'conciliar';")
	})
	t.Run("AndRefusesAnotherIsolation", func(t *testing.T) {
		t.Parallel()
		address := storetest.URL(t)
		setUpDatabase(t, address, "default_transaction_isolation")
		conn, err := pgx.Connect(t.Context(), address)
		require.NoError(t, err)
		_, err = conn.Exec(t.Context(), fmt.Sprintf("ALTER DATABASE %s SET default_transaction_isolation = 'serializable'", conn.Config().Database))
		require.NoError(t, err)
		require.NoError(t, conn.Close(t.Context()))
		_, err = openThrough(t, address, map[string]string{"pool_mode": "transaction"}, 2)
		var lacking *missingSettings
		require.ErrorAs(t, err, &lacking)
		require.Equal(t, []string{"default_transaction_isolation"}, lacking.names)
		require.ErrorContains(t, err, "SET default_transaction_isolation = 'read committed';")
		require.ErrorContains(t, err, "RECONNECT")
	})
}

func TestOpenPool_KeepsToTheSessionsThatAPoolerHas(t *testing.T) {
	t.Parallel()
	o, err := openThrough(t, storetest.URL(t), map[string]string{"pool_mode": "session", "default_pool_size": "9"}, 20,
		func(o *opening) { o.measured, o.beside = true, directConnections })
	require.NoError(t, err)
	require.EqualValues(t, 4, o.pool.Config().MaxConns)
	require.Len(t, o.found, 1)
	require.Equal(t, "The pooler has 9 sessions for us, and 23 are wanted: attempts wait for each other.", o.found[0].Says)
	requireSetUp(t, o.pool, 4)
}

func TestOpenPool_RefusesAPoolerWithHardlyAnySession(t *testing.T) {
	t.Parallel()
	_, err := openThrough(t, storetest.URL(t), map[string]string{"pool_mode": "session", "default_pool_size": "4"}, 20,
		func(o *opening) { o.measured, o.beside = true, directConnections })
	require.EqualError(t, err, "the pooler has 4 sessions for us, and 8 are the least: raise its pool size")
}

func TestOpenDirect_RefusesATransactionsPooler(t *testing.T) {
	t.Parallel()
	address := storetest.URL(t)
	database := databaseAt(storetest.Pooler(t, address, map[string]string{"pool_mode": "transaction"}))
	var problems config.Problems
	_, err := openDirect(t.Context(), database, 1, nil)
	require.ErrorAs(t, err, &problems)
	require.ErrorContains(t, err, "DATABASE_DIRECT_URL: is needed, as DATABASE_URL leads through a pooler in transaction mode")
	database.DatabaseDirectURL = database.DatabaseURL
	_, err = openDirect(t.Context(), database, 1, nil)
	require.ErrorContains(t, err, "DATABASE_DIRECT_URL: leads through a pooler in transaction mode")
	database.DatabaseDirectURL = config.NewSecret(address)
	pool, err := openDirect(t.Context(), database, 1, nil)
	require.NoError(t, err)
	pool.Close()
}
