package jobs_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/storetest"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// probeEvery is how often a provider that is down is tried in tests.
const probeEvery = 200 * time.Millisecond

// mainAccount is the one that there is in most tests.
var mainAccount = store.Account{Source: "mercadopago"}

// A bundle is everything but the workers, on a database of its own.
type bundle struct {
	*store.Store
	pool *pgxpool.Pool
	fake *fakeProvider
	// operator is what River UI is to River: a client that works nothing.
	operator *river.Client[pgx.Tx]
	config   jobs.Config
}

func setup(t *testing.T, change ...func(*jobs.Config)) *bundle {
	t.Helper()
	b := &bundle{pool: storetest.Pool(t), fake: &fakeProvider{answers: map[string]answer{}, asked: map[string]int{}}}
	b.config = jobs.Config{
		Schema:  storetest.Schema,
		Workers: 4, JobTimeout: 20 * time.Second, RescueAfter: time.Hour, Retention: time.Hour, PayloadRetention: 90 * 24 * time.Hour,
		Backoff: jobs.Backoff{Waits: []time.Duration{time.Minute}, Attempts: 7}, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	for _, c := range change {
		c(&b.config)
	}
	inserter, err := jobs.NewInserter(b.pool, b.config)
	require.NoError(t, err)
	b.Store, err = store.New(b.pool, store.Options{
		Rules: order.Rules{Mode: order.ModeAny}, UnknownOrder: store.UnknownOrderWait,
		FormJob: inserter.Form, WorkOf: workOf, Logger: b.config.Logger, InsertDeliveries: inserter.InsertDeliveries,
	})
	require.NoError(t, err)
	b.operator, err = river.NewClient(riverpgxv5.New(b.pool), &river.Config{Logger: b.config.Logger})
	require.NoError(t, err)
	return b
}

// workOf is what events of the bank ask for.
func workOf(source, topic, _ string) (string, bool) {
	works := map[string]string{"payment": store.WorkPayment, "merchant_order": store.WorkFollow}
	return cmp.Or(works[topic], store.WorkKeep), source == "mercadopago"
}

// start starts the workers. They stop with the test at the latest.
func (b *bundle) start(t *testing.T) *jobs.Runner {
	t.Helper()
	deps := jobs.Deps{Store: b.Store, Providers: map[string]jobs.Fetcher{"mercadopago": b.fake}}.WithProbeEvery(probeEvery)
	runner, err := jobs.NewRunner(b.pool, b.config, deps)
	require.NoError(t, err)
	require.NoError(t, runner.Start(t.Context()))
	t.Cleanup(func() { stop(t, runner) })
	return runner
}

func stop(t *testing.T, runner *jobs.Runner) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), fixture.Patience)
	defer cancel()
	require.NoError(t, runner.Stop(ctx))
}

// deliver accepts an event about the payment and returns its id.
func (b *bundle) accept(t *testing.T, paymentID string, change ...func(*store.NewEvent)) int64 {
	t.Helper()
	event := store.NewEvent{
		Source: "mercadopago", Topic: "payment", Action: "payment.updated", ResourceID: paymentID, Work: store.WorkPayment,
		Origin: store.OriginWebhook, Payload: []byte(`{}`), Signed: true,
	}
	for _, c := range change {
		c(&event)
	}
	return fixture.Accept(t, b.Store, event)
}

// job returns the event's job.
func (b *bundle) job(t *testing.T, event int64) *rivertype.JobRow {
	t.Helper()
	job, err := b.operator.JobGet(t.Context(), b.jobID(t, event))
	require.NoError(t, err)
	return job
}

func (b *bundle) jobID(t *testing.T, event int64) int64 {
	t.Helper()
	return scan[int64](t, b, `SELECT job_id FROM webhook_queue WHERE id = $1`, event)
}

// awaitJob waits until the event's job has the state.
func (b *bundle) awaitJob(t *testing.T, event int64, state rivertype.JobState) *rivertype.JobRow {
	t.Helper()
	fixture.Await(t, func() bool { return b.job(t, event).State == state })
	return b.job(t, event)
}

// awaitStatus waits until the event has the status.
func (b *bundle) awaitStatus(t *testing.T, event int64, status string) {
	t.Helper()
	fixture.Await(t, func() bool { return b.status(t, event) == status })
}

func (b *bundle) status(t *testing.T, event int64) string {
	t.Helper()
	return scan[string](t, b, `SELECT status FROM webhook_queue_status WHERE id = $1`, event)
}

func (b *bundle) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	_, err := b.pool.Exec(t.Context(), query, args...)
	require.NoError(t, err)
}

func scan[T any](t *testing.T, b *bundle, query string, args ...any) T {
	t.Helper()
	var v T
	require.NoError(t, b.pool.QueryRow(t.Context(), query, args...).Scan(&v))
	return v
}

// A deadLetter is a row of webhook_dead_letter.
type deadLetter struct {
	Reason, Class, Error, State string
	Attempts, Deaths            int
	// Errors are what each attempt failed with.
	Errors []string
}

// letter returns the event's dead letter, nil when there is none.
func (b *bundle) letter(t *testing.T, event int64) *deadLetter {
	t.Helper()
	var d deadLetter
	var failures []rivertype.AttemptError
	var raw json.RawMessage
	err := b.pool.QueryRow(t.Context(), `
		SELECT reason, error_class, error, state, attempts, deaths, errors FROM webhook_dead_letter WHERE queue_id = $1`, event).
		Scan(&d.Reason, &d.Class, &d.Error, &d.State, &d.Attempts, &d.Deaths, &raw)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &failures))
	for _, f := range failures {
		d.Errors = append(d.Errors, f.Error)
	}
	return &d
}

