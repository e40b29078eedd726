package dashboard_test

import (
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// made are payments around midnight in Buenos Aires, where days begin at 03:00 UTC.
const made = `INSERT INTO payments (source, payment_id, status, currency, date_created, amount, refunded_amount, fee_amount, taxes_amount, net_amount, live_mode, date_last_updated, fetched_at, raw, created_at) VALUES
	('mercadopago', '1', 'approved', 'ARS', '2026-03-30T02:59:59Z', 100.5, 0, 6.29, 1.40, 92.81, true, now(), now(), '', now()),
	('mercadopago', '2', 'refunded', 'ARS', '2026-03-30T03:00:00Z', 1234567.89, 1234567.89, NULL, NULL, NULL, true, now(), now(), '', now()),
	('mercadopago', '3', 'in_mediation', 'ARS', '2026-03-31T02:00:00Z', 50, 0, 2, 0, 48, true, now(), now(), '', now()),
	('mercadopago', '4', 'pending', 'ARS', '2026-03-30T12:00:00Z', 70, 0, 1, 1, 68, true, now(), now(), '', now()),
	('mercadopago', '5', 'approved', 'BRL', NULL, 20, 5, NULL, NULL, NULL, true, now(), now(), '', '2026-03-29T12:00:00Z'),
	('mercadopago', '6', 'charged_back', 'ARS', '2026-03-01T03:00:00Z', 1, 0, 0.5, NULL, 0.4, true, now(), now(), '', now()),
	('mercadopago', '7', 'approved', 'ARS', '2026-03-01T02:59:59Z', 9, 0, 1, 0, 8, true, now(), now(), '', now())`

// madeLines are a currency's days as the page has them in English, by a sum of the
// test's own.
const madeLines = `
	WITH counted AS (
		SELECT (coalesce(date_created, created_at) AT TIME ZONE 'America/Argentina/Buenos_Aires')::date AS day, * FROM payments
		WHERE status IN ('approved', 'in_mediation', 'refunded', 'charged_back') AND coalesce(date_created, created_at) >= '2026-03-01T03:00:00Z'
	), days AS (
		SELECT day, count(*) AS n, sum(amount) AS gross, sum(refunded_amount) AS refunded, sum(net_amount) AS net,
		       sum(coalesce(fee_amount, 0) + coalesce(taxes_amount, 0)) FILTER (WHERE fee_amount IS NOT NULL) AS costs,
		       count(*) FILTER (WHERE fee_amount IS NULL OR taxes_amount IS NULL) AS uncosted, count(*) FILTER (WHERE net_amount IS NULL) AS unknown
		FROM counted WHERE counted.currency = $1 GROUP BY ROLLUP (day)
	)
	SELECT string_agg(concat_ws(' ', coalesce(to_char(day, 'Mon FMDD, YYYY'), 'Total'), n, to_char(gross, 'FM9,999,990.00'), to_char(refunded, 'FM9,999,990.00'),
		coalesce(to_char(costs, 'FM9,999,990.00'), '–'), CASE WHEN uncosted > 0 THEN 'unknown for ' || uncosted || ' of ' || n END,
		coalesce(to_char(net, 'FM9,999,990.00'), '–'), CASE WHEN unknown > 0 THEN 'unknown for ' || unknown || ' of ' || n END), ' ' ORDER BY day DESC NULLS LAST)
	FROM days`

func TestPaymentDays_AddUpWhatWasMadeOnTheMerchantsDays(t *testing.T) {
	t.Parallel()
	b := setup(t, inBuenosAires)
	b.at = time.Date(2026, 4, 1, 2, 0, 0, 0, time.UTC) // March 31 in Buenos Aires
	const path = "/dashboard/payments/days"
	b.exec(t, made)
	for _, viewer := range []string{"Asia/Tokyo", "America/Mexico_City"} {
		r := newGet(t, path, "en")
		r.AddCookie(&http.Cookie{Name: "conciliar_zone", Value: viewer})
		text := spaced(requirePage(t, b.do(t, r), "en"))
		require.Contains(t, text, "Days are those of America/Argentina/Buenos_Aires.", viewer)
		for _, currency := range []string{"ARS", "BRL"} {
			var lines string
			require.NoError(t, b.pool.QueryRow(t.Context(), madeLines, currency).Scan(&lines))
			require.Contains(t, text, lines, viewer)
		}
		require.Contains(t, text, "Mar 30, 2026 2 1,234,617.89 1,234,567.89 2.00 unknown for 1 of 2 48.00 unknown for 1 of 2 Mar 29, 2026 1 100.50 ", viewer)
		require.Contains(t, text, "Total 1 20.00 5.00 – unknown for 1 of 1 – unknown for 1 of 1", viewer)
		require.Less(t, strings.Index(text, "ARS 141.21 Net"), strings.Index(text, "BRL – Net"), viewer)
	}
	for lang, texts := range map[string][]string{
		"es":    {"ARS 141,21 Neto", "1.234.617,89", "se desconoce en 1 de 2", "el pago se hizo en Mercado Pago (date_created;", "Los días son los de"},
		"pt-BR": {"ARS 141,21 Líquido", "1.234.617,89", "desconhecido em 1 de 2", "o pagamento foi feito no Mercado Pago (date_created;", "Os dias são os de"},
	} {
		text := spaced(b.page(t, lang, path))
		for _, want := range texts {
			require.Contains(t, text, want, lang)
		}
	}
	b.exec(t, `INSERT INTO order_money_quarters (began_at, currency, paid, withdrawn, refunded) VALUES ('2026-03-30T03:00:00Z', 'ARS', 1, 0, 0)`)
	for _, from := range []string{"/dashboard/payments", "/dashboard"} {
		require.Contains(t, b.get(t, "en", from).Body.String(), `href="`+path+`"`, from)
	}
}

func TestPaymentDays_AreThoseThatWereChosen(t *testing.T) {
	t.Parallel()
	b := setup(t, inBuenosAires)
	b.at = time.Date(2026, 4, 1, 2, 0, 0, 0, time.UTC)
	const path = "/dashboard/payments/days"
	for lang, none := range map[string]string{"en": "No payment that brought money was made on these days.", "es": "En estos días no se hizo ningún pago", "pt-BR": "Nestes dias não foi feito nenhum pagamento"} {
		require.Contains(t, b.page(t, lang, path), none, lang)
	}
	b.exec(t, made)
	body := b.get(t, "en", path).Body.String()
	for _, field := range []string{`name="since" type="date" value="2026-03-01"`, `name="until" type="date" value="2026-03-31"`} {
		require.Contains(t, body, field)
	}
	require.NotRegexp(t, `\d active`, body, "what is chosen for the reader is not a filter")
	day := regexp.MustCompile(`(?:Mar|Feb) \d+, 2026`)
	for query, days := range map[string][]string{
		"since=2026-03-30":                  {"Mar 30, 2026"},
		"since=2026-03-29&until=2026-03-29": {"Mar 29, 2026", "Mar 29, 2026"},
		"until=2026-02-28":                  {"Feb 28, 2026"},
		"since=2026-03-31&until=2026-03-01": nil,
	} {
		require.Equal(t, days, day.FindAllString(spaced(b.page(t, "en", path+"?"+query)), -1), query)
	}
	for query, text := range map[string]string{
		"since=soon": "can't be read", "until=2026-02-30": "can't be read", "day=2026-03-30": "can't be read",
		"since=2025-03-30": "At most 366 days",
	} {
		w := b.get(t, "en", path+"?"+query)
		require.Equal(t, http.StatusBadRequest, w.Code, query)
		require.Contains(t, requirePage(t, w, "en"), text, query)
	}
	require.Equal(t, http.StatusOK, b.get(t, "en", path+"?since=2025-03-31&until=2026-03-31").Code, "366 days")

	// A day leads to the payments that were made on it, whatever became of them.
	link := regexp.MustCompile(`<th scope="row" class="title"><a href="([^"]+)">[^/]*Mar.{1,2}30,.{1,2}2026`).FindStringSubmatch(b.get(t, "en", path+"?since=2026-03-30").Body.String())
	require.Len(t, link, 2)
	require.Equal(t, []string{"3", "4", "2"}, paymentsOn(t, b, html.UnescapeString(link[1])))

	// The file is of payments that were made on the days.
	link = regexp.MustCompile(`href="(/dashboard/export\?[^"]+)"`).FindStringSubmatch(b.get(t, "en", path+"?since=2026-03-30").Body.String())
	require.Len(t, link, 2)
	rows := strings.Split(strings.TrimSpace(b.get(t, "en", html.UnescapeString(link[1])).Body.String()), "\r\n")
	require.Len(t, rows, 4, "2, 3, 4 and the heading")
}
