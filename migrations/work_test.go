package migrations_test

import (
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/migrations"
)

// insertOfBefore are events as the release before the step inserts them, which
// does not know the column: one with a job, one that ended in the inbox for its
// topic, and a test; and one as that release archives it.
const insertOfBefore = `
	WITH live AS (
		INSERT INTO webhook_queue (job_id, source, topic, payload, completed_at, outcome) VALUES
		(1, 'mercadopago', 'payment', '', NULL, NULL), (2, 'mercadopago', 'payment', '', now(), 'settled'),
		(NULL, 'mercadopago', 'claim', '', now(), 'unhandled'), (NULL, 'mercadopago', 'payment', '', now(), 'test')
	)
	INSERT INTO webhook_archive (id, source, topic, payload, completed_at, outcome)
	SELECT nextval('webhook_queue_id_seq'), 'mercadopago', 'payment', '', now(), outcome
	FROM unnest(ARRAY['covered', 'unhandled', 'test']) outcome`

const worksOfBefore = "payment/, payment/settled, test/test, unhandled/unhandled | payment/covered, test/test, unhandled/unhandled"

func TestEventWork_IsRightForTheEventsOfTheReleaseBefore(t *testing.T) {
	t.Parallel()
	pool := empty(t)
	upTo(t, pool, 12)
	exec(t, pool, insertOfBefore)
	// There are so many that the step takes them in several parts.
	exec(t, pool, `INSERT INTO webhook_queue (id, source, topic, payload, completed_at, outcome)
		SELECT 20000 + n * 7000, 'mercadopago', 'claim', '', now(), 'unhandled' FROM generate_series(1, 4) n`)

	require.NoError(t, migrations.Up(t.Context(), pool, silent))

	require.Zero(t, scan[int](t, pool, `SELECT count(*) FROM webhook_queue WHERE id > 20000 AND work <> 'unhandled'`))
	exec(t, pool, `DELETE FROM webhook_queue WHERE id > 20000`)
	require.Equal(t, worksOfBefore, works(t, pool), "of events that were there")

	// The release before goes on while this one's schema is there.
	exec(t, pool, `TRUNCATE webhook_queue, webhook_archive CASCADE`)
	exec(t, pool, insertOfBefore)
	require.Equal(t, worksOfBefore, works(t, pool), "of events that came afterwards")

	// It archives events of this one, too.
	exec(t, pool, `TRUNCATE webhook_queue, webhook_archive CASCADE`)
	exec(t, pool, `INSERT INTO webhook_queue (source, topic, payload, completed_at, outcome, work) VALUES ('mercadopago', 'claim', '', now(), 'kept', 'keep')`)
	exec(t, pool, `INSERT INTO webhook_archive (id, source, topic, payload, completed_at, outcome)
		SELECT n, 'mercadopago', 'claim', '', now(), outcome FROM unnest(ARRAY['followed', 'kept']) WITH ORDINALITY o (outcome, n)`)
	require.Equal(t, "keep/kept | follow/followed, keep/kept", works(t, pool))
}

// A step that broke off is run again from its start.
func TestEventWork_CanBeRunAgain(t *testing.T) {
	t.Parallel()
	pool := empty(t)
	upTo(t, pool, 13)
	exec(t, pool, insertOfBefore)
	exec(t, pool, `DELETE FROM conciliar_migrations WHERE version_id = 13`)
	before := schema(t, pool)

	upTo(t, pool, 13)

	require.Equal(t, worksOfBefore, works(t, pool))
	require.Len(t, schema(t, pool), len(before)+1)
}

// works are the works of all events with their outcomes, the archive's behind.
func works(t *testing.T, pool *pgxpool.Pool) string {
	t.Helper()
	const listed = `(SELECT string_agg(work || '/' || coalesce(outcome, ''), ', ' ORDER BY work, outcome NULLS FIRST) FROM `
	return scan[string](t, pool, `SELECT `+listed+`webhook_queue) || ' | ' || `+listed+`webhook_archive)`)
}

// upTo brings the schema to one of our steps.
func upTo(t *testing.T, pool *pgxpool.Pool, version int64) {
	t.Helper()
	migrateRiver(t, pool)
	provider, closeProvider, err := migrations.OurProvider(pool)
	require.NoError(t, err)
	defer closeProvider()
	_, err = provider.UpTo(t.Context(), version)
	require.NoError(t, err)
}
