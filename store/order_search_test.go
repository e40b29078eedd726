package store_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
)

func referencesOf(orders []store.OrderSummary) string {
	var all []string
	for _, o := range orders {
		all = append(all, o.Reference)
	}
	return strings.Join(all, " ")
}

func TestOrdersLike_FindsWhatAPersonMeans(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, reference := range []string{"Shop-2026-001042", "shop-2026-001043", "shop-2026-1", "C-Dup", "c-dup", "x_50%", "x_500", "Águas-7", "z"} {
		b.register(t, reference, "100", "ARS")
	}
	for asked, want := range map[string][3]string{
		"C-DUP":               {"C-Dup c-dup", "", ""},
		" shop-2026 -001042 ": {"Shop-2026-001042", "", ""},
		"shop-2026-1042":      {"Shop-2026-001042", "", ""},
		"SHOP-2026-00104":     {"", "Shop-2026-001042 shop-2026-001043", ""},
		"shop-2026-0":         {"", "shop-2026-1 Shop-2026-001042 shop-2026-001043", ""},
		"shop-2026-1":         {"shop-2026-1", "Shop-2026-001042 shop-2026-001043", ""},
		"1043":                {"", "", "shop-2026-001043"},
		"001042":              {"", "", "Shop-2026-001042"},
		"x_50%":               {"x_50%", "", ""},
		"x_50":                {"", "x_50% x_500", ""},
		"50%":                 {"", "", "x_50%"},
		"águas":               {"", "Águas-7", ""},
		"-":                   {"", "", "Águas-7 c-dup C-Dup shop-2026-1 shop-2026-001043 Shop-2026-001042"},
		" ":                   {},
		"a\x00b":              {},
	} {
		like, err := b.OrdersLike(t.Context(), asked, 9)
		require.NoError(t, err, asked)
		require.Equal(t, want, [3]string{referencesOf(like.Same), referencesOf(like.Beginning), referencesOf(like.Within)}, asked)
	}
	like, err := b.OrdersLike(t.Context(), "shop", 2)
	require.NoError(t, err)
	require.Len(t, like.Beginning, 2, "no more than was asked for")
}

// However many orders there are, the index finds those that begin with a text.
func TestOrdersLike_IsReadByAnIndex(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `INSERT INTO orders (reference, amount, currency, status, reference_key) SELECT 'o-' || n, 1, 'ARS', 'paid', 'o-' || n FROM generate_series(1, 5000) AS n`)
	b.exec(t, `ANALYZE orders`)
	for _, where := range []string{`reference_key = 'o-42'`, `reference_key ~>=~ 'o-42' AND reference_key ~<~ 'o-43'`} {
		rows, err := b.pool.Query(t.Context(), `EXPLAIN SELECT reference FROM orders WHERE `+where+` ORDER BY reference_key USING ~<~, reference LIMIT 20`)
		require.NoError(t, err)
		plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		require.Contains(t, strings.Join(plan, "\n"), "orders_key_idx", where)
	}
}
