package dashboard_test

import (
	"encoding/json"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

func TestOrders_AreListedAndShown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for lang, text := range map[string]string{"en": "No orders yet.", "es": "Todavía no hay pedidos", "pt-BR": "Ainda não há pedidos"} {
		require.Contains(t, b.page(t, lang, "/dashboard/orders"), text)
	}
	b.register(t, "a/b?c=1&d", "1500")
	require.Contains(t, b.get(t, "en", "/dashboard/orders").Body.String(), `href="/dashboard/orders?reference=a%2Fb%3Fc%3D1%26d"`)
	require.Contains(t, b.page(t, "en", "/dashboard/orders?reference=a%2Fb%3Fc%3D1%26d"), "Order a/b?c=1&d awaiting payment")
}

func TestOrder_ShowsWhatOnlyItsMercadoPagoOrderSays(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register(t, "a", "1500")
	b.exec(t, `INSERT INTO payments (source, payment_id, order_reference, status, amount, currency, live_mode, date_last_updated, fetched_at, raw)
		VALUES ('mercadopago', '7', 'a', 'rejected', 80, 'ARS', true, now(), now(), '')`)
	b.exec(t, `INSERT INTO payment_aliases (source, alias, payment_id, provider_order_id, provider_order_topic, order_reference, currency, amount, status,
			said, live_mode, provisional, awaited, fetched_at)
		VALUES ('mercadopago', 'PAY01', '7', 'ORD01', 'order', 'a', 'ARS', 80, 'rejected', 'failed/bank_error', true, false, false, now()),
		       ('mercadopago', 'PAY02', NULL, 'ORD02', 'order', 'a', 'ARS', 80, 'approved', 'processed/accredited', true, true, true, now()),
		       ('mercadopago', 'PAY03', NULL, 'ORDTST03', 'order', 'a', '', 80, '', 'processed/teleported', false, true, true, now())`)
	for lang, words := range map[string][2]string{
		"en":    {"ORD02 shows a payment of ARS 80.00 as approved", "ORDTST03 shows payment PAY03 in a state"},
		"es":    {"La orden ORD02 de Mercado Pago muestra un pago de", "La orden ORDTST03"},
		"pt-BR": {"A order ORD02 do Mercado Pago mostra um pagamento de", "A order ORDTST03"},
	} {
		page := b.page(t, lang, "/dashboard/orders?reference=a")
		require.Contains(t, page, words[0], lang)
		require.Contains(t, page, words[1], lang)
		for _, shown := range []string{"ORD01", "PAY02", "processed/accredited", "processed/teleported"} {
			require.Contains(t, page, shown, lang)
		}
		require.NotContains(t, page, "PAY01", "it is payment 7")
	}
}

// ordersOn are the references that a page lists, in its order.
func ordersOn(t testing.TB, w *httptest.ResponseRecorder) []string {
	t.Helper()
	requirePage(t, w, "en")
	found := []string{}
	for _, link := range regexp.MustCompile(`<th scope="row" class="title"><a href="/dashboard/orders\?reference=([^"]+)">`).FindAllStringSubmatch(w.Body.String(), -1) {
		reference, err := url.QueryUnescape(html.UnescapeString(link[1]))
		require.NoError(t, err)
		found = append(found, reference)
	}
	return found
}

