package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
)

func TestOpenDeadLettersByCause(t *testing.T) {
	t.Parallel()
	b := setup(t)
	groups, err := b.OpenDeadLetters(t.Context())
	require.NoError(t, err)
	require.Empty(t, groups)

	for number := range 3 {
		b.dead(t, number, "100")
	}
	other, _ := b.dead(t, 3, "101")
	b.exec(t, `UPDATE webhook_dead_letter SET reason = 'cancelled', error_class = '' WHERE id = $1`, other)
	dismissed, _ := b.dead(t, 4, "102")
	require.NoError(t, b.DismissDeadLetter(t.Context(), dismissed, "a test", ana))

	groups, err = b.OpenDeadLetters(t.Context())
	require.NoError(t, err)
	require.Len(t, groups, 2, "a dismissed one is not open")
	require.EqualValues(t, 3, groups[0].Count)
	require.Equal(t, "forbidden", groups[0].ErrorClass)
	require.Equal(t, "cancelled", groups[1].Reason)
	require.EqualValues(t, 1, groups[1].Count)
	require.False(t, groups[0].Oldest.IsZero())
}

func TestPaymentAsFetched(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.Payment(t.Context(), "mercadopago", "77")
	require.ErrorIs(t, err, store.ErrPaymentNotFound)

	b.exec(t, `
		INSERT INTO payments (source, payment_id, order_reference, status, amount, currency, live_mode, date_last_updated, fetched_at, raw)
		VALUES ('mercadopago', '77', 'o-1', 'approved', 1500000000000.25, 'ARS', true, now(), now(), convert_to('{"id":77}', 'UTF8'))`)
	p, err := b.Payment(t.Context(), "mercadopago", "77")
	require.NoError(t, err)
	require.Equal(t, "o-1", p.Reference)
	require.Equal(t, "1500000000000.25", p.Amount.String(), "money is exact")
	require.Equal(t, `{"id":77}`, p.Raw.Data)
	_, err = b.Payment(t.Context(), "another", "77")
	require.ErrorIs(t, err, store.ErrPaymentNotFound, "another provider's payment of the same id is another payment")
}

func TestLatestPaymentLogsOfAnOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `
		INSERT INTO payments (source, payment_id, order_reference, status, amount, currency, live_mode, date_last_updated, fetched_at, raw)
		VALUES ('mercadopago', '77', 'o-1', 'approved', 10, 'ARS', true, now(), now(), '')`)
	b.exec(t, `
		INSERT INTO payment_logs (source, payment_id, order_reference, status, status_detail, amount, refunded_amount, currency, date_last_updated, queue_id)
		SELECT 'mercadopago', '77', CASE WHEN n = 4 THEN 'o-2' ELSE 'o-1' END, 'approved', 'd' || n, 10, 0, 'ARS', now(), n
		FROM generate_series(1, 4) AS n`)
	logs, err := b.OrderPaymentLogs(t.Context(), "o-1", 2)
	require.NoError(t, err)
	require.Len(t, logs, 2)
	require.Equal(t, []int64{2, 3}, []int64{logs[0].QueueID, logs[1].QueueID}, "the latest two, oldest first, of this order alone")
}

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
