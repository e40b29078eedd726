package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/storetest"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// The payer of these tests: what a payment says of her, and what of it must be
// nowhere afterwards.
const forgottenPayer = `{"id":"700123456789","email":"ana.payer@example.com","first_name":"Anastasia","last_name":"Payerova",
	"identification":{"type":"DNI","number":"30111222"},"phone":{"area_code":"11","number":"55550123"}}`

var forgottenWords = []string{"700123456789", "ana.payer@example.com", "Anastasia", "Payerova", "30111222", "55550123"}

// payAs creates an approved payment of a payer's; an empty payer is the simulator's.
func payAs(t *testing.T, sim *simulator.Simulator, service, reference, payer string) (paymentID string) {
	t.Helper()
	amount := decimal.RequireFromString("150.00")
	require.NoError(t, register(t.Context(), service, reference, amount, "ARS"))
	paymentID = sim.CreatePayment(simulator.PaymentSpec{Reference: reference, Amount: amount, Status: simulator.Approved, StatusDetail: "accredited"})
	if payer != "" {
		require.NoError(t, sim.SetFields(paymentID, map[string]json.RawMessage{"payer": json.RawMessage(payer)}))
	}
	return paymentID
}

// The whole of a payer's day: bought with a webhook and without one, archived, refused,
// forgotten, and then told of again in every way there is.
func TestForget_TheServiceKeepsNothingOfThePayer(t *testing.T) {
	t.Parallel()
	databaseURL := storetest.URL(t)
	sim, provider := newProvider(t)
	environ := environment(databaseURL, provider, map[string]string{"LOG_LEVEL": "debug", "RETENTION": "1ms"})
	process, service := serve(t, environ)
	awaitBody(t, service+"/api/webhooks/status", statusToken, `"status":"succeeded"`)
	pool := storetest.Open(t, databaseURL)
	desk := &desk{sim: sim, environ: environ, service: service, pool: pool}
	paid := func(reference string) {
		awaitBody(t, desk.service+"/api/orders/"+reference, ordersToken, `"status":"paid"`)
	}
	notify := func(paymentID string) {
		require.NoError(t, sim.SetTarget(desk.service+"/api/checkout/webhook"))
		require.True(t, sim.Notify(t.Context(), paymentID).Acknowledged())
	}

	first := payAs(t, sim, service, "order-1", forgottenPayer)
	notify(first)
	paid("order-1")
	payAs(t, sim, service, "order-2", forgottenPayer)
	other := payAs(t, sim, service, "order-3", "")
	notify(other)
	desk.run(t, "reconcile")
	paid("order-2")
	paid("order-3")
	desk.run(t, "reconcile") // archives what has ended
	require.Positive(t, fixture.Count(t, pool, `SELECT count(*) FROM webhook_archive`))
	refuse := func() {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, desk.service+"/api/checkout/webhook?data.id=1&type=payment",
			strings.NewReader(`{"payer":`+forgottenPayer+`}`))
		require.NoError(t, err)
		req.Header.Set("X-Signature", "ts=1,v1=00")
		status, _, err := answerTo(req)
		require.NoError(t, err)
		require.Equal(t, http.StatusUnauthorized, status)
	}
	refuse()
	awaitBody(t, service+"/api/webhooks/refused", statusToken, `"signature_mismatch"`)
	desk.exec(t, `INSERT INTO anomalies (kind, order_reference, closed_at, closed_by, note) VALUES ('unsettled_difference', 'order-1', now(), 'ana', 'Payerova, ana.payer@example.com')`)
	notes := func() []string { return fixture.Find(t, pool, forgottenWords...) }
	require.Greater(t, len(notes()), len(forgottenWords))
	told := []string{"anomalies.note: ana.payer@example.com", "anomalies.note: Payerova"}

	dry := read[store.Forgotten](t, desk, "forget", "--email", "Ana.Payer@example.com", "--dry-run")
	require.Len(t, dry.Payments, 2)
	done := read[store.Forgotten](t, desk, "forget", "--email", "Ana.Payer@example.com")
	dry.DryRun = false
	require.Equal(t, dry, done)
	require.Equal(t, []store.Mention{{Table: "anomalies", Column: "note", Key: done.Mentions[0].Key}}, done.Mentions)
	require.ElementsMatch(t, told, notes())

	again := func(way string) {
		t.Helper()
		// Until all of it has ended.
		fixture.Await(t, func() bool {
			return fixture.Count(t, pool, `SELECT count(*) FROM webhook_queue WHERE completed_at IS NULL`) == 0
		})
		require.ElementsMatch(t, told, notes(), way)
	}
	notify(first)
	again("a webhook")
	desk.run(t, "reconcile", "--since", "7d")
	again("a reconciliation")
	desk.run(t, "events", "replay", fmt.Sprint(fixture.Count(t, pool, `SELECT min(id) FROM webhook_archive WHERE resource_id = $1`, first)))
	again("a replay")
	require.NoError(t, sim.Move(first, simulator.Refunded, "refunded", decimal.RequireFromString("150.00")))
	notify(first)
	awaitBody(t, desk.service+"/api/orders/order-1", ordersToken, `"status":"refunded"`)
	again("a refund")
	refuse()
	fixture.Await(t, func() bool { return fixture.Count(t, pool, `SELECT count(*) FROM webhook_refused`) == 2 })
	again("a refused delivery")
	logs := process.out.String() + process.err.String()
	process.kill()
	process, desk.service = serve(t, environ)
	bought := payAs(t, sim, desk.service, "order-4", forgottenPayer)
	notify(bought)
	paid("order-4")
	again("a new purchase, after a restart")

	require.Contains(t, desk.run(t, "verify"), "all invariants hold")
	require.Contains(t, desk.run(t, "reconcile", "--check"), " 0 differences")
	require.Equal(t, 1, fixture.Count(t, pool, `SELECT count(*) FROM payments WHERE payment_id = $1 AND raw <> ''`, other), "another payer")
	require.Equal(t, exitDone, process.stop())
	logs += process.out.String() + process.err.String()
	for _, word := range forgottenWords {
		require.NotContains(t, logs, word)
	}
}

