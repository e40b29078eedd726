package dashboard_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/api/dashboard"
	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/storetest"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// languages are how a browser asks for each.
var languages = map[string]string{"en": "en-US,en;q=0.9", "es": "es-AR,es;q=0.9", "pt-BR": "pt-BR,pt;q=0.9"}

var operator = store.Actor{Name: "operator", RemoteIP: netip.MustParseAddr("203.0.113.7"), RequestID: "call-7"}

// A bundle is the dashboard on a database of its own.
type bundle struct {
	http.Handler
	store *store.Store
	pool  *pgxpool.Pool
	logs  *fixture.Logs
	// role is the visitor's.
	role dashboard.Role
	// alertsSent is whether messages about alerts have a receiver.
	alertsSent bool
	// notice is what an action left for the next page.
	notice *http.Cookie
	// at is the dashboard's clock; the real one while it is zero.
	at time.Time
}

// inBuenosAires has the merchant's days in Buenos Aires, three hours behind UTC.
func inBuenosAires(d *dashboard.Deps) {
	var err error
	if d.Zone, err = time.LoadLocation("America/Argentina/Buenos_Aires"); err != nil {
		panic(err)
	}
}

func setup(t testing.TB, change ...func(*dashboard.Deps)) *bundle {
	t.Helper()
	b := &bundle{pool: storetest.Pool(t), logs: &fixture.Logs{}, role: dashboard.RoleAdmin, alertsSent: true}
	fixture.Worker(t, b.pool)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(b.logs.String())
		}
	})
	quiet := slog.New(slog.DiscardHandler)
	config := jobs.Config{
		Workers: 1, JobTimeout: time.Second, RescueAfter: time.Minute, Retention: time.Hour, PayloadRetention: 90 * 24 * time.Hour,
		Backoff: jobs.Backoff{Waits: []time.Duration{time.Minute}, Attempts: 7}, Logger: quiet,
	}
	inserter, err := jobs.NewInserter(b.pool, config)
	require.NoError(t, err)
	b.store, err = store.New(b.pool, store.Options{
		Rules: order.Rules{Mode: order.ModeAny}, UnknownOrder: store.UnknownOrderWait,
		FormJob: inserter.Form, InsertStep: inserter.InsertStep, InsertRefund: inserter.InsertRefund, Logger: quiet,
		ReadPayers: func(_ string, document []byte) store.Payers { return store.Payers(mercadopago.ReadPayers(document)) },
	})
	require.NoError(t, err)
	acts, err := jobs.NewOperator(b.pool, config, b.store)
	require.NoError(t, err)
	verifier, err := mercadopago.NewVerifier([]string{"a-signing-secret-of-these-tests"})
	require.NoError(t, err)
	receiver := mercadopago.NewReceiver(verifier, false)
	deps := dashboard.Deps{
		Storage: b.store, Operator: acts, Provider: mercadopago.DisplayName, Version: "v1.2.3",
		WebhookPath: api.WebhookPath, AlertsSent: func() bool { return b.alertsSent },
		Schedule: func() dashboard.Schedule {
			next := b.now().Add(time.Hour)
			return dashboard.Schedule{Next: &next, Every: time.Hour}
		},
		Diagnose: func(refused store.RefusedDetail) (provider.Diagnosis, error) {
			return api.DiagnosisOf(receiver, refused)
		},
		Logger: slog.New(slog.NewTextHandler(b.logs, nil)), Now: b.now,
	}
	for _, c := range change {
		c(&deps)
	}
	b.Handler, err = dashboard.New(deps)
	require.NoError(t, err)
	return b
}

func (b *bundle) now() time.Time {
	if b.at.IsZero() {
		return time.Now()
	}
	return b.at
}

// do sends one request as a browser of the operator.
func (b *bundle) do(t testing.TB, r *http.Request) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	if b.notice != nil {
		r.AddCookie(b.notice)
	}
	b.ServeHTTP(w, r.WithContext(dashboard.WithActor(t.Context(), operator, b.role)))
	for _, c := range w.Result().Cookies() { // as a browser keeps it
		if c.Name != "conciliar_done" {
			continue
		}
		if b.notice = c; c.MaxAge < 0 {
			b.notice = nil
		}
	}
	return w
}

// get asks for a page in a language.
func (b *bundle) get(t testing.TB, lang, target string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	r.Header.Set("Accept-Language", languages[lang])
	return b.do(t, r)
}

// page asks for a page and returns its main part, checked.
func (b *bundle) page(t testing.TB, lang, target string) string {
	t.Helper()
	w := b.get(t, lang, target)
	require.Equal(t, http.StatusOK, w.Code, w.Body.String())
	return requirePage(t, w, lang)
}

// post sends a form and returns where the answer leads.
func (b *bundle) post(t testing.TB, target string, form url.Values) string {
	t.Helper()
	w := b.send(t, target, form)
	require.Equal(t, http.StatusSeeOther, w.Code, w.Body.String())
	return w.Header().Get("Location")
}

func (b *bundle) send(t testing.TB, target string, form url.Values) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, target, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept-Language", languages["en"])
	return b.do(t, r)
}

