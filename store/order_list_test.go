package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
)

func TestRecentOrders_AreTheLatestChanged(t *testing.T) {
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

func TestOrders_PagesByTheLastChange(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `INSERT INTO orders (reference, amount, currency, status, updated_at) VALUES
		('d', 1, 'ARS', 'paid', '2026-01-04'), ('c', 1, 'ARS', 'pending', '2026-01-02'), ('b', 1, 'BRL', 'paid', '2026-01-02'), ('a', 1, 'ARS', 'paid', '2026-01-01')`)
	listed := func(filter store.OrderFilter) (found []string) {
		t.Helper()
		page := store.PageOf[store.OrderPlace]{Limit: 1}
		for {
			l, err := b.Orders(t.Context(), filter, page)
			require.NoError(t, err)
			for _, o := range l.Items {
				found = append(found, o.Reference)
			}
			if page.Before = l.Next; page.Before == (store.OrderPlace{}) {
				return found
			}
		}
	}
	require.Equal(t, []string{"a", "b", "c", "d"}, listed(store.OrderFilter{}))
	require.Equal(t, []string{"a", "b", "d"}, listed(store.OrderFilter{Status: "paid"}))
	require.Equal(t, []string{"a", "d"}, listed(store.OrderFilter{Status: "paid", Currency: "ARS"}))
	require.Equal(t, []string{"b", "c", "d"}, listed(store.OrderFilter{ChangedSince: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)}))
	_, err := b.Orders(t.Context(), store.OrderFilter{}, store.PageOf[store.OrderPlace]{})
	require.Error(t, err)
}