func TestForget_TellsWhatIsWrong(t *testing.T) {
	t.Parallel()
	desk := openDesk(t)
	for _, c := range []struct {
		code int
		says string
		args []string
	}{
		{exitUsage, "payer-id", nil},
		{exitUsage, "payer-id", []string{"--payer-id", "1", "--email", "a@b"}},
		{exitUsage, "--payer-id takes a number", []string{"--payer-id", "ana"}},
		{exitUsage, "--email takes an e-mail address", []string{"--email", "ana"}},
		{exitUsage, "--order takes one reference", []string{"--order", ""}},
		{exitFailed, `There is no order "none".`, []string{"--order", "none"}},
		{exitDone, "", []string{"--email", "nobody@example.com"}},
	} {
		got := execute(t, desk.environ, append([]string{"forget"}, c.args...)...)
		require.Equal(t, c.code, got.code, "%v: %s", c.args, got.err)
		require.Contains(t, got.err, c.says)
	}
	// This service receives and works nothing: the event stays open.
	require.NoError(t, desk.sim.SetTarget(desk.service+"/api/checkout/webhook"))
	id := payAs(t, desk.sim, desk.service, "order-1", forgottenPayer)
	desk.exec(t, `INSERT INTO payments (source, payment_id, status, amount, currency, live_mode, date_last_updated, fetched_at, raw)
		VALUES ('mercadopago', $1, 'approved', 150, 'ARS', true, now(), now(), $2)`, id, []byte(`{"payer":`+forgottenPayer+`}`))
	require.True(t, desk.sim.Notify(t.Context(), id).Acknowledged())
	got := execute(t, desk.environ, "forget", "--payer-id", "700123456789")
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.err, "Nothing was forgotten: these events of the payer's have not ended")
	require.Contains(t, got.out, "events that have to end first")
}
