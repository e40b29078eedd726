package migrations_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/migrations"
	"github.com/conciliar/conciliar/store/storetest"
)

func TestUp_BringsAnEmptyDatabaseToTheCurrentSchema(t *testing.T) {
	t.Parallel()
	pool := empty(t)

	before, err := migrations.Status(t.Context(), pool)
	require.NoError(t, err)
	pending, err := migrations.Pending(t.Context(), pool)
	require.NoError(t, err)
	require.Equal(t, before, pending, "every step of an empty database is pending")
	require.Zero(t, scan[int](t, pool, `SELECT count(*) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')`), "asking creates nothing")

	require.NoError(t, migrations.Up(t.Context(), pool, silent))
	requireCurrent(t, pool)

	after, err := migrations.Status(t.Context(), pool)
	require.NoError(t, err)
	require.Len(t, after, len(before))
	for i, step := range after {
		require.NotNil(t, step.AppliedAt, "%s %d", step.Line, step.Version)
		require.WithinDuration(t, scan[time.Time](t, pool, `SELECT now()`), *step.AppliedAt, time.Hour, "%s %d", step.Line, step.Version)
		require.NotEmpty(t, step.Name)
		step.AppliedAt = nil
		require.Equal(t, before[i], step)
	}
	firstOurs := slices.IndexFunc(after, func(s migrations.Step) bool { return s.Line == "conciliar" })
	require.Equal(t, migrations.Step{Line: "conciliar", Version: 1, Name: "inbox", AppliedAt: after[firstOurs].AppliedAt}, after[firstOurs])
	require.Positive(t, firstOurs, "River's steps come first")
	require.False(t, slices.ContainsFunc(after[firstOurs:], func(s migrations.Step) bool { return s.Line != "conciliar" }))
}

func TestUp_ASecondTimeChangesNothing(t *testing.T) {
	t.Parallel()
	pool := empty(t)
	require.NoError(t, migrations.Up(t.Context(), pool, silent))
	before := schema(t, pool)

	require.NoError(t, migrations.Up(t.Context(), pool, silent))

	require.Equal(t, before, schema(t, pool))
}

func TestUp_IsDoneOnceByManyProcesses(t *testing.T) {
	t.Parallel()
	url := storetest.EmptyURL(t)
	const processes = 4
	errs := make([]error, processes)
	var all sync.WaitGroup
	for i := range errs {
		pool := open(t, url, 0)
		all.Go(func() { errs[i] = migrations.Up(t.Context(), pool, silent) })
	}
	all.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}

	pool := open(t, url, 0)
	requireCurrent(t, pool)
	require.Zero(t, scan[int](t, pool, `
		SELECT count(*) FROM (SELECT FROM conciliar_migrations GROUP BY version_id HAVING count(*) > 1) AS twice`))
	alone := empty(t)
	require.NoError(t, migrations.Up(t.Context(), alone, silent))
	withoutTimes := func(described []string) []string {
		return slices.DeleteFunc(described, func(line string) bool { return line[:5] == "river" || line[:3] == "our" })
	}
	require.Equal(t, withoutTimes(schema(t, alone)), withoutTimes(schema(t, pool)))
}

func TestUp_NeedsOneConnectionOfThePool(t *testing.T) {
	t.Parallel()
	pool := open(t, storetest.EmptyURL(t), 1)
	require.NoError(t, migrations.Up(t.Context(), pool, silent))
	requireCurrent(t, pool)
}

// A release that is rolled back meets the schema of the one after it.
func TestUp_LeavesASchemaAheadOfTheReleaseAlone(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t)
	known, err := migrations.Status(t.Context(), pool)
	require.NoError(t, err)
	exec(t, pool, `INSERT INTO conciliar_migrations (version_id, is_applied) SELECT max(version_id) + n, true FROM conciliar_migrations, generate_series(1, 2) n GROUP BY n`)
	exec(t, pool, `INSERT INTO river_migration (line, version) SELECT 'main', max(version) + 1 FROM river_migration`)
	exec(t, pool, `ALTER TABLE webhook_queue ADD COLUMN of_a_later_release text`)
	before := schema(t, pool)

	requireCurrent(t, pool)
	status, err := migrations.Status(t.Context(), pool)
	require.NoError(t, err)
	require.Equal(t, known, status)
	require.NoError(t, migrations.Up(t.Context(), pool, silent))
	require.Equal(t, before, schema(t, pool))
}

func TestPending_NamesTheStepsOfASchemaThatIsBehind(t *testing.T) {
	t.Parallel()
	pool := empty(t)
	require.NoError(t, migrations.Up(t.Context(), pool, silent))
	const alerts = 12 // a step that cannot be run twice
	exec(t, pool, `DELETE FROM conciliar_migrations WHERE version_id >= $1`, alerts)

	pending, err := migrations.Pending(t.Context(), pool)
	require.NoError(t, err)
	require.NotEmpty(t, pending)
	require.Equal(t, int64(alerts), pending[0].Version)
	require.Nil(t, pending[0].AppliedAt)

	err = migrations.Up(t.Context(), pool, silent)
	require.ErrorContains(t, err, "these names are taken: ", "the step's tables are there already")
}

// Whoever asks for the status may be allowed to read only.
func TestStatus_ReadsOnly(t *testing.T) {
	t.Parallel()
	config := storetest.Pool(t).Config()
	config.ConnConfig.RuntimeParams["default_transaction_read_only"] = "on"
	conn, err := pgx.ConnectConfig(t.Context(), config.ConnConfig)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), `CREATE TABLE written (n int)`)
	require.Error(t, err, "the sessions can't write")
	require.NoError(t, conn.Close(t.Context()))
	requireCurrent(t, openConfig(t, config))
}

func TestUp_SaysWhenTheDatabaseIsGone(t *testing.T) {
	t.Parallel()
	config := storetest.Pool(t).Config()
	config.ConnConfig.Database = "conciliar_nobody_made_this"
	err := migrations.Up(t.Context(), openConfig(t, config), silent)
	require.ErrorContains(t, err, "migrate: connect: ")
	_, err = migrations.Pending(t.Context(), openConfig(t, config))
	require.ErrorContains(t, err, "migrate: search_path: ")
}
