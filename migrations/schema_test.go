package migrations_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/migrations"
	"github.com/conciliar/conciliar/store/storetest"
)

// strangers returns what of a database is neither PostgreSQL's nor in our schema.
func strangers(t *testing.T, pool *pgxpool.Pool) []string {
	t.Helper()
	rows, err := pool.Query(t.Context(), `
		SELECT format('%s %s', 'relation', c.oid::regclass) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', current_schema())
		UNION ALL
		SELECT format('function %s', p.oid::regprocedure) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
		WHERE nspname NOT IN ('pg_catalog', 'information_schema', current_schema())
		UNION ALL
		SELECT format('type %s', t.oid::regtype) FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
		WHERE nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', current_schema())
		UNION ALL
		SELECT format('extension %s', extname) FROM pg_extension WHERE extname <> 'plpgsql'`)
	require.NoError(t, err)
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return found
}

func TestSchema_HoldsAllThatIsMade(t *testing.T) {
	t.Parallel()
	require.Empty(t, strangers(t, storetest.Pool(t)))
}

func TestSchema_EveryFunctionLooksThereAlone(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t)
	rows, err := pool.Query(t.Context(), `
		SELECT oid::regprocedure::text FROM pg_proc
		WHERE pronamespace = current_schema()::regnamespace AND proname LIKE 'conciliar\_%'
		  AND ('search_path=' || current_schema() = ANY (proconfig)) IS NOT TRUE`)
	require.NoError(t, err)
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Empty(t, found, "a function needs SET search_path FROM CURRENT")
}

func TestUp_NeedsSessionsThatLookInOneSchema(t *testing.T) {
	t.Parallel()
	config := empty(t).Config()
	config.ConnConfig.RuntimeParams["search_path"] = "conciliar, public"
	err := migrations.Up(t.Context(), openConfig(t, config), silent)
	require.ErrorContains(t, err, `the session's search_path is "conciliar, public", and must be one schema`)
}

// A shop's session looks in the shop's own tables, which have our names.
func TestSchema_AShopsSessionReachesOurTablesByTheirName(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t)
	for _, name := range []string{"orders", "river_job", "webhook_dead_letter", "webhook_queue", "payments"} {
		exec(t, pool, `CREATE TABLE public.`+name+` (shops int)`)
	}
	exec(t, pool, `CREATE FUNCTION public.now() RETURNS timestamptz LANGUAGE sql AS $$ SELECT '2001-01-01Z'::timestamptz $$`)
	config := pool.Config()
	config.ConnConfig.RuntimeParams["search_path"] = "public, pg_catalog"
	shop := openConfig(t, config)

	exec(t, shop, `INSERT INTO conciliar.orders (reference, amount, currency, settled_at) VALUES ('A-1', 150, 'ARS', pg_catalog.now())`)
	exec(t, shop, `UPDATE conciliar.orders SET amount = 140`)
	exec(t, shop, `INSERT INTO conciliar.webhook_queue (id, source, topic, payload) VALUES (1, 'mercadopago', 'payment', '')`)
	exec(t, shop, `INSERT INTO conciliar.river_job (kind, args, max_attempts) VALUES ('webhook_payment', '{"queue_id": 1}', 7)`)
	exec(t, shop, `UPDATE conciliar.river_job SET state = 'cancelled', finalized_at = pg_catalog.now()`)

	require.Equal(t, 1, scan[int](t, pool, `SELECT count(*) FROM orders WHERE settled_at IS NULL AND updated_at > created_at - interval '1 minute'`))
	require.Equal(t, "cancelled", scan[string](t, pool, `SELECT reason FROM webhook_dead_letter WHERE queue_id = 1`))
	require.Zero(t, scan[int](t, pool, `SELECT (SELECT count(*) FROM public.orders) + (SELECT count(*) FROM public.webhook_dead_letter)`))
}

// A server that answers a rollback and commits.
func TestUp_RefusesADatabaseWhoseTablesOutliveARollback(t *testing.T) {
	t.Parallel()
	address := storetest.Impostor(t, storetest.EmptyURL(t), strings.NewReplacer("rollback", "commit").Replace)
	pool := open(t, address, 2)
	require.ErrorContains(t, migrations.Up(t.Context(), pool, silent), "a transaction that is rolled back leaves its tables behind")
	require.Zero(t, scan[int](t, pool, `SELECT count(*) FROM pg_class WHERE relnamespace = current_schema()::regnamespace`))
}
