package migrations_test

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/migrations"
)

// insertEnds are events with and without an end, as every release inserts them.
const insertEnds = `INSERT INTO webhook_queue (id, source, topic, payload, completed_at, outcome) VALUES
	(1, 'mercadopago', 'payment', '', NULL, NULL), (2, 'mercadopago', 'payment', '', now(), 'settled'),
	(3, 'mercadopago', 'claim', '', now(), 'unhandled'), (4, 'mercadopago', 'payment', '', NULL, NULL)`

// requireListed holds the lists against the queue, and their number against what is expected.
func requireListed(t *testing.T, pool *pgxpool.Pool, open, completed int, what string) {
	t.Helper()
	require.Zero(t, scan[int](t, pool, `SELECT count(*) FROM (
		(SELECT id FROM webhook_queue WHERE completed_at IS NULL EXCEPT SELECT queue_id FROM webhook_open)
		UNION ALL
		(SELECT queue_id FROM webhook_open EXCEPT SELECT id FROM webhook_queue WHERE completed_at IS NULL)) wrong`), what)
	require.Zero(t, scan[int](t, pool, `SELECT count(*) FROM (
		(SELECT completed_at, id, outcome FROM webhook_queue WHERE completed_at IS NOT NULL EXCEPT TABLE webhook_completed)
		UNION ALL
		(TABLE webhook_completed EXCEPT SELECT completed_at, id, outcome FROM webhook_queue WHERE completed_at IS NOT NULL)) wrong`), what)
	require.Equal(t, open, scan[int](t, pool, `SELECT count(*) FROM webhook_open`), what)
	require.Equal(t, completed, scan[int](t, pool, `SELECT count(*) FROM webhook_completed`), what)
}

func TestEventLists_HaveTheEventsOfTheReleaseBefore(t *testing.T) {
	t.Parallel()
	pool := empty(t)
	upTo(t, pool, 54)
	exec(t, pool, insertEnds)
	upTo(t, pool, 55)
	// The release before goes on between the two steps: it ends one that is on no list yet.
	exec(t, pool, `INSERT INTO webhook_queue (id, source, topic, payload) VALUES (5, 'mercadopago', 'payment', '')`)
	exec(t, pool, `UPDATE webhook_queue SET completed_at = now(), outcome = 'settled' WHERE id = 4`)
	exec(t, pool, `DELETE FROM webhook_queue WHERE id = 2`)
	upTo(t, pool, 56)
	requireListed(t, pool, 2, 2, "filled")

	// A step that broke off is run again from its start.
	exec(t, pool, `DELETE FROM conciliar_migrations WHERE version_id = 56`)
	exec(t, pool, `DELETE FROM webhook_open WHERE queue_id = 1`)
	exec(t, pool, `INSERT INTO webhook_completed VALUES (now(), 2, 'settled')`)
	upTo(t, pool, 56)
	requireListed(t, pool, 2, 2, "run again")
}

