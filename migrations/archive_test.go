package migrations_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The newest events are looked for in the archive, too, which must not be read for it.
func TestArchive_ItsBlockRangesAreSummarized(t *testing.T) {
	t.Parallel()
	pool := empty(t)
	upTo(t, pool, 49)
	exec(t, pool, `INSERT INTO webhook_archive (id, received_at, completed_at, updated_at, source, topic, outcome, payload)
		SELECT n, now(), now(), now(), 'mercadopago', 'payment', 'settled', convert_to(repeat('x', 1000), 'UTF8') FROM generate_series(1, 2000) n`)

	upTo(t, pool, 50)

	require.Zero(t, scan[int](t, pool, `SELECT brin_summarize_new_values('webhook_archive_received_idx')`), "ranges that the migration left")
	require.Equal(t, 2, scan[int](t, pool, `SELECT count(*) FROM pg_class WHERE 'autosummarize=on' = ANY (reloptions)
		AND relname IN ('webhook_archive_received_idx', 'webhook_queue_received_idx')`))
}
