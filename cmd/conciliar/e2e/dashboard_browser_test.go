package e2e

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api/dashboard"
	"github.com/conciliar/conciliar/store/storetest"
)

// kill makes a dead letter of the event, as its last attempt would.
func kill(t *testing.T, databaseURL string, queueID int) {
	t.Helper()
	pool := storetest.Open(t, databaseURL)
	defer pool.Close()
	tag, err := pool.Exec(t.Context(), `
		UPDATE river_job SET state = 'discarded', attempt = 7, finalized_at = now(),
		       errors = ARRAY['{"at": "2026-01-02T03:04:05Z", "attempt": 7, "error": "timeout: late", "trace": ""}']::jsonb[]
		WHERE id = (SELECT job_id FROM webhook_queue WHERE id = $1)`, queueID)
	require.NoError(t, err)
	require.EqualValues(t, 1, tag.RowsAffected())
}

func TestBrowser_AnOperatorReplaysWhatFailedAndSeesTheOrderPaid(t *testing.T) {
	t.Parallel()
	sim, provider := newProvider(t)
	databaseURL := storetest.URL(t)
	environ := environment(databaseURL, provider, nil)
	_, service := serve(t, environ, "--only", "api")
	buy(t, sim, service, "order-1")
	kill(t, databaseURL, 1)

	b := newBrowser(t, service, "en-US")
	b.logIn(t)
	b.awaitText(t, "1 failed event")
	b.press(t, `.decide a[href="/dashboard/dead-letters"]`)
	b.awaitText(t, "The attempt timed out")
	b.press(t, `input[name=id]`)
	b.press(t, `#chosen button[type=submit]`)
	b.awaitText(t, "1 failed event replayed.")

	// The page is left alone from here on: it notices by itself what a worker does.
	b.open(t, "/dashboard/orders?reference=order-1")
	b.awaitText(t, "Not known whether it is paid.") // nobody works
	serve(t, environ, "--only", "worker")
	b.awaitText(t, "Paid: ARS")
}

// Everything that an operator must do can be done with scripts switched off.
func TestBrowser_WorksWithoutScripts(t *testing.T) {
	t.Parallel()
	sim, provider := newProvider(t)
	databaseURL := storetest.URL(t)
	environ := environment(databaseURL, provider, nil)
	_, service := serve(t, environ, "--only", "api")
	buy(t, sim, service, "order-1")
	kill(t, databaseURL, 1)
	b := newBrowser(t, service, "en-US")
	require.NoError(t, chromedp.Do(b.ctx, chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	})))
	b.logIn(t)
	b.open(t, "/dashboard/dead-letters/1")
	b.fill(t, `form[action$="/dismiss"] [name=note]`, "looked at it")
	b.press(t, `form[action$="/dismiss"] button`)
	b.awaitText(t, "looked at it")
	b.open(t, "/dashboard/events/1")
	b.press(t, `form[action$="/replay"] button`)
	b.awaitText(t, "operator")
	serve(t, environ, "--only", "worker")
	awaitBody(t, service+"/api/orders/order-1", ordersToken, `"status":"paid"`)
	b.open(t, "/dashboard/orders?reference=order-1")
	b.awaitText(t, "Paid: ARS")
}

func TestBrowser_ThreeLanguages(t *testing.T) {
	t.Parallel()
	sim, provider := newProvider(t)
	_, service := serve(t, environment(storetest.URL(t), provider, nil), "--only", "api")
	buy(t, sim, service, "order-1")
	b := newBrowser(t, service, "es-AR")
	b.logIn(t)
	b.awaitText(t, "Ningún proceso está trabajando")
	b.await(t, `document.documentElement.lang === "es"`)
	b.open(t, "/dashboard/orders")
	b.awaitText(t, "ARS\u00a0150,00")
	b.press(t, `footer a[lang="pt-BR"]`)
	b.awaitPath(t, "/dashboard/orders")
	b.awaitText(t, "aguardando pagamento")
	b.await(t, `document.documentElement.lang === "pt-BR"`)
	b.press(t, `footer a[lang="en"]`)
	b.awaitText(t, "awaiting payment")
	b.await(t, `document.documentElement.lang === "en"`)
	b.open(t, "/dashboard")
	b.awaitText(t, "No process is working")
}

