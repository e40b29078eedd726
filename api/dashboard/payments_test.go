package dashboard_test

import (
	"fmt"
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api/dashboard"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// paymentsOn are the ids that the list of payments shows, in its order.
func paymentsOn(t testing.TB, b *bundle, target string) []string {
	t.Helper()
	w := b.get(t, "en", target)
	requirePage(t, w, "en")
	found := []string{}
	for _, link := range regexp.MustCompile(`<th scope="row" class="title"><a href="/dashboard/payments\?payment=([^"]+)">`).FindAllStringSubmatch(w.Body.String(), -1) {
		found = append(found, html.UnescapeString(link[1]))
	}
	return found
}

func TestPayments_AreListedAsTheFiltersSelect(t *testing.T) {
	t.Parallel()
	b := setup(t, inBuenosAires)
	require.Contains(t, b.page(t, "en", "/dashboard/payments"), "No payments yet.")
	b.exec(t, `INSERT INTO payments (source, payment_id, order_reference, status, amount, currency, collector_id, live_mode, date_last_updated, fetched_at, raw, updated_at, payment_type, payment_method, date_created) VALUES
		('mercadopago', '1', 'a-1', 'approved', 10, 'ARS', '7', true, now(), now(), '', '2026-03-01T02:30:00Z', 'bank_transfer', 'pix', '2026-02-20T03:00:00Z'),
		('mercadopago', '2', NULL, 'approved', 20, 'BRL', '8', true, now(), now(), '', '2026-03-01T03:30:00Z', NULL, NULL, '2026-02-21T02:59:59Z'),
		('another', '3', 'a-1', 'refunded', 30, 'ARS', '7', true, now(), now(), '', '2026-03-02T12:00:00Z', 'gold', 'bars', '2026-02-20T02:59:59Z')`)
	for query, want := range map[string][]string{
		"":                               {"3", "2", "1"},
		"status=approved":                {"2", "1"},
		"currency=ars":                   {"3", "1"},
		"order=a-1":                      {"3", "1"},
		"collector_id=8":                 {"2"},
		"source=another":                 {"3"},
		"changed_since=2026-03-01":       {"3", "2"}, // midnight in Buenos Aires is 03:00 UTC
		"changed_until=2026-02-28":       {"1"},
		"amount_from=10.01&amount_to=20": {"2"},
		"status=rejected":                {},
		"payment_type=bank_transfer":     {"1"},
		"payment_type=gold":              {"3"},
		"payment_method=pix":             {"1"},
		"made_since=2026-02-20":          {"2", "1"}, // the latest made first
		"made_until=2026-02-19":          {"3"},
		"made_since=2026-02-20&made_until=2026-02-20&currency=BRL": {"2"},
		"before=1772452800000000.another.3":                        {"2", "1"},
	} {
		require.Equal(t, want, paymentsOn(t, b, "/dashboard/payments?"+query), query)
	}
	for _, query := range []string{"status=odd", "before=1", "before=1.a", "amount_to=-1", "changed_since=soon", "made_until=soon",
		"made_since=2026-02-20&before=1772452800000000.another.3"} {
		require.Equal(t, http.StatusBadRequest, b.get(t, "en", "/dashboard/payments?"+query).Code, query)
	}
	b.exec(t, `INSERT INTO payments (source, payment_id, status, live_mode, date_last_updated, fetched_at, raw, updated_at)
		SELECT 'mercadopago', 'p-' || n, 'pending', true, now(), now(), '', '2026-03-03' FROM generate_series(1, 60) AS n`)
	older := regexp.MustCompile(`<a class="button" href="([^"]+)" rel="next">`).FindStringSubmatch(b.get(t, "en", "/dashboard/payments?status=pending").Body.String())
	require.Len(t, older, 2)
	require.Len(t, paymentsOn(t, b, html.UnescapeString(older[1])), 10, "all of one moment, each once")
	b.exec(t, `UPDATE payments SET date_created = '2026-02-25T12:00:00Z' WHERE status = 'pending'`)
	older = regexp.MustCompile(`<a class="button" href="([^"]+)" rel="next">`).FindStringSubmatch(b.get(t, "en", "/dashboard/payments?made_since=2026-02-25").Body.String())
	require.Len(t, older, 2)
	require.Len(t, paymentsOn(t, b, html.UnescapeString(older[1])), 10, "all of one moment, each once")
}

func TestPayments_SayWhatTheyWereMadeWith(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `INSERT INTO payments (source, payment_id, status, amount, currency, live_mode, date_last_updated, fetched_at, raw, payment_type, payment_method) VALUES
		('mercadopago', '1', 'approved', 10, 'ARS', true, now(), now(), '', 'credit_card', 'master'),
		('mercadopago', '2', 'approved', 10, 'ARS', true, now(), now(), '', 'account_money', 'account_money'),
		('mercadopago', '3', 'approved', 10, 'ARS', true, now(), now(), '', 'bank_transfer', 'sea_shells'),
		('mercadopago', '4', 'approved', 10, 'ARS', true, now(), now(), '', NULL, NULL)`)
	for lang, texts := range map[string][]string{
		"en":    {"Credit card · Mastercard", "Method Account balance", "Bank transfer · sea_shells", "its next fetch will show it"},
		"es":    {"Tarjeta de crédito · Mastercard", "Medio de pago Dinero en cuenta", "Transferencia bancaria · sea_shells", "la próxima vez que se consulte"},
		"pt-BR": {"Cartão de crédito · Mastercard", "Meio de pagamento Saldo em conta", "Transferência · sea_shells", "a próxima consulta dirá"},
	} {
		for i, text := range texts {
			require.Contains(t, spaced(b.page(t, lang, fmt.Sprintf("/dashboard/payments?payment=%d", i+1))), text, lang)
		}
		list := spaced(b.page(t, lang, "/dashboard/payments"))
		word, _, _ := strings.Cut(texts[0], " · ")
		require.Contains(t, list, word, lang)
	}
}

func TestPayment_ShowsAllThatIsKnownOfIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register(t, "a-1", "1500")
	b.settle(t, "a-1", payment("77", order.PaymentApproved, "2000"))
	at := time.Date(2026, 3, 13, 9, 0, 0, 0, time.UTC)
	release := fixture.Movement("payment", "77", "1892.31", at)
	release.Reference = "a-1"
	fixture.ImportReport(t, b.store, "10", at.Add(-time.Hour), release, fixture.Movement("payout", "900", "-1800", at.Add(time.Hour)))
	b.exec(t, `INSERT INTO chargebacks (source, chargeback_id, payment_ids, documentation_status, documents_wanted, fetched_at, fetch_mark) VALUES ('mercadopago', 'cb-1', '{77}', 'pending', true, now(), 1)`)
	b.exec(t, `INSERT INTO anomalies (source, kind, payment_id, detail) VALUES ('mercadopago', 'fraud_alert', '77', '{}'), ('another', 'underpaid', '77', '{}')`)
	const path = "/dashboard/payments?payment=77"
	for lang, texts := range map[string][]string{
		"en":    {"approved", "ARS 2,000.00", "ARS 1,892.31", "Chargeback cb-1", "Movements"},
		"es":    {"aprobado", "ARS 2.000,00", "ARS 1.892,31", "Movimientos"},
		"pt-BR": {"aprovado", "ARS 2.000,00", "ARS 1.892,31", "Movimentos"},
	} {
		main := spaced(b.page(t, lang, path))
		for _, text := range texts {
			require.Contains(t, main, text, lang)
		}
	}
	body := b.get(t, "en", path).Body.String()
	for _, link := range []string{"/dashboard/orders?reference=a-1", "/dashboard/payouts?payout=900", "/dashboard/events?payment=77", "/dashboard/anomalies/"} {
		require.Contains(t, body, `href="`+link, link)
	}
	require.Equal(t, 2, strings.Count(body, ">Fraud"), "its own anomaly, in the list and in the timeline")
	require.NotContains(t, body, "Underpaid", "another provider's payment of the same id")

	// The payment's own page is one step from everything that is about it.
	event := b.count(t, `SELECT queue_id FROM payment_logs WHERE payment_id = '77'`)
	for _, from := range []string{"/dashboard/orders?reference=a-1", "/dashboard/events/" + itoa(event), "/dashboard/payouts?payout=900", "/dashboard/anomalies"} {
		require.Contains(t, b.get(t, "en", from).Body.String(), `href="/dashboard/payments?payment=77"`, from)
	}

	require.Contains(t, body, "<pre")
	b.role = dashboard.RoleViewer
	require.NotContains(t, b.get(t, "en", path).Body.String(), "<pre", "who may not see the payer")
}

func TestPayment_ThatWasNeverReadSaysSo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.Equal(t, http.StatusNotFound, b.get(t, "en", "/dashboard/payments?payment=78").Code)
	queueID := b.accept(t, "78")
	w := b.get(t, "en", "/dashboard/payments?payment=78")
	require.Equal(t, http.StatusNotFound, w.Code)
	require.Contains(t, requirePage(t, w, "en"), "This payment was not read yet.")
	require.Contains(t, w.Body.String(), `href="/dashboard/events/`+itoa(queueID))
}
