package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
)

func TestOrderVersions_DifferAfterEachChange(t *testing.T) {
	t.Parallel()
	b := setup(t)
	version := func() string {
		t.Helper()
		versions, err := b.OrderVersions(t.Context(), []string{"o-1", "o-2"})
		require.NoError(t, err)
		require.Len(t, versions, 2)
		return versions["o-1"]
	}
	seen := map[string]bool{version(): true}
	changed := func(what string) {
		t.Helper()
		v := version()
		require.False(t, seen[v], what)
		require.Equal(t, v, version(), "it stays until the next change")
		seen[v] = true
	}
	_, err := b.RegisterOrder(t.Context(), "o-1", terms("80"))
	require.NoError(t, err)
	changed("registered")
	b.pay(t, 1, "o-1", "70")
	changed("paid")
	b.exec(t, `UPDATE payments SET status_detail = 'other'`)
	changed("another detail")
	b.exec(t, `UPDATE anomalies SET closed_at = now(), closed_by = 'ana'`)
	changed("resolved")
	b.dispute(t, 8, store.Chargeback{ID: "2170", PaymentIDs: []string{one[string](t, b, `SELECT payment_id FROM payments`)}})
	changed("charged back")
	b.complain(t, 9, store.Claim{ID: "52", OrderID: "31", Reference: "o-1"})
	changed("complained about")
	_, err = b.RegisterOrder(t.Context(), "o-2", terms("80"))
	require.NoError(t, err)
	require.True(t, seen[version()], "another order's change")
}