func TestBrowser_TheKeyboardIsEnough(t *testing.T) {
	t.Parallel()
	_, provider := newProvider(t)
	_, service := serve(t, environment(storetest.URL(t), provider, nil), "--only", "api")
	b := newBrowser(t, service, "en-US")
	b.logIn(t)
	keys := func(keys string) { require.NoError(t, chromedp.Do(b.ctx, chromedp.KeyEvent(keys))) }

	keys(kb.Tab)
	b.await(t, `document.activeElement.classList.contains("skip")`)
	keys(kb.Enter)
	b.await(t, `document.activeElement.id === "main"`)
	b.open(t, "/dashboard")
	// Past the link that skips, the name, to the search.
	keys(kb.Tab + kb.Tab + kb.Tab)
	b.await(t, `document.activeElement.id === "search"`)
	b.await(t, `getComputedStyle(document.activeElement).outlineStyle === "solid"`) // where one is can be seen
	keys("order-1" + kb.Enter)
	b.awaitPath(t, "/dashboard/search?q=order-1")
	b.awaitText(t, "has this id or reference")

	// Past the search's button and the way out, through the sections, to the
	// button that starts a reconciliation.
	b.open(t, "/dashboard/runs")
	for _, at := range []string{
		`.classList.contains("skip")`, `.matches(".brand")`, `.id === "search"`, `.matches("form.search button")`,
		`.matches("form.logout button")`, `.pathname === "/dashboard"`, `.pathname === "/dashboard/orders"`,
	} {
		keys(kb.Tab)
		b.await(t, "document.activeElement"+at)
	}
	for range 20 { // more than there are stops up to there
		keys(kb.Tab)
		there, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](`document.activeElement.matches("form[action='/dashboard/runs'] button")`))
		require.NoError(t, err)
		if there {
			break
		}
	}
	keys(kb.Enter)
	b.awaitText(t, "Reconciliation started.")
}

// axeCore is the accessibility checker, as .ci/prepare installs it.
var axeCore = sync.OnceValues(func() ([]byte, error) {
	return os.ReadFile(filepath.Join("testdata", "axe", "node_modules", "axe-core", "axe.min.js"))
})

// A flaw is what axe-core says of a page.
type flaw struct {
	ID, Impact, Help string
	Nodes            []string
}

// accessibility runs axe-core in the page and returns what is serious. All of its rules run
// where none is named.
func (b *browser) accessibility(t *testing.T, rules ...string) []flaw {
	t.Helper()
	source, err := axeCore()
	require.NoError(t, err, "axe-core is not installed; .ci/prepare installs it, as make test does")
	again, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("!!window.axe"))
	require.NoError(t, err)
	if !again {
		_, err = chromedp.Run(b.ctx, chromedp.Evaluate[bool](string(source)+"; true"))
		require.NoError(t, err)
	}
	options := map[string]any{"resultTypes": []string{"violations"}} // of the rest it says less, and sooner
	if len(rules) > 0 {
		options["runOnly"] = rules
	}
	as, err := json.Marshal(options)
	require.NoError(t, err)
	found, err := chromedp.Run(b.ctx, chromedp.Evaluate[[]flaw](`
		axe.run(document, `+string(as)+`).then(r => r.violations
			.filter(v => v.impact === "serious" || v.impact === "critical")
			.map(v => ({ID: v.id, Impact: v.impact, Help: v.help, Nodes: v.nodes.map(n => n.html)})))`, chromedp.EvalAwaitPromise))
	require.NoError(t, err)
	return found
}

func TestBrowser_PagesAreAccessible(t *testing.T) {
	t.Parallel()
	sim, provider := newProvider(t)
	databaseURL := storetest.URL(t)
	environ := environment(databaseURL, provider, map[string]string{"REFUNDS": "enabled"})
	_, service := serve(t, environ)
	buy(t, sim, service, "order-1")
	awaitBody(t, service+"/api/orders/order-1", ordersToken, `"status":"paid"`)
	// A payment of no order, a dead letter and a refused delivery: each has pages.
	stray := strayPayment(sim)
	require.NoError(t, sim.Notify(t.Context(), stray).Err)
	awaitBody(t, service+"/api/webhooks/anomalies", statusToken, `"unknown_order"`)
	sendSigned(t, service, "999")
	kill(t, databaseURL, 3)
	status, _ := get(t, service+"/api/checkout/webhook?data.id=1&type=payment", "")
	require.Equal(t, http.StatusBadRequest, status)
	awaitBody(t, service+"/api/webhooks/refused", statusToken, `"unexpected_method"`)
	payOut(t, databaseURL, environ, "order-1")
	showRest(t, databaseURL, "order-1")
	b := newBrowser(t, service, "en-US")
	check := func(path string) {
		b.open(t, path)
		var rules []string
		for _, scheme := range []string{"light", "dark"} {
			require.NoError(t, chromedp.Do(b.ctx, chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
				_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
					Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
				})
				return err
			})))
			require.Empty(t, b.accessibility(t, rules...), "%s in %s", path, scheme)
			rules = []string{"color-contrast", "link-in-text-block"} // a scheme changes nothing else
		}
		// Nothing but tables that scroll by themselves is wider than a phone.
		require.NoError(t, chromedp.Do(b.ctx, chromedp.EmulateViewport(360, 740)))
		b.await(t, `document.documentElement.scrollWidth <= 360`)
		require.Empty(t, b.accessibility(t), "%s on a phone", path)
		require.NoError(t, chromedp.Do(b.ctx, chromedp.EmulateViewport(1280, 900)))
	}
	check("/dashboard/login")
	b.logIn(t)
	for _, path := range checkedPages {
		check("/dashboard" + strings.Replace(path, "{payment}", stray, 1))
	}
}

