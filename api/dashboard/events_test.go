package dashboard_test

import (
	"net/http"
	"net/url"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

func TestEvents_AreShownInThreeLanguages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for lang, text := range map[string]string{"en": "No matches.", "es": "Nada coincide.", "pt-BR": "Nada corresponde."} {
		require.Contains(t, b.page(t, lang, "/dashboard/events"), text)
	}
	b.accept(t, "100")
	b.deadLetter(t, "101", "payment_not_found: HTTP 404")
	for lang, texts := range map[string][]string{
		"en":    {"waiting", "failed for good", "Mercado Pago does not know the payment (404)"},
		"es":    {"en espera", "fallido", "Mercado Pago no conoce el pago (404)"},
		"pt-BR": {"em espera", "com falha", "O Mercado Pago não conhece o pagamento (404)"},
	} {
		main := b.page(t, lang, "/dashboard/events")
		for _, text := range texts {
			require.Contains(t, main, text)
		}
	}
}

func TestEvents_AreFiltered(t *testing.T) {
	t.Parallel()
	b := setup(t, inBuenosAires)
	b.register(t, "o-1", "10")
	b.settle(t, "o-1", payment("100", order.PaymentApproved, "10"))
	b.accept(t, "200", func(ev *store.NewEvent) { ev.Topic = "chargebacks"; ev.RequestID = "rare request" })
	b.exec(t, `UPDATE webhook_queue SET received_at = '2026-03-01T02:00:00Z' WHERE resource_id = '200'`)

	for query, want := range map[string][]string{
		"":                            {"100", "200"},
		"state=completed":             {"100"},
		"state=pending":               {"200"},
		"topic=chargebacks":           {"200"},
		"origin=replay":               {},
		"order=o-1":                   {"100"},
		"payment=200":                 {"200"},
		"request=rare+request":        {"200"},
		"day=2026-02-28":              {"200"}, // the evening before in Buenos Aires
		"day=2026-03-01":              {},
		"day=2026-02-28&state=failed": {},
		"since=2026-03-01T02:00:00Z&until=2026-03-01T02:00:01Z": {"200"},
		"since=2026-02-28T23:00&until=2026-02-28T23:01":         {"200"}, // as the form says it, in the reader's zone
		"since=2026-03-01T02:00:01Z":                            {"100"},
		"until=2026-03-01T02:00:00Z":                            {},
		"day=2026-02-28&since=2026-03-01T02:30:00Z":             {}, // both hold
	} {
		main := b.page(t, "en", "/dashboard/events?"+query)
		for _, id := range []string{"100", "200"} {
			if contains(want, id) {
				require.Contains(t, main, " "+id+" ", query)
			} else {
				require.NotContains(t, main, " "+id+" webhook", query)
			}
		}
	}
	for _, query := range []string{"state=unheard", "origin=x", "day=tomorrow", "day=2026-02-30", "before=x", "before=-1", "order=" + url.QueryEscape("a\x00b")} {
		w := b.get(t, "en", "/dashboard/events?"+query)
		require.Equal(t, http.StatusBadRequest, w.Code, "what is not understood is never left out: %s", query)
		requirePage(t, w, "en")
	}
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

func TestEvents_GoOnWhereTheyEnded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.accept(t, "100")
	b.exec(t, `INSERT INTO webhook_queue (source, topic, payload, completed_at, outcome) SELECT 'mercadopago', 'payment', '', now(), 'settled' FROM generate_series(1, 60)`)
	body := b.get(t, "en", "/dashboard/events?origin=webhook").Body.String()
	require.NotContains(t, body, `href="/dashboard/events/`+itoa(first)+`"`)
	oldest := b.count(t, `SELECT id FROM webhook_queue ORDER BY id DESC OFFSET 49 LIMIT 1`)
	require.Contains(t, body, `href="/dashboard/events?before=`+itoa(oldest)+`&amp;origin=webhook"`)
	body = b.get(t, "en", "/dashboard/events?origin=webhook&before="+itoa(oldest)).Body.String()
	require.Contains(t, body, `href="/dashboard/events/`+itoa(first)+`"`)
	require.Contains(t, body, `href="/dashboard/events?origin=webhook"`, "and back to the newest")
}

