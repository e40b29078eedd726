package dashboard_test

import (
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store/order"
)

var hiddenField = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)">`)

// agree sends the form of the page that asks, with a note.
func (b *bundle) agree(t testing.TB, w *httptest.ResponseRecorder, note string) url.Values {
	t.Helper()
	require.Equal(t, http.StatusOK, w.Code)
	form := url.Values{"note": {note}}
	for _, f := range hiddenField.FindAllStringSubmatch(w.Body.String(), -1) {
		form.Set(f[1], html.UnescapeString(f[2]))
	}
	return form
}

func TestDeadLetters_AreDismissedTogether(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, p := range []string{"100", "101"} {
		b.deadLetter(t, p, "forbidden: not ours (HTTP 403)")
	}
	other, _ := b.deadLetter(t, "102", "timeout: late")
	body := b.get(t, "en", "/dashboard/dead-letters").Body.String()
	require.Contains(t, body, `<a class="button main" href="/dashboard/dead-letters/dismiss?class=forbidden&amp;reason=retries_exhausted">`, "what the cause asks for")
	require.Contains(t, body, `<a class="button main" href="/dashboard/dead-letters/replay?class=timeout&amp;reason=retries_exhausted">`)
	asked := b.get(t, "en", "/dashboard/dead-letters/dismiss?class=forbidden&reason=retries_exhausted")
	require.Contains(t, requirePage(t, asked, "en"), "2 open ones match.")
	form := b.agree(t, asked, "another account's")
	late, _ := b.deadLetter(t, "103", "forbidden: not ours (HTTP 403)")

	for _, wrong := range []url.Values{{}, {"note": {"x"}}, {"note": {"x"}, "count": {"1"}}, {"note": {"x"}, "count": {"0"}, "until": {form.Get("until")}}} {
		require.NotEqual(t, http.StatusSeeOther, b.send(t, "/dashboard/dead-letters/dismiss", wrong).Code)
	}
	require.Contains(t, b.page(t, "en", b.post(t, "/dashboard/dead-letters/dismiss", form)), "2 failed events dismissed.")
	require.Contains(t, b.page(t, "en", b.post(t, "/dashboard/dead-letters/dismiss", form)), "0 failed events dismissed.", "a second press")
	require.EqualValues(t, 2, b.count(t, `SELECT count(*) FROM webhook_dead_letter WHERE state = 'dismissed' AND note = 'another account''s'`))
	require.EqualValues(t, 2, b.count(t, `SELECT count(*) FROM webhook_dead_letter WHERE state = 'open' AND id = ANY ($1)`, []int64{other, late}))
	require.EqualValues(t, 1, b.count(t, `SELECT count(*) FROM operator_actions WHERE action = 'dismiss' AND count = 2`))
}

func TestAnomalies_AreResolvedTogether(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for reference, id := range map[string]string{"o-1": "100", "o-2": "101"} {
		b.register(t, reference, "1000")
		b.settle(t, reference, payment(id, order.PaymentApproved, "1.5"))
	}
	b.settle(t, "nobody's", payment("102", order.PaymentApproved, "1.5"))
	require.Contains(t, b.get(t, "en", "/dashboard/anomalies?kind=underpaid").Body.String(), `href="/dashboard/anomalies/resolve?kind=underpaid"`)
	asked := b.get(t, "es", "/dashboard/anomalies/resolve?kind=underpaid")
	require.Contains(t, requirePage(t, asked, "es"), "Coinciden 2 abiertos.")
	main := b.page(t, "en", b.post(t, "/dashboard/anomalies/resolve", b.agree(t, asked, "paid in cash")))
	require.Contains(t, main, "2 anomalies resolved.")
	require.EqualValues(t, 1, b.count(t, `SELECT count(*) FROM anomalies WHERE closed_at IS NULL`))
	require.EqualValues(t, 2, b.count(t, `SELECT count(*) FROM operator_actions WHERE action = 'resolve' AND note = 'paid in cash'`))
	require.Contains(t, b.page(t, "en", "/dashboard/anomalies/resolve?order=none"), "Nothing open matches.")
	require.Equal(t, http.StatusBadRequest, b.get(t, "en", "/dashboard/anomalies/resolve?state=open").Code)
}

