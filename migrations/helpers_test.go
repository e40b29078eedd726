package migrations_test

import (
	"log/slog"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/migrations"
	"github.com/conciliar/conciliar/store/storetest"
)

var silent = slog.New(slog.DiscardHandler)

// empty returns a pool on a database without a schema.
func empty(t *testing.T) *pgxpool.Pool {
	t.Helper()
	return open(t, storetest.EmptyURL(t), 0)
}

// open returns a pool on the database. No limit leaves the default.
func open(t *testing.T, url string, limit int32) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(url)
	require.NoError(t, err)
	config.ConnConfig.RuntimeParams["search_path"] = storetest.Schema
	if limit > 0 {
		config.MaxConns = limit
	}
	return openConfig(t, config)
}

func openConfig(t *testing.T, config *pgxpool.Config) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// schema describes everything that the steps make, so that two schemas can be
// compared, and with it which steps were applied when.
func schema(t *testing.T, pool *pgxpool.Pool) []string {
	t.Helper()
	rows, err := pool.Query(t.Context(), `
		SELECT format('column %s.%s %s %s %s', table_name, column_name, data_type, is_nullable, column_default)
		FROM information_schema.columns WHERE table_schema = current_schema()
		UNION ALL
		SELECT format('constraint %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
		FROM pg_constraint WHERE connamespace = current_schema()::regnamespace
		UNION ALL
		SELECT format('index %s', indexdef) FROM pg_indexes WHERE schemaname = current_schema()
		UNION ALL
		SELECT format('trigger %s', pg_get_triggerdef(oid)) FROM pg_trigger WHERE NOT tgisinternal
		UNION ALL
		SELECT format('function %s', pg_get_functiondef(oid)) FROM pg_proc WHERE pronamespace = current_schema()::regnamespace
		UNION ALL
		SELECT format('view %s %s', viewname, definition) FROM pg_views WHERE schemaname = current_schema()
		UNION ALL
		SELECT format('river step %s %s', version, created_at) FROM river_migration
		UNION ALL
		SELECT format('our step %s %s', version_id, tstamp) FROM conciliar_migrations
		ORDER BY 1`)
	require.NoError(t, err)
	described, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.NotEmpty(t, described)
	return described
}

func exec(t *testing.T, pool *pgxpool.Pool, query string, args ...any) {
	t.Helper()
	_, err := pool.Exec(t.Context(), query, args...)
	require.NoError(t, err)
}

func scan[T any](t *testing.T, pool *pgxpool.Pool, query string, args ...any) T {
	t.Helper()
	var v T
	require.NoError(t, pool.QueryRow(t.Context(), query, args...).Scan(&v))
	return v
}

func requireCurrent(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	pending, err := migrations.Pending(t.Context(), pool)
	require.NoError(t, err)
	require.Empty(t, pending)
}
