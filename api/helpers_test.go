package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

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

const (
	secret    = "a-signing-secret-of-these-tests"
	requestID = "2066ca19-c6f1-498a-be75-1923005edd06"

	statusToken    = "status-token-0123456789"
	statusToken2   = "status-token-after-rotation"
	processToken   = "process-token-0123456789"
	reconcileToken = "reconcile-token-0123456789"
	ordersToken    = "orders-token-0123456789"
	// operatorPassword has what a form must encode.
	operatorPassword = "a password & more=50%+ñ"
)

// A bundle is the API on a database of its own, with the real parts behind it.
type bundle struct {
	http.Handler
	tb      testing.TB
	deps    api.Deps
	pool    *pgxpool.Pool
	store   *store.Store
	inbox   *store.Inbox
	refused *store.RefusedLog
	sources *store.SourceLog
	clock   *fixture.Clock
	logs    *fixture.Logs
}

type setupOptions struct {
	allowUnsigned bool
	inbox         store.InboxOptions
	deps          func(*api.Deps)
}

func setup(tb testing.TB, opts setupOptions) *bundle {
	tb.Helper()
	b := &bundle{tb: tb, pool: storetest.Pool(tb), clock: fixture.ClockAt(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)), logs: &fixture.Logs{}}
	logger := slog.New(slog.NewJSONHandler(b.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))

	jobsConfig := jobs.Config{
		Workers: 1, JobTimeout: time.Second, RescueAfter: time.Minute, Retention: time.Hour, PayloadRetention: 90 * 24 * time.Hour,
		Backoff: jobs.Backoff{Waits: []time.Duration{time.Minute}, Attempts: 7}, Logger: slog.New(slog.DiscardHandler),
	}
	inserter, err := jobs.NewInserter(b.pool, jobsConfig)
	require.NoError(tb, err)
	b.store, err = store.New(b.pool, store.Options{
		Rules: order.Rules{Mode: order.ModeAny}, UnknownOrder: store.UnknownOrderWait,
		FormJob: inserter.Form, InsertStep: inserter.InsertStep, InsertRefund: inserter.InsertRefund, Logger: slog.New(slog.DiscardHandler),
		ReadPayers: func(_ string, document []byte) store.Payers { return store.Payers(mercadopago.ReadPayers(document)) },
	})
	require.NoError(tb, err)
	b.inbox, err = store.NewInbox(b.store, opts.inbox)
	require.NoError(tb, err)
	tb.Cleanup(b.inbox.Close)
	b.refused = store.NewRefusedLog(b.store)
	tb.Cleanup(b.refused.Close)

	b.sources = store.NewSourceLog(b.store)
	tb.Cleanup(b.sources.Close)

	verifier, err := mercadopago.NewVerifier([]string{secret})
	require.NoError(tb, err)
	operator, err := jobs.NewOperator(b.pool, jobsConfig, b.store)
	require.NoError(tb, err)
	pages, err := dashboard.New(dashboard.Deps{
		WebhookPath: api.WebhookPath, AlertsSent: func() bool { return false }, Refunds: true,
		Storage: b.store, Operator: operator, Provider: mercadopago.DisplayName, Schedule: func() dashboard.Schedule { return dashboard.Schedule{} }, Logger: logger,
		Diagnose: func(store.RefusedDetail) (provider.Diagnosis, error) { return provider.Diagnosis{}, nil },
	})
	require.NoError(tb, err)
	b.deps = api.Deps{
		Storage: b.store, Operator: operator, Inbox: b.inbox, Refused: b.refused, Sources: b.sources,
		Webhooks: []api.Webhook{{
			Path: api.WebhookPath, Source: mercadopago.Source, Topics: mercadopago.TopicNames(),
			Receiver: mercadopago.NewReceiver(verifier, opts.allowUnsigned),
		}},
		Operators: []api.Operator{{Name: "operator", Role: dashboard.RoleAdmin, Password: operatorPassword}}, Dashboard: pages, Provider: mercadopago.DisplayName, RiverUI: newRiverUI(tb, b.store, operator),
		Ready: []api.Check{{Name: "database", Check: func(ctx context.Context, show func(any)) error {
			server, err := b.store.Server(ctx)
			show(server.Durability)
			return err
		}}},
		Tokens: api.Tokens{
			Status: []string{statusToken, statusToken2}, ProcessQueue: []string{processToken},
			Reconcile: []string{reconcileToken}, Orders: []string{ordersToken},
		},
		Extras:       func() api.StatusExtras { return api.StatusExtras{Version: "v1.2.3"} },
		SourceIPMode: api.SourceIPObserve,
		APIRate:      200, UnverifiedRate: 20, Refunds: true,
		Logger: logger, Now: b.clock.Now,
	}
	if opts.deps != nil {
		opts.deps(&b.deps)
	}
	b.Handler, err = api.New(b.deps)
	require.NoError(tb, err)
	return b
}