func TestEventLists_FollowWhatIsDoneToEvents(t *testing.T) {
	t.Parallel()
	pool := empty(t)
	require.NoError(t, migrations.Up(t.Context(), pool, silent))
	for _, step := range []struct {
		what, sql       string
		open, completed int
	}{
		{"they come", insertEnds, 2, 2},
		{"one comes twice", `INSERT INTO webhook_queue (id, source, topic, payload) VALUES (4, 'mercadopago', 'payment', '') ON CONFLICT DO NOTHING`, 2, 2},
		{"one ends", `UPDATE webhook_queue SET completed_at = now(), outcome = 'settled' WHERE id = 1`, 1, 3},
		{"some change, and one of them ends", `UPDATE webhook_queue SET attempts = attempts + 1, completed_at = coalesce(completed_at, now()), outcome = coalesce(outcome, 'covered') WHERE id >= 3`, 0, 4},
		{"nothing of an end changes", `UPDATE webhook_queue SET payload = 'x', completed_at = completed_at`, 0, 4},
		{"an end is put back", `UPDATE webhook_queue SET completed_at = completed_at - interval '8 days' WHERE id IN (1, 3)`, 0, 4},
		{"another outcome", `UPDATE webhook_queue SET outcome = 'unhandled' WHERE id = 2`, 0, 4},
		{"an end is taken back", `UPDATE webhook_queue SET completed_at = NULL, outcome = NULL WHERE id = 1`, 1, 3},
		{"another id", `UPDATE webhook_queue SET id = id + 10 WHERE id <= 2`, 1, 3},
		{"another id with the end", `UPDATE webhook_queue SET id = 20, completed_at = now(), outcome = 'settled' WHERE id = 11`, 0, 4},
		{"one is archived", `WITH moved AS (DELETE FROM webhook_queue WHERE id = 20 RETURNING *) INSERT INTO webhook_archive SELECT * FROM moved`, 0, 3},
		{"one is removed", `INSERT INTO webhook_queue (id, source, topic, payload) VALUES (30, 'mercadopago', 'payment', ''); DELETE FROM webhook_queue WHERE id IN (3, 30)`, 0, 2},
		{"all are", `TRUNCATE webhook_queue CASCADE`, 0, 0},
	} {
		exec(t, pool, step.sql)
		requireListed(t, pool, step.open, step.completed, step.what)
	}
}

// The end of an event stays on its page and writes to no index of the queue, and is found
// without reading what else is open: also when PostgreSQL counted the rows last in a quiet
// moment, in which nothing was.
func TestEventLists_AnEndIsWrittenInPlaceAndFoundAlone(t *testing.T) {
	t.Parallel()
	pool := empty(t)
	require.NoError(t, migrations.Up(t.Context(), pool, silent))
	conn, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	const come = `INSERT INTO webhook_queue (id, source, topic, payload) SELECT n, 'mercadopago', 'payment', '\x7b7d' FROM generate_series(%d, %d) n`
	exec(t, pool, fmt.Sprintf(come, 1, 1000))
	exec(t, pool, `UPDATE webhook_queue SET completed_at = now(), outcome = 'settled'`)
	exec(t, pool, `VACUUM ANALYZE webhook_queue, webhook_open, webhook_completed`)
	// The session's plans are of a time when one was open.
	exec(t, pool, fmt.Sprintf(come, 1001, 1001))
	_, err = conn.Exec(t.Context(), `UPDATE webhook_queue SET completed_at = now(), outcome = 'settled' WHERE id = 1001`)
	require.NoError(t, err)
	exec(t, pool, fmt.Sprintf(come, 1002, 3000))

	const ended = 20
	require.NoError(t, pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
		// What the session counted before may not have been handed on yet.
		const counted = `SELECT ARRAY[pg_stat_get_xact_tuples_updated('webhook_queue'::regclass), pg_stat_get_xact_tuples_hot_updated('webhook_queue'::regclass),
			pg_stat_get_xact_tuples_returned('webhook_open'::regclass) + pg_stat_get_xact_tuples_fetched('webhook_open'::regclass)]`
		var before, after []int64
		if err := tx.QueryRow(t.Context(), counted).Scan(&before); err != nil {
			return err
		}
		_, err := tx.Exec(t.Context(), `UPDATE webhook_queue SET completed_at = now(), outcome = 'settled', attempts = 1 WHERE id = ANY (ARRAY(SELECT 1001 + 7 * generate_series(1, $1::int)))`, ended)
		if err != nil {
			return err
		}
		err = tx.QueryRow(t.Context(), counted).Scan(&after)
		require.EqualValues(t, ended, after[0]-before[0], "updated")
		require.EqualValues(t, ended, after[1]-before[1], "in place")
		require.LessOrEqual(t, after[2]-before[2], int64(2*ended), "rows of webhook_open")
		return err
	}))
	requireListed(t, pool, 1999-ended, 1001+ended, "ended")
}
