package migrations_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/migrations"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/storetest"
)

var fromPublic = migrations.Move{From: "public", Queues: []string{"webhooks", "default"}, SignsOfLife: func(ctx context.Context, tx pgx.Tx) ([]string, error) {
	return store.SignsOfLife(ctx, tx, "conciliar")
}}

// inPublic returns an installation in public, with a row in every table, beside a
// shop's own things, and the pool of the service that is to be.
func inPublic(t *testing.T) (before, after *pgxpool.Pool) {
	t.Helper()
	after = empty(t)
	before = in(t, after, "public")
	exec(t, before, `
		CREATE TABLE products (id bigserial PRIMARY KEY);
		CREATE TYPE size AS ENUM ('s', 'l');
		CREATE FUNCTION conciliar() RETURNS int LANGUAGE sql AS 'SELECT 1'`)
	require.NoError(t, migrations.Up(t.Context(), before, silent))
	for _, version := range slices.Sorted(maps.Keys(written)) {
		for _, statement := range written[version] {
			exec(t, before, statement)
		}
	}
	exec(t, before, `UPDATE processes SET seen_at = now() - interval '2 minutes'`)
	return before, after
}

func TestRelocate_MovesAllThatIsOursAndNothingElse(t *testing.T) {
	t.Parallel()
	before, after := inPublic(t)
	had := rows(t, before)
	delete(had, "products")
	require.Len(t, had["river_job"], 3)
	reader, role := as(t, after)
	exec(t, before, `GRANT SELECT ON orders TO `+role)
	exec(t, before, `CREATE VIEW shops_orders AS SELECT reference FROM orders`)

	require.NoError(t, migrations.Relocate(t.Context(), after, fromPublic, silent))

	requireCurrent(t, after)
	require.Equal(t, had, rows(t, after))
	fresh := storetest.Pool(t)
	withoutTimes := func(described []string) []string {
		return slices.DeleteFunc(described, func(line string) bool {
			return strings.HasPrefix(line, "river step") || strings.HasPrefix(line, "our step")
		})
	}
	require.Equal(t, withoutTimes(schema(t, fresh)), withoutTimes(schema(t, after)), "as if it had been made there")
	left := strangers(t, after)
	slices.Sort(left)
	require.Equal(t, []string{
		"function public.conciliar()", "relation public.products", "relation public.products_id_seq", "relation public.products_pkey",
		"relation public.shops_orders", "type public.products", "type public.products[]", "type public.shops_orders",
		"type public.shops_orders[]", "type public.size", "type public.size[]",
	}, left)
	require.Equal(t, 1, scan[int](t, reader, `SELECT count(*) FROM conciliar.orders WHERE reference = 'A-1'`), "rights go along")
	require.Equal(t, 1, scan[int](t, before, `SELECT count(*) FROM shops_orders WHERE reference = 'A-1'`), "what looks at it goes on")
	// The triggers find what they need.
	exec(t, before, `UPDATE conciliar.river_job SET state = 'cancelled', finalized_at = now() WHERE id = 901`)
	exec(t, before, `UPDATE conciliar.orders SET amount = 149 WHERE reference = 'A-1'`)
	require.NoError(t, migrations.Up(t.Context(), after, silent))
}

// An installation that comes from an older release lacks steps.
func TestRelocate_MovesWhatAnOlderReleaseMade(t *testing.T) {
	t.Parallel()
	after := empty(t)
	before := in(t, after, "public")
	provider, closeProvider, err := migrations.OurProvider(before)
	require.NoError(t, err)
	defer closeProvider()
	migrateRiverIn(t, before, "public")
	_, err = provider.UpTo(t.Context(), 12)
	require.NoError(t, err)
	exec(t, before, `INSERT INTO orders (reference, amount, currency) VALUES ('A-1', 150.05, 'ARS')`)

	require.NoError(t, migrations.Relocate(t.Context(), after, fromPublic, silent))
	require.NoError(t, migrations.Up(t.Context(), after, silent))

	requireCurrent(t, after)
	missing, err := migrations.Missing(t.Context(), after)
	require.NoError(t, err)
	require.Empty(t, missing)
	require.Empty(t, strangers(t, after))
	require.Equal(t, "A-1", scan[string](t, after, `SELECT reference FROM orders`))
}

func TestRelocate_IsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prepare []string
		reason  string
	}{
		"while a process says that it lives": {
			[]string{`UPDATE processes SET seen_at = now() WHERE id = 'a'`}, "a process works with public: stop every process",
		},
		"while a process of a release with other names leads River": {
			[]string{`INSERT INTO river_leader (leader_id, elected_at, expires_at) VALUES ('conciliar1_x', now(), now() + interval '10 seconds')`},
			"River's leader conciliar1_x",
		},
		"where a program of the shop's works with River": {
			[]string{`INSERT INTO river_queue (name, updated_at) VALUES ('emails', now())`}, "works with River's tables in public (queues emails)",
		},
		"for what a newer release made": {
			[]string{`INSERT INTO conciliar_migrations (version_id, is_applied) VALUES (99999, true)`}, "a newer release migrated public",
		},
		"where names are taken": {
			[]string{`CREATE SCHEMA conciliar`, `CREATE TABLE conciliar.payments ()`}, "in the schema conciliar these names are taken: table payments",
		},
		"where there is an installation": {
			[]string{`CREATE SCHEMA conciliar`, `CREATE TABLE conciliar.conciliar_migrations ()`}, "the schema conciliar holds an installation already",
		},
		"without one to move": {
			[]string{`DROP TABLE conciliar_migrations`}, "the schema public holds no installation",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before, after := inPublic(t)
			for _, statement := range c.prepare {
				exec(t, before, statement)
			}
			refusedMove(t, before, after, c.reason)
		})
	}
}

func TestRelocate_IsRefusedWhileASessionOfOursIsOpen(t *testing.T) {
	t.Parallel()
	before, after := inPublic(t)
	config := before.Config()
	config.ConnConfig.RuntimeParams["application_name"] = "conciliar"
	alive := openConfig(t, config)
	require.NoError(t, alive.Ping(t.Context()))
	refusedMove(t, before, after, "1 sessions named conciliar")

	alive.Close()
	require.NoError(t, migrations.Relocate(t.Context(), after, fromPublic, silent))
}

func TestRelocate_NeedsTheOwner(t *testing.T) {
	t.Parallel()
	before, after := inPublic(t)
	limited, role := as(t, after)
	exec(t, before, `CREATE SCHEMA conciliar AUTHORIZATION `+role)
	exec(t, before, `GRANT SELECT ON ALL TABLES IN SCHEMA public TO `+role)
	refusedMove(t, before, limited, "the role "+role+" does not own all that is in the schema public: ")
}

// refusedMove requires that nothing is moved, for one reason.
func refusedMove(t *testing.T, before, after *pgxpool.Pool, reason string) {
	t.Helper()
	where := func() []string {
		found, err := before.Query(t.Context(), `SELECT relnamespace::regnamespace || '.' || relname FROM pg_class WHERE relname !~ '^pg_' ORDER BY 1`)
		require.NoError(t, err)
		names, err := pgx.CollectRows(found, pgx.RowTo[string])
		require.NoError(t, err)
		return names
	}
	had := where()
	err := migrations.Relocate(t.Context(), after, fromPublic, silent)
	var known *migrations.RefusedError
	require.ErrorAs(t, err, &known)
	require.Len(t, known.Problems, 1)
	require.Contains(t, known.Problems[0], reason)
	require.Equal(t, had, where())
}