func TestOrders_AreListedAsTheFiltersSelect(t *testing.T) {
	t.Parallel()
	b := setup(t, inBuenosAires)
	b.exec(t, `INSERT INTO orders (reference, amount, currency, status, updated_at) VALUES
		('first-1', 10, 'ARS', 'paid', '2026-03-01T02:30:00Z'), ('second-2', 20, 'BRL', 'paid', '2026-03-01T03:30:00Z'),
		('third-3', 30, 'ARS', 'partially_paid', '2026-03-02T12:00:00Z')`)
	for query, want := range map[string][]string{
		"":                         {"third-3", "second-2", "first-1"},
		"status=paid":              {"second-2", "first-1"},
		"status=&currency=+ars+":   {"third-3", "first-1"},
		"status=paid&currency=ARS": {"first-1"},
		"changed_since=2026-03-01": {"third-3", "second-2"}, // midnight in Buenos Aires is 03:00 UTC
		"changed_since=2026-03-02": {"third-3"},
		"changed_until=2026-02-28": {"first-1"}, // until that day's end
		"changed_since=2026-03-01&changed_until=2026-03-01": {"second-2"},
		"amount_from=20":                  {"third-3", "second-2"},
		"amount_from=10.01&amount_to=20":  {"second-2"},
		"status=refunded":                 {},
		"before=1772452800000000.third-3": {"second-2", "first-1"},
	} {
		r := newGet(t, "/dashboard/orders?"+query, "en")
		r.AddCookie(&http.Cookie{Name: "conciliar_zone", Value: "Asia/Tokyo"})
		w := b.do(t, r)
		require.Equal(t, want, ordersOn(t, w), query)
		require.Equal(t, len(want) == 0, strings.Contains(requirePage(t, w, "en"), "No matches."), query)
	}
	for _, query := range []string{"status=odd", "changed_since=1.3.2026", "before=1", "before=9999999999999999999.a", "before=-1.a", "before=1.", "currency=%00", "amount_from=1,5", "amount_to=-1", "state=paid"} {
		require.Equal(t, http.StatusBadRequest, b.get(t, "en", "/dashboard/orders?"+query).Code, query)
	}
	// What is chosen stays chosen, and the menu leads to all.
	body := b.get(t, "es", "/dashboard/orders?status=paid&currency=BRL&changed_since=2026-03-01").Body.String()
	for _, markup := range []string{`<option value="paid" selected>`, `value="BRL"`, `value="2026-03-01"`, `<a href="/dashboard/orders" aria-current="page">`} {
		require.Contains(t, body, markup)
	}
}

func TestOrders_AreMarkedWhereMoneyDoesNotFit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register(t, "o&1", "1000")
	b.settle(t, "o&1", payment("100", order.PaymentApproved, "3000"))
	b.register(t, "o-2", "1000")
	b.settle(t, "o-2", payment("200", order.PaymentApproved, "1.5"))
	for lang, texts := range map[string][]string{
		"en":    {"Overpaid ARS 2,000.00", "Underpaid ARS 998.50"},
		"es":    {"Pagado de más ARS 2.000,00", "Pagado de menos ARS 998,50"},
		"pt-BR": {"Pago a mais ARS 2.000,00", "Pago a menos ARS 998,50"},
	} {
		main := spaced(b.page(t, lang, "/dashboard/orders"))
		for _, text := range texts {
			require.Contains(t, main, text)
		}
	}
	require.Contains(t, b.get(t, "en", "/dashboard/orders").Body.String(), `href="/dashboard/anomalies?order=o%261"`)
}

func TestLists_RefuseWhatTheyDoNotKnow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, list := range []string{"events", "orders", "payments", "payouts", "dead-letters", "anomalies", "runs", "deliveries", "refused"} {
		require.Equal(t, http.StatusOK, b.get(t, "en", "/dashboard/"+list).Code, list)
		w := b.get(t, "en", "/dashboard/"+list+"?unheard=of")
		require.Equal(t, http.StatusBadRequest, w.Code, list)
		requirePage(t, w, "en")
	}
}

func TestOrders_TurnTheirPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `INSERT INTO orders (reference, amount, currency, updated_at)
		SELECT 'a/b&c ' || n, 10, 'ARS', '2026-03-01' FROM generate_series(1, 101) AS n`)
	older := regexp.MustCompile(`<a class="button" href="([^"]+)" rel="next">`)
	target, seen := "/dashboard/orders?status=pending", map[string]bool{}
	for _, rows := range []int{50, 50, 1} {
		w := b.get(t, "en", target)
		references := ordersOn(t, w)
		require.Len(t, references, rows)
		for _, reference := range references {
			require.False(t, seen[reference], "%s is listed twice", reference)
			seen[reference] = true
		}
		if next := older.FindStringSubmatch(w.Body.String()); rows == 50 {
			require.Len(t, next, 2)
			target = html.UnescapeString(next[1])
		} else {
			require.Empty(t, next)
		}
	}
	require.Len(t, seen, 101)
}

