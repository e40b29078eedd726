package migrations_test

import (
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/migrations"
)

// TestMoneyTable_ThePreviousReleaseGoesOn writes what that release writes, in its
// own statements, after the step.
func TestMoneyTable_ThePreviousReleaseGoesOn(t *testing.T) {
	t.Parallel()
	pool := empty(t)
	require.NoError(t, migrations.Up(t.Context(), pool, silent))

	exec(t, pool, `INSERT INTO orders (reference, amount, currency, origin) VALUES ('A-1', 150, 'ARS', 'merchant')`)
	for range 2 {
		exec(t, pool, `
			INSERT INTO payments AS known (source, payment_id, order_reference, status, status_detail, amount, refunded_amount,
				currency, collector_id, live_mode, validation, date_last_updated, fetched_at, raw)
			VALUES ('mercadopago', '77', 'A-1', 'approved', '', 150, 0, 'ARS', '1', true, false, '2026-01-02T03:04:05Z', now(), '')
			ON CONFLICT (source, payment_id) DO UPDATE SET status = excluded.status, date_last_updated = excluded.date_last_updated
			WHERE excluded.date_last_updated >= known.date_last_updated`)
		exec(t, pool, `
			INSERT INTO payment_logs (source, payment_id, order_reference, status, status_detail, amount, refunded_amount,
				currency, date_last_updated, queue_id)
			VALUES ('mercadopago', '77', 'A-1', 'approved', '', 150, 0, 'ARS', '2026-01-02T03:04:05Z', 1)
			ON CONFLICT ON CONSTRAINT payment_logs_state_key DO NOTHING`)
	}
	exec(t, pool, `UPDATE orders SET status = 'paid', paid_amount = 150, refunded_amount = 0, settled_at = now() WHERE reference = 'A-1'`)

	require.Equal(t, 1, scan[int](t, pool, `SELECT count(*) FROM payment_logs`))
	require.Equal(t, 1, scan[int](t, pool, `SELECT fold_version FROM payments`), "this release looks at it again")
	require.Equal(t, -1, scan[int](t, pool, `SELECT fold_version FROM orders`))
	require.Equal(t, 1, scan[int](t, pool, `SELECT fold_version FROM books`))
}

// What this release has settled and the one before settles again is looked at
// again; what a person writes by hand is not, or no check would find it.
func TestFoldVersion_IsLostToThePreviousRelease(t *testing.T) {
	t.Parallel()
	pool := empty(t)
	require.NoError(t, migrations.Up(t.Context(), pool, silent))
	exec(t, pool, `INSERT INTO orders (reference, amount, currency, fold_version) VALUES ('A-1', 150, 'ARS', 2)`)
	exec(t, pool, `INSERT INTO payments (source, payment_id, status, amount, refunded_amount, currency, collector_id, live_mode, date_last_updated, fetched_at, raw, fold_version)
		VALUES ('mercadopago', '77', 'approved', 150, 0, 'ARS', '1', true, now(), now(), '', 2)`)
	versions := func() [2]int {
		return [2]int{scan[int](t, pool, `SELECT fold_version FROM orders`), scan[int](t, pool, `SELECT fold_version FROM payments`)}
	}
	exec(t, pool, `UPDATE orders SET status = 'paid', paid_amount = 150`)
	exec(t, pool, `UPDATE payments SET status = 'approved', amount = 149`)
	require.Equal(t, [2]int{2, 2}, versions(), "by hand")
	for range 2 {
		exec(t, pool, `UPDATE orders SET status = 'paid', paid_amount = 150, refunded_amount = 0, settled_at = now()`)
		exec(t, pool, `UPDATE payments SET status = 'approved', collector_id = '1', raw = ''`)
		require.Equal(t, [2]int{-2, -2}, versions(), "by the previous release")
	}
	exec(t, pool, `UPDATE orders SET status = 'paid', settled_at = now(), fold_version = 2`)
	exec(t, pool, `UPDATE payments SET status = 'approved', collector_id = '1', fold_version = 2`)
	require.Equal(t, [2]int{2, 2}, versions(), "by this one")
}

func TestMoneyTable_AStateThatSaysNoAmountIsLoggedOnce(t *testing.T) {
	t.Parallel()
	pool := empty(t)
	require.NoError(t, migrations.Up(t.Context(), pool, silent))
	exec(t, pool, `INSERT INTO payments (source, payment_id, status, changed_at, live_mode, fetched_at, raw)
		VALUES ('mercadopago', '77', 'rejected', '2026-01-02T03:04:05Z', true, now(), '')`)
	log := func(changedAt string) error {
		_, err := pool.Exec(t.Context(), `
			INSERT INTO payment_logs (source, payment_id, status, status_detail, refunded_amount, changed_at, queue_id)
			VALUES ('mercadopago', '77', 'rejected', '', 0, $1, 1)`, changedAt)
		return err
	}
	require.NoError(t, log("2026-01-02T03:04:05Z"))
	var refused *pgconn.PgError
	require.ErrorAs(t, log("2026-01-02T03:04:05Z"), &refused)
	require.Equal(t, "payment_logs_state_unsaid_key", refused.ConstraintName)
	require.NoError(t, log("2026-01-02T03:04:06Z"), "another time is another state")
}
