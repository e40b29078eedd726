package e2e

import (
	"strconv"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/cmd/conciliar/bench"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
	"github.com/conciliar/conciliar/store/storetest"
)

// seedWeek makes a week of events that were settled, as the account of the access token
// was paid: payments of another account pay no order, and a reconciliation would stop at
// so many. Those of topics that are handled by now are left out: they would be replayed.
func seedWeek(t *testing.T, databaseURL string, events int) {
	t.Helper()
	pool := storetest.Open(t, databaseURL)
	defer pool.Close()
	_, err := bench.Seed(t.Context(), pool, bench.Size{Completed: events}, t.Logf)
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), `UPDATE payments SET collector_id = $1`, strconv.Itoa(simulator.DefaultCollectorID))
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), `SET session_replication_role = replica; DELETE FROM webhook_queue WHERE outcome = 'unhandled'; RESET session_replication_role`)
	require.NoError(t, err)
}

// awaitHistory waits until so many days are counted, which the overview shows.
func awaitHistory(t *testing.T, databaseURL string, days int) {
	t.Helper()
	pool := storetest.Open(t, databaseURL)
	defer pool.Close()
	require.Eventually(t, func() bool {
		var counted int
		err := pool.QueryRow(t.Context(), `SELECT count(DISTINCT began_at::date) FROM webhook_activity_hours`).Scan(&counted)
		return err == nil && counted >= days
	}, 5*patience, time.Second)
}

// A day with two people: one has a phone, one a desk, and the database is stopped between
// what they look at and what they do about it.
func TestBrowser_AnOperatorsDayOnAPhone(t *testing.T) {
	t.Parallel()
	sim, provider := newProvider(t)
	address, stop, start := ownDatabase(t)
	environ := environment(address, provider, map[string]string{"RETRY_MAX_ATTEMPTS": "1"})
	migrated := execute(t, environ, "migrate")
	require.Zero(t, migrated.code, migrated.err)
	seedWeek(t, address, 200)
	_, service := serve(t, environ)
	buy(t, sim, service, "order-1")
	stray := strayPayment(sim)
	require.NoError(t, sim.Notify(t.Context(), stray).Err)
	awaitBody(t, service+"/api/webhooks/anomalies", statusToken, `"unknown_order"`)
	early := nextID(t, stray)
	sendSigned(t, service, early)
	awaitBody(t, service+"/api/webhooks/status", statusToken, `"by_reason":{"retries_exhausted":1}`)
	awaitHistory(t, address, 6)

	phone := newBrowser(t, service, "pt-BR")
	phone.expect("503")
	require.NoError(t, chromedp.Do(phone.ctx, chromedp.EmulateViewport(360, 740)))
	phone.logIn(t)
	phone.awaitText(t, "1 evento com falha")
	// The whole menu is on the screen, with what waits; the rest is one press away.
	phone.await(t, `document.getElementById("side").getBoundingClientRect().bottom === innerHeight`)
	phone.await(t, `[...document.querySelectorAll("#side > ul a, #more > summary")].length === 5`)
	phone.await(t, `[...document.querySelectorAll("#side > ul a, #more > summary")].every(e => {
		const at = e.getBoundingClientRect();
		return at.left >= 0 && at.right <= innerWidth && at.height >= 44 && e.scrollWidth <= e.clientWidth })`)
	phone.await(t, `document.querySelector('#side a[href="/dashboard/dead-letters"] .count').innerText.startsWith("1")`)
	require.Empty(t, phone.accessibility(t), "the overview with its charts")
	phone.press(t, `#more > summary`)
	phone.await(t, `document.querySelector('#more a[href="/dashboard/payments"]').getBoundingClientRect().top >= 0`)
	require.Empty(t, phone.accessibility(t), "the menu")
	phone.press(t, `#more a[href="/dashboard/events"]`)
	phone.awaitPath(t, "/dashboard/events")
	phone.await(t, `getComputedStyle(document.querySelector("#more > summary")).fontWeight === "600"`) // where one is
	phone.press(t, `#side a[href="/dashboard/dead-letters"]`)
	phone.awaitText(t, "O Mercado Pago não conhece o pagamento (404)")
	phone.await(t, `[...document.querySelectorAll(".acts button, .acts .button")].every(e => {
		const at = e.getBoundingClientRect(); return at.left >= 0 && at.right <= innerWidth })`)

	desk := newBrowser(t, service, "es-AR")
	desk.expect("503")
	desk.logIn(t)
	desk.await(t, `document.querySelectorAll(".plot a").length > 20`)
	stop()
	desk.awaitText(t, "la base de datos no responde")
	phone.press(t, `#side a[href="/dashboard/orders"]`)
	phone.awaitText(t, "O banco de dados não responde")
	require.Empty(t, phone.accessibility(t), "without the database")
	amount := decimal.RequireFromString("80.00")
	require.Equal(t, early, sim.CreatePayment(simulator.PaymentSpec{
		Reference: "order-2", Amount: amount, Status: simulator.Approved, StatusDetail: "accredited",
	}))
	start()
	phone.awaitText(t, "Pedidos")
	phone.await(t, `document.querySelector("#side") !== null`)
	desk.await(t, `document.getElementById("stale").hidden`)

	// What failed is done from its card, and seen on the order's page.
	require.NoError(t, register(t.Context(), service, "order-2", amount, "ARS"))
	phone.open(t, "/dashboard/dead-letters")
	phone.press(t, `td.acts form[action$="/replay"] button`)
	phone.awaitText(t, "Este evento reprocessa o evento")
	phone.open(t, "/dashboard/orders?reference=order-2")
	phone.awaitText(t, "Pago: há ARS\u00a080,00")
	phone.await(t, `document.documentElement.scrollWidth <= 360`)
	// The desk's page follows without being loaded: the count in its menu is gone.
	desk.await(t, `document.querySelector('#side a[href="/dashboard/dead-letters"] .count') === null`)
	desk.awaitText(t, "Para ti: nada por decidir")
	desk.press(t, `.plot a:nth-last-of-type(3)`)
	desk.await(t, `location.pathname === "/dashboard/events" && location.search.startsWith("?since=")`)
	desk.awaitText(t, "Desde")
}
