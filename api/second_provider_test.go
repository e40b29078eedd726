package api_test

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
	"github.com/conciliar/conciliar/store/storetest"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// A toyBank is a second provider of payments, with words of its own: it shows that
// nothing but a provider's folder knows one. It calls payments charges, counts money in
// the smallest unit, and signs its deliveries with a token.
type toyBank struct {
	*httptest.Server

	mu      sync.Mutex
	charges map[string]toyCharge
}

// A toyCharge is a charge as the bank's API has it.
type toyCharge struct {
	Number    string `json:"number"`
	State     string `json:"state"`
	Cents     int64  `json:"cents"`
	BackCents int64  `json:"back_cents"`
	Currency  string `json:"currency"`
	For       string `json:"for"`
	Changed   int64  `json:"changed"`
}

const (
	toySource = "toybank"
	toyPath   = "/api/toybank/webhook"
	toyToken  = "the bank's own token"
)

func newToyBank(t *testing.T) *toyBank {
	t.Helper()
	b := &toyBank{charges: map[string]toyCharge{}}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		charge, known := b.charges[strings.TrimPrefix(r.URL.Path, "/charges/")]
		b.mu.Unlock()
		if !known {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_ = json.NewEncoder(w).Encode(charge)
	}))
	t.Cleanup(b.Close)
	return b
}

// keep makes this the charge's state.
func (b *toyBank) keep(c toyCharge) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.charges[c.Number] = c
}

// Receive reads the bank's deliveries.
func (*toyBank) Receive(d provider.Delivery) (provider.Event, error) {
	if subtle.ConstantTimeCompare([]byte(d.Header.Get("X-Bank-Token")), []byte(toyToken)) != 1 {
		return provider.Event{}, &provider.Refusal{Kind: provider.Unauthenticated, Reason: "wrong_authorization"}
	}
	var told struct{ Delivery, Charge string }
	if err := json.Unmarshal(d.Body, &told); err != nil {
		return provider.Event{}, &provider.Refusal{Kind: provider.Malformed, Reason: "malformed_id"}
	}
	key := sha256.Sum256([]byte(told.Delivery))
	return provider.Event{
		Source: toySource, Topic: "charge", ResourceID: told.Charge, Work: provider.Settle, Signed: true, SignatureKey: key[:], Signature: key[:],
	}, nil
}

// Diagnose has nothing to add to the reason.
func (*toyBank) Diagnose(_ provider.Delivery, _ time.Time, reason string) provider.Diagnosis {
	return provider.Diagnosis{Verdict: reason}
}

// Fetch implements jobs.Fetcher.
func (b *toyBank) Fetch(ctx context.Context, ref provider.Ref, _ []byte) (provider.Found, error) {
	payment, err := b.Payment(ctx, ref.ID)
	return provider.Found{Payment: &payment}, err
}