// requirePage checks what every page must have, and returns the main part's
// text without markup.
func requirePage(t testing.TB, w *httptest.ResponseRecorder, lang string) string {
	t.Helper()
	require.Equal(t, "text/html; charset=utf-8", w.Header().Get("Content-Type"))
	require.Equal(t, lang, w.Header().Get("Content-Language"))
	require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	root, err := html.Parse(bytes.NewReader(w.Body.Bytes()))
	require.NoError(t, err)
	var main *html.Node
	headings, ids := 0, map[string]bool{}
	labels := map[string]bool{}
	var fields []string
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		at := attributes(n)
		require.Empty(t, at["style"], "the content-security policy refuses inline styles")
		for name := range at {
			require.False(t, strings.HasPrefix(name, "on"), "the content-security policy refuses inline handlers")
		}
		if id := at["id"]; id != "" {
			require.False(t, ids[id], "the id %s is there twice", id)
			ids[id] = true
		}
		switch n.Data {
		case "html":
			require.Equal(t, lang, at["lang"])
		case "main":
			main = n
		case "h1":
			headings++
		case "style", "iframe":
			require.Fail(t, "the content-security policy refuses it", n.Data)
		case "script":
			require.NotEmpty(t, at["src"], "the content-security policy refuses inline scripts")
		case "table":
			require.NotNil(t, firstChild(n, "caption"), "a table without a caption")
		case "img":
			_, ok := at["alt"]
			require.True(t, ok, "an image without a text")
		case "label":
			labels[at["for"]] = true
		case "input", "select", "textarea":
			if at["type"] != "hidden" && at["aria-hidden"] != "true" && at["aria-label"] == "" {
				require.NotEmpty(t, at["id"], "a field without a label: %v", at)
				fields = append(fields, at["id"])
			}
		case "a":
			requireOwn(t, at["href"])
		}
	}
	for _, id := range fields {
		require.True(t, labels[id], "the field %s has no label", id)
	}
	require.Equal(t, 1, headings, "a page has one h1")
	require.NotNil(t, main)
	return textOf(main)
}

// requireOwn checks that a link stays here.
func requireOwn(t testing.TB, href string) {
	t.Helper()
	require.True(t, strings.HasPrefix(href, "/dashboard") || strings.HasPrefix(href, "/riverui/") || strings.HasPrefix(href, "#"), "a link leads to %q", href)
}

func attributes(n *html.Node) map[string]string {
	at := map[string]string{}
	for _, a := range n.Attr {
		at[a.Key] = a.Val
	}
	return at
}

func firstChild(n *html.Node, name string) *html.Node {
	for c := range n.ChildNodes() {
		if c.Type == html.ElementNode && c.Data == name {
			return c
		}
	}
	return nil
}

// textOf is an element's text with single spaces.
func textOf(n *html.Node) string {
	var b strings.Builder
	for c := range n.Descendants() {
		if c.Type == html.TextNode {
			b.WriteString(c.Data + " ")
		}
	}
	return strings.Join(strings.FieldsFunc(b.String(), func(r rune) bool { return r == ' ' || r == '\n' || r == '\t' }), " ")
}

func (b *bundle) exec(t testing.TB, query string, args ...any) {
	t.Helper()
	_, err := b.pool.Exec(t.Context(), query, args...)
	require.NoError(t, err)
}

func (b *bundle) count(t testing.TB, query string, args ...any) int64 {
	t.Helper()
	return int64(fixture.Count(t, b.pool, query, args...))
}

// event is a new event about a payment.
func (b *bundle) accept(t testing.TB, paymentID string, change ...func(*store.NewEvent)) int64 {
	t.Helper()
	ev := store.NewEvent{
		Source: "mercadopago", Topic: "payment", Action: "payment.updated", ResourceID: paymentID, Work: store.WorkPayment, Origin: store.OriginWebhook,
		Payload: []byte(`{"data":{"id":"` + paymentID + `"}}`), RequestID: "delivery-" + paymentID,
		Signed: true, Signature: fmt.Appendf(nil, "signature-%08d", b.count(t, `SELECT count(*) FROM webhook_queue`)),
	}
	for _, c := range change {
		c(&ev)
	}
	return fixture.Accept(t, b.store, ev)
}

// settle applies a payment through an event about it.
func (b *bundle) settle(t testing.TB, reference string, p order.Payment) int64 {
	t.Helper()
	queueID := b.accept(t, p.ID)
	fixture.Settle(t, b.store, b.pool, queueID, store.FetchedPayment{
		Source: "mercadopago", Payment: p, Reference: reference, Raw: []byte(`{"id":` + strconv.Quote(p.ID) + `}`),
	})
	return queueID
}

func payment(id string, status order.PaymentStatus, amount string) order.Payment {
	return order.Payment{
		ID: id, Status: status, Amount: decimal.NewNullDecimal(decimal.RequireFromString(amount)), Currency: "ARS", CollectorID: "1", LiveMode: true,
		UpdatedAt: time.Now(), FetchedAt: time.Now(),
	}
}

// register makes an order known.
func (b *bundle) register(t testing.TB, reference, amount string) {
	t.Helper()
	fixture.Register(t, b.store, reference, amount)
}

// dead is a dead letter and its event.
func (b *bundle) deadLetter(t testing.TB, paymentID, lastError string) (letter, queueID int64) {
	t.Helper()
	queueID = b.accept(t, paymentID)
	fixture.Die(t, b.pool, queueID, 7, lastError)
	return b.count(t, `SELECT id FROM webhook_dead_letter WHERE queue_id = $1`, queueID), queueID
}

// spaced is a text with plain spaces where it has ones that do not break.
func spaced(text string) string {
	return strings.NewReplacer("\u00a0", " ", "\u202f", " ").Replace(text)
}
