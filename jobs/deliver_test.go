package jobs_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/jobs/delivery"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// A told is what a shop was told once.
type told struct {
	ID, Type, Reference string
	Timestamp           int64
}

// A shop is where order events arrive. It answers as it is told to, by the number of
// the call, and 200 when it is told nothing.
type shop struct {
	*httptest.Server

	mu     sync.Mutex
	calls  int
	answer func(call int, w http.ResponseWriter, r *http.Request)
	got    []told
	bodies map[string]string
}

func newShop(t *testing.T, answer func(call int, w http.ResponseWriter, r *http.Request)) *shop {
	t.Helper()
	s := &shop{answer: answer, bodies: map[string]string{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var event struct {
			Type string
			Data struct{ Order struct{ Reference string } }
		}
		if err != nil || json.Unmarshal(body, &event) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		at, _ := strconv.ParseInt(r.Header.Get("webhook-timestamp"), 10, 64)
		s.mu.Lock()
		s.calls++
		call, answer := s.calls, s.answer
		s.got = append(s.got, told{r.Header.Get("webhook-id"), event.Type, event.Data.Order.Reference, at})
		s.bodies[r.Header.Get("webhook-id")] = string(body)
		s.mu.Unlock()
		if answer != nil {
			answer(call, w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// answers has the shop answer otherwise from now on.
func (s *shop) answers(answer func(call int, w http.ResponseWriter, r *http.Request)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

func (s *shop) told() []told {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]told(nil), s.got...)
}

// status has the shop answer with a status.
func status(code int) func(int, http.ResponseWriter, *http.Request) {
	return func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// A teller is a bundle whose workers tell a shop of orders.
type teller struct {
	*bundle
	engine *delivery.Engine
	logs   *fixture.Logs
}

// telling starts workers that deliver to the shop.
func telling(t *testing.T, s *shop, waits ...time.Duration) *teller {
	t.Helper()
	logs := &fixture.Logs{}
	b := setup(t, func(c *jobs.Config) { c.Logger = slog.New(slog.NewJSONHandler(logs, nil)) })
	require.NoError(t, b.DeliverOrderEvents(t.Context()))
	tell := &teller{bundle: b, engine: delivery.New(delivery.Options{}), logs: logs}
	tell.receiver(t, s, waits...)
	tell.begin(t)
	return tell
}

func (b *teller) receiver(t *testing.T, s *shop, waits ...time.Duration) {
	t.Helper()
	signer, err := delivery.NewSigner([]string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"})
	require.NoError(t, err)
	require.NoError(t, b.engine.Use(store.ReceiverOrderEvents, delivery.Receiver{
		Name: store.ReceiverOrderEvents, URL: s.URL, Signer: signer, AllowPrivate: true, Waits: waits,
	}))
}

// begin starts workers.
func (b *teller) begin(t *testing.T) *jobs.Runner {
	t.Helper()
	deps := jobs.Deps{Store: b.Store, Providers: map[string]jobs.Fetcher{"mercadopago": b.fake}, Deliveries: b.engine}
	runner, err := jobs.NewRunner(b.pool, b.config, deps.WithOrphanTimes(300*time.Millisecond, 2500*time.Millisecond, 15*time.Second))
	require.NoError(t, err)
	require.NoError(t, runner.Start(t.Context()))
	t.Cleanup(func() { stop(t, runner) })
	return runner
}

// happen registers an order and cancels it, and puts both into the feed.
func (b *teller) happen(t *testing.T, reference string) {
	t.Helper()
	fixture.Register(t, b.Store, reference, "150")
	b.cancel(t, reference)
	b.sequence(t)
}

// cancel is a second change of an order.
func (b *teller) cancel(t *testing.T, reference string) {
	t.Helper()
	reason, err := store.ParseReason("the buyer changed their mind")
	require.NoError(t, err)
	_, err = b.CancelOrder(t.Context(), store.OrderAct{Reference: reference, Reason: reason, By: store.Actor{Name: "cli:ana"}})
	require.NoError(t, err)
}

func (b *teller) sequence(t *testing.T) {
	t.Helper()
	fixture.Await(t, func() bool {
		done, err := b.SequenceOrderEvents(t.Context())
		require.NoError(t, err)
		return !done.More
	})
}

// awaitStates waits until the deliveries, in their order, are in these states.
func (b *teller) awaitStates(t *testing.T, states ...string) {
	t.Helper()
	fixture.Await(t, func() bool { return len(states) == len(b.states(t)) && equal(states, b.states(t)) })
}

func (b *teller) states(t *testing.T) []string {
	t.Helper()
	return scan[[]string](t, b.bundle, `SELECT coalesce(array_agg(state ORDER BY id), '{}') FROM deliveries`)
}

func equal(a, b []string) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// hurry makes what waits for its next attempt due.
func (b *teller) hurry(t *testing.T) {
	t.Helper()
	b.exec(t, `UPDATE river_job SET scheduled_at = now(), state = 'available' WHERE kind = 'delivery' AND state IN ('scheduled', 'retryable')`)
}

func TestDeliver_AShopIsToldOfEachChangeInItsOrder(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	b := telling(t, s)
	b.happen(t, "A-1")
	b.awaitStates(t, "delivered", "delivered")
	got := s.told()
	require.Len(t, got, 2)
	require.Equal(t, []string{"order.registered", "order.cancelled"}, []string{got[0].Type, got[1].Type})
	require.Equal(t, "A-1", got[0].Reference)
	require.InDelta(t, time.Now().Unix(), got[0].Timestamp, 60)
	require.Equal(t, 2, scan[int](t, b.bundle, `SELECT count(*) FROM delivery_attempts WHERE status = 200 AND error_class = ''`))
	line := b.logs.String()
	require.Contains(t, line, `"msg":"delivery"`)
	require.Contains(t, line, `"order_reference":"A-1"`)
	require.NotContains(t, line, s.URL)
	// The body is the event's, byte for byte.
	require.Equal(t, s.bodies[got[0].ID], scan[string](t, b.bundle, `SELECT body::text FROM order_events WHERE id::text = $1`, got[0].ID))
}

func TestDeliver_OneOrdersEventsNeverOvertakeEachOther(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	s.answers(func(call int, w http.ResponseWriter, _ *http.Request) {
		if call < 4 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	b := telling(t, s)
	b.happen(t, "A-1")
	for call := 1; call < 4; call++ {
		fixture.Await(t, func() bool { b.hurry(t); return len(s.told()) >= call+1 })
		for _, early := range s.told()[:call] {
			require.Equal(t, "order.registered", early.Type)
		}
	}
	b.awaitStates(t, "delivered", "delivered")
	require.Equal(t, 4, scan[int](t, b.bundle, `SELECT attempts FROM deliveries ORDER BY id LIMIT 1`))
	// Another order does not wait for the first.
	s.answers(func(_ int, w http.ResponseWriter, _ *http.Request) {
		got := s.told()
		if got[len(got)-1].Reference == "A-2" {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	fixture.Register(t, b.Store, "A-2", "10")
	fixture.Register(t, b.Store, "A-3", "10")
	b.sequence(t)
	b.awaitStates(t, "delivered", "delivered", "pending", "delivered")
}

func TestDeliver_AfterADeadLetterTheOrdersNextEventGoes(t *testing.T) {
	t.Parallel()
	s := newShop(t, func(call int, w http.ResponseWriter, _ *http.Request) {
		if call <= 2 {
			http.Error(w, "no such order", http.StatusNotFound)
		}
	})
	b := telling(t, s, 50*time.Millisecond)
	b.happen(t, "A-1")
	b.awaitStates(t, "dead", "delivered")
	dead := scan[int64](t, b.bundle, `SELECT id FROM deliveries WHERE state = 'dead'`)
	detail, err := b.Delivery(t.Context(), dead)
	require.NoError(t, err)
	require.Equal(t, 2, detail.Attempts)
	require.Equal(t, delivery.ClassRefused, detail.Class)
	require.Len(t, detail.Log, 2)
	require.Equal(t, http.StatusNotFound, *detail.Log[1].Status)
	require.Equal(t, "no such order", detail.Log[1].Answer)

	// A replay has the same id and body, and the dead letter is dealt with.
	replay, err := b.ReplayDelivery(t.Context(), dead, store.Actor{Name: "cli:ana"})
	require.NoError(t, err)
	require.Equal(t, dead, *replay.ReplayOf)
	b.awaitStates(t, "replayed", "delivered", "delivered")
	got := s.told()
	require.Equal(t, got[0].ID, got[len(got)-1].ID)
	require.Equal(t, "order.registered", got[len(got)-1].Type)
}

func TestDeliver_A410StopsTheReceiverAndLosesNothing(t *testing.T) {
	t.Parallel()
	s := newShop(t, status(http.StatusGone))
	b := telling(t, s)
	b.happen(t, "A-1")
	fixture.Await(t, func() bool {
		return scan[bool](t, b.bundle, `SELECT stop_reason = 'gone' FROM delivery_receivers WHERE name = 'order_events'`)
	})
	b.happen(t, "A-2")
	b.awaitStates(t, "pending", "pending", "pending", "pending")
	require.Zero(t, scan[int](t, b.bundle, `SELECT count(*) FROM river_job WHERE kind = 'delivery' AND state NOT IN ('completed')`))
	require.Len(t, s.told(), 1)

	s.answers(nil)
	require.NoError(t, b.StartReceiver(t.Context(), store.ReceiverOrderEvents, store.Actor{Name: "cli:ana"}))
	b.awaitStates(t, "delivered", "delivered", "delivered", "delivered")
	require.Len(t, s.told(), 5)
}

func TestDeliver_AStoppedReceiverWaitsUntilItIsStarted(t *testing.T) {
	t.Parallel()
	s := newShop(t, status(http.StatusInternalServerError))
	b := telling(t, s)
	b.happen(t, "A-1")
	fixture.Await(t, func() bool { return scan[int](t, b.bundle, `SELECT coalesce(max(attempts), 0) FROM deliveries`) == 1 })
	require.NoError(t, b.StopReceiver(t.Context(), store.ReceiverOrderEvents, store.Actor{Name: "cli:ana"}))
	b.hurry(t)
	fixture.Await(t, func() bool {
		return scan[int](t, b.bundle, `SELECT count(*) FROM deliveries WHERE job_id IS NOT NULL`) == 0
	})
	require.Len(t, s.told(), 1)
	s.answers(nil)
	require.NoError(t, b.StartReceiver(t.Context(), store.ReceiverOrderEvents, store.Actor{Name: "cli:ana"}))
	b.awaitStates(t, "delivered", "delivered")
}

// What waits for its next attempt in an hour is told at once when somebody says so.
func TestDeliver_StartingTellsEverythingThatWaits(t *testing.T) {
	t.Parallel()
	s := newShop(t, status(http.StatusBadGateway))
	b := telling(t, s, time.Hour)
	b.happen(t, "A-1")
	fixture.Await(t, func() bool { return scan[int](t, b.bundle, `SELECT coalesce(max(attempts), 0) FROM deliveries`) == 1 })
	s.answers(nil)
	require.NoError(t, b.StartReceiver(t.Context(), store.ReceiverOrderEvents, store.Actor{Name: "cli:ana"}))
	b.awaitStates(t, "delivered", "delivered")
	// The job that waited comes to nothing.
	b.hurry(t)
	fixture.Await(t, func() bool {
		return scan[int](t, b.bundle, `SELECT count(*) FROM river_job WHERE kind = 'delivery' AND state <> 'completed'`) == 0
	})
	require.Len(t, s.told(), 3)
}

func TestDeliver_A429HoldsTheReceiverForAsLongAsItAsks(t *testing.T) {
	t.Parallel()
	s := newShop(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	b := telling(t, s)
	b.happen(t, "A-1")
	fixture.Await(t, func() bool {
		return scan[int](t, b.bundle, `SELECT count(*) FROM deliveries WHERE attempts = 1 AND next_attempt_at > now() + interval '59 minutes'`) == 1
	})
	// Nor is any other order's told until then.
	b.happen(t, "A-2")
	fixture.Await(t, func() bool {
		return scan[int](t, b.bundle, `SELECT count(*) FROM river_job WHERE kind = 'delivery' AND state = 'scheduled' AND scheduled_at > now() + interval '59 minutes'`) == 2
	})
	require.Len(t, s.told(), 1)
}

// River UI and SQL can end a job in ways that its worker never hears of.
func TestDeliver_ADeliveryOutlivesItsJob(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end   string
		state string
		class string
	}{
		"deleted":   {`DELETE FROM river_job WHERE kind = 'delivery'`, "delivered", ""},
		"cancelled": {`UPDATE river_job SET state = 'cancelled', finalized_at = now() WHERE kind = 'delivery'`, "dead", delivery.ClassCancelled},
		"died":      {`UPDATE river_job SET state = 'discarded', finalized_at = now() WHERE kind = 'delivery'`, "dead", delivery.ClassWorkerDied},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			require.NoError(t, b.DeliverOrderEvents(t.Context()))
			tell := &teller{bundle: b, engine: delivery.New(delivery.Options{}), logs: &fixture.Logs{}}
			tell.happen(t, "A-1")
			_, err := b.QueueOrderEvents(t.Context())
			require.NoError(t, err)
			b.exec(t, c.end)
			require.NoError(t, b.SweepDeliveries(t.Context(), true))
			s := newShop(t, nil)
			tell.receiver(t, s)
			tell.begin(t)
			tell.awaitStates(t, c.state, "delivered")
			require.Equal(t, c.class, scan[string](t, b, `SELECT error_class FROM deliveries ORDER BY id LIMIT 1`))
		})
	}
}

// A process that is interrupted leaves the attempt to the next one.
func TestDeliver_AnInterruptedAttemptIsMadeAgain(t *testing.T) {
	t.Parallel()
	began := make(chan struct{}, 1)
	s := newShop(t, func(call int, _ http.ResponseWriter, r *http.Request) {
		if call == 1 {
			began <- struct{}{}
			<-r.Context().Done()
		}
	})
	logs := &fixture.Logs{}
	b := &teller{bundle: setup(t), engine: delivery.New(delivery.Options{}), logs: logs}
	require.NoError(t, b.DeliverOrderEvents(t.Context()))
	b.receiver(t, s)
	first := b.begin(t)
	fixture.Register(t, b.Store, "A-1", "150")
	b.sequence(t)
	<-began
	stop(t, first)
	b.begin(t)
	b.awaitStates(t, "delivered")
	got := s.told()
	require.Equal(t, got[0].ID, got[1].ID)
	require.Equal(t, 1, scan[int](t, b.bundle, `SELECT attempts FROM deliveries`))
}

// A receiver that never answers has its own workers: it takes no settlement's, and no
// other receiver's.
func TestDeliver_AReceiverThatHangsSlowsNobodyElse(t *testing.T) {
	t.Parallel()
	hanging := newShop(t, func(_ int, _ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	b := telling(t, hanging)
	for i := range 2 * delivery.Concurrency {
		fixture.Register(t, b.Store, "A-"+strconv.Itoa(i), "10")
	}
	b.sequence(t)
	fixture.Await(t, func() bool { return len(hanging.told()) == delivery.Concurrency })
	b.fake.says("77", always(approved("77", "A-1", "10")))
	event := b.accept(t, "77")
	b.awaitStatus(t, event, store.StatusCompleted)
	hanging.CloseClientConnections()
}

func TestInsertDeliveries_EachReceiverHasAQueueThatRiverTakes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	client, err := river.NewClient(riverpgxv5.New(b.pool), &river.Config{
		Logger: b.config.Logger, Workers: river.NewWorkers(), Queues: map[string]river.QueueConfig{"any": {MaxWorkers: 1}}, Schema: b.config.Schema,
		TestOnly: true,
	})
	require.NoError(t, err)
	seen := map[string]bool{}
	for _, name := range []string{"order_events", "source:github", "source:a--b", "source:a-b", "source:-", "source:-a", "source:0123456789abcdef0123456789abcdef"} {
		queue := jobs.DeliveryQueue(name)
		require.False(t, seen[queue], queue)
		seen[queue] = true
		require.NoError(t, client.Queues().Add(queue, river.QueueConfig{MaxWorkers: 1}), name)
	}
}

// A delivery's job is made while it waits: only a clock that was ahead makes it due.
func TestDeliver_WhatWaitsIsNotTakenForAJobOfAClockThatWasAhead(t *testing.T) {
	t.Parallel()
	s := newShop(t, status(http.StatusInternalServerError))
	b := telling(t, s, time.Hour)
	b.happen(t, "A-1")
	const waiting = `SELECT count(*) FROM river_job WHERE kind = 'delivery' AND state = 'scheduled' AND scheduled_at > now() + interval '59 minutes'`
	fixture.Await(t, func() bool { return scan[int](t, b.bundle, waiting) == 1 })
	woken, err := b.WakeJobsAhead(t.Context(), func(context.Context, pgx.Tx, int64) error { return errors.New("woken") })
	require.NoError(t, err)
	require.Zero(t, woken)

	b.exec(t, `UPDATE river_job SET created_at = created_at + interval '1 day', scheduled_at = scheduled_at + interval '1 day' WHERE kind = 'delivery' AND state = 'scheduled'`)
	fixture.Await(t, func() bool {
		return scan[int](t, b.bundle, `SELECT count(*) FROM deliveries WHERE state = 'dead'`) == 1
	})
}