// checkedPages are those that TestBrowser_PagesAreAccessible looks at: every page, and
// what some of them show instead of a list.
var checkedPages = []string{
	"", "/events", "/events/1", "/events/3", "/orders", "/orders?reference=order-1", "/dead-letters", "/dead-letters/1",
	"/dead-letters/replay", "/dead-letters/dismiss", "/anomalies", "/anomalies/1", "/anomalies/resolve", "/runs", "/runs/1", "/runs/1/findings",
	"/refused", "/refused/1", "/search?q=nothing", "/payouts", "/payouts?payout=91000000002", "/payments", "/payments/days",
	"/payments?payment={payment}", "/refunds", "/refunds/" + shownRefund, "/replays", "/replays/1", "/deliveries", "/deliveries/1", "/actions", "/logins",
}

// shownRefund is the refund that showRest makes.
const shownRefund = "9d1c3cf8-7a3d-4b29-9bd9-0e6b8a3d2a10"

// showRest makes, of the order's payment, a refund that failed, a delivery that was given
// up and a bulk replay: what nothing else brings to the pages.
func showRest(t *testing.T, databaseURL, reference string) {
	t.Helper()
	pool := storetest.Open(t, databaseURL)
	defer pool.Close()
	for _, statement := range []string{
		`INSERT INTO refunds (id, source, payment_id, collector_id, order_reference, amount, currency, whole, requested_by, note, state, sent_at, ended_at, reason, error)
		 SELECT '` + shownRefund + `', source, payment_id, collector_id, order_reference, 40.5, currency, false, 'ana', 'it broke', 'failed', now(), now(), 'forbidden', 'HTTP 403'
		 FROM payments WHERE order_reference = '` + reference + `'`,
		`INSERT INTO delivery_receivers (name, position) VALUES ('order_events', 1) ON CONFLICT DO NOTHING`,
		`WITH made AS (
		     INSERT INTO deliveries (receiver, stream, message_id, order_event_id, state, attempts, ended_at, error_class)
		     SELECT 'order_events', order_reference, id::text, id, 'dead', 1, now(), 'refused' FROM order_events ORDER BY order_events.id LIMIT 1 RETURNING id)
		 INSERT INTO delivery_attempts (delivery_id, number, duration_ms, status, answer) SELECT id, 1, 12, 500, 'no' FROM made`,
		`INSERT INTO webhook_bulk_replays (filter, total, upper_id, requested_by) VALUES ('{"reason": "deleted"}', 1, 1, 'ana')`,
	} {
		_, err := pool.Exec(t.Context(), statement)
		require.NoError(t, err)
	}
}

// requireEveryPage asserts that paths lead to every page that is routed.
func requireEveryPage(t *testing.T, paths []string) {
	t.Helper()
	routes, left := http.NewServeMux(), map[string]bool{}
	for _, r := range dashboard.RouteNeeds() {
		if r.Method == http.MethodGet {
			routes.HandleFunc("GET "+r.Path, http.NotFound)
			left["GET "+r.Path] = true
		}
	}
	for _, file := range []string{"GET /dashboard/export", "GET /dashboard/orders/case"} {
		require.Contains(t, left, file)
		delete(left, file) // a file, no page
	}
	delete(left, "GET /dashboard/{$}") // the overview once more
	for _, path := range paths {
		_, pattern := routes.Handler(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/dashboard"+path, http.NoBody))
		delete(left, pattern)
	}
	require.Empty(t, slices.Sorted(maps.Keys(left)), "pages that nobody looks at")
}

func TestBrowser_EveryPageIsLookedAt(t *testing.T) {
	t.Parallel()
	requireEveryPage(t, checkedPages)
}
