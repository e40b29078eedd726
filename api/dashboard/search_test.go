package dashboard_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api/dashboard"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

func TestSearch_FindsAnOrderByAPartOfItsReference(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, reference := range []string{"Shop-2026-1042", "shop-2026-1043", "C-Dup"} {
		b.register(t, reference, "10")
	}
	w := b.get(t, "en", "/dashboard/search?q=c-dup")
	require.Equal(t, http.StatusSeeOther, w.Code)
	require.Equal(t, "/dashboard/orders?reference=C-Dup", w.Header().Get("Location"), "the one in another casing")

	main := b.page(t, "en", "/dashboard/search?q=SHOP-2026-10")
	require.Contains(t, main, "Orders whose reference begins with it")
	require.Contains(t, main, "Shop-2026-1042")
	require.Contains(t, main, "shop-2026-1043")
	require.Contains(t, main, "the 50,000 that changed last")
	// One that has it is shown, and not taken for the one that is meant.
	main = b.page(t, "en", "/dashboard/search?q=1042")
	require.Contains(t, main, "Orders that have it in their reference")
	require.NotContains(t, main, "shop-2026-1043")
	for lang, text := range map[string]string{"es": "entre los 50.000 que cambiaron", "pt-BR": "entre os 50.000 que mudaram"} {
		require.Contains(t, b.page(t, lang, "/dashboard/search?q=1042"), text)
	}

	b.register(t, "c-duP", "10")
	main = b.page(t, "en", "/dashboard/search?q=c-dup")
	require.Contains(t, main, "in another spelling")
	require.Contains(t, main, "C-Dup")
	require.Contains(t, main, "c-duP")
}

func TestSearch_FindsPaymentsByThePayersEmail(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, id := range []string{"7001", "7002"} {
		fixture.Settle(t, b.store, b.pool, b.accept(t, id), store.FetchedPayment{
			Source: "mercadopago", Payment: payment(id, order.PaymentApproved, "10"), Raw: []byte(`{"payer":{"email":"Ana@Example.com"}}`),
		})
	}
	b.settle(t, "A-1", payment("7003", order.PaymentApproved, "10"))
	box := func(text string) url.Values { return url.Values{"q": {text}} }
	leads := b.post(t, "/dashboard/search", box(" ana@example.COM "))
	require.Regexp(t, `^/dashboard/payments\?payer=[A-Za-z0-9_-]{22}$`, leads, "an address that keeps the payer's out of histories")
	main := b.page(t, "en", leads)
	require.Contains(t, main, "7001")
	require.Contains(t, main, "7002")
	require.NotContains(t, main, "7003")
	require.Contains(t, main, "Payer (e-mail)")
	require.Equal(t, http.StatusBadRequest, b.get(t, "en", "/dashboard/payments?payer=ana@example.com").Code)

	// What is not an e-mail address is found under an address that has it, as ever.
	require.Equal(t, "/dashboard/search?q=order+7", b.post(t, "/dashboard/search", box("order 7")))
	require.Equal(t, "/dashboard/events", b.post(t, "/dashboard/search", box("")))

	said := func(w string) {
		require.Contains(t, requirePage(t, b.send(t, "/dashboard/search", box("cid@example.com")), "en"), w)
	}
	said("No payment whose answer is still kept")
	for lang, text := range map[string]string{"en": "in the box at the top", "es": "en la casilla de arriba", "pt-BR": "na caixa do topo"} {
		require.Contains(t, b.page(t, lang, "/dashboard/search?q=ana@example.com"), text)
	}
	// A reference that is an address leads to its order, and both are shown where there are both.
	b.register(t, "bea@example.com", "10")
	require.Equal(t, "/dashboard/orders?reference=bea%40example.com", b.post(t, "/dashboard/search", box("bea@example.com")))
	b.register(t, "ana@example.com", "10")
	both := requirePage(t, b.send(t, "/dashboard/search", box("ana@example.com")), "en")
	require.Contains(t, both, "Order ana@example.com")
	require.Contains(t, both, "Payments by the payer")

	b.role = dashboard.RoleViewer
	require.Equal(t, "/dashboard/orders?reference=ana%40example.com", b.post(t, "/dashboard/search", box("ana@example.com")))
	said("Only operators find payments")
	require.NotContains(t, strings.ToLower(b.logs.String()), "ana@example.com")
}
