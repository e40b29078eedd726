package main

import (
	"net/http"
	"testing"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
	"github.com/conciliar/conciliar/store/storetest"
)

// What an operator does in a day beside replaying one event: many at once, with
// the count that was agreed to; an anomaly closed with a note; a reconciliation;
// and the question why a delivery was refused.
func TestBrowser_AnOperatorsDay(t *testing.T) {
	t.Parallel()
	sim, provider := newProvider(t)
	_, service := serve(t, environment(storetest.URL(t), provider, map[string]string{"RETRY_MAX_ATTEMPTS": "1"}))
	buy(t, sim, service, "order-1")
	stray := sim.CreatePayment(simulator.PaymentSpec{
		Reference: "nobody's", Amount: decimal.RequireFromString("10.00"), Status: simulator.Approved, StatusDetail: "accredited",
	})
	require.NoError(t, sim.Notify(t.Context(), stray).Err)
	awaitBody(t, service+"/api/webhooks/anomalies", statusToken, `"unknown_order"`)
	// Two payments that Mercado Pago does not know.
	sendSigned(t, service, "991")
	sendSigned(t, service, "992")
	awaitBody(t, service+"/api/webhooks/status", statusToken, `"by_reason":{"retries_exhausted":2}`)
	refuse(t, service)

	b := newBrowser(t, service, "en-US")
	b.logIn(t)
	b.open(t, "/dashboard/dead-letters")
	b.press(t, `a.button[href^="/dashboard/dead-letters/replay?reason=retries_exhausted"]`)
	b.awaitText(t, "2 open dead letters match. Replay them?")
	require.Empty(t, b.accessibility(t), "the question before a bulk replay")
	b.press(t, `form[action="/dashboard/dead-letters/replay"] button`)
	b.awaitPath(t, "/dashboard/replays/1")
	b.awaitText(t, "2 of 2 are replayed.") // the page follows by itself
	b.awaitText(t, "operator")
	require.Empty(t, b.accessibility(t), "a bulk replay")

	b.open(t, "/dashboard/anomalies/1")
	b.fill(t, `[name=note]`, "paid at the counter")
	b.press(t, `form[action$="/resolve"] button`)
	b.awaitText(t, "The anomaly is resolved.")
	b.awaitText(t, "paid at the counter")
	b.awaitText(t, "operator")

	b.open(t, "/dashboard/runs")
	b.press(t, `form[action="/dashboard/runs"] button`)
	b.awaitText(t, "The reconciliation has started.")
	b.await(t, `document.querySelector("h1 .badge").innerText.toLowerCase() === "succeeded"`)
	b.awaitText(t, "operator")

	b.open(t, "/dashboard/refused/1")
	b.awaitText(t, "Copy the secret again from Mercado Pago's panel")

	b.expect(`status of 404`)
	b.open(t, "/dashboard/events/999999")
	b.await(t, `document.querySelector("h1")`)
	require.Empty(t, b.accessibility(t), "the page of an error")
}

// refuse delivers a webhook that is signed with a secret of somebody else.
func refuse(t *testing.T, service string) {
	t.Helper()
	l := &life{t: t, service: service, said: map[string]string{}}
	l.send("138", "a secret of somebody else")
	require.Contains(t, l.said["the answer to a webhook"], http.StatusText(http.StatusUnauthorized))
	awaitBody(t, service+"/api/webhooks/refused", statusToken, `"signature_mismatch"`)
}
