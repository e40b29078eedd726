package migrations_test

import (
	"context"
	"crypto/rand"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/migrations"
	"github.com/conciliar/conciliar/store/storetest"
)

// in returns a pool on the same database whose sessions look in another schema.
func in(t *testing.T, pool *pgxpool.Pool, schema string) *pgxpool.Pool {
	t.Helper()
	config := pool.Config()
	config.ConnConfig.RuntimeParams["search_path"] = schema
	return openConfig(t, config)
}

// as returns a pool on the same database whose sessions act as a role of their own,
// and the role's name.
func as(t *testing.T, pool *pgxpool.Pool) (_ *pgxpool.Pool, role string) {
	t.Helper()
	role = "conciliar_test_" + strings.ToLower(rand.Text())
	exec(t, pool, `CREATE ROLE `+role)
	// It goes before the database does, with all that it owns there.
	t.Cleanup(func() {
		_, err := pool.Exec(context.WithoutCancel(t.Context()), `DROP OWNED BY `+role+` CASCADE; DROP ROLE `+role)
		require.NoError(t, err)
	})
	config := pool.Config()
	config.ConnConfig.RuntimeParams["role"] = role
	return openConfig(t, config), role
}

// refused requires that Up refuses for one reason and changes nothing.
func refused(t *testing.T, pool *pgxpool.Pool, reason string) {
	t.Helper()
	const all = `SELECT count(*) FROM pg_class`
	before := scan[int](t, pool, all)
	err := migrations.Up(t.Context(), pool, silent)
	var known *migrations.RefusedError
	require.ErrorAs(t, err, &known)
	require.Len(t, known.Problems, 1)
	require.Contains(t, known.Problems[0], reason)
	require.Equal(t, before, scan[int](t, pool, all), "half a schema")
}

func TestPreflight_SaysWhichRightIsMissing(t *testing.T) {
	t.Parallel()
	pool := empty(t)
	limited, role := as(t, pool)
	refused(t, limited, "the role "+role+` may not create the schema conciliar: as the database's owner, CREATE SCHEMA conciliar AUTHORIZATION "`+role+`"`)
	exec(t, pool, `CREATE SCHEMA conciliar`)
	exec(t, pool, `GRANT USAGE ON SCHEMA conciliar TO `+role)
	refused(t, limited, `may not create anything in the schema conciliar: GRANT USAGE, CREATE ON SCHEMA conciliar TO "`+role+`"`)
	exec(t, pool, `GRANT CREATE ON SCHEMA conciliar TO `+role)
	require.NoError(t, migrations.Up(t.Context(), limited, silent), "what it says is enough")
	requireCurrent(t, limited)
}

func TestPreflight_SaysWhoseTablesItCannotChange(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t)
	limited, role := as(t, pool)
	exec(t, pool, `GRANT USAGE, CREATE ON SCHEMA conciliar TO `+role)
	exec(t, pool, `GRANT SELECT ON ALL TABLES IN SCHEMA conciliar TO `+role)
	require.NoError(t, migrations.Up(t.Context(), limited, silent), "with nothing to do there is nothing to refuse")

	exec(t, pool, `DELETE FROM conciliar_migrations WHERE version_id = 33`)
	refused(t, limited, "the role "+role+" does not own all that is in the schema conciliar: function conciliar_fold_forget, ")
}

func TestPreflight_MeetsNobodysTables(t *testing.T) {
	t.Parallel()
	pool := empty(t)
	exec(t, pool, `CREATE TABLE public.orders (id bigint)`)
	exec(t, pool, `CREATE TYPE public.river_job_state AS ENUM ('shops')`)
	exec(t, pool, `CREATE FUNCTION public.conciliar_touch() RETURNS int LANGUAGE sql AS 'SELECT 1'`)
	refused(t, in(t, pool, "public"),
		"in the schema public these names are taken: function conciliar_touch, table orders, type river_job_state. Set DATABASE_SCHEMA to another name")
	require.NoError(t, migrations.Up(t.Context(), pool, silent), "beside it there is no harm")
}

func TestPreflight_MeetsNobodysRiver(t *testing.T) {
	t.Parallel()
	pool := empty(t)
	migrateRiverIn(t, pool, "public")
	refused(t, in(t, pool, "public"), "table river_job, ")
	require.NoError(t, migrations.Up(t.Context(), pool, silent))
}

func TestPreflight_MeetsNobodysColumns(t *testing.T) {
	t.Parallel()
	pool := empty(t)
	upTo(t, pool, 31)
	exec(t, pool, `ALTER TABLE processes ADD COLUMN not_accepted text`)
	refused(t, pool, "these names are taken: column processes.not_accepted.")
	exec(t, pool, `ALTER TABLE processes DROP COLUMN not_accepted`)
	require.NoError(t, migrations.Up(t.Context(), pool, silent))
}

// A step that is not a transaction may have been broken off, and is written for that.
func TestPreflight_LetsAStepThatBrokeOffGoOn(t *testing.T) {
	t.Parallel()
	pool := empty(t)
	upTo(t, pool, 12)
	exec(t, pool, `ALTER TABLE webhook_queue ADD COLUMN work text NOT NULL DEFAULT 'payment'`)
	require.NoError(t, migrations.Up(t.Context(), pool, silent))
	requireCurrent(t, pool)
}
