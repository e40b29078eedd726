package dashboard_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api/dashboard"
	"github.com/conciliar/conciliar/store"
)

func TestDeliveries_AreShownReplayedAndDismissed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for lang, nobody := range map[string]string{"en": "The shop is not notified.", "es": "No se avisa a nadie.", "pt-BR": "Ninguém é avisado."} {
		require.Contains(t, b.page(t, lang, "/dashboard/deliveries"), nobody)
	}
	require.NoError(t, b.store.DeliverOrderEvents(t.Context()))
	b.register(t, "A-1", "150.00")
	_, err := b.store.SequenceOrderEvents(t.Context())
	require.NoError(t, err)
	_, err = b.store.QueueOrderEvents(t.Context())
	require.NoError(t, err)
	for _, statement := range []string{
		`UPDATE deliveries SET state = 'dead', attempts = 2, error_class = 'refused', job_id = NULL, ended_at = now()`,
		`INSERT INTO delivery_attempts (delivery_id, number, duration_ms, status, error_class, answer) SELECT id, 1, 12, 500, 'refused', '<b>broken</b>' FROM deliveries`,
		`INSERT INTO delivery_attempts (delivery_id, number, duration_ms, error_class, error) SELECT id, 2, 15000, 'timeout', 'deadline exceeded' FROM deliveries`,
	} {
		b.exec(t, statement)
	}
	for lang, words := range map[string][]string{
		"en":    {"given up", "The receiver refused it", "No answer in time"},
		"es":    {"abandonado", "El receptor lo rechazó", "Sin respuesta a tiempo"},
		"pt-BR": {"abandonado", "O receptor recusou", "Sem resposta a tempo"},
	} {
		list, one := b.page(t, lang, "/dashboard/deliveries?state=dead"), b.page(t, lang, "/dashboard/deliveries/1")
		require.Contains(t, list, "order_events")
		require.Contains(t, list, "A-1")
		require.Contains(t, list, "order.registered")
		require.Contains(t, list+one, words[0])
		require.Contains(t, one, words[1])
		require.Contains(t, one, words[2])
		require.Contains(t, one, "<b>broken</b>")
	}
	require.Contains(t, b.get(t, "en", "/dashboard/deliveries/1").Body.String(), `href="/dashboard/orders?reference=A-1"`)
	require.Equal(t, "/dashboard/deliveries/1", b.post(t, "/dashboard/deliveries/1/dismiss", url.Values{"note": {"told them"}}))
	require.Equal(t, http.StatusConflict, b.send(t, "/dashboard/deliveries/1/dismiss", url.Values{"note": {"told them"}}).Code)
	require.Equal(t, "/dashboard/deliveries/2", b.post(t, "/dashboard/deliveries/1/replay", nil))
	require.Equal(t, http.StatusNotFound, b.send(t, "/dashboard/deliveries/9/replay", nil).Code)
	require.Equal(t, http.StatusNotFound, b.get(t, "en", "/dashboard/deliveries/9").Code)

	order := url.Values{"receiver": {store.ReceiverOrderEvents}}
	require.Equal(t, "/dashboard/deliveries", b.post(t, "/dashboard/receivers/stop", order))
	require.Contains(t, b.page(t, "en", "/dashboard/deliveries"), "stopped by an operator")
	require.Equal(t, "/dashboard/deliveries", b.post(t, "/dashboard/receivers/start", order))
	require.NotContains(t, b.page(t, "en", "/dashboard/deliveries"), "stopped by an operator")
	require.Equal(t, http.StatusNotFound, b.send(t, "/dashboard/receivers/stop", url.Values{"receiver": {"source:nobody"}}).Code)

	// What a receiver answered may name a payer.
	b.role = dashboard.RoleViewer
	one := b.page(t, "en", "/dashboard/deliveries/1")
	require.NotContains(t, one, "broken")
	require.NotContains(t, one, `action="/dashboard/deliveries/1/replay"`)
}
