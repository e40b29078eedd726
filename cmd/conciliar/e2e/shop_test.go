package e2e

import (
	"context"
	"encoding/json"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
	"github.com/conciliar/conciliar/store/storetest"
)

// A shop is a real database, a simulated Mercado Pago, and what is needed to
// run the real program between them.
type shop struct {
	t           *testing.T
	databaseURL string
	pool        *pgxpool.Pool
	sim         *simulator.Simulator
	environ     []string
	addr        string
}

// newShop makes a shop whose service listens on addr, which stays the same when
// it is started again.
func newShop(t *testing.T, faults simulator.Faults, changes map[string]string) *shop {
	t.Helper()
	return newShopAt(t, faults, nil, changes)
}

// newShopAt is newShop with a Mercado Pago whose clock is another.
func newShopAt(t *testing.T, faults simulator.Faults, clock func() time.Time, changes map[string]string) *shop {
	t.Helper()
	s := &shop{t: t, databaseURL: storetest.URL(t)}
	s.pool = storetest.Open(t, s.databaseURL)
	s.addr = addressToKeep(t)
	var err error
	s.sim, err = simulator.New(simulator.Config{
		Seed: 20261124, AccessToken: testAccess, Secret: testSecret, Faults: faults, Clock: clock,
		TargetURL: "http://" + s.addr + api.WebhookPath,
		// Longer than any restart in a test.
		RedeliveryDelays: []time.Duration{50 * time.Millisecond, 200 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second},
	})
	require.NoError(t, err)
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	go func() { served <- s.sim.Serve(ctx, ln) }()
	t.Cleanup(func() { stop(); require.NoError(t, <-served) })
	all := map[string]string{
		"HTTP_ADDR": s.addr, "PROVIDER_RATE_LIMIT": "100000", "API_RATE_LIMIT": "100000", "RETRY_BASE_DELAY": "100ms",
		"JOB_TIMEOUT": "4s", "RESCUE_AFTER": "6s", "WORKERS": "32", "LOG_LEVEL": "info",
	}
	for name, value := range changes {
		all[name] = value
	}
	s.environ = environment(s.databaseURL, "http://"+ln.Addr().String(), all)
	return s
}

// hasReconciled lets no run start by itself: the last one has just ended.
func (s *shop) hasReconciled() {
	s.t.Helper()
	_, err := s.pool.Exec(s.t.Context(), `
		INSERT INTO webhook_reconciliation_logs (trigger, status, window_start, window_end, finished_at)
		VALUES ('start', 'succeeded', now(), now(), now())`)
	require.NoError(s.t, err)
}

// launch starts `conciliar serve` and returns when it listens.
func (s *shop) launch(changes ...string) *process {
	s.t.Helper()
	return s.launchWith(nil, changes...)
}

// launchOnlyAPI starts a process that works nothing, at another address.
func (s *shop) launchOnlyAPI(addr string) *process {
	s.t.Helper()
	return s.launchWith([]string{"--only", "api"}, "HTTP_ADDR="+addr)
}

// read runs a command against the shop and reads the document that it prints.
func (s *shop) read(into any, args ...string) {
	s.t.Helper()
	got := execute(s.t, s.environ, append(args, "--json")...)
	require.Equal(s.t, exitDone, got.code, got.err)
	require.NoError(s.t, json.Unmarshal([]byte(got.out), into))
}

func (s *shop) launchWith(args []string, changes ...string) *process {
	s.t.Helper()
	p := start(s.t, append(slices.Clip(s.environ), changes...), append([]string{"serve"}, args...)...)
	p.err.await(s.t, serveLogPattern)
	return p
}

// register tells the service of the orders that the plan will pay, as a shop
// does.
func (s *shop) register(plan simulator.Plan) {
	s.t.Helper()
	specs := s.sim.Orders(plan)
	work := make(chan simulator.OrderSpec)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for o := range work {
				if err := register(s.t.Context(), "http://"+s.addr, o.Reference, o.Amount, o.Currency); err != nil {
					s.t.Error(err)
				}
			}
		})
	}
	for _, o := range specs {
		work <- o
	}
	close(work)
	wg.Wait()
}

func (s *shop) count(query string, args ...any) int {
	s.t.Helper()
	var n int
	require.NoError(s.t, s.pool.QueryRow(s.t.Context(), query, args...).Scan(&n))
	return n
}

