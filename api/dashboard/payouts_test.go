package dashboard_test

import (
	"encoding/csv"
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

func TestPayouts_ShowWhatMakesThemUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	at := func(day, hour int) time.Time { return time.Date(2026, 3, day, hour, 0, 0, 0, time.UTC) }
	require.Contains(t, b.page(t, "en", "/dashboard/payouts"), "No payouts yet.")
	b.register(t, "a-1", "100")
	b.settle(t, "a-1", payment("77", order.PaymentApproved, "100"))
	release := fixture.Movement("payment", "77", "92.31", at(13, 9))
	release.Reference = "a-1"
	fixture.ImportReport(t, b.store, "10", at(13, 0), release, fixture.Movement("payout", "900/a b", "-95", at(14, 10)), fixture.Movement("payout", "901", "-8", at(15, 10)))

	for lang, words := range map[string][2]string{"en": {"explained", "open"}, "es": {"explicado", "abierto"}, "pt-BR": {"explicado", "aberto"}} {
		page := b.page(t, lang, "/dashboard/payouts")
		require.Contains(t, page, words[0], lang)
		require.Contains(t, page, words[1], lang)
		require.Contains(t, page, "900/a b", lang)
	}
	list := b.page(t, "en", "/dashboard/payouts?state=open")
	require.Contains(t, list, "901")
	require.NotContains(t, list, "900/a b")
	page := spaced(b.page(t, "en", "/dashboard/payouts?payout=900%2Fa+b"))
	for _, shown := range []string{"ARS 95.00", "ARS 10.00", "ARS 7.31", "ARS 92.31", "77", "a-1"} {
		require.Contains(t, page, shown)
	}
	require.Contains(t, spaced(b.page(t, "en", "/dashboard/payouts?payout=901")), "ARS 0.69")
	require.Equal(t, http.StatusNotFound, b.get(t, "en", "/dashboard/payouts?payout=902").Code)

	order := spaced(b.page(t, "en", "/dashboard/orders?reference=a-1"))
	require.Contains(t, order, "ARS 92.31 released on")
	require.Contains(t, order, "Mar 13, 2026")
	require.Contains(t, order, "Mar 14, 2026")
}

func TestExport_TheButtonsSendCSV(t *testing.T) {
	t.Parallel()
	b := setup(t)
	begin := time.Date(2026, 3, 13, 0, 0, 0, 0, time.UTC)
	fixture.ImportReport(t, b.store, "100", begin, fixture.Movement("payout", "900", "-95", begin.Add(time.Hour)))

	w := b.get(t, "es", "/dashboard/export?export=payouts&since=2026-03-13&until=2026-03-13")
	require.Equal(t, http.StatusOK, w.Code)
	require.Equal(t, `attachment; filename="conciliar-payouts.csv"`, w.Header().Get("Content-Disposition"))
	require.Contains(t, w.Body.String(), "900;13/03/2026 01:00:00;1;95,00;ARS;explained;0,00;100,00;5,00\r\n")
	w = b.get(t, "en", "/dashboard/export?export=movements&until=2026-03-12")
	require.Equal(t, 1, strings.Count(w.Body.String(), "\r\n"), "the header alone")
	for _, query := range []string{"", "?export=secrets", "?export=orders&since=soon", "?export=orders&status=odd", "?export=payouts&status=paid"} {
		require.Equal(t, http.StatusBadRequest, b.get(t, "en", "/dashboard/export"+query).Code, query)
	}
}

func TestExport_EachListExportsWhatItsFiltersSelect(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register(t, "a-1", "1500")
	b.settle(t, "a-1", payment("77", order.PaymentApproved, "2000"))
	b.register(t, "b-2", "10")
	b.accept(t, "78")
	for list, want := range map[string]string{
		"orders?status=paid": "a-1", "payments?amount_from=100": "77", "anomalies?kind=overpaid": "overpaid", "events?state=pending&payment=78": "78",
	} {
		name, _, _ := strings.Cut(list, "?")
		link := regexp.MustCompile(`<a class="button" href="(/dashboard/export\?[^"]+)">`).FindStringSubmatch(b.get(t, "en", "/dashboard/"+list).Body.String())
		require.Len(t, link, 2, list)
		w := b.get(t, "en", html.UnescapeString(link[1]))
		require.Equal(t, http.StatusOK, w.Code, link[1])
		require.Equal(t, `attachment; filename="conciliar-`+name+`.csv"`, w.Header().Get("Content-Disposition"))
		rows, err := csv.NewReader(w.Body).ReadAll()
		require.NoError(t, err)
		require.Len(t, rows, 2, list)
		require.Contains(t, rows[1], want, list)
	}
	require.NotContains(t, b.get(t, "en", "/dashboard/orders?status=refunded").Body.String(), "/dashboard/export?", "there is nothing to export")
	// A closed anomaly is exported where the list shows it.
	b.exec(t, `UPDATE anomalies SET closed_at = now(), closed_by = 'ana', note = 'agreed'`)
	require.Equal(t, 1, strings.Count(b.get(t, "en", "/dashboard/export?export=anomalies").Body.String(), "\r\n"))
	require.Equal(t, 2, strings.Count(b.get(t, "en", "/dashboard/export?export=anomalies&state=all").Body.String(), "\r\n"))
}