// bank is the provider's side: it answers as it is told to.
type fakeProvider struct {
	mu      sync.Mutex
	answers map[string]answer
	asked   map[string]int
	// names are what follows from what is not a payment.
	names map[provider.Ref][]provider.Ref
	// references are what merchant orders name, and merchantOrderFails the error
	// for all of them, nil while they can be read.
	references         map[string]string
	merchantOrderFails error
	// refuses is the error for our own credentials, nil when they work.
	refuses error
	// down is the error for every call, nil while the provider works.
	down error
	// checks is how often our own credentials were asked about.
	checks int
	// found is what a search shows, and searchFails its error.
	found       []provider.Payment
	searchFails error
}

// An answer is what the bank says of one payment, the first call being 1.
type answer func(ctx context.Context, call int) (provider.Payment, error)

func (k *fakeProvider) says(paymentID string, a answer) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.answers[paymentID] = a
}

// fails makes every call about the payment fail alike.
func (k *fakeProvider) fails(paymentID string, err error) {
	k.says(paymentID, func(context.Context, int) (provider.Payment, error) { return provider.Payment{}, err })
}

// calls returns how often the payment was asked for.
func (k *fakeProvider) calls(paymentID string) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.asked[paymentID]
}

// IsTest believes a body that says so.
func (*fakeProvider) OrderReference([]byte) string { return "" }

func (*fakeProvider) Authorization(action string) (given, told bool) {
	return action == "authorized", action == "authorized" || action == "deauthorized"
}

func (*fakeProvider) IsTest(body []byte) bool { return string(body) == `{"test":true}` }

func (k *fakeProvider) Payment(ctx context.Context, id string) (provider.Payment, error) {
	k.mu.Lock()
	k.asked[id]++
	call, says, down := k.asked[id], k.answers[id], k.down
	k.mu.Unlock()
	if down != nil {
		return provider.Payment{}, down
	}
	if says == nil {
		return provider.Payment{}, &provider.Error{Kind: provider.NotFound, StatusCode: 404}
	}
	return says(ctx, call)
}

// Fetch answers about a payment as Payment does, about anything else as the names
// that follow it were told.
func (k *fakeProvider) Fetch(ctx context.Context, ref provider.Ref, _ []byte) (provider.Found, error) {
	if ref.Topic != "payment" {
		k.mu.Lock()
		defer k.mu.Unlock()
		next, ok := k.names[ref]
		switch {
		case k.down != nil:
			return provider.Found{}, k.down
		case !ok:
			return provider.Found{}, fmt.Errorf("topic %q: %w", ref.Topic, provider.ErrUnknownTopic)
		}
		return provider.Found{Next: next}, nil
	}
	payment, err := k.Payment(ctx, ref.ID)
	if err != nil {
		return provider.Found{}, err
	}
	return provider.Found{Payment: &payment}, nil
}

func (k *fakeProvider) MerchantOrderReference(_ context.Context, id string) (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked["merchant order "+id]++
	if err := cmp.Or(k.down, k.merchantOrderFails); err != nil {
		return "", err
	}
	return k.references[id], nil
}

// merchantOrders makes merchant orders name references, or fail alike.
func (k *fakeProvider) merchantOrders(references map[string]string, fails error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.references, k.merchantOrderFails = references, fails
}

func (k *fakeProvider) CheckCredentials(context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.checks++
	if k.down != nil {
		return k.down
	}
	return k.refuses
}

func (k *fakeProvider) SearchPayments(context.Context, provider.SearchQuery) (provider.SearchPage, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := cmp.Or(k.down, k.searchFails); err != nil {
		return provider.SearchPage{}, err
	}
	return provider.SearchPage{Total: len(k.found), Payments: k.found}, nil
}

// shows makes a search find the payment.
func (k *fakeProvider) shows(paymentID string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.found = append(k.found, approved(paymentID, "", "10"))
}

// hides undoes shows.
func (k *fakeProvider) hides(paymentID string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.found = slices.DeleteFunc(slices.Clone(k.found), func(p provider.Payment) bool { return p.ID == paymentID })
}

// goesDown makes every call fail, until comesBack.
func (k *fakeProvider) goesDown(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.down = err
}

func (k *fakeProvider) comesBack() { k.goesDown(nil) }

// credentialChecks is how often our own credentials were asked about.
func (k *fakeProvider) credentialChecks() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.checks
}

// approved is a payment of the order that was paid.
func approved(id, reference, amount string) provider.Payment {
	return provider.Payment{
		ID: id, Reference: reference, Status: "approved", StatusDetail: "accredited", Amount: decimal.NewNullDecimal(decimal.RequireFromString(amount)),
		Currency: "ARS", CollectorID: "1", LiveMode: true, UpdatedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Raw: []byte(`{"id":` + id + `}`),
	}
}

// isPaid makes the bank answer with an approved payment.
func (k *fakeProvider) isPaid(id, reference, amount string) {
	k.says(id, func(context.Context, int) (provider.Payment, error) { return approved(id, reference, amount), nil })
}

func (b *bundle) register(t *testing.T, reference, amount string) {
	t.Helper()
	fixture.Register(t, b.Store, reference, amount)
}
