package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
)

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
	require.Equal(t, []string{"d", "c", "b", "a"}, listed(store.OrderFilter{LatestFirst: true}))
	require.Equal(t, []string{"d", "a"}, listed(store.OrderFilter{LatestFirst: true, Currency: "ARS", Status: "paid"}))
	_, err := b.Orders(t.Context(), store.OrderFilter{}, store.PageOf[store.OrderPlace]{})
	require.Error(t, err)
}

func TestOrderPlace_IsReadAsItIsWritten(t *testing.T) {
	t.Parallel()
	place := store.OrderPlace{ChangedAt: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC), Reference: "a.b/1 é"}
	read, ok := store.ParseOrderPlace(place.String())
	require.True(t, ok)
	require.Equal(t, place, read)
	for _, text := range []string{"", "1", "1.", ".a", "+1.a", "01.a", "-1.a", "1e3.a", "9223372036854775808.a", "1.\xff"} {
		_, ok := store.ParseOrderPlace(text)
		require.False(t, ok, text)
	}
}
