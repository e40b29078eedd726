package e2e

import (
	"net/http"
	"strconv"
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
	_, service := serve(t, environment(storetest.URL(t), provider, map[string]string{"RETRY_MAX_ATTEMPTS": "1", "REFUNDS": "enabled"}))
	buy(t, sim, service, "order-1")
	stray := strayPayment(sim)
	require.NoError(t, sim.Notify(t.Context(), stray).Err)
	awaitBody(t, service+"/api/webhooks/anomalies", statusToken, `"unknown_order"`)
	// Payments that Mercado Pago does not know, of which one is merely early:
	// it is the next that will be made.
	early := nextID(t, stray)
	sendSigned(t, service, early)
	awaitBody(t, service+"/api/webhooks/status", statusToken, `"by_reason":{"retries_exhausted":1}`)
	sendSigned(t, service, "992")
	sendSigned(t, service, "993")
	awaitBody(t, service+"/api/webhooks/status", statusToken, `"by_reason":{"retries_exhausted":3}`)
	refuse(t, service)

	b := newBrowser(t, service, "en-US")
	b.logIn(t)
	// An event that failed says why. Once Mercado Pago knows the payment, its
	// replay pays the order, and the event says who pressed it.
	b.open(t, "/dashboard/events/3")
	b.awaitText(t, "Attempt 1 failed")
	b.awaitText(t, "Mercado Pago does not know the payment (404)")
	amount := decimal.RequireFromString("80.00")
	require.NoError(t, register(t.Context(), service, "order-2", amount, "ARS"))
	require.Equal(t, early, sim.CreatePayment(simulator.PaymentSpec{
		Reference: "order-2", Amount: amount, Status: simulator.Approved, StatusDetail: "accredited",
	}))
	b.press(t, `form[action="/dashboard/events/3/replay"] button`)
	b.awaitText(t, "By operator")
	b.open(t, "/dashboard/orders?reference=order-2")
	b.awaitText(t, "Paid: ARS")
	// The payment's page is one step away, and leads back.
	b.press(t, `table a[href="/dashboard/payments?payment=`+early+`"]`)
	b.awaitPath(t, "/dashboard/payments?payment="+early)
	b.awaitText(t, "80.00")
	b.press(t, `dd a[href="/dashboard/orders?reference=order-2"]`)
	b.awaitPath(t, "/dashboard/orders?reference=order-2")
	b.press(t, `a.button[href^="#refund-"]`)
	b.fill(t, `form[action="/dashboard/refunds"] [name=again]`, "80.00")
	b.fill(t, `form[action="/dashboard/refunds"] [name=note]`, "it broke")
	require.Empty(t, b.accessibility(t), "an order that can be refunded")
	b.press(t, `form[action="/dashboard/refunds"] button`)
	b.awaitText(t, "Refund requested.")
	b.open(t, "/dashboard/refunds?state=done")
	b.awaitText(t, "it broke") // the list follows by itself
	require.Empty(t, b.accessibility(t), "refunds")

	b.open(t, "/dashboard/dead-letters")
	b.press(t, `a.button[href*="/dashboard/dead-letters/replay?"][href*="reason=retries_exhausted"]`)
	b.awaitText(t, "2 open ones match.")
	require.Empty(t, b.accessibility(t), "the question before a bulk replay")
	b.press(t, `form[action="/dashboard/dead-letters/replay"] button`)
	b.awaitPath(t, "/dashboard/replays/1")
	b.awaitText(t, "2 of 2 replayed.") // the page follows by itself
	b.awaitText(t, "operator")
	require.Empty(t, b.accessibility(t), "a bulk replay")

	b.open(t, "/dashboard/anomalies/1")
	b.fill(t, `[name=note]`, "paid at the counter")
	b.press(t, `form[action$="/resolve"] button`)
	b.awaitText(t, "Anomaly resolved.")
	b.awaitText(t, "paid at the counter")
	b.awaitText(t, "operator")

	b.open(t, "/dashboard/runs")
	b.press(t, `form[action="/dashboard/runs"] button`)
	b.awaitText(t, "Reconciliation started.")
	b.await(t, `document.querySelector("h1 .badge").innerText.toLowerCase() === "succeeded"`)
	b.awaitText(t, "operator")
	b.awaitText(t, "What it found")
	require.Empty(t, b.accessibility(t), "a reconciliation")

	b.open(t, "/dashboard/refused")
	b.awaitText(t, "By hour, sender and reason")
	require.Empty(t, b.accessibility(t), "what was refused")
	b.open(t, "/dashboard/refused/1")
	b.awaitText(t, "copy the secret from Mercado Pago's panel")

	b.expect(`status of 404`)
	b.open(t, "/dashboard/events/999999")
	b.await(t, `document.querySelector("h1")`)
	require.Empty(t, b.accessibility(t), "the page of an error")
}

// nextID is the id of the payment that the simulator makes after this one.
func nextID(t *testing.T, id string) string {
	t.Helper()
	n, err := strconv.ParseInt(id, 10, 64)
	require.NoError(t, err)
	return strconv.FormatInt(n+1, 10)
}

// refuse delivers a webhook that is signed with a secret of somebody else.
func refuse(t *testing.T, service string) {
	t.Helper()
	l := &life{t: t, service: service, said: map[string]string{}}
	l.send("138", "a secret of somebody else")
	require.Contains(t, l.said["the answer to a webhook"], http.StatusText(http.StatusUnauthorized))
	awaitBody(t, service+"/api/webhooks/refused", statusToken, `"signature_mismatch"`)
}
