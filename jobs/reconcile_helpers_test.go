package jobs_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/storetest"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// A world is a merchant and a Mercado Pago: the simulator behind the real
// client, a receiver of its notifications, and a database of their own.
type world struct {
	*store.Store
	pool   *pgxpool.Pool
	sim    *simulator.Simulator
	client *mercadopago.Client
	config jobs.Config
	deps   jobs.Deps
	// traffic counts what is asked of Mercado Pago.
	traffic *traffic
}

// A worldSpec says what world to make.
type worldSpec struct {
	sim    simulator.Config
	jobs   func(*jobs.Config)
	deps   func(*jobs.Deps)
	policy store.UnknownOrder
}

func newWorld(t *testing.T, spec worldSpec) *world {
	t.Helper()
	w := &world{pool: storetest.Pool(t), traffic: &traffic{gets: map[string]int{}}}
	w.config = jobs.Config{
		Schema:  storetest.Schema,
		Workers: 8, JobTimeout: 30 * time.Second, RescueAfter: time.Hour, Retention: 7 * 24 * time.Hour, PayloadRetention: 90 * 24 * time.Hour,
		// One attempt: what fails shows at once.
		Backoff: jobs.Backoff{Waits: []time.Duration{time.Minute}, Attempts: 1}, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	if spec.jobs != nil {
		spec.jobs(&w.config)
	}
	inserter, err := jobs.NewInserter(w.pool, w.config)
	require.NoError(t, err)
	if spec.policy == "" {
		spec.policy = store.UnknownOrderWait
	}
	w.Store, err = store.New(w.pool, store.Options{
		Rules: order.Rules{Mode: order.ModeAny}, UnknownOrder: spec.policy,
		FormJob: inserter.Form, InsertStep: inserter.InsertStep, InsertRefund: inserter.InsertRefund, Logger: w.config.Logger,
		WorkOf: func(_, topic, id string) (string, bool) { return string(mercadopago.WorkOf(topic, id)), true },
	})
	require.NoError(t, err)
	inbox, err := store.NewInbox(w.Store, store.InboxOptions{})
	require.NoError(t, err)
	t.Cleanup(inbox.Close)

	const token, secret = "TEST-token", "test-secret"
	shop := httptest.NewServer(shopDoor(t, secret, inbox))
	t.Cleanup(shop.Close)
	spec.sim.AccessToken, spec.sim.Secret, spec.sim.TargetURL = token, secret, shop.URL
	spec.sim.LiveMode = true
	w.sim, err = simulator.New(spec.sim)
	require.NoError(t, err)
	api := httptest.NewServer(w.sim.Handler())
	t.Cleanup(api.Close)
	w.client, err = mercadopago.NewClient(mercadopago.Config{BaseURL: api.URL, AccessToken: token, Transport: w.traffic})
	require.NoError(t, err)
	w.deps = jobs.Deps{
		Store: w.Store, Logger: w.config.Logger,
		Providers: map[string]jobs.Fetcher{mercadopago.Source: w.client},
		Searches:  map[string]jobs.PaymentSearcher{mercadopago.Source: w.client},
	}
	if spec.deps != nil {
		spec.deps(&w.deps)
	}
	return w
}

// shopDoor takes notifications in as the service does.
func shopDoor(t *testing.T, secret string, inbox *store.Inbox) http.Handler {
	t.Helper()
	verifier, err := mercadopago.NewVerifier([]string{secret})
	require.NoError(t, err)
	receiver := mercadopago.NewReceiver(verifier, false)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, "body", http.StatusBadRequest)
			return
		}
		ev, err := receiver.Receive(provider.Delivery{Method: r.Method, RawQuery: r.URL.RawQuery, Header: r.Header, Body: body})
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		if _, err = inbox.Accept(r.Context(), store.NewEvent{
			Source: ev.Source, Topic: ev.Topic, Action: ev.Action, ResourceID: ev.ResourceID, Work: string(ev.Work), Origin: store.OriginWebhook,
			Payload: body, Signed: ev.Signed, Signature: ev.SignatureKey, CollectorID: ev.CollectorID,
		}); err != nil {
			http.Error(w, "inbox", http.StatusServiceUnavailable)
		}
	})
}

// traffic counts the calls that go to Mercado Pago.
type traffic struct {
	mu       sync.Mutex
	gets     map[string]int
	searches int
}

