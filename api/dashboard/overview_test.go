package dashboard_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestOverview_AFailingQueryIsAnErrorPageAndNoHalfPage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `ALTER TABLE webhook_dead_letter RENAME TO gone`)
	w := b.get(t, "en", "/dashboard")
	require.Equal(t, http.StatusInternalServerError, w.Code)
	main := requirePage(t, w, "en")
	require.Contains(t, main, "The page could not be rendered")
	require.Contains(t, main, operator.RequestID)
	require.NotContains(t, w.Body.String(), "webhook_dead_letter", "what failed is in the log alone")
	require.Contains(t, b.logs.String(), "webhook_dead_letter")
	require.Contains(t, b.logs.String(), operator.RequestID)
}

func TestOverview_AnUnknownAddressIsNotFound(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.get(t, "pt-BR", "/dashboard/nothing")
	require.Equal(t, http.StatusNotFound, w.Code)
	require.Contains(t, requirePage(t, w, "pt-BR"), "Não há página neste endereço.")
}

func TestOverview_TimesAreInTheReadersZone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.at = time.Date(2026, 3, 1, 1, 30, 0, 0, time.UTC)
	r := newGet(t, "/dashboard", "es")
	r.AddCookie(&http.Cookie{Name: "conciliar_zone", Value: "America/Argentina/Buenos_Aires"})
	require.Contains(t, spaced(requirePage(t, b.do(t, r), "es")), "Próxima 23:30:00")
	r = newGet(t, "/dashboard", "en")
	r.AddCookie(&http.Cookie{Name: "conciliar_zone", Value: "../../etc/passwd"})
	require.Contains(t, spaced(requirePage(t, b.do(t, r), "en")), "Next run 02:30:00", "a zone that is none is the merchant's")
}

// Two people who look at a day's money see the same, wherever they are.
func TestOverview_DaysAreTheMerchants(t *testing.T) {
	t.Parallel()
	b := setup(t, inBuenosAires)
	b.at = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	b.exec(t, `INSERT INTO order_money_quarters (began_at, currency, paid, withdrawn, refunded) VALUES
		('2026-02-28T02:45:00Z', 'ARS', 1, 0, 0), ('2026-02-28T03:00:00Z', 'ARS', 20, 0, 0), ('2026-03-01T02:45:00Z', 'ARS', 300, 0, 0), ('2026-03-01T03:00:00Z', 'ARS', 4000, 0, 0)`)
	for _, viewer := range []string{"Asia/Tokyo", "America/Mexico_City", ""} {
		r := newGet(t, "/dashboard", "en")
		if viewer != "" {
			r.AddCookie(&http.Cookie{Name: "conciliar_zone", Value: viewer})
		}
		text := spaced(requirePage(t, b.do(t, r), "en"))
		require.Regexp(t, `ARS 4,321.00 Net .*Mar 1, 2026 4,000.00 .*Feb 28, 2026 320.00 .*Feb 27, 2026 1.00 .*Total 4,321.00 0.00 0.00 4,321.00 `, text, viewer)
		require.Contains(t, text, "Days are those of America/Argentina/Buenos_Aires.")
	}
}