// Payment asks for a charge and says it in our words.
func (b *toyBank) Payment(ctx context.Context, id string) (provider.Payment, error) {
	unavailable := func(err error) error { return &provider.Error{Kind: provider.Unavailable, Err: err} }
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.URL+"/charges/"+id, nil)
	if err != nil {
		return provider.Payment{}, unavailable(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return provider.Payment{}, unavailable(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusNotFound {
		return provider.Payment{}, &provider.Error{Kind: provider.NotFound, StatusCode: resp.StatusCode}
	}
	var c toyCharge
	if err := json.NewDecoder(resp.Body).Decode(&c); err != nil {
		return provider.Payment{}, &provider.Error{Kind: provider.Unreadable, Err: err}
	}
	status := map[string]string{"taken": "approved", "given_back": "refunded", "open": "pending"}[c.State]
	raw, err := json.Marshal(c)
	return provider.Payment{
		ID: c.Number, Reference: c.For, Status: status, StatusDetail: c.State, Amount: decimal.NewNullDecimal(decimal.New(c.Cents, -2)),
		Refunded: decimal.New(c.BackCents, -2), Currency: c.Currency, LiveMode: true, UpdatedAt: time.Unix(c.Changed, 0), Raw: raw,
	}, err
}

func (*toyBank) OrderReference([]byte) string            { return "" }
func (*toyBank) Authorization(string) (given, told bool) { return false, false }
func (*toyBank) IsTest([]byte) bool                      { return false }
func (*toyBank) CheckCredentials(context.Context) error  { return nil }
func (*toyBank) Account(context.Context) (string, error) { return "", nil }
func (*toyBank) MerchantOrderReference(context.Context, string) (string, error) {
	return "", errors.New("the bank has no merchant orders")
}

func (*toyBank) SearchPayments(context.Context, provider.SearchQuery) (provider.SearchPage, error) {
	return provider.SearchPage{}, nil
}

// deliver has the bank tell of a charge.
func (b *toyBank) deliver(t *testing.T, to http.Handler, delivery, charge, token string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, toyPath, strings.NewReader(fmt.Sprintf(`{"delivery":%q,"charge":%q}`, delivery, charge)))
	r.Header.Set("X-Bank-Token", token)
	w := httptest.NewRecorder()
	to.ServeHTTP(w, r)
	return w
}

// A second provider is a folder, a row of Webhooks and a row of Providers: its payments
// pay orders beside those of the first, and under the same number they are others.
func TestWebhook_ASecondProviderPaysOrders(t *testing.T) {
	t.Parallel()
	bank := newToyBank(t)
	b := setup(t, setupOptions{deps: func(d *api.Deps) {
		d.Webhooks = append(d.Webhooks, api.Webhook{Path: toyPath, Source: toySource, Topics: []string{"charge"}, Receiver: bank})
	}})
	sim, err := simulator.New(simulator.Config{Seed: 1, AccessToken: "APP_USR-1", Secret: secret})
	require.NoError(t, err)
	first := httptest.NewServer(sim.Handler())
	t.Cleanup(first.Close)
	client, err := mercadopago.NewClient(mercadopago.Config{BaseURL: first.URL, AccessToken: "APP_USR-1"})
	require.NoError(t, err)
	runner, err := jobs.NewRunner(b.pool, jobs.Config{
		Schema: storetest.Schema, Workers: 2, JobTimeout: 10 * time.Second, RescueAfter: time.Minute, Retention: time.Hour, PayloadRetention: time.Hour,
		Backoff: jobs.Backoff{Waits: []time.Duration{time.Minute}, Attempts: 7}, Logger: slog.New(slog.DiscardHandler),
	}, jobs.Deps{Store: b.store, Providers: map[string]jobs.Fetcher{mercadopago.Source: client, toySource: bank}})
	require.NoError(t, err)
	require.NoError(t, runner.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, runner.Stop(context.WithoutCancel(t.Context()))) })

	for _, reference := range []string{"first-1", "second-1"} {
		require.Equal(t, http.StatusCreated, b.do(t, putOrder("/api/orders/"+reference, `{"amount":"150.00","currency":"ARS"}`)).Code)
	}
	id := sim.CreatePayment(simulator.PaymentSpec{Reference: "first-1", Amount: decimal.NewFromInt(150), Status: simulator.Approved, StatusDetail: "accredited"})
	requireReceipt(t, b.do(t, signed(id, "1742505638")))
	charge := toyCharge{Number: id, State: "taken", Cents: 15000, Currency: "ARS", For: "second-1", Changed: 1_700_000_000}
	bank.keep(charge)
	told := requireReceipt(t, bank.deliver(t, b, "d-1", id, toyToken))
	require.Equal(t, receipt{"queued", told.QueueID, true}, requireReceipt(t, bank.deliver(t, b, "d-1", id, toyToken)))
	requireProblem(t, bank.deliver(t, b, "d-2", id, "another token"), http.StatusUnauthorized, "webhook_unauthenticated")

	await := func(reference, status string) {
		fixture.Await(t, func() bool {
			return b.count(t, `SELECT count(*) FROM orders WHERE reference = $1 AND status = $2`, reference, status) == 1
		})
	}
	await("first-1", "paid")
	await("second-1", "paid")
	require.Equal(t, 2, b.count(t, `SELECT count(*) FROM payments WHERE payment_id = $1`, id), "each provider has numbers of its own")
	require.Zero(t, b.count(t, `SELECT count(*) FROM anomalies`))

	charge.State, charge.BackCents, charge.Changed = "given_back", 15000, charge.Changed+60
	bank.keep(charge)
	requireReceipt(t, bank.deliver(t, b, "d-3", id, toyToken))
	await("second-1", "refunded")
	await("first-1", "paid")
	require.Contains(t, b.do(t, call{method: http.MethodGet, target: "/api/orders/second-1", header: bearer(ordersToken)}).Body.String(), `"source":"toybank"`)
}