func TestOrders_SayWhyTheyAreNotPaid(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register(t, "o-1", "1500")
	b.settle(t, "o-1", payment("100", order.PaymentApproved, "500.25"))
	b.deadLetter(t, "100", "timeout: late")
	for lang, texts := range map[string][]string{
		"en":    {"Less came than it asks for: ARS 999.75 is missing.", "Payment 100 is approved and counts ARS 500.25", "Replay its event", "Underpaid"},
		"es":    {"Llegó menos de lo que pide: faltan ARS 999,75.", "El pago 100 está aprobado y cuenta ARS 500,25", "Reprocesa su evento", "Pagado de menos"},
		"pt-BR": {"Chegou menos do que pede: faltam ARS 999,75.", "O pagamento 100 está aprovado e conta ARS 500,25", "Reprocesse o evento", "Pago a menos"},
	} {
		main := spaced(b.page(t, lang, "/dashboard/orders?reference=o-1"))
		for _, text := range texts {
			require.Contains(t, main, text)
		}
	}

	b.exec(t, `UPDATE order_logs SET queue_id = 6003 WHERE queue_id IS NOT NULL`)
	require.Contains(t, b.page(t, "en", "/dashboard/orders?reference=o-1"), "(by a payment, Event 6003 )", "an id is written as it is")

	// The same language, another country's numbers.
	r := newGet(t, "/dashboard/orders?reference=o-1", "es")
	r.Header.Set("Accept-Language", "es-MX,es;q=0.9")
	require.Contains(t, spaced(requirePage(t, b.do(t, r), "es")), "faltan ARS 999.75.")

	w := b.get(t, "en", "/dashboard/orders?reference=o-2")
	require.Equal(t, http.StatusNotFound, w.Code)
	require.Contains(t, requirePage(t, w, "en"), "no payment names it")
	b.settle(t, "o-2", payment("200", order.PaymentApproved, "10"))
	w = b.get(t, "en", "/dashboard/orders?reference=o-2")
	main := requirePage(t, w, "en")
	require.Contains(t, main, "The payments are kept until it is.")
	require.Contains(t, main, "Unknown order")
}

func TestOrderPage_AmendsAndCancels(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const reference, page = "a/b?c=1", "/dashboard/orders?reference=a%2Fb%3Fc%3D1"
	b.register(t, reference, "1500")
	require.Contains(t, b.get(t, "en", page).Body.String(), `value="1500.00"`)
	form := func(amount, currency, note string) url.Values {
		return url.Values{"reference": {reference}, "amount": {amount}, "currency": {currency}, "note": {note}}
	}
	for text, sent := range map[string]url.Values{
		"more than zero":    form("0", "ARS", "why"),
		"no such currency":  form("1", "XXX", "why"),
		"more decimals":     form("1.001", "ARS", "why"),
		"A note of at most": form("1", "ARS", " "),
		"can't be read":     {"reference": {""}, "note": {"why"}},
	} {
		require.Contains(t, requirePage(t, b.send(t, "/dashboard/orders/amend", sent), "en"), text)
	}
	main := spaced(b.page(t, "en", b.post(t, "/dashboard/orders/amend", form("1400.50", "ARS", "a <discount>"))))
	for _, text := range []string{"Order amended.", "ARS 1,400.50", "amended by the shop", "a <discount>", "operator"} {
		require.Contains(t, main, text)
	}
	require.Equal(t, page, b.post(t, "/dashboard/orders/cancel", url.Values{"reference": {reference}, "note": {"sold out"}}))
	for lang, text := range map[string]string{"en": "The shop cancelled it", "es": "La tienda lo canceló", "pt-BR": "A loja o cancelou"} {
		main := b.page(t, lang, page)
		require.Contains(t, main, text)
		require.NotContains(t, main, `action="/dashboard/orders/cancel"`)
	}
	w := b.send(t, "/dashboard/orders/amend", form("1", "ARS", "back"))
	require.Equal(t, http.StatusConflict, w.Code)
	require.Contains(t, requirePage(t, w, "en"), "The order is cancelled")
	require.Equal(t, http.StatusNotFound, b.send(t, "/dashboard/orders/cancel", url.Values{"reference": {"none"}, "note": {"why"}}).Code)
	require.EqualValues(t, 2, b.count(t, `SELECT count(*) FROM operator_actions WHERE actor = 'operator' AND order_reference = $1`, reference))
}