func (c *traffic) RoundTrip(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	switch id := strings.TrimPrefix(r.URL.Path, "/v1/payments/"); id {
	case "search":
		c.searches++
	case r.URL.Path:
	default:
		c.gets[id]++
	}
	c.mu.Unlock()
	return http.DefaultTransport.RoundTrip(r)
}

// forget begins to count from zero.
func (c *traffic) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gets, c.searches = map[string]int{}, 0
}

// mostGets is how often the payment that was fetched most was.
func (c *traffic) mostGets() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	most := 0
	for _, n := range c.gets {
		most = max(most, n)
	}
	return most
}

// start starts workers on the world. They stop with the test at the latest.
func (w *world) start(t *testing.T) *jobs.Runner {
	t.Helper()
	runner, err := jobs.NewRunner(w.pool, w.config, w.deps)
	require.NoError(t, err)
	require.NoError(t, runner.Start(t.Context()))
	t.Cleanup(func() { stop(t, runner) })
	return runner
}

// begin starts a regular run.
func (w *world) begin(t *testing.T) store.Run {
	t.Helper()
	run, joined, err := w.StartRun(t.Context(), store.RunRequest{Trigger: store.TriggerManual, Scope: store.ScopeRegular, By: store.Actor{Name: "test"}})
	require.NoError(t, err)
	require.False(t, joined)
	return run
}

// ended waits for the run's end.
func (w *world) ended(t *testing.T, id int64) store.Run {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*fixture.Patience)
	defer cancel()
	run, err := w.WaitRun(ctx, id, nil)
	require.NoError(t, err)
	require.NotEqual(t, store.RunRunning, run.Status, "the run still runs: %+v", run)
	return run
}

// reconcile makes a regular run and returns it when it has succeeded.
func (w *world) reconcile(t *testing.T) store.Run {
	t.Helper()
	run := w.ended(t, w.begin(t).ID)
	require.Equal(t, store.RunSucceeded, run.Status, "%s", deref(run.Error))
	require.Equal(t, store.PhaseDone, run.Phase)
	return run
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// found are a run's three counts that must be zero right after another run.
type found struct{ stuck, missing, drift int64 }

func foundBy(run store.Run) found { return found{run.StuckRequeued, run.MissingFound, run.DriftFound} }

func (w *world) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	_, err := w.pool.Exec(t.Context(), query, args...)
	require.NoError(t, err)
}

func look[T any](t *testing.T, w *world, query string, args ...any) T {
	t.Helper()
	var v T
	require.NoError(t, w.pool.QueryRow(t.Context(), query, args...).Scan(&v))
	return v
}

func money(s string) decimal.Decimal { return decimal.RequireFromString(s) }

// register makes an order of 100 ARS known.
func (w *world) register(t *testing.T, references ...string) {
	t.Helper()
	for _, reference := range references {
		fixture.Register(t, w.Store, reference, "100")
	}
}

// pay makes an approved payment of 100 ARS. Nobody is told.
func (w *world) pay(reference string) string {
	return w.sim.CreatePayment(simulator.PaymentSpec{
		Reference: reference, Amount: money("100"), Status: simulator.Approved, StatusDetail: "accredited",
	})
}

// notify sends the notification of a payment and waits until it is settled.
func (w *world) notify(t *testing.T, id string) {
	t.Helper()
	require.True(t, w.sim.Notify(t.Context(), id).Acknowledged())
	w.drain(t)
}

// drain waits until no event is open.
func (w *world) drain(t *testing.T) {
	t.Helper()
	fixture.Await(t, func() bool {
		return look[int](t, w, `SELECT count(*) FROM webhook_queue WHERE completed_at IS NULL`) == 0
	})
}

// requireTruth asserts that every order is what the simulator's ledger says.
func (w *world) requireTruth(t *testing.T) {
	t.Helper()
	for _, truth := range w.sim.Truth() {
		o, err := w.Order(t.Context(), truth.Reference)
		require.NoError(t, err)
		require.Equal(t, truth.Status, string(o.Status), truth.Reference)
		require.True(t, truth.Paid.Equal(o.Paid), "%s: %s paid, in truth %s", truth.Reference, o.Paid, truth.Paid)
		require.True(t, truth.Refunded.Equal(o.Refunded), "%s: %s refunded, in truth %s", truth.Reference, o.Refunded, truth.Refunded)
	}
}
