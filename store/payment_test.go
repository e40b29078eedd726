package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
)

func TestPayment_IsShownAsFetched(t *testing.T) {
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
	require.Equal(t, "1500000000000.25", p.Amount.Decimal.String(), "money is exact")
	require.Equal(t, `{"id":77}`, p.Raw.Data)
	_, err = b.Payment(t.Context(), "another", "77")
	require.ErrorIs(t, err, store.ErrPaymentNotFound, "another provider's payment of the same id is another payment")
}

func TestOrderPaymentLogs_AreTheLatestOfAnOrder(t *testing.T) {
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

func TestPaymentDetail_IsOfOneSource(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.PaymentDetail(t.Context(), "", "77")
	require.ErrorIs(t, err, store.ErrPaymentNotFound)
	b.exec(t, `
		INSERT INTO payments (source, payment_id, status, amount, currency, live_mode, date_last_updated, fetched_at, raw)
		VALUES ('a', '77', 'approved', 10, 'ARS', true, now(), now() - interval '1 hour', ''), ('b', '77', 'pending', 20, 'ARS', true, now(), now(), '')`)
	b.exec(t, `
		INSERT INTO payment_logs (source, payment_id, status, status_detail, amount, refunded_amount, currency, date_last_updated, queue_id)
		VALUES ('a', '77', 'approved', '', 10, 0, 'ARS', now(), 1), ('b', '77', 'pending', '', 20, 0, 'ARS', now(), 2)`)
	for source, want := range map[string]string{"": "b", "a": "a", "b": "b"} {
		d, err := b.PaymentDetail(t.Context(), source, "77")
		require.NoError(t, err)
		require.Equal(t, want, d.Source, "that of the last reading, unless it is named")
		require.Equal(t, want, d.Payment.Source)
		require.Len(t, d.Logs, 1)
	}
}
