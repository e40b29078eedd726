package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"
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
	_, err = b.RegisterOrder(t.Context(), "o-2", terms("80"))
	require.NoError(t, err)
	require.True(t, seen[version()], "another order's change")
}
