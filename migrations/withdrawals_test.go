package migrations_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What was booked as a payout and is a withdrawal becomes one, and what it explained is
// explained again.
func TestWithdrawals_AreNoPayouts(t *testing.T) {
	t.Parallel()
	pool := empty(t)
	upTo(t, pool, 42)
	const movement = `INSERT INTO account_movements (source, collector_id, currency, happened_at, source_id, record_type, description, credit, debit, ordinal, class, place, payout_id) `
	exec(t, pool, movement+`VALUES
		('mercadopago', '1', 'ARS', '2026-01-02', '77', 'release', 'payment', 50, 0, 1, 'payment', 1, '901'),
		('mercadopago', '1', 'ARS', '2026-01-03', '901', 'release', 'Withdrawal', 0, 30, 1, 'payout', 1, '901'),
		('mercadopago', '1', 'ARS', '2026-01-04', '902', 'release', 'payout', 0, 20, 1, 'payout', 1, '902'),
		('mercadopago', '2', 'ARS', '2026-01-04', '903', 'release', 'payout', 0, 20, 1, 'payout', 1, '903')`)
	exec(t, pool, `INSERT INTO payouts (id, movement_id, source, collector_id, currency, paid_at, amount, state, opening_balance, unexplained_amount, balance_kept)
		SELECT source_id, id, source, collector_id, currency, happened_at, debit, 'explained', 0, 0, 0 FROM account_movements WHERE class = 'payout'`)
	exec(t, pool, `INSERT INTO account_chains (source, collector_id, currency) VALUES ('mercadopago', '1', 'ARS'), ('mercadopago', '2', 'ARS')`)

	upTo(t, pool, 43)

	require.Equal(t, "902 903", scan[string](t, pool, `SELECT string_agg(id, ' ' ORDER BY id) FROM payouts`))
	require.Equal(t, "77:payment: 901:withdrawal: 902:payout:902 903:payout:903", scan[string](t, pool,
		`SELECT string_agg(concat_ws(':', source_id, class, coalesce(payout_id, '')), ' ' ORDER BY source_id) FROM account_movements`))
	require.Equal(t, "1 2026-01-03", scan[string](t, pool,
		`SELECT string_agg(concat_ws(' ', collector_id, stale_from::date), ',') FROM account_chains WHERE stale_from IS NOT NULL`))

	// What runs beside it books as before.
	exec(t, pool, movement+`VALUES ('mercadopago', '1', 'ARS', '2026-01-05', '904', 'release', 'payout', 0, 20, 1, 'payout', 1, NULL)`)
}
