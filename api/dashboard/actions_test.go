package dashboard_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api/dashboard"
)

func TestActions_SayWhoDidWhatToWhat(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for lang, text := range map[string]string{"en": "Nobody has done anything yet.", "es": "Todavía nadie hizo nada.", "pt-BR": "Ninguém fez nada ainda."} {
		require.Contains(t, b.page(t, lang, "/dashboard/actions"), text)
	}
	letter, _ := b.deadLetter(t, "100", notFound)
	b.register(t, "a/b", "1500")
	b.post(t, "/dashboard/dead-letters/"+itoa(letter)+"/dismiss", url.Values{"note": {"refunded by <hand>"}})
	b.post(t, "/dashboard/orders/cancel", url.Values{"reference": {"a/b"}, "note": {"sold out"}})
	for lang, texts := range map[string][]string{
		"en":    {"Dismissed", "Failed event", "refunded by <hand>", "Order cancelled", "sold out", "operator", "203.0.113.7"},
		"es":    {"Descartado", "Evento fallido", "Pedido cancelado"},
		"pt-BR": {"Descartado", "Evento com falha", "Pedido cancelado"},
	} {
		main := b.page(t, lang, "/dashboard/actions")
		for _, text := range texts {
			require.Contains(t, main, text)
		}
	}
	body := b.get(t, "en", "/dashboard/actions").Body.String()
	require.Contains(t, body, `href="/dashboard/dead-letters/`+itoa(letter)+`"`)
	require.Contains(t, body, `href="/dashboard/orders?reference=a%2Fb"`)
	for query, want := range map[string]bool{
		"action=dismiss": true, "action=cancel_order": false, "target=order": false, "operator=operator&target=dead_letter": true, "operator=ana": false, "day=2020-01-01": false,
	} {
		main := b.page(t, "en", "/dashboard/actions?"+query)
		if want {
			require.Contains(t, main, "refunded by <hand>", query)
		} else {
			require.NotContains(t, main, "refunded by <hand>", query)
		}
	}
	require.Equal(t, http.StatusBadRequest, b.get(t, "en", "/dashboard/actions?action=odd").Code)
	b.role = dashboard.RoleViewer
	require.Equal(t, http.StatusForbidden, b.get(t, "en", "/dashboard/actions").Code)
}