// A call is one request to the handler, from peer.
type call struct {
	method, target string
	peer           string
	header         http.Header
	body           io.Reader
	ctx            context.Context
}

func (b *bundle) do(tb testing.TB, c call) *httptest.ResponseRecorder {
	tb.Helper()
	w := b.serve(tb.Context(), c)
	require.NotEmpty(tb, w.Header().Get("X-Request-Id"), "every answer has an id")
	return w
}

// serve is do for goroutines. Every answer, and every call that was accepted,
// must be as openapi.yaml describes it.
func (b *bundle) serve(ctx context.Context, c call) *httptest.ResponseRecorder {
	if c.ctx != nil {
		ctx = c.ctx
	}
	r := httptest.NewRequestWithContext(ctx, c.method, c.target, c.body)
	r.RemoteAddr = "203.0.113.7:41000"
	if c.peer != "" {
		r.RemoteAddr = c.peer
	}
	for name, values := range c.header {
		r.Header[http.CanonicalHeaderKey(name)] = values
	}
	w, body := httptest.NewRecorder(), watch(r)
	b.ServeHTTP(w, r)
	if err := hold(b.deps, r, body, w); err != nil {
		b.tb.Error(err) // which any goroutine may, unlike require
	}
	return w
}

// signed is a correctly signed payment notification.
func signed(id, ts string) call {
	return call{
		method: http.MethodPost,
		target: api.WebhookPath + "?data.id=" + id + "&type=payment",
		header: http.Header{
			"X-Signature":  {mercadopago.Sign(secret, id, requestID, ts)},
			"X-Request-Id": {requestID},
			"Content-Type": {"application/json"},
		},
		body: strings.NewReader(`{"action":"payment.updated","data":{"id":"` + id + `"},"live_mode":true,"type":"payment"}`),
	}
}

// forged is the same with a signature that does not hold.
func forged() call {
	c := signed("1", "1742505638")
	c.header["X-Signature"] = []string{mercadopago.Sign("another secret", "1", requestID, "1742505638")}
	return c
}

func bearer(token string) http.Header {
	return http.Header{"Authorization": {"Bearer " + token}}
}

func putOrder(path, body string) call {
	h := bearer(ordersToken)
	h["Content-Type"] = []string{"application/json"}
	return call{method: http.MethodPut, target: path, header: h, body: strings.NewReader(body)}
}

func requireProblem(tb testing.TB, w *httptest.ResponseRecorder, status int, code string) api.Problem {
	tb.Helper()
	require.Equal(tb, status, w.Code, w.Body.String())
	require.Equal(tb, "application/problem+json", w.Header().Get("Content-Type"))
	dec := json.NewDecoder(bytes.NewReader(w.Body.Bytes()))
	dec.DisallowUnknownFields()
	var p api.Problem
	require.NoError(tb, dec.Decode(&p))
	require.Equal(tb, code, p.Code, p.Detail)
	require.Equal(tb, status, p.Status)
	require.Equal(tb, w.Header().Get("X-Request-Id"), p.RequestID)
	require.NotEmpty(tb, p.Title)
	require.NotEmpty(tb, p.Detail)
	require.True(tb, strings.HasSuffix(p.Type, "#"+code), p.Type)
	return p
}

type receipt struct {
	Status    string `json:"status"`
	QueueID   int64  `json:"queue_id"`
	Duplicate bool   `json:"duplicate"`
}

func requireReceipt(tb testing.TB, w *httptest.ResponseRecorder) receipt {
	tb.Helper()
	require.Equal(tb, http.StatusOK, w.Code, w.Body.String())
	require.Equal(tb, "application/json", w.Header().Get("Content-Type"))
	var r receipt
	require.NoError(tb, json.Unmarshal(w.Body.Bytes(), &r))
	require.Equal(tb, "queued", r.Status)
	require.Positive(tb, r.QueueID)
	return r
}

func (b *bundle) count(tb testing.TB, query string, args ...any) int {
	tb.Helper()
	return fixture.Count(tb, b.pool, query, args...)
}

// requireRefused waits until n refusals are recorded, which happens after their
// answers.
func (b *bundle) requireRefused(tb testing.TB, n int) {
	tb.Helper()
	require.Eventually(tb, func() bool { return b.count(tb, `SELECT count(*) FROM webhook_refused`) >= n },
		20*time.Second, 5*time.Millisecond)
	require.Equal(tb, n, b.count(tb, `SELECT count(*) FROM webhook_refused`))
}

func prefixes(tb testing.TB, list ...string) []netip.Prefix {
	tb.Helper()
	var out []netip.Prefix
	for _, s := range list {
		p, err := netip.ParsePrefix(s)
		require.NoError(tb, err)
		out = append(out, p)
	}
	return out
}
