package dashboard_test

import (
	"net/http"
	"net/url"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api/dashboard"
	"github.com/conciliar/conciliar/store"
)

func refunding(d *dashboard.Deps) { d.Refunds = true }

// paid makes order a, which payment 7 of 100.00 has paid.
func (b *bundle) paid(t *testing.T) {
	t.Helper()
	b.register(t, "a", "100")
	b.exec(t, `INSERT INTO payments (source, payment_id, order_reference, status, amount, currency, live_mode, date_last_updated, fetched_at, raw)
		VALUES ('mercadopago', '7', 'a', 'approved', 100, 'ARS', true, now(), now(), '')`)
}

const orderA = "/dashboard/orders?reference=a"

// refundForm is what the order's page would send.
func (b *bundle) refundForm(t *testing.T, amount string) url.Values {
	t.Helper()
	form := url.Values{"amount": {amount}, "again": {amount}, "note": {"it broke"}}
	for _, field := range regexp.MustCompile(`<input type="hidden" name="(id|source|payment|reference|seen)" value="([^"]*)">`).FindAllStringSubmatch(b.get(t, "en", orderA).Body.String(), -1) {
		form.Set(field[1], field[2])
	}
	require.Len(t, form, 8)
	return form
}

func TestRefund_IsAskedForOnTheOrdersPage(t *testing.T) {
	t.Parallel()
	b := setup(t, refunding)
	b.paid(t)
	for lang, text := range map[string]string{"en": "Refund payment 7", "es": "Devolver el pago 7", "pt-BR": "Reembolsar o pagamento 7"} {
		require.Contains(t, b.page(t, lang, orderA), text)
	}
	require.Contains(t, b.get(t, "en", orderA).Body.String(), `href="#refund-7"`)
	form := b.refundForm(t, "40.50")
	require.Equal(t, "100.00", form.Get("seen"))
	for range 2 { // pressed twice
		w := b.send(t, "/dashboard/refunds", form)
		require.Equal(t, http.StatusSeeOther, w.Code, w.Body)
		require.Equal(t, orderA, w.Header().Get("Location"))
	}
	page := b.page(t, "en", orderA)
	require.Contains(t, page, "Refund requested.")
	require.Contains(t, page, "it broke")
	require.Contains(t, page, "At most ARS\u00a059.50.")
	list, err := b.store.Refunds(t.Context(), store.RefundFilter{}, store.Page{Limit: 10})
	require.NoError(t, err)
	require.Len(t, list.Items, 1)
	require.Equal(t, "operator", list.Items[0].RequestedBy)
	require.Contains(t, b.page(t, "en", "/dashboard/refunds?state=requested"), "it broke")
	require.NotContains(t, b.page(t, "en", "/dashboard/refunds?state=done"), "it broke")
	require.Contains(t, b.page(t, "en", "/dashboard/actions"), "Refund requested")

	again := b.send(t, "/dashboard/refunds", url.Values{
		"id": {"9d1c3cf8-7a3d-4b29-9bd9-0e6b8a3d2a10"}, "source": form["source"], "payment": form["payment"], "reference": form["reference"],
		"seen": form["seen"], "amount": form["amount"], "again": form["again"], "note": form["note"],
	})
	require.Equal(t, http.StatusConflict, again.Code, "the page of another admin is out of date")
	require.Contains(t, again.Body.String(), "What can be refunded of this payment has changed")
	require.Contains(t, again.Body.String(), `href="`+orderA+`"`)
}

func TestRefund_IsShownOnThePaymentsPageAndItsOwn(t *testing.T) {
	t.Parallel()
	b := setup(t, refunding)
	b.paid(t)
	const payment7 = "/dashboard/payments?payment=7"
	for lang, text := range map[string]string{"en": "No refund of it", "es": "ninguna devolución de este pago", "pt-BR": "Nenhum reembolso dele"} {
		require.Contains(t, b.page(t, lang, payment7), text)
	}
	require.Contains(t, b.get(t, "en", payment7).Body.String(), `href="/dashboard/orders?reference=a#refund-7"`)
	form := b.refundForm(t, "40.50")
	require.Equal(t, orderA, b.post(t, "/dashboard/refunds", form))
	id := form.Get("id")
	for lang, words := range map[string][]string{
		"en":    {"Refunds", "Requested", "Idempotency key", "Given back, says Mercado Pago"},
		"es":    {"Devoluciones", "Clave de idempotencia", "Devuelto, según Mercado Pago"},
		"pt-BR": {"Reembolsos", "Chave de idempotência", "Devolvido, segundo o Mercado Pago"},
	} {
		section, one := b.page(t, lang, payment7), b.page(t, lang, "/dashboard/refunds/"+id)
		for _, text := range []string{id, "it broke", "operator"} {
			require.Contains(t, section, text)
			require.Contains(t, one, text)
		}
		for _, text := range words {
			require.Contains(t, section+one, text)
		}
	}
	require.Contains(t, b.get(t, "en", payment7).Body.String(), `href="/dashboard/refunds/`+id+`"`)
	b.exec(t, `UPDATE refunds SET state = 'failed', reason = 'insufficient_amount', error = 'code 4040', ended_at = now(), sent_at = now(), tries = 1`)
	require.Contains(t, b.page(t, "en", "/dashboard/refunds/"+id), "code 4040")
	for _, missing := range []string{"9d1c3cf8-7a3d-4b29-9bd9-0e6b8a3d2a10", "x"} {
		require.Equal(t, http.StatusNotFound, b.get(t, "en", "/dashboard/refunds/"+missing).Code, missing)
	}

	b.role = dashboard.RoleViewer
	require.Contains(t, b.page(t, "en", payment7), "it broke")
	require.NotContains(t, b.get(t, "en", payment7).Body.String(), "#refund-7")
}

