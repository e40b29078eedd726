package migrations_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store/storetest"
)

// The release before neither writes nor knows the method, and goes on beside the next one.
func TestPaymentMethod_TheReleaseBeforeGoesOn(t *testing.T) {
	t.Parallel()
	pool := empty(t)
	migrateRiver(t, pool)
	upTo(t, pool, 50)
	const save = `
		INSERT INTO payments (source, payment_id, status, amount, currency, live_mode, date_last_updated, fetched_at, cost_read_at, raw)
		VALUES ('mercadopago', $1, 'approved', 150.05, 'ARS', true, '2026-01-02T03:04:05Z', now(), now(), $2)
		ON CONFLICT (source, payment_id) DO UPDATE SET status_detail = 'accredited', fetched_at = excluded.fetched_at, cost_read_at = excluded.cost_read_at`
	exec(t, pool, save, "77", `{"payment_type_id":"ticket"}`)
	exec(t, pool, save, "78", "")
	exec(t, pool, `UPDATE payments SET payer_email_hash = '' WHERE payment_id = '77'`)
	written := scan[time.Time](t, pool, `SELECT max(updated_at) FROM payments`)

	upTo(t, pool, 51)

	require.Zero(t, scan[int](t, pool, `SELECT count(*) FROM payments WHERE updated_at > $1 OR payment_method IS NOT NULL OR payment_type IS NOT NULL`, written))
	// Reading what was there already is not a change that anybody follows.
	exec(t, pool, `UPDATE payments SET payment_method = '', payment_type = 'ticket', cost_read_at = fetched_at WHERE payment_id = '77'`)
	require.Equal(t, written, scan[time.Time](t, pool, `SELECT max(updated_at) FROM payments`))
	// What the release before saves keeps what was read, and what it makes is not read yet.
	exec(t, pool, save, "77", `{}`)
	exec(t, pool, save, "79", `{}`)
	require.Equal(t, "ticket", scan[string](t, pool, `SELECT payment_type FROM payments WHERE payment_id = '77' AND updated_at > $1`, written))
	require.Equal(t, 1, scan[int](t, pool, `SELECT count(*) FROM payments WHERE payment_method IS NULL AND raw <> ''`))
	// A fetch that brings it, and changes nothing else, is a change.
	exec(t, pool, `UPDATE payments SET updated_at = updated_at, payment_method = 'pix', fetched_at = now() + interval '1 second' WHERE payment_id = '79'`)
	require.Equal(t, 1, scan[int](t, pool, `SELECT count(*) FROM payments WHERE payment_id = '79' AND updated_at > created_at`))
}

// What reads the costs alone, as the release before does, has the index that took the
// other's place.
func TestPaymentMethod_TheReleaseBeforeFindsUnreadCostsByTheIndex(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t)
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(t.Context())) }()
	_, err = tx.Exec(t.Context(), `SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off`)
	require.NoError(t, err)
	var plan string
	require.NoError(t, tx.QueryRow(t.Context(), `EXPLAIN (FORMAT json) SELECT source, payment_id FROM payments
		WHERE cost_read_at IS DISTINCT FROM fetched_at AND raw <> '' ORDER BY source, payment_id LIMIT 200`).Scan(&plan))
	require.Contains(t, plan, `"payments_unread_idx"`)
}
