package dashboard_test

import (
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOutages_AreBands(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.Contains(t, b.page(t, "en", "/dashboard"), "No outages in this period.")
	b.exec(t, `INSERT INTO provider_outages (source, reason, first_failure_at, opened_at, closed_at, held_released) VALUES
		('mercadopago', 'unavailable', now() - interval '30 hours', now() - interval '30 hours', now() - interval '12 hours', 1234),
		('mercadopago', 'unavailable', now() - interval '5 minutes', now() - interval '5 minutes', NULL, 0)`)
	for lang, texts := range map[string][]string{
		"en":    {"18 h", "ongoing", "1,234"},
		"es":    {"18 h", "continúa", "1.234"},
		"pt-BR": {"18 h", "continua", "1.234"},
	} {
		main := b.page(t, lang, "/dashboard")
		for _, text := range texts {
			require.Contains(t, main, text)
		}
	}
	bands := regexp.MustCompile(`<rect class="f-s2" x="(\d+)" y="0" width="(\d+)"`).FindAllStringSubmatch(b.get(t, "en", "/dashboard?span=day").Body.String(), -1)
	require.Len(t, bands, 2)
	at := func(band int, part int) int {
		n, err := strconv.Atoi(bands[band][part])
		require.NoError(t, err)
		return n
	}
	require.Zero(t, at(0, 1), "what began before is cut off")
	require.InDelta(t, 500, at(0, 2), 30, "half of the day")
	require.GreaterOrEqual(t, at(1, 2), 5, "a short one is still seen")
	require.LessOrEqual(t, at(1, 1)+at(1, 2), 1000)

	require.NotContains(t, b.page(t, "en", "/dashboard?span=hour"), "18 h")
}

func TestOutages_OpenAlertsAreShown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.Contains(t, b.page(t, "en", "/dashboard"), "No open alerts.")
	b.exec(t, `INSERT INTO alerts (code, opened_at) VALUES ('no_webhooks_received', now()), ('of_a_newer_release', now())`)
	main := b.page(t, "pt-BR", "/dashboard")
	require.Contains(t, main, "Nenhum webhook chegou há horas")
	require.Contains(t, main, "of_a_newer_release")
	require.Contains(t, main, "não enviado")
}
