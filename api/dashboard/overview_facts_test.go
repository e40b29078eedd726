package dashboard_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api/dashboard"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// overview is the overview in a language, with plain spaces.
func (b *bundle) overview(t *testing.T, lang string) string {
	t.Helper()
	return spaced(b.page(t, lang, "/dashboard"))
}

func (b *bundle) refuse(t testing.TB, n int) {
	t.Helper()
	for range n {
		require.NoError(t, b.store.InsertRefused(t.Context(), store.Refused{
			Source: "mercadopago", Reason: "signature_mismatch", Method: http.MethodPost, Query: "data.id=100&type=payment", XSignature: "ts=1,v1=00",
			XRequestID: "5b7a3f0e-1d2c-4b6a-9e8f-001122334455", Topic: "payment", Channel: store.ChannelWebhooks,
		}))
	}
}

func TestOverview_SaysWhatItHasSeenToWork(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for lang, text := range map[string]string{
		"en":    "No webhook has come yet nothing seen yet Enter this address in Mercado Pago's panel, under Webhooks: http://example.com/api/checkout/webhook",
		"es":    "Todavía no llegó ningún webhook",
		"pt-BR": "Nenhum webhook chegou ainda",
	} {
		main := b.overview(t, lang)
		require.Contains(t, main, text)
		require.NotContains(t, main, "works", "what was not seen is not claimed")
	}
	b.register(t, "o-1", "10")
	b.settle(t, "o-1", payment("100", order.PaymentApproved, "10"))
	for lang, text := range map[string]string{
		"en": "Everything works working The last webhook came at", "es": "Todo funciona", "pt-BR": "Tudo funciona",
	} {
		require.Contains(t, b.overview(t, lang), text)
	}
	require.Contains(t, b.overview(t, "en"), "For you: nothing to decide")
}

func TestOverview_EveryRefusedWebhookIsRedWhateverTheirNumber(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.refuse(t, 2)
	for lang, text := range map[string]string{
		"en": "Every webhook is refused: 2, and none accepted since", "es": "Se rechazan todos los webhooks: 2", "pt-BR": "Todos os webhooks são recusados: 2",
	} {
		require.Contains(t, b.overview(t, lang), text)
	}
	require.Contains(t, b.get(t, "en", "/dashboard").Body.String(), `class="panel health unhealthy"`)
	b.accept(t, "100")
	require.NotContains(t, b.overview(t, "en"), "Every webhook is refused")
}

// An outage stops everything, and old decisions stop nothing more.
func TestOverview_NamesWhatStopsMostMoneyFirst(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.deadLetter(t, "90", "forbidden: not ours")
	for _, id := range []string{"100", "101"} {
		b.accept(t, id)
	}
	b.exec(t, `UPDATE river_job SET state = 'scheduled', metadata = '{"snoozes": 1}', scheduled_at = now() + interval '1 hour' WHERE state = 'available'`)
	b.exec(t, `INSERT INTO provider_state (source, circuit, reason, since, next_probe_at) VALUES ('mercadopago', 'open', 'unavailable', now(), now())
		ON CONFLICT (source) DO UPDATE SET circuit = excluded.circuit, reason = excluded.reason, since = excluded.since, next_probe_at = excluded.next_probe_at`)
	require.Regexp(t, `Overview Mercado Pago does not answer since \d\d:\d\d:\d\d; 2 webhooks wait impaired`, b.overview(t, "en"))
	require.Regexp(t, `Mercado Pago no responde desde \d\d:\d\d:\d\d; 2 webhooks esperan`, b.overview(t, "es"))
	require.Regexp(t, `O Mercado Pago não responde desde \d\d:\d\d:\d\d; 2 webhooks aguardam`, b.overview(t, "pt-BR"))
	require.Contains(t, b.overview(t, "en"), "For you: 1 to decide 1 failed event since")
}

func TestOverview_DeathsThatWereDealtWithAreOver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 12 {
		b.deadLetter(t, "100", "forbidden: not ours")
	}
	main := b.overview(t, "en")
	require.Contains(t, main, "12 webhooks of the last hour cannot be processed: Mercado Pago does not show this payment to our account (403)")
	require.Contains(t, main, "For you: 12 to decide 12 failed events")
	b.exec(t, `UPDATE webhook_dead_letter SET state = 'dismissed'`)
	main = b.overview(t, "en")
	require.Contains(t, main, "Everything works")
	require.Contains(t, main, "For you: nothing to decide")
}

