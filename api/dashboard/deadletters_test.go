package dashboard_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store/order"
)

const notFound = "payment_not_found: HTTP 404"

func TestDeadLetters_AreGroupedByCauseWithWhatToDo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for lang, text := range map[string]string{"en": "No failed events.", "es": "No hay eventos fallidos", "pt-BR": "Nenhum evento com falha"} {
		require.Contains(t, b.page(t, lang, "/dashboard/dead-letters"), text)
	}
	letter, queueID := b.deadLetter(t, "100", notFound)
	b.deadLetter(t, "101", notFound)
	cancelled, _ := b.deadLetter(t, "102", notFound)
	b.exec(t, `UPDATE webhook_dead_letter SET reason = 'cancelled' WHERE id = $1`, cancelled)
	odd, _ := b.deadLetter(t, "103", "unheard_of: from a newer release")
	for lang, texts := range map[string][]string{
		"en":    {"Mercado Pago does not know the payment (404) 2", "If it is there, replay; if not, dismiss.", "Its job was cancelled", "unheard_of"},
		"es":    {"Mercado Pago no conoce el pago (404) 2", "Si está, reprocésalo; si no, descártalo.", "Alguien lo canceló", "unheard_of"},
		"pt-BR": {"O Mercado Pago não conhece o pagamento (404) 2", "Se existir, reprocesse; se não, descarte.", "Alguém o cancelou", "unheard_of"},
	} {
		main := b.page(t, lang, "/dashboard/dead-letters")
		for _, text := range texts {
			require.Contains(t, main, text)
		}
		require.Contains(t, b.page(t, lang, "/dashboard/dead-letters/"+itoa(letter)), "payment_not_found: HTTP 404")
		require.Contains(t, b.page(t, lang, "/dashboard/dead-letters/"+itoa(odd)), "from a newer release")
	}
	body := b.get(t, "en", "/dashboard/dead-letters?reason=cancelled").Body.String()
	require.Contains(t, body, `href="/dashboard/dead-letters/`+itoa(cancelled)+`"`)
	require.NotContains(t, body, `href="/dashboard/dead-letters/`+itoa(letter)+`"`)
	require.Contains(t, b.get(t, "en", "/dashboard/dead-letters/"+itoa(letter)).Body.String(), `href="/dashboard/events/`+itoa(queueID)+`"`)
	for query, status := range map[string]int{"?state=odd": 400, "?reason=odd": 400, "?day=odd": 400, "/999": 404, "/replay?reason=odd": 400} {
		require.Equal(t, status, b.get(t, "en", "/dashboard/dead-letters"+query).Code, query)
	}
}

// What failed says whose money it is about, where that is known.
func TestDeadLetters_SayTheOrderAndTheAmount(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register(t, "o-1", "1500")
	b.settle(t, "o-1", payment("100", order.PaymentApproved, "1500"))
	b.deadLetter(t, "100", notFound)
	b.settle(t, "", payment("101", order.PaymentApproved, "7"))
	b.deadLetter(t, "101", notFound)
	b.deadLetter(t, "102", notFound)
	main := spaced(b.page(t, "en", "/dashboard/dead-letters"))
	require.Contains(t, main, "payment 100 o-1 ARS 1,500.00 ")
	require.Contains(t, main, "payment 101 ARS 7.00 ")
	require.Contains(t, main, "payment 102 7 ", "its attempts: nothing is known of it")
	require.Contains(t, b.get(t, "en", "/dashboard/dead-letters").Body.String(), `<a href="/dashboard/orders?reference=o-1">o-1</a>`)
}

func TestDeadLetters_AreDismissedWithANote(t *testing.T) {
	t.Parallel()
	b := setup(t)
	letter, _ := b.deadLetter(t, "100", notFound)
	path := "/dashboard/dead-letters/" + itoa(letter)
	require.Equal(t, http.StatusUnprocessableEntity, b.send(t, path+"/dismiss", url.Values{"note": {" "}}).Code)
	require.EqualValues(t, 1, b.count(t, `SELECT count(*) FROM webhook_dead_letter WHERE state = 'open'`))

	main := b.page(t, "en", b.post(t, path+"/dismiss", url.Values{"note": {"refunded by hand"}}))
	require.Contains(t, main, "Failed event dismissed.")
	require.Contains(t, main, "refunded by hand")
	require.NotContains(t, b.get(t, "en", path).Body.String(), "/dismiss\"", "there is nothing more to press")
	require.EqualValues(t, 1, b.count(t, `
		SELECT count(*) FROM operator_actions WHERE actor = 'operator' AND action = 'dismiss' AND target_id = $1 AND note = 'refunded by hand'`, letter))
	require.Equal(t, http.StatusConflict, b.send(t, path+"/dismiss", url.Values{"note": {"again"}}).Code)
}