// awaitCount waits until a query counts so many.
func (s *shop) awaitCount(want int, query string) {
	s.t.Helper()
	eventually(s.t, func() bool { return s.count(query) == want }, "%s", query)
}

// awaitQuiet waits until every event has its end.
func (s *shop) awaitQuiet() {
	s.t.Helper()
	last := -1
	require.Eventually(s.t, func() bool {
		last = s.count(`SELECT count(*) FROM webhook_queue_status WHERE status NOT IN ('completed', 'dead_letter')`)
		return last == 0
	}, 10*patience, 50*time.Millisecond, "events stay without an end")
}

// requireOrders holds every order against the simulator's own ledger, and
// returns that.
func (s *shop) requireOrders() []simulator.Truth {
	s.t.Helper()
	truth := s.sim.Truth()
	for _, o := range truth {
		var status, paid, refunded string
		err := s.pool.QueryRow(s.t.Context(), `SELECT status, paid_amount::text, refunded_amount::text FROM orders WHERE reference = $1`, o.Reference).
			Scan(&status, &paid, &refunded)
		require.NoError(s.t, err, o.Reference)
		want := []string{o.Status, o.Paid.String(), o.Refunded.String()}
		require.Equal(s.t, want, []string{status, paid, refunded}, "%s (%s)", o.Reference, o.Lifecycle)
	}
	require.Equal(s.t, len(truth), s.count(`SELECT count(*) FROM orders`), "no order but the shop's")
	return truth
}

// requireLedger holds everything that the service wrote against the simulator's
// own ledger and against what it acknowledged.
func (s *shop) requireLedger(report simulator.Report) {
	s.t.Helper()
	truth := s.requireOrders()
	served, states := map[string]bool{}, 0
	for _, o := range truth {
		for _, state := range o.States {
			if state.Served > 0 {
				states++
				served[stateKey(state.ID, state.Status, state.StatusDetail, state.Refunded.String(), state.DateLastUpdated)] = true
			}
		}
	}

	// What was acknowledged is there, and each has one end.
	require.Equal(s.t, len(report.QueueIDs), s.count(`SELECT count(*) FROM webhook_queue WHERE id = ANY ($1)`, report.QueueIDs), "an acknowledged event is missing")
	require.Zero(s.t, s.count(`SELECT count(*) FROM webhook_queue WHERE completed_at IS NULL`), "an event has no end")
	var deaths string
	require.NoError(s.t, s.pool.QueryRow(s.t.Context(), `SELECT coalesce(string_agg(concat_ws(' ', queue_id, reason, error), '; '), '') FROM webhook_dead_letter`).Scan(&deaths))
	require.Empty(s.t, deaths, "events died")
	require.Zero(s.t, s.count(`SELECT count(*) FROM webhook_queue q JOIN river_job j ON j.id = q.job_id WHERE j.state <> 'completed'`), "an ended event has a live job")
	require.Zero(s.t, s.count(`SELECT count(*) FROM (SELECT signature FROM webhook_queue WHERE signature IS NOT NULL GROUP BY source, signature HAVING count(*) > 1) d`), "a delivery counts twice")

	// Each applied state was really told, and is logged once.
	rows, err := s.pool.Query(s.t.Context(), `SELECT payment_id, status, status_detail, trim_scale(refunded_amount)::text, date_last_updated FROM payment_logs`)
	require.NoError(s.t, err)
	logged := map[string]int{}
	var id, status, detail, refunded string
	var at time.Time
	_, err = pgx.ForEachRow(rows, []any{&id, &status, &detail, &refunded, &at}, func() error {
		logged[stateKey(id, status, detail, refunded, at)]++
		return nil
	})
	require.NoError(s.t, err)
	for key, n := range logged {
		require.True(s.t, served[key], "a state was applied that Mercado Pago never told: %s", key)
		require.Equal(s.t, 1, n, "a state was applied twice: %s", key)
	}
	s.t.Logf("%s; %d orders, %d states told, %d applied", report, len(truth), states, len(logged))
}

func stateKey(id, status, detail, refunded string, at time.Time) string {
	return strings.Join([]string{id, status, detail, refunded, at.UTC().Format(time.RFC3339Nano)}, " ")
}