func TestOverview_APausedQueueSaysByWhomAndCanBeResumed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.accept(t, "100")
	b.exec(t, `UPDATE river_job SET scheduled_at = now() - interval '2 hours'`)
	b.exec(t, `UPDATE webhook_queue SET received_at = now() - interval '2 hours'`)
	b.exec(t, `INSERT INTO river_queue (name, paused_at, updated_at) VALUES ('webhooks', now(), now())`)
	b.exec(t, `INSERT INTO operator_actions (actor, action, target_kind, note, count) VALUES ('ana', 'pause_queue', 'job_queue', 'webhooks', 1)`)
	for lang, text := range map[string]string{"en": "The queue of webhooks is paused since", "es": "La cola de webhooks está en pausa desde", "pt-BR": "A fila de webhooks está pausada desde"} {
		main := b.overview(t, lang)
		require.Contains(t, main, text)
		require.NotContains(t, main, "WORKERS", "more workers help nothing")
	}
	require.Contains(t, b.overview(t, "en"), "; 1 webhook waits not working Nothing is lost. Resume it once the reason for the pause is over. By ana. Resume")
	b.role = dashboard.RoleViewer
	require.NotContains(t, b.overview(t, "en"), "By ana. Resume")
	b.role = dashboard.RoleAdmin

	require.Equal(t, "/dashboard", b.post(t, "/dashboard/queues/resume", url.Values{"queue": {"webhooks"}}))
	require.EqualValues(t, 1, b.count(t, `SELECT count(*) FROM operator_actions WHERE action = 'resume_queue' AND actor = 'operator' AND note = 'webhooks'`))
	require.NotContains(t, b.overview(t, "en"), "paused since")
	for _, name := range []string{"", "*", "nothing"} {
		require.Equal(t, http.StatusNotFound, b.send(t, "/dashboard/queues/resume", url.Values{"queue": {name}}).Code, name)
	}
	require.EqualValues(t, 1, b.count(t, `SELECT count(*) FROM operator_actions WHERE action = 'resume_queue'`), "what was not done is not recorded")
}

func TestOverview_WithoutAWorkerNothingIsPromised(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `UPDATE processes SET seen_at = now() - interval '10 minutes'`)
	b.accept(t, "100")
	b.exec(t, `UPDATE river_job SET scheduled_at = now() - interval '2 hours'`)
	b.exec(t, `UPDATE webhook_queue SET received_at = now() - interval '2 hours'`)
	main := b.overview(t, "en")
	require.Regexp(t, `No process is working since .*; 1 webhook waits not working Start one: conciliar serve`, main)
	require.Contains(t, main, "Next run none: no process is working")
	require.NotContains(t, main, "WORKERS")
	require.Contains(t, b.overview(t, "es"), "Ningún proceso está trabajando")
	require.Contains(t, b.overview(t, "pt-BR"), "Nenhum processo está trabalhando")
}

func TestOverview_SaysUpToWhenItCounted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.Contains(t, b.overview(t, "en"), "Not counted yet.")
	_, err := b.store.RollUp(t.Context(), time.Hour)
	require.NoError(t, err)
	require.Regexp(t, `Counted up to \d\d:\d\d:\d\d\.`, b.overview(t, "en"))
	b.exec(t, `UPDATE webhook_rollup SET covered_from = covered_from - interval '5 minutes', covered_until = covered_until - interval '5 minutes'`)
	require.Contains(t, b.overview(t, "en"), "Counting has stopped at")
}

// Money that waits for a decision leaves the service's own line alone, and stands out
// only once it is old.
func TestOverview_DecisionsAreALineOfTheirOwn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register(t, "o-1", "10")
	b.settle(t, "o-1", payment("100", order.PaymentApproved, "7"))
	main := b.overview(t, "en")
	require.Contains(t, main, "Everything works")
	require.Contains(t, main, "For you: 1 to decide 1 anomaly: an order and its payments do not match The oldest has waited")
	require.Contains(t, b.overview(t, "es"), "Para ti: 1 por decidir")
	require.Contains(t, b.overview(t, "pt-BR"), "Para você: 1 a decidir")
	late := `class="panel decide late"`
	require.NotContains(t, b.get(t, "en", "/dashboard").Body.String(), late)
	b.exec(t, `UPDATE anomalies SET opened_at = now() - interval '73 hours'`)
	require.Contains(t, b.get(t, "en", "/dashboard").Body.String(), late)
	b.exec(t, `UPDATE anomalies SET opened_at = now(), kind = 'fraud_alert', payment_id = '100', source = 'mercadopago'`)
	require.Contains(t, b.get(t, "en", "/dashboard").Body.String(), late, "at once")
}

func TestOverview_SaysThatAlertsHaveNoReceiver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `INSERT INTO alerts (code, opened_at) VALUES ('dead_letters_open', now())`)
	require.NotContains(t, b.overview(t, "en"), "No alert is sent")
	b.alertsSent = false
	main := b.overview(t, "en")
	require.Contains(t, main, "1 open No alert is sent: ALERT_WEBHOOK_URL is empty.")
	require.NotContains(t, main, "not sent")
}

func TestSearch_FindsWhatWasRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.refuse(t, 1)
	for _, asked := range []string{"100", "5b7a3f0e-1d2c-4b6a-9e8f-001122334455"} {
		w := b.get(t, "en", "/dashboard/search?q="+asked)
		require.Equal(t, http.StatusSeeOther, w.Code, asked)
		require.Equal(t, "/dashboard/refused/1", w.Header().Get("Location"), asked)
	}
	b.refuse(t, 1)
	require.Contains(t, b.page(t, "en", "/dashboard/search?q=100"), "Refused deliveries that name it")
	require.Contains(t, b.page(t, "es", "/dashboard/search?q=100"), "Entregas rechazadas que lo nombran")
	require.Contains(t, b.page(t, "pt-BR", "/dashboard/search?q=100"), "Entregas recusadas que o mencionam")
	require.Contains(t, b.page(t, "en", "/dashboard/search?q=10"), "No order, payment, event, delivery or refused delivery")
}
