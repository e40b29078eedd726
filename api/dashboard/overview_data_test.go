package dashboard_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store/order"
)

// past moves what the test made back in time, and counts it.
func (b *bundle) past(t testing.TB, ago time.Duration) {
	t.Helper()
	b.exec(t, `UPDATE webhook_queue SET received_at = received_at - $1::interval, completed_at = completed_at - $1::interval`, ago)
	_, err := b.store.RollUp(t.Context(), 24*time.Hour)
	require.NoError(t, err)
	_, err = b.store.RollUpHistory(t.Context(), 24*time.Hour)
	require.NoError(t, err)
}

func TestOverview_ShowsWhatHappened(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register(t, "o-1", "1234567.89")
	b.settle(t, "o-1", payment("100", order.PaymentApproved, "1234567.89"))
	b.settle(t, "o-2", payment("101", order.PaymentApproved, "5"))
	b.deadLetter(t, "102", "payment_not_found: no such payment")
	b.past(t, 10*time.Minute)

	for lang, texts := range map[string][]string{
		"en":    {"3 received, 2 changed a payment or an order, 1 failed for good", "p50 ", "Mercado Pago does not know the payment (404)", "ARS 1,234,567.89"},
		"es":    {"3 recibidos, 2 cambiaron un pago o un pedido, 1 fallaron", "La mitad tardó", "Mercado Pago no conoce el pago (404)", "ARS 1.234.567,89"},
		"pt-BR": {"3 recebidos, 2 mudaram um pagamento ou um pedido, 1 falharam", "Metade levou", "O Mercado Pago não conhece o pagamento (404)", "ARS 1.234.567,89"},
	} {
		for _, span := range []string{"", "?span=hour", "?span=week", "?span=unknown"} {
			main := spaced(b.page(t, lang, "/dashboard"+span))
			for _, text := range texts {
				require.Contains(t, main, text, "%s %s", lang, span)
			}
		}
		require.Contains(t, b.get(t, lang, "/dashboard?span=hour").Body.String(), "<svg role=\"img\"")
	}
}
