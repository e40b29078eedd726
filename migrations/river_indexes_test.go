package migrations_test

import (
	"testing"

	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/migrations"
	"github.com/conciliar/conciliar/store/storetest"
)

// River's schema stays River's without the two indexes that we drop: its migrator finds
// nothing amiss, and nothing to do.
func TestRiverIndexes_RiverTakesItsSchemaWithoutThem(t *testing.T) {
	t.Parallel()
	pool := empty(t)
	require.NoError(t, migrations.Up(t.Context(), pool, silent))
	require.Zero(t, scan[int](t, pool, `SELECT count(*) FROM pg_indexes WHERE schemaname = current_schema() AND tablename = 'river_job' AND indexdef LIKE '%USING gin%'`))

	river, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: silent, Schema: storetest.Schema})
	require.NoError(t, err)
	judged, err := river.Validate(t.Context(), nil)
	require.NoError(t, err)
	require.True(t, judged.OK, judged.Messages)
	again, err := river.Migrate(t.Context(), rivermigrate.DirectionUp, nil)
	require.NoError(t, err)
	require.Empty(t, again.Versions)
}

// A week of completed jobs must not keep those that were taken in the index of the next.
func TestRiverJobs_AreVacuumedByTheirNumber(t *testing.T) {
	t.Parallel()
	pool := empty(t)
	require.NoError(t, migrations.Up(t.Context(), pool, silent))
	require.True(t, scan[bool](t, pool, `SELECT reloptions @> '{autovacuum_vacuum_scale_factor=0,autovacuum_vacuum_threshold=20000}' FROM pg_class WHERE oid = 'river_job'::regclass`))
}
