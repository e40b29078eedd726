package dashboard_test

import (
	"net/http"
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

	w := b.get(t, "es", "/dashboard/export?kind=payouts&since=2026-03-13&until=2026-03-13")
	require.Equal(t, http.StatusOK, w.Code)
	require.Equal(t, `attachment; filename="conciliar-payouts.csv"`, w.Header().Get("Content-Disposition"))
	require.Contains(t, w.Body.String(), "900;13/03/2026 01:00:00;1;95,00;ARS;explained;0,00;100,00;5,00\r\n")
	w = b.get(t, "en", "/dashboard/export?kind=movements&until=2026-03-12")
	require.Equal(t, 1, strings.Count(w.Body.String(), "\r\n"), "the header alone")
	for _, query := range []string{"", "?kind=secrets", "?kind=orders&since=soon"} {
		require.Equal(t, http.StatusBadRequest, b.get(t, "en", "/dashboard/export"+query).Code, query)
	}
}
