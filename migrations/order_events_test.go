package migrations_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOrderEvents_TheReleaseBeforeGoesOnAndWhatWasThereIsNoNews(t *testing.T) {
	t.Parallel()
	pool := empty(t)
	upTo(t, pool, 34)
	const change = `
		WITH o AS (INSERT INTO orders (reference, amount, currency, settled_at) VALUES ($1, 150, 'ARS', now()) RETURNING reference),
		     l AS (INSERT INTO order_logs (order_reference, cause, status, paid_amount, refunded_amount) SELECT reference, 'registered', 'pending', 0, 0 FROM o)
		INSERT INTO anomalies (kind, order_reference) SELECT 'overpaid', reference FROM o`
	exec(t, pool, change, "A-1")
	exec(t, pool, `INSERT INTO anomalies (kind, order_reference, closed_at, closed_by) VALUES ('underpaid', 'A-1', now(), 'settlement')`)
	upTo(t, pool, 35)

	exec(t, pool, change, "A-2")

	require.Zero(t, scan[int](t, pool, `SELECT count(*) FROM order_events`))
	require.Equal(t, 2, scan[int](t, pool, `SELECT count(*) FROM order_logs WHERE NOT told`))
	require.Equal(t, []string{"overpaid A-1"}, scan[[]string](t, pool,
		`SELECT array_agg(kind || ' ' || flagged_order) FROM anomalies WHERE flagged_order IS NOT NULL`), "an order counts as flagged with what was open")
	require.Equal(t, int64(0), scan[int64](t, pool, `SELECT position FROM order_feed WHERE epoch <> ''`))
}
