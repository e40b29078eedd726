package jobs_test

import (
	"testing"

	"github.com/riverqueue/river/rivertype"
	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// ReadPayment reads an answer that was kept.
func (k *fakeProvider) ReadPayment(raw []byte) (provider.Payment, error) {
	return mercadopago.DecodePayment(raw)
}

// What a release settled that did not read shipping is settled again from the
// answers that it kept.
func TestFold_AnEarlierLedgerIsSettledAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.RegisterOrder(t.Context(), "sh-110", order.Terms{Amount: decimal.NewFromInt(110), Currency: "ARS"})
	require.NoError(t, err)
	b.exec(t, `
		INSERT INTO payments (source, payment_id, order_reference, status, amount, currency, live_mode, date_last_updated, fetched_at, raw)
		SELECT 'mercadopago', n::text, 'sh-110', CASE n WHEN 500 THEN 'approved' ELSE 'rejected' END, 100, 'ARS', true,
		       '2026-01-02T03:04:05Z', '2026-01-02T03:04:06Z',
		       convert_to('{"id":' || n || ',"status":"approved","transaction_amount":100,"currency_id":"ARS","shipping_amount":10}', 'UTF8')
		FROM generate_series(500, 800) n`)
	b.exec(t, `
		INSERT INTO payment_logs (source, payment_id, order_reference, status, status_detail, amount, refunded_amount, currency, date_last_updated, queue_id)
		SELECT source, payment_id, order_reference, status, status_detail, amount, refunded_amount, currency, date_last_updated, 1 FROM payments`)
	b.exec(t, `UPDATE orders SET status = 'partially_paid', paid_amount = 100, fold_version = 1`)
	b.start(t)

	fixture.Await(t, func() bool { return scan[string](t, b, `SELECT status FROM orders`) == string(order.StatusPaid) })

	require.Equal(t, "110", scan[decimal.Decimal](t, b, `SELECT paid_amount FROM orders`).String())
	require.Equal(t, "upgrade", scan[string](t, b, `SELECT cause FROM order_logs ORDER BY id DESC LIMIT 1`))
	require.Equal(t, order.FoldVersion, scan[int](t, b, `SELECT fold_version FROM books`))
	require.Zero(t, scan[int](t, b, `SELECT count(*) FROM payments WHERE fold_version < $1`, order.FoldVersion))
}

func TestFold_AProcessOfOlderRulesPutsEventsOff(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fake.isPaid("77", "A-1", "150.05")
	b.exec(t, `UPDATE books SET fold_version = $1`, order.FoldVersion+1)
	event := b.accept(t, "77")
	b.start(t)

	fixture.Await(t, func() bool {
		job := b.job(t, event)
		return b.fake.calls("77") >= 1 && job.State != rivertype.JobStateRunning && job.Attempt == 0 // none is spent
	})

	require.NotEqual(t, "completed", b.status(t, event))
	require.Nil(t, b.letter(t, event))
	require.Zero(t, scan[int](t, b, `SELECT count(*) FROM payments`))
	b.exec(t, `UPDATE books SET fold_version = $1`, order.FoldVersion)
	b.awaitStatus(t, event, "completed")
}