func TestDeadLetters_OneAndSomeAreReplayed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var ids []string
	for _, payment := range []string{"100", "101", "102", "103"} {
		letter, _ := b.deadLetter(t, payment, notFound)
		ids = append(ids, itoa(letter))
	}
	require.Regexp(t, `^/dashboard/events/\d+$`, b.post(t, "/dashboard/dead-letters/"+ids[0]+"/replay", nil))

	// Of three chosen ones somebody has replayed one already; one is ticked twice.
	main := b.page(t, "en", b.post(t, "/dashboard/dead-letters/replay-chosen", url.Values{"id": {ids[0], ids[1], ids[2], ids[2]}}))
	require.Contains(t, main, "2 failed events replayed; already handled: 1.")
	require.EqualValues(t, 3, b.count(t, `SELECT count(*) FROM webhook_queue WHERE origin = 'replay'`))
	require.EqualValues(t, 3, b.count(t, `SELECT count(*) FROM operator_actions WHERE action = 'replay' AND actor = 'operator'`))
	require.EqualValues(t, 1, b.count(t, `SELECT count(*) FROM webhook_dead_letter WHERE state = 'open'`))

	for _, form := range []url.Values{nil, {"id": {"x"}}, {"id": {"-1"}}, {"id": strings.Fields(strings.Repeat("1 ", 51))}} {
		require.Equal(t, http.StatusBadRequest, b.send(t, "/dashboard/dead-letters/replay-chosen", form).Code)
	}
	require.Contains(t, b.page(t, "en", b.post(t, "/dashboard/dead-letters/replay-chosen", url.Values{"id": {ids[3]}})), "1 failed event replayed.")
}

func TestBulkReplay_ShowsTheCountBefore(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.deadLetter(t, "100", notFound)
	b.deadLetter(t, "101", notFound)
	b.deadLetter(t, "102", "timeout: late")
	confirm := "/dashboard/dead-letters/replay?reason=retries_exhausted&class=payment_not_found"
	for lang, text := range map[string]string{
		"en": "2 open ones match.", "es": "Coinciden 2 abiertos.", "pt-BR": "2 abertos correspondem.",
	} {
		require.Contains(t, b.page(t, lang, confirm), text)
	}
	require.Zero(t, b.count(t, `SELECT count(*) FROM webhook_queue WHERE origin = 'replay'`), "looking replays nothing")
	require.Contains(t, b.page(t, "en", "/dashboard/dead-letters/replay?topic=none"), "Nothing open matches.")

	// One more dies after the count was shown: it is not swept in.
	b.deadLetter(t, "103", notFound)
	form := url.Values{"count": {"2"}, "reason": {"retries_exhausted"}, "class": {"payment_not_found"}, "topic": {""}, "day": {""}}
	at := b.post(t, "/dashboard/dead-letters/replay", form)
	for lang, text := range map[string]string{"en": "2 of 2 replayed.", "es": "2 de 2 reprocesados.", "pt-BR": "2 de 2 reprocessados."} {
		require.Contains(t, b.page(t, lang, at), text)
	}
	require.EqualValues(t, 2, b.count(t, `SELECT count(*) FROM webhook_queue WHERE origin = 'replay'`))
	require.EqualValues(t, 2, b.count(t, `SELECT count(*) FROM webhook_dead_letter WHERE state = 'open'`))
	require.EqualValues(t, 1, b.count(t, `SELECT count(*) FROM operator_actions WHERE action = 'bulk_replay' AND actor = 'operator' AND count = 2`))
	require.Equal(t, http.StatusConflict, b.send(t, at+"/cancel", nil).Code, "it has ended")

	for _, bad := range []url.Values{{"count": {""}}, {"count": {"0"}}, {"count": {"1"}, "reason": {"odd"}}, {"count": {"1"}, "day": {"odd"}}} {
		require.Equal(t, http.StatusBadRequest, b.send(t, "/dashboard/dead-letters/replay", bad).Code)
	}
	require.Equal(t, http.StatusNotFound, b.get(t, "en", "/dashboard/replays/999").Code)
}

func TestBulkReplay_IsStopped(t *testing.T) {
	t.Parallel()
	b := setup(t)
	// More than are replayed at once: the rest is left to a job that nobody works here.
	for range 3 {
		b.deadLetter(t, "100", notFound)
	}
	b.exec(t, `INSERT INTO webhook_queue (source, topic, payload) SELECT 'mercadopago', 'payment', '' FROM generate_series(1, 120)`)
	b.exec(t, `INSERT INTO webhook_dead_letter (queue_id, reason) SELECT id, 'deleted' FROM webhook_queue WHERE job_id IS NULL`)
	at := b.post(t, "/dashboard/dead-letters/replay", url.Values{"count": {"123"}})
	require.Contains(t, b.page(t, "en", at), "running 0 of 123 replayed.")
	main := b.page(t, "en", b.post(t, at+"/cancel", nil))
	require.Contains(t, main, "Stopped.")
	require.EqualValues(t, 1, b.count(t, `SELECT count(*) FROM operator_actions WHERE action = 'cancel_bulk_replay' AND actor = 'operator'`))
	require.EqualValues(t, 123, b.count(t, `SELECT count(*) FROM webhook_dead_letter WHERE state = 'open'`))
}
