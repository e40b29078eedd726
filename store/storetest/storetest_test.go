package storetest_test

import (
	"context"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/migrations"
	"github.com/conciliar/conciliar/store/storetest"
)

// connectURL opens a pool and closes it with the test.
func connectURL(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

func count(t *testing.T, q interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}, sql string) int {
	t.Helper()
	var n int
	require.NoError(t, q.QueryRow(t.Context(), sql).Scan(&n))
	return n
}

func TestPool_IsMigratedAndOneTestsOwn(t *testing.T) {
	t.Parallel()

	t.Run("IsMigrated", func(t *testing.T) {
		t.Parallel()
		pending, err := migrations.Pending(t.Context(), storetest.Pool(t))
		require.NoError(t, err)
		require.Empty(t, pending)
	})

	t.Run("BelongsToOneTestAlone", func(t *testing.T) {
		t.Parallel()
		a, b := storetest.Pool(t), storetest.Pool(t)
		_, err := a.Exec(t.Context(), "CREATE TABLE mine (id int)")
		require.NoError(t, err)
		require.Equal(t, 1, count(t, a, "SELECT count(*) FROM pg_class WHERE relname = 'mine'"))
		require.Equal(t, 0, count(t, b, "SELECT count(*) FROM pg_class WHERE relname = 'mine'"))
	})

	t.Run("ServesManyTestsAtOnce", func(t *testing.T) {
		t.Parallel()
		names := make(chan string, 16)
		var wg sync.WaitGroup
		for range cap(names) {
			pool := storetest.Pool(t)
			wg.Go(func() {
				var name string
				if pool.QueryRow(t.Context(), "SELECT current_database()").Scan(&name) == nil {
					names <- name
				}
			})
		}
		wg.Wait()
		close(names)
		different := map[string]bool{}
		for name := range names {
			different[name] = true
		}
		require.Len(t, different, cap(names))
	})
}

func TestURL_ADatabaseIsDroppedWithItsTest(t *testing.T) { //nolint:tparallel // it looks at what the inner test left
	t.Parallel()
	watcher := storetest.Pool(t)
	var names []string
	t.Run("Inner", func(t *testing.T) {
		for _, pool := range []*pgxpool.Pool{storetest.Pool(t), connectURL(t, storetest.URL(t)), connectURL(t, storetest.EmptyURL(t))} {
			var name string
			require.NoError(t, pool.QueryRow(t.Context(), "SELECT current_database()").Scan(&name))
			names = append(names, name)
		}
		var n int
		require.NoError(t, watcher.QueryRow(t.Context(), "SELECT count(*) FROM pg_database WHERE datname = ANY($1)", names).Scan(&n))
		require.Equal(t, 3, n)
	})
	var left int
	require.NoError(t, watcher.QueryRow(t.Context(), "SELECT count(*) FROM pg_database WHERE datname = ANY($1)", names).Scan(&left))
	require.Zero(t, left)
}

func TestEmptyURL_HasNoSchema(t *testing.T) {
	t.Parallel()
	pool := connectURL(t, storetest.EmptyURL(t))
	require.Zero(t, count(t, pool, "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = 'public'"))
	_, err := pool.Exec(t.Context(), "CREATE TABLE first (id int)")
	require.NoError(t, err)
}

func TestTx_IsMigratedAndLeavesNothing(t *testing.T) {
	t.Parallel()

	t.Run("IsMigrated", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, 1, count(t, storetest.Tx(t), "SELECT count(*) FROM pg_class WHERE relname = 'webhook_queue'"))
	})

	t.Run("LeavesNothingBehind", func(t *testing.T) {
		t.Parallel()
		t.Run("Inner", func(t *testing.T) { //nolint:paralleltest // the outer test looks at what it left
			tx := storetest.Tx(t)
			_, err := tx.Exec(t.Context(), "CREATE TABLE left_behind (id int)")
			require.NoError(t, err)
			nested, err := tx.Begin(t.Context())
			require.NoError(t, err)
			_, err = nested.Exec(t.Context(), "INSERT INTO left_behind VALUES (1)")
			require.NoError(t, err)
			require.NoError(t, nested.Commit(t.Context()))
			require.Equal(t, 1, count(t, tx, "SELECT count(*) FROM left_behind"))
			require.Error(t, tx.Commit(t.Context()), "the outermost transaction must not be committed")
		})
		require.Zero(t, count(t, storetest.Tx(t), "SELECT count(*) FROM pg_class WHERE relname = 'left_behind'"))
	})

	t.Run("SurvivesATestThatRolledBackItself", func(t *testing.T) {
		t.Parallel()
		require.NoError(t, storetest.Tx(t).Rollback(t.Context()))
	})
}

func TestTemplate_CannotBeSpoilt(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t)
	config := pool.Config().ConnConfig.Copy()
	config.Database = "conciliar_template_" + migrations.Fingerprint()
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err == nil {
		require.NoError(t, conn.Close(t.Context()))
	}
	var pgErr *pgconn.PgError
	require.ErrorAs(t, err, &pgErr)
	require.Equal(t, "55000", pgErr.Code, "the template must not accept connections")
}
