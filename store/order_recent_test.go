package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRecentOrders(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `INSERT INTO orders (reference, amount, currency, updated_at) VALUES
		('old', 1, 'ARS', '2026-01-01'), ('new', 2.50, 'BRL', '2026-01-03'), ('mid', 3, 'ARS', '2026-01-02')`)
	orders, err := b.RecentOrders(t.Context(), 2)
	require.NoError(t, err)
	require.Len(t, orders, 2)
	require.Equal(t, "new", orders[0].Reference)
	require.Equal(t, "2.5", orders[0].Terms.Amount.Normalize().String())
	require.Equal(t, "mid", orders[1].Reference)
}