func TestEvents_AnEventsPageIsItsHistory(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register(t, "o-1", "1500.5")
	queueID := b.settle(t, "o-1", payment("100", order.PaymentApproved, "1500.5"))
	path := "/dashboard/events/" + itoa(queueID)
	for lang, texts := range map[string][]string{
		"en":    {"Webhook received", "Its signature was verified", "Payment recorded: approved", "ARS 1,500.50", "paid ARS 1,500.50", "Completed"},
		"es":    {"Webhook recibido", "Su firma se verificó", "Pago registrado: aprobado", "ARS 1.500,50", "pagado ARS 1.500,50", "Completado"},
		"pt-BR": {"Webhook recebido", "A assinatura foi verificada", "Pagamento registrado: aprovado", "ARS 1.500,50", "pago ARS 1.500,50", "Concluído"},
	} {
		main := spaced(b.page(t, lang, path))
		for _, text := range texts {
			require.Contains(t, main, text)
		}
	}
	require.Contains(t, b.get(t, "en", path).Body.String(), `href="/dashboard/orders?reference=o-1"`)
	require.NotContains(t, b.get(t, "en", path).Body.String(), "signature-0000", "a signature is never shown")

	letter, dead := b.deadLetter(t, "101", "timeout: late")
	main := b.page(t, "en", "/dashboard/events/"+itoa(dead))
	require.Contains(t, main, "Attempt 7 failed The attempt timed out timeout: late")
	require.Contains(t, main, "All attempts failed")
	require.Contains(t, b.get(t, "en", "/dashboard/events/"+itoa(dead)).Body.String(), `href="/dashboard/dead-letters/`+itoa(letter)+`"`)

	for _, path := range []string{"999999", "0", "x", "01", "-1"} {
		require.Equal(t, http.StatusNotFound, b.get(t, "en", "/dashboard/events/"+path).Code, path)
	}
}

func TestEvents_AReplayIsDoneOnceAndRecorded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, queueID := b.deadLetter(t, "100", "timeout: late")
	path := "/dashboard/events/" + itoa(queueID)
	at := b.post(t, path+"/replay", nil)
	main := b.page(t, "en", at)
	require.Contains(t, main, "This event replays event "+itoa(queueID))
	require.Contains(t, main, "Created by a replay")

	require.EqualValues(t, 1, b.count(t, `
		SELECT count(*) FROM operator_actions WHERE actor = 'operator' AND action = 'replay' AND queue_ids @> ARRAY[$1::bigint]
		   AND host(remote_ip) = '203.0.113.7' AND request_id = 'call-7'`, queueID))
	require.Contains(t, b.page(t, "en", path), "Replayed By operator (203.0.113.7)")

	w := b.send(t, path+"/replay", nil)
	require.Equal(t, http.StatusConflict, w.Code)
	require.Contains(t, requirePage(t, w, "en"), "is already being replayed")
	require.EqualValues(t, 2, b.count(t, `SELECT count(*) FROM webhook_queue`))
	require.Equal(t, http.StatusNotFound, b.get(t, "en", path+"/replay").Code, "a link replays nothing")
}

func TestEvents_WhatCameFromOutsideIsEscaped(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const evil = `"><script>alert(1)</script>`
	queueID := b.accept(t, "100", func(ev *store.NewEvent) {
		ev.Topic, ev.Action, ev.RequestID, ev.Query, ev.Payload = evil, evil, evil, evil, []byte(evil)
	})
	b.exec(t, `INSERT INTO payments (source, payment_id, order_reference, status, status_detail, amount, currency, live_mode, date_last_updated, fetched_at, raw)
		VALUES ('mercadopago', '100', $1, 'approved', $1, 1, 'ARS', true, now(), now(), convert_to($1, 'UTF8'))`, evil)
	for _, path := range []string{
		"/dashboard/events", "/dashboard/events/" + itoa(queueID), "/dashboard/events?topic=" + url.QueryEscape(evil),
		"/dashboard?span=" + url.QueryEscape(evil),
	} {
		w := b.get(t, "en", path)
		require.Equal(t, http.StatusOK, w.Code)
		requirePage(t, w, "en")
		require.NotContains(t, w.Body.String(), "<script>alert", path)
	}
}
