package dashboard_test

import (
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

func TestRuns_AreShownInThreeLanguages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for lang, text := range map[string]string{"en": "None yet.", "es": "Todavía no hubo ninguna.", "pt-BR": "Nenhuma ocorreu ainda."} {
		require.Contains(t, b.page(t, lang, "/dashboard/runs"), text)
	}
	b.exec(t, `
		INSERT INTO webhook_reconciliation_logs (trigger, status, phase, started_at, finished_at, payments_checked, missing_found, error)
		SELECT 'schedule', 'failed', 'missing', now() - interval '2 hours', now() - interval '118 minutes', 1234, 7, 'search <failed>'
		FROM generate_series(1, 60)`)
	newest := b.count(t, `SELECT max(id) FROM webhook_reconciliation_logs`)
	for lang, texts := range map[string][]string{
		"en":    {"failed", "1,234", "2 min", "Start another one.", "the schedule"},
		"es":    {"fallida", "1.234", "2 min", "Inicia otra.", "la programación"},
		"pt-BR": {"falhou", "1.234", "2 min", "Inicie outra.", "a programação"},
	} {
		require.Contains(t, b.page(t, lang, "/dashboard/runs"), texts[1])
		main := b.page(t, lang, "/dashboard/runs/"+itoa(newest))
		for _, text := range texts {
			require.Contains(t, main, text)
		}
		require.Contains(t, main, "search <failed>")
	}
	body := b.get(t, "en", "/dashboard/runs").Body.String()
	require.Contains(t, body, `href="/dashboard/runs?before=`+itoa(newest-49)+`"`)
	require.NotContains(t, body, `href="/dashboard/runs/`+itoa(newest-50)+`"`)
	require.Contains(t, b.get(t, "en", "/dashboard/runs?before="+itoa(newest-49)).Body.String(), `href="/dashboard/runs/`+itoa(newest-50)+`"`)
	require.Equal(t, http.StatusNotFound, b.get(t, "en", "/dashboard/runs/99999").Code)
}

func TestRuns_ARunIsStartedOnceAndRecorded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	at := b.post(t, "/dashboard/runs", nil)
	require.Contains(t, b.page(t, "en", at), "Reconciliation started.")
	require.Contains(t, b.page(t, "en", "/dashboard/runs"), "One is running")
	require.Contains(t, b.page(t, "en", b.post(t, "/dashboard/runs", nil)), "A reconciliation was already running: this one.")
	require.EqualValues(t, 1, b.count(t, `SELECT count(*) FROM webhook_reconciliation_logs WHERE trigger = 'manual'`))
	require.EqualValues(t, 2, b.count(t, `SELECT count(*) FROM operator_actions WHERE action = 'reconcile' AND actor = 'operator'`))
}

func TestRun_ListsWhatItFound(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `INSERT INTO webhook_reconciliation_logs (trigger, status, phase, finished_at) VALUES ('schedule', 'succeeded', 'done', now()), ('schedule', 'succeeded', 'done', now())`)
	queueID := b.settle(t, "a/1", payment("77", order.PaymentApproved, "10"))
	b.exec(t, `
		INSERT INTO webhook_reconciliation_findings (run_id, kind, source, payment_id, order_reference, queue_id, detail) VALUES
			(1, 'missing', 'mercadopago', '77', 'a/1', $1, '{"against":"search","held_status":"pending","found_status":"approved","held_amount":"","found_amount":"10"}'),
			(1, 'unsettled', NULL, NULL, 'b-2', NULL, '{"against":"payments","error":"<odd>"}')`, queueID)
	b.exec(t, `INSERT INTO webhook_reconciliation_unseen (run_id, source, begin_at, end_at, reason, payments) VALUES (1, 'mercadopago', '2026-03-01', '2026-03-01', 'beyond_cap', 3)`)
	for lang, texts := range map[string][]string{
		"en":    {"1 Payment without its latest state", "repaired", "pending → approved", "– → 10", "the search", "3 payments at least", "left"},
		"es":    {"1 Pago sin su último estado", "reparado", "pendiente → aprobado", "la búsqueda", "3 pagos por lo menos", "pendiente"},
		"pt-BR": {"1 Pagamento sem o último estado", "reparado", "pendente → aprovado", "a busca", "3 pagamentos pelo menos", "restante"},
	} {
		main := b.page(t, lang, "/dashboard/runs/1")
		for _, text := range texts {
			require.Contains(t, main, text, lang)
		}
		require.Contains(t, main, "<odd>")
	}
	body := b.get(t, "en", "/dashboard/runs/1").Body.String()
	for _, link := range []string{
		"/dashboard/payments?payment=77", "/dashboard/orders?reference=a%2F1", "/dashboard/events/" + itoa(queueID),
		"/dashboard/runs/1/findings?kind=missing&amp;state=repaired", "/dashboard/runs/1/findings",
	} {
		require.Contains(t, body, `href="`+link+`"`, link)
	}
	require.NotContains(t, b.page(t, "en", "/dashboard/runs/1/findings?kind=unsettled"), "77")
	require.Contains(t, b.page(t, "en", "/dashboard/runs/1/findings?state=failed"), "No matches.")
	require.Contains(t, b.page(t, "en", "/dashboard/runs/2"), "It found no differences.")
	require.Equal(t, http.StatusNotFound, b.get(t, "en", "/dashboard/runs/3/findings").Code)
	require.Equal(t, http.StatusBadRequest, b.get(t, "en", "/dashboard/runs/1/findings?kind=odd1").Code)
}