func TestReopen_IsOfferedForWhatAPersonClosed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	letter, _ := b.deadLetter(t, "100", notFound)
	b.register(t, "o-1", "1000")
	b.settle(t, "o-1", payment("200", order.PaymentApproved, "1.5"))
	anomaly := b.count(t, `SELECT id FROM anomalies`)
	for path, act := range map[string]string{"/dashboard/dead-letters/" + itoa(letter): "/dismiss", "/dashboard/anomalies/" + itoa(anomaly): "/resolve"} {
		require.NotContains(t, b.get(t, "en", path).Body.String(), path+"/reopen")
		b.post(t, path+act, url.Values{"note": {"too early"}})
		require.Contains(t, b.get(t, "en", path).Body.String(), path+"/reopen")
		require.Contains(t, b.page(t, "en", b.post(t, path+"/reopen", nil)), "Reopened.")
		w := b.send(t, path+"/reopen", nil)
		require.Equal(t, http.StatusConflict, w.Code)
		main := requirePage(t, w, "en")
		require.Contains(t, main, "Reopened")
		require.Contains(t, main, "operator")
		require.Contains(t, w.Body.String(), `<a class="button" href="`+path+`">`, "a conflict leads to the thing")
	}
	require.EqualValues(t, 2, b.count(t, `SELECT count(*) FROM operator_actions WHERE action = 'reopen'`))
}

func TestConflict_SaysWhoWasFirst(t *testing.T) {
	t.Parallel()
	b := setup(t)
	letter, _ := b.deadLetter(t, "100", notFound)
	asked := b.get(t, "en", "/dashboard/dead-letters/dismiss")
	b.post(t, "/dashboard/dead-letters/dismiss", b.agree(t, asked, "all <away>"))
	w := b.send(t, "/dashboard/dead-letters/"+itoa(letter)+"/dismiss", url.Values{"note": {"again"}})
	require.Equal(t, http.StatusConflict, w.Code)
	main := requirePage(t, w, "en")
	for _, text := range []string{"has already been handled", "Dismissed", "operator", "all <away>"} {
		require.Contains(t, main, text)
	}
}

func TestNotice_NoAddressMakesIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NotContains(t, b.page(t, "en", "/dashboard?done=resolved"), "Anomaly resolved.")
	letter, _ := b.deadLetter(t, "100", notFound)
	at := b.post(t, "/dashboard/dead-letters/"+itoa(letter)+"/dismiss", url.Values{"note": {"x"}})
	require.NotContains(t, at, "?")
	require.Contains(t, b.page(t, "en", at), "Failed event dismissed.")
	require.NotContains(t, b.page(t, "en", at), "Failed event dismissed.", "it is said once")
	for _, value := range []string{"odd", "e30", "eyJrIjoidW5oZWFyZCJ9"} {
		r := newGet(t, "/dashboard/events", "en")
		r.AddCookie(&http.Cookie{Name: "conciliar_done", Value: value})
		require.NotContains(t, b.do(t, r).Body.String(), `class="notice"`)
	}
}

func TestBulkReplay_FollowsItsEventsToTheirEnd(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.deadLetter(t, "100", notFound)
	b.deadLetter(t, "101", notFound)
	asked := b.get(t, "en", "/dashboard/dead-letters/replay?class=payment_not_found")
	at := b.post(t, "/dashboard/dead-letters/replay", b.agree(t, asked, ""))
	require.Contains(t, b.page(t, "en", at), "Waiting 2")
	require.NotContains(t, b.get(t, "en", at).Body.String(), `badge good`, "what waits has not ended well")
	b.exec(t, `UPDATE river_job SET state = 'discarded', finalized_at = now(), attempt = 7,
		errors = ARRAY['{"at": "2026-01-02T03:04:05Z", "attempt": 7, "error": "`+notFound+`", "trace": ""}']::jsonb[]
		WHERE id = (SELECT job_id FROM webhook_queue WHERE origin = 'replay' AND resource_id = '100')`)
	main := b.page(t, "en", at)
	require.Contains(t, main, "Failed again 1 1 of the same cause")
	require.Contains(t, main, "The same cause again")
	body := b.get(t, "en", at).Body.String()
	require.Contains(t, body, `badge bad`)
	require.Contains(t, body, `href="/dashboard/events?bulk=1&amp;state=dead_letter"`)
	require.Regexp(t, ` 100 `, b.page(t, "en", "/dashboard/events?bulk=1&state=dead_letter"))
	listed := b.page(t, "en", "/dashboard/events?bulk=1")
	require.NotContains(t, listed, "webhook 7 Mercado Pago", "those that died before are not its own")
	require.Len(t, regexp.MustCompile(`<th scope="row"`).FindAllString(b.get(t, "en", "/dashboard/events?bulk=1").Body.String(), -1), 2)
	for lang, text := range map[string]string{"en": "Bulk replays", "es": "Reprocesos en bloque", "pt-BR": "Reprocessamentos em massa"} {
		require.Contains(t, b.page(t, lang, "/dashboard/replays"), text)
	}
	require.Contains(t, b.get(t, "en", "/dashboard/replays").Body.String(), `href="/dashboard/replays/1"`)
}
