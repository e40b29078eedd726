package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api"
)

func TestWebhookPath_ASlashMoreIsTheSamePath(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	first := requireReceipt(t, b.do(t, signed("77", "1742505638")))
	for _, path := range []string{"/api/checkout/webhook/", "/api//checkout/webhook", "//api/checkout//webhook//"} {
		c := signed("77", "1742505638")
		c.target = strings.Replace(c.target, api.WebhookPath, path, 1)
		require.Equal(t, receipt{Status: "queued", QueueID: first.QueueID, Duplicate: true}, requireReceipt(t, b.do(t, c)), path)
	}
	forged := forged()
	forged.target = strings.Replace(forged.target, api.WebhookPath, "/api/checkout/webhook/", 1)
	requireProblem(t, b.do(t, forged), http.StatusUnauthorized, "webhook_unauthenticated")
	b.requireRefused(t, 1)
}

func TestWebhookPath_WhatMissesItIsRecorded(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	at := func(method, path string) call {
		c := signed("77", "1742505638")
		c.method, c.target = method, strings.Replace(c.target, api.WebhookPath, path, 1)
		return c
	}
	unsigned := at(http.MethodPost, "/checkout/Webhook")
	delete(unsigned.header, "X-Signature")
	for _, c := range []call{at(http.MethodPost, "/elsewhere"), at(http.MethodPost, "/api/checkout/%77ebhook"), unsigned} {
		requireProblem(t, b.do(t, c), http.StatusNotFound, "not_found")
	}
	w := b.do(t, at(http.MethodPut, api.WebhookPath))
	requireProblem(t, w, http.StatusMethodNotAllowed, "method_not_allowed")
	require.Contains(t, w.Header().Get("Allow"), "POST")
	requireProblem(t, b.do(t, at(http.MethodDelete, api.WebhookPath+"/")), http.StatusNotFound, "not_found")
	b.requireRefused(t, 5)
	require.Equal(t, 4, b.count(t, `SELECT count(*) FROM webhook_refused WHERE reason = 'path_unknown' AND source = 'mercadopago'`))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM webhook_refused WHERE reason = 'method_not_allowed' AND method = 'PUT'`))

	for _, path := range []string{"/api/webhooks/statuss", "/favicon.ico"} {
		requireProblem(t, b.do(t, call{method: http.MethodGet, target: path}), http.StatusNotFound, "not_found")
	}
	b.requireRefused(t, 5)
	require.Zero(t, b.count(t, `SELECT count(*) FROM webhook_queue`))
}

func TestWebhook_AnotherTopicSentFirstHidesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	asTopic := func(topic, body string) receipt {
		c := signed("77", "1742505638")
		c.target = strings.Replace(c.target, "type=payment", "type="+topic, 1)
		c.body = strings.NewReader(body)
		return requireReceipt(t, b.do(t, c))
	}
	first := asTopic("claims", `{}`)
	require.False(t, first.Duplicate)
	payment := asTopic("payment", `{"action":"test.created","live_mode":false}`)
	require.False(t, payment.Duplicate, "the true delivery is taken whatever came before it")
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM webhook_queue WHERE id = $1 AND work = 'payment' AND outcome IS NULL`, payment.QueueID))
	for i := range 45 {
		require.Equal(t, first.QueueID, asTopic("zz"+strings.Repeat("x", i), `{}`).QueueID, "topics without effect are one")
	}
	require.NotContains(t, b.scrape(t), "zz", "a label is never the sender's text")
}

func TestWebhook_ASignatureWithoutAnIDIsLimited(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{deps: func(d *api.Deps) { d.UnverifiedRate = 1 }})
	ask := func(id string) int {
		c := signed("", "1742505638")
		c.target = api.WebhookPath + "?type=payment"
		c.body = strings.NewReader(`{"type":"payment","data":{"id":"` + id + `"}}`)
		return b.do(t, c).Code
	}
	for i := range 16 {
		require.Equal(t, http.StatusOK, ask("9"+strings.Repeat("0", i)))
	}
	require.Equal(t, 16, b.count(t, `SELECT count(DISTINCT resource_id) FROM webhook_queue WHERE work = 'payment' AND signed`))
	limited := 0
	for i := range 60 {
		if ask("8"+strings.Repeat("0", i)) == http.StatusTooManyRequests {
			limited++
		}
	}
	require.Positive(t, limited, "further ones are limited as those without a signature")
	require.Equal(t, http.StatusOK, ask("9"), "the same again is none more")
}
