package dashboard_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store/order"
)

func TestAnomalies_AreShownInThreeLanguages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for lang, text := range map[string]string{"en": "No anomalies.", "es": "el dinero cuadra", "pt-BR": "o dinheiro bate"} {
		require.Contains(t, b.page(t, lang, "/dashboard/anomalies"), text)
	}
	b.register(t, "o-1", "1000")
	b.settle(t, "o-1", payment("100", order.PaymentApproved, "1.5"))
	id := b.count(t, `SELECT id FROM anomalies`)
	path := "/dashboard/anomalies/" + itoa(id)
	for lang, texts := range map[string][]string{
		"en":    {"Underpaid", "Missing ARS 998.50"},
		"es":    {"Pagado de menos", "Falta ARS 998,50"},
		"pt-BR": {"Pago a menos", "Falta ARS 998,50"},
	} {
		for _, p := range []string{"/dashboard/anomalies", "/dashboard/anomalies?kind=underpaid&order=o-1&state=open", path} {
			main := spaced(b.page(t, lang, p))
			for _, text := range texts {
				require.Contains(t, main, text, p)
			}
		}
	}
	require.NotContains(t, b.page(t, "en", "/dashboard/anomalies?state=closed"), "o-1")
	require.Equal(t, http.StatusBadRequest, b.get(t, "en", "/dashboard/anomalies?kind=odd").Code)
	require.Equal(t, http.StatusNotFound, b.get(t, "en", "/dashboard/anomalies/"+itoa(id+1)).Code)
}

func TestAnomalies_LeadToThePaymentsTheyName(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register(t, "o-1", "10")
	for _, id := range []string{"1003", "1004"} {
		b.settle(t, "o-1", payment(id, order.PaymentApproved, "10"))
	}
	b.exec(t, `UPDATE anomalies SET detail = detail || '{"near_orders": "O 1", "payment_ids": "1003,1004"}'`)
	for _, target := range []string{"/dashboard/anomalies", "/dashboard/anomalies/" + itoa(b.count(t, `SELECT max(id) FROM anomalies`))} {
		body := b.get(t, "en", target).Body.String()
		for _, link := range []string{"/dashboard/payments?payment=1003", "/dashboard/payments?payment=1004", "/dashboard/orders?reference=O&#43;1"} {
			require.Contains(t, body, `href="`+link+`"`, target)
		}
	}
}

func TestAnomalies_AreResolvedWithANote(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register(t, "o-1", "1000")
	b.settle(t, "o-1", payment("100", order.PaymentApproved, "1.5"))
	id := b.count(t, `SELECT id FROM anomalies`)
	path := "/dashboard/anomalies/" + itoa(id)

	for _, note := range []string{"", "  \n", strings.Repeat("é", 2001), "paid in\x00cash"} {
		w := b.send(t, path+"/resolve", url.Values{"note": {note}})
		require.Equal(t, http.StatusUnprocessableEntity, w.Code)
		require.Contains(t, requirePage(t, w, "en"), "A note of at most")
	}
	require.Zero(t, b.count(t, `SELECT count(*) FROM operator_actions`))

	main := b.page(t, "en", b.post(t, path+"/resolve", url.Values{"note": {" paid in <cash> "}}))
	require.Contains(t, main, "Anomaly resolved.")
	require.Contains(t, main, "paid in <cash>")
	require.EqualValues(t, 1, b.count(t, `
		SELECT count(*) FROM operator_actions WHERE actor = 'operator' AND action = 'resolve' AND target_id = $1 AND note = 'paid in <cash>'`, id))

	w := b.send(t, path+"/resolve", url.Values{"note": {"again"}})
	require.Equal(t, http.StatusConflict, w.Code)
	require.Contains(t, requirePage(t, w, "en"), "Number "+itoa(id)+" has already been handled")
}
