package store_test

import (
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
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
	require.Equal(t, []string{"a", "b", "c"}, listed(store.OrderFilter{ChangedUntil: time.Date(2026, 1, 4, 0, 0, 0, 0, time.UTC)}))
	b.exec(t, `UPDATE orders SET amount = 2.5 WHERE reference IN ('b', 'c')`)
	amount := func(text string) *decimal.Decimal { d := decimal.RequireFromString(text); return &d }
	require.Equal(t, []string{"b", "c"}, listed(store.OrderFilter{AmountFrom: amount("2.5")}))
	require.Equal(t, []string{"a", "d"}, listed(store.OrderFilter{AmountTo: amount("2.49")}))
	require.Equal(t, []string{"b"}, listed(store.OrderFilter{AmountFrom: amount("2"), AmountTo: amount("2.5"), Currency: "BRL"}))
	_, err := b.Orders(t.Context(), store.OrderFilter{}, store.PageOf[store.OrderPlace]{})
	require.Error(t, err)
}

func TestOrders_SayWhatIsOpenAboutThem(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `INSERT INTO orders (reference, amount, currency, updated_at) VALUES ('fits', 1, 'ARS', '2026-01-01'), ('surplus', 1, 'ARS', '2026-01-02'), ('lacks', 1, 'ARS', '2026-01-03')`)
	b.exec(t, `INSERT INTO anomalies (kind, order_reference, payment_id, source, detail, closed_at, closed_by) VALUES
		('overpaid', 'surplus', NULL, NULL, '{"surplus":"2000.5"}', NULL, NULL), ('wrong_mode', 'surplus', '1', 'mercadopago', '{}', NULL, NULL), ('wrong_mode', 'surplus', '2', 'mercadopago', '{"mode":"test"}', NULL, NULL),
		('underpaid', 'surplus', NULL, NULL, '{"missing":"1"}', now(), 'somebody'), ('underpaid', 'lacks', NULL, NULL, '{"missing":"0.75"}', NULL, NULL)`)
	l, err := b.Orders(t.Context(), store.OrderFilter{}, store.PageOf[store.OrderPlace]{Limit: 3})
	require.NoError(t, err)
	require.Len(t, l.Items, 3)
	require.Empty(t, l.Items[0].Anomalies)
	require.False(t, l.Items[0].Surplus.Valid || l.Items[0].Missing.Valid)
	require.Equal(t, []order.AnomalyKind{order.AnomalyOverpaid, order.AnomalyWrongMode}, l.Items[1].Anomalies)
	require.Equal(t, "2000.5", l.Items[1].Surplus.Decimal.String())
	require.False(t, l.Items[1].Missing.Valid, "what is closed is missing no more")
	require.Equal(t, "0.75", l.Items[2].Missing.Decimal.String())
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