func TestRefund_WhatIsWrongIsSaidAndNothingSent(t *testing.T) {
	t.Parallel()
	b := setup(t, refunding)
	b.paid(t)
	for _, wrong := range []struct {
		field, value string
		status       int
		says         string
	}{
		{"again", "40.05", http.StatusUnprocessableEntity, "The two amounts are not the same"},
		{"again", "", http.StatusUnprocessableEntity, "The two amounts are not the same"},
		{"amount", "-1", http.StatusUnprocessableEntity, "must be digits"},
		{"note", " ", http.StatusUnprocessableEntity, "A note"},
		{"id", "7", http.StatusBadRequest, "Something in the address or the form"},
		{"seen", "x", http.StatusBadRequest, "Something in the address or the form"},
		{"payment", "8", http.StatusNotFound, ""},
	} {
		form := b.refundForm(t, "40.50")
		form.Set(wrong.field, wrong.value)
		w := b.send(t, "/dashboard/refunds", form)
		require.Equal(t, wrong.status, w.Code, wrong.field)
		require.Contains(t, w.Body.String(), wrong.says)
	}
	for amount, says := range map[string]string{"100.01": "at most 100.00 ARS", "0.001": "more decimals"} {
		w := b.send(t, "/dashboard/refunds", b.refundForm(t, amount))
		require.Contains(t, w.Body.String(), says)
	}
	list, err := b.store.Refunds(t.Context(), store.RefundFilter{}, store.Page{Limit: 1})
	require.NoError(t, err)
	require.Empty(t, list.Items)
}

func TestRefund_IsForAdminsAlone(t *testing.T) {
	t.Parallel()
	b := setup(t, refunding)
	b.paid(t)
	form := b.refundForm(t, "1")
	for _, role := range []dashboard.Role{dashboard.RoleViewer, dashboard.RoleOperator} {
		b.role = role
		require.NotContains(t, b.page(t, "en", orderA), "Refund payment")
		require.Equal(t, http.StatusForbidden, b.send(t, "/dashboard/refunds", form).Code)
	}
}

func TestRefund_IsNowhereWhereItIsNotEnabled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.paid(t)
	require.NotContains(t, b.page(t, "en", orderA), "efund payment")
	require.NotContains(t, b.get(t, "en", "/dashboard").Body.String(), "/dashboard/refunds")
	require.Equal(t, http.StatusNotFound, b.get(t, "en", "/dashboard/refunds").Code)
	require.Equal(t, http.StatusNotFound, b.send(t, "/dashboard/refunds", url.Values{}).Code)
}

func TestRefund_ItsEndIsSaidInWords(t *testing.T) {
	t.Parallel()
	b := setup(t, refunding)
	b.paid(t)
	b.exec(t, `INSERT INTO refunds (id, source, payment_id, collector_id, order_reference, amount, currency, whole, requested_by, note, state, sent_at, ended_at, reason, error, provider_id, confirmed_amount)
		VALUES (gen_random_uuid(), 'mercadopago', '7', '1', 'a', 10, 'ARS', false, 'ana', 'why', 'failed', now(), now(), 'payment_too_old', 'HTTP 400, code 2024', NULL, NULL),
		       (gen_random_uuid(), 'mercadopago', '7', '1', 'a', 10, 'ARS', false, 'ana', 'why', 'unknown', now(), NULL, 'provider_unavailable', 'x', NULL, NULL),
		       (gen_random_uuid(), 'mercadopago', '7', '1', 'a', 10, 'ARS', true, 'ana', 'why', 'done', now(), now(), '', '', '5', 12)`)
	for lang, text := range map[string]string{"en": "Too much time has passed since the payment.", "es": "Pasó demasiado tiempo desde el pago.", "pt-BR": "Passou tempo demais desde o pagamento."} {
		require.Contains(t, b.page(t, lang, orderA), text)
		require.Contains(t, b.page(t, lang, "/dashboard/refunds"), text)
	}
	require.Contains(t, b.page(t, "en", orderA), "ARS\u00a012.00")
}