func TestRefused_AreShownInThreeLanguages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for lang, text := range map[string]string{"en": "Nothing was refused.", "es": "No se rechazó nada.", "pt-BR": "Nada foi recusado."} {
		require.Contains(t, b.page(t, lang, "/dashboard/refused"), text)
	}
	require.NoError(t, b.store.InsertRefused(t.Context(), store.Refused{
		Source: "mercadopago", Reason: "signature_mismatch", Method: http.MethodPost, Query: `data.id=1&x="><script>`,
		XSignature: "ts=1742505638,v1=" + strings.Repeat("deadbeef", 8), XRequestID: "delivery-1", RemoteIP: operator.RemoteIP, Body: []byte{0xff, 0}, BodyBytes: 2,
	}))
	require.NoError(t, b.store.InsertRefused(t.Context(), store.Refused{Source: "mercadopago", Reason: "a_new_reason", Method: http.MethodPost}))
	id := b.count(t, `SELECT min(id) FROM webhook_refused`)
	for lang, texts := range map[string][]string{
		"en":    {"The signature does not match", "No accepted secret made this signature", "copy the secret from", "sent (not shown)", "shown as Base64"},
		"es":    {"La firma no coincide", "Ninguna clave secreta aceptada hizo esta firma", "copia de nuevo la clave secreta", "enviada (no se muestra)", "se muestran en Base64"},
		"pt-BR": {"A assinatura não confere", "Nenhuma assinatura secreta aceita gerou esta assinatura", "copie de novo a assinatura secreta", "enviada (não exibida)", "exibidos em Base64"},
	} {
		list := b.page(t, lang, "/dashboard/refused")
		require.Contains(t, list, texts[0])
		require.Contains(t, list, "a_new_reason")
		main := b.page(t, lang, "/dashboard/refused/"+itoa(id))
		for _, text := range texts {
			require.Contains(t, main, text)
		}
	}
	body := b.get(t, "en", "/dashboard/refused/"+itoa(id)).Body.String()
	require.NotContains(t, body, "deadbeef", "a signature is never shown")
	require.NotContains(t, body, "<script>\"", "what came from outside is escaped")
	require.NotContains(t, b.page(t, "en", "/dashboard/refused?reason=signature_mismatch"), "a_new_reason")
	require.Contains(t, b.page(t, "en", "/dashboard/refused?day="+time.Now().UTC().Format(time.DateOnly)), "a_new_reason")
	require.Contains(t, b.page(t, "en", "/dashboard/refused?day=2020-01-01"), "No matches.")
	require.Equal(t, http.StatusNotFound, b.get(t, "en", "/dashboard/refused/999").Code)
}

func TestRefused_GroupsNameTheProxyAndLeadToTheirDeliveries(t *testing.T) {
	t.Parallel()
	b := setup(t)
	refuse := func(reason, requestID string) {
		require.NoError(t, b.store.InsertRefused(t.Context(), store.Refused{
			Source: "mercadopago", Reason: reason, Method: http.MethodPost, Query: "data.id=1",
			XSignature: "ts=1742505638,v1=" + strings.Repeat("deadbeef", 8), XRequestID: requestID,
		}))
	}
	refuse("signature_mismatch", "7e0c6b0d-1111-4222-8333-444455556666")
	require.NotContains(t, b.page(t, "en", "/dashboard/refused"), "proxy most likely")
	refuse("signature_mismatch", "4bf92f3577b34da6a3ce929d0e0e4736")
	refuse("body_too_large", "")
	b.exec(t, `UPDATE webhook_refused SET refused_at = date_trunc('day', now()) - interval '1 hour 1 minute' WHERE id < 3`)
	for lang, texts := range map[string][]string{
		"en":    {"A proxy most likely replaces x-request-id: 4bf92f3577b34da6a3ce929d0e0e4736 is not a UUID, and Mercado Pago sends one.", "By hour, sender and reason"},
		"es":    {"un proxy reemplace x-request-id", "Por hora, remitente y motivo"},
		"pt-BR": {"um proxy substitui x-request-id", "Por hora, remetente e motivo"},
	} {
		main := b.page(t, lang, "/dashboard/refused")
		for _, text := range texts {
			require.Contains(t, main, text, lang)
		}
	}
	body := b.get(t, "en", "/dashboard/refused").Body.String()
	link := regexp.MustCompile(`<a href="(/dashboard/refused\?hour=[^"]+reason=signature_mismatch[^"]+)">`).FindStringSubmatch(body)
	require.Len(t, link, 2)
	of := b.get(t, "en", html.UnescapeString(link[1])).Body.String()
	require.Contains(t, of, `href="/dashboard/refused/1"`)
	require.Contains(t, of, `href="/dashboard/refused/2"`)
	require.NotContains(t, of, `href="/dashboard/refused/3"`)
	require.Contains(t, body, `href="/dashboard/refused/2">No accepted secret`, "the verdict leads to the newest")
	require.Equal(t, http.StatusBadRequest, b.get(t, "en", "/dashboard/refused?hour=noon").Code)
}
