package migrations_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/migrations"
	"github.com/conciliar/conciliar/store/storetest"
)

var updateCatalogue = flag.Bool("update-catalogue", false, "write what the steps make into catalogue.txt")

func TestCatalogue_IsWhatTheStepsMake(t *testing.T) {
	t.Parallel()
	pool := empty(t)
	exec(t, pool, `CREATE SCHEMA `+storetest.Schema)
	made := map[string]string{}
	note := func(line string, version int64) {
		now := objects(t, pool)
		for _, o := range now {
			if made[o] == "" {
				made[o] = fmt.Sprintf("%s %d", line, version)
			}
		}
		for o := range made {
			if !slices.Contains(now, o) {
				delete(made, o)
			}
		}
	}
	provider, closeProvider, err := migrations.OurProvider(pool)
	require.NoError(t, err)
	defer closeProvider()
	_, err = provider.GetDBVersion(t.Context()) // makes the table that remembers our steps
	require.NoError(t, err)
	note("conciliar", 0)
	river, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: silent, Schema: storetest.Schema})
	require.NoError(t, err)
	steps, err := migrations.Status(t.Context(), pool)
	require.NoError(t, err)
	for _, step := range steps {
		if step.Line == "river" {
			_, err = river.Migrate(t.Context(), rivermigrate.DirectionUp, &rivermigrate.MigrateOpts{MaxSteps: 1})
		} else {
			_, err = provider.UpTo(t.Context(), step.Version)
		}
		require.NoError(t, err)
		note(step.Line, step.Version)
	}
	var text strings.Builder
	for _, o := range objects(t, pool) {
		_, _ = fmt.Fprintf(&text, "%s %s\n", o, made[o])
	}
	if *updateCatalogue {
		require.NoError(t, os.WriteFile("catalogue.txt", []byte(text.String()), 0o600))
	}
	written, err := os.ReadFile("catalogue.txt")
	require.NoError(t, err)
	require.Equal(t, text.String(), string(written), "run `make catalogue`")
}

// objects are all objects of our schema, in the order of their kinds and names.
func objects(t *testing.T, pool *pgxpool.Pool) []string {
	t.Helper()
	rows, err := pool.Query(t.Context(), `SELECT kind || ' ' || name FROM (`+migrations.ObjectsIn+`) o ORDER BY kind COLLATE "C", name COLLATE "C"`, storetest.Schema)
	require.NoError(t, err)
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return found
}

func TestMissing_NamesWhatTheStepsMadeAndIsGone(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t)
	missing, err := migrations.Missing(t.Context(), pool)
	require.NoError(t, err)
	require.Empty(t, missing)

	exec(t, pool, `DROP TABLE webhook_refused`)
	exec(t, pool, `CREATE TABLE public.webhook_refused (id bigint)`)
	exec(t, pool, `ALTER TABLE orders DROP COLUMN reference_key`)
	exec(t, pool, `ALTER FUNCTION conciliar_refuse_change() RENAME TO elsewhere`)

	missing, err = migrations.Missing(t.Context(), pool)
	require.NoError(t, err)
	require.Equal(t, []string{"function conciliar_refuse_change", "table webhook_refused", "column orders.reference_key"}, missing)
	requireCurrent(t, pool)
}