func TestOrders_SearchKnowsWhatATextNames(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register(t, "order 7/é", "10")
	first := b.accept(t, "555000", func(ev *store.NewEvent) { ev.RequestID = "delivery-a" })
	b.settle(t, "nobody's", payment("555001", order.PaymentApproved, "10"))
	leads := func(text string) string {
		w := b.get(t, "en", "/dashboard/search?q="+url.QueryEscape(text))
		require.Equal(t, http.StatusSeeOther, w.Code, "%s: %s", text, w.Body.String())
		return w.Header().Get("Location")
	}
	require.Equal(t, "/dashboard/orders?reference="+url.QueryEscape("order 7/é"), leads(" order 7/é "))
	require.Equal(t, "/dashboard/orders?reference=nobody%27s", leads("nobody's"), "an order that only a payment names")
	require.Equal(t, "/dashboard/events/"+itoa(first), leads(itoa(first)))
	require.Equal(t, "/dashboard/events/"+itoa(first), leads("555000"))
	require.Equal(t, "/dashboard/events/"+itoa(first), leads("delivery-a"))
	require.Equal(t, "/dashboard/events", leads(""))

	require.Equal(t, "/dashboard/payments?payment=555001", leads("555001"), "a payment that was read has a page")

	b.accept(t, "555000")
	require.Equal(t, "/dashboard/events?payment=555000", leads("555000"), "several events of one payment")

	// A text that names two things leads to both.
	b.register(t, itoa(first), "10")
	main := b.page(t, "en", "/dashboard/search?q="+itoa(first))
	require.Contains(t, main, "Order "+itoa(first))
	require.Contains(t, main, "Event "+itoa(first))
	for lang, text := range map[string]string{"en": "has this id or reference", "es": "tiene este id o referencia", "pt-BR": "tem este id ou referência"} {
		require.Contains(t, b.page(t, lang, "/dashboard/search?q=nothing+at+all"), text)
	}
}

func TestOrderCase_IsAFileOfOneOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register(t, "a/b\"c", "1500")
	b.settle(t, "a/b\"c", payment("77", order.PaymentApproved, "2000"))
	link := regexp.MustCompile(`href="(/dashboard/orders/case[^"]+)"`).FindStringSubmatch(b.get(t, "en", "/dashboard/orders?reference=a%2Fb%22c").Body.String())
	require.Len(t, link, 2)
	w := b.get(t, "es", html.UnescapeString(link[1]))
	require.Equal(t, http.StatusOK, w.Code)
	require.Equal(t, `attachment; filename=conciliar-case-a%2Fb%22c.json`, w.Header().Get("Content-Disposition"))
	var doc struct {
		Version, Reference string
		Verdict            struct{ Said []string }
	}
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &doc))
	require.Equal(t, []string{"v1.2.3", `a/b"c`}, []string{doc.Version, doc.Reference})
	require.Contains(t, doc.Verdict.Said[0], "ARS 500.00 too much")
	require.Equal(t, http.StatusNotFound, b.get(t, "en", "/dashboard/orders/case?reference=none").Code)
	require.NotContains(t, b.get(t, "en", "/dashboard/orders?reference=none").Body.String(), "/dashboard/orders/case")
}
