package migrations_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/migrations"
)

func TestOrderLife_ChangedTermsAreNotSettled(t *testing.T) {
	t.Parallel()
	pool := empty(t)
	require.NoError(t, migrations.Up(t.Context(), pool, silent))
	exec(t, pool, `INSERT INTO orders (reference, amount, currency) VALUES ('A-1', 150, 'ARS')`)
	for change, unsettles := range map[string]bool{
		`amount = 140`:                          true,
		`currency = 'BRL'`:                      true,
		`cancelled_at = now()`:                  true,
		`collector_id = '2001'`:                 true,
		`amount = amount, currency = currency`:  false,
		`amount = 140.00`:                       false,
		`status = 'paid', paid_amount = amount`: false,
	} {
		exec(t, pool, `UPDATE orders SET amount = 150, currency = 'ARS', cancelled_at = NULL, collector_id = ''`)
		if change == `amount = 140.00` {
			exec(t, pool, `UPDATE orders SET amount = 140`)
		}
		exec(t, pool, `UPDATE orders SET settled_at = now()`)
		exec(t, pool, `UPDATE orders SET `+change)
		require.Equal(t, unsettles, scan[bool](t, pool, `SELECT settled_at IS NULL FROM orders`), change)
	}
}
