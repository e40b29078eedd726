//go:build chaos

package e2e

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
	"github.com/conciliar/conciliar/store/storetest"
)

// A stage is what one scenario plays on: a shop whose service reaches
// PostgreSQL and Mercado Pago through proxies.
type stage struct {
	*shop

	pg  *pgProxy
	api *apiProxy
	// chance is where the long form draws from; nil in the short form.
	chance *rand.Rand

	acknowledging sync.Mutex
	outcome       outcomes
	// recovered tells how long the recovery took, once it is over.
	recovered chan time.Duration
	// mayDie are how many dead letters the scenario ends with.
	mayDie int
	// down is true while the shop's own endpoint is.
	down atomic.Bool
	// ahead is set when PostgreSQL's clock was ahead and is set back.
	ahead bool
	// archives is set when the scenario moves events to the archive.
	archives bool
}

// A setting is what a scenario changes before its stage is set.
type setting struct {
	faults simulator.Faults
	env    map[string]string
	// databaseURL is the scenario's own database, migrated; empty for one of the
	// tests' server.
	databaseURL string
	// reconciles leaves the reconciliation on. Elsewhere it is off: it would
	// find what is lost, and so hide it.
	reconciles bool
	// clock is Mercado Pago's; the machine's when nil.
	clock func() time.Time
}

// chaosEnv is what the service runs with, scaled so that a scenario takes
// seconds: 100 ms stand for the minute of the first retry.
var chaosEnv = map[string]string{
	"PROVIDER_RATE_LIMIT": "100000", "API_RATE_LIMIT": "100000", "RETRY_BASE_DELAY": "100ms", "RETRY_MAX_ATTEMPTS": "30",
	"JOB_TIMEOUT": "4s", "RESCUE_AFTER": "6s", "WORKERS": "8", "LOG_LEVEL": "info",
}

// set makes the stage's shop. A stage is set once.
func (s *stage) set(with setting) {
	s.t.Helper()
	if with.databaseURL == "" {
		with.databaseURL = storetest.URL(s.t)
	}
	s.databaseURL = with.databaseURL
	s.pool = sessionsIn(s.t, s.databaseURL, cmp.Or(with.env["DATABASE_SCHEMA"], storetest.Schema))
	var err error
	spoilDatabase(s.t, s.pool)
	s.addr = addressToKeep(s.t)
	s.sim, err = simulator.New(simulator.Config{
		Seed: s.seed(), AccessToken: testAccess, Secret: testSecret, Faults: with.faults, Clock: with.clock,
		TargetURL: "http://" + s.addr + api.WebhookPath,
		RedeliveryDelays: []time.Duration{
			50 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second,
			8 * time.Second, 8 * time.Second, 8 * time.Second, 8 * time.Second,
		},
	})
	require.NoError(s.t, err)
	s.api = &apiProxy{to: s.sim.Handler()}
	front := httptest.NewServer(s.api)
	s.t.Cleanup(front.Close)
	s.t.Cleanup(s.api.open)
	pg, throughProxy := newPGProxy(s.t, s.databaseURL)
	s.pg = pg
	env := map[string]string{"HTTP_ADDR": s.addr}
	for _, values := range []map[string]string{chaosEnv, with.env} {
		for name, value := range values {
			env[name] = value
		}
	}
	s.environ = environment(throughProxy, front.URL, env)
	s.recovered = make(chan time.Duration, 1)
	if !with.reconciles {
		s.hasReconciled()
	}
}

func (s *stage) seed() uint64 {
	if s.chance == nil {
		return 20261125
	}
	return s.chance.Uint64()
}

// some is n in the short form and any number up to three times n in the long
// one.
func (s *stage) some(n int) int {
	if s.chance == nil {
		return n
	}
	return s.chance.IntN(3*n) + 1
}

// orders is how many are paid while something breaks: n in the short form, and
// up to three times as many in the long one. Never fewer, or the step at which
// the service is to be stopped might not come.
func (s *stage) orders(n int) int {
	if s.chance == nil {
		return n
	}
	return n + s.chance.IntN(2*n+1)
}

// pay makes an approved payment for a new order and tells nobody.
func (s *stage) pay(reference string) (id string) {
	s.t.Helper()
	amount := decimal.RequireFromString("150.00")
	require.NoError(s.t, register(s.t.Context(), "http://"+s.addr, reference, amount, "ARS"))
	return s.sim.CreatePayment(simulator.PaymentSpec{
		Reference: reference, Amount: amount, Status: simulator.Approved, StatusDetail: "accredited",
	})
}

// notify delivers a webhook about a payment, which must be taken.
func (s *stage) notify(id string) int64 {
	s.t.Helper()
	result := s.sim.Notify(s.t.Context(), id)
	require.True(s.t, result.Acknowledged(), "answer %d, %v", result.StatusCode, result.Err)
	s.acknowledge(result.QueueID)
	return result.QueueID
}

// acknowledge keeps what a delivery of its own was answered.
func (s *stage) acknowledge(queueID int64) {
	s.acknowledging.Lock()
	defer s.acknowledging.Unlock()
	s.outcome.report.QueueIDs = append(s.outcome.report.QueueIDs, queueID)
}

// Traffic is orders being paid while something happens.
type traffic struct {
	s    *stage
	done chan struct{}
	err  error
	part simulator.Report
}

// begin registers orders and begins to pay them.
func (s *stage) begin(orders int) *traffic {
	s.t.Helper()
	return s.beginPlan(simulator.Plan{Orders: orders, Concurrency: 8})
}

func (s *stage) beginPlan(plan simulator.Plan) *traffic {
	s.t.Helper()
	return s.beginPlanAfter(plan, func() {})
}

// beginPlanAfter does something between the registering of the orders and the
// first payment.
func (s *stage) beginPlanAfter(plan simulator.Plan, prepare func()) *traffic {
	s.t.Helper()
	plan.ReferencePrefix = cmp.Or(plan.ReferencePrefix, "load-")
	s.register(plan)
	prepare()
	return s.tell(plan)
}

// tell begins to pay orders that are registered.
func (s *stage) tell(plan simulator.Plan) *traffic {
	s.t.Helper()
	l := &traffic{s: s, done: make(chan struct{})}
	go func() {
		defer close(l.done)
		l.part, l.err = s.sim.Run(s.t.Context(), plan)
	}()
	s.t.Cleanup(func() { <-l.done })
	return l
}

// wait waits until everything was delivered.
func (l *traffic) wait() {
	l.s.t.Helper()
	select {
	case <-l.done:
	case <-time.After(2 * chaosPatience()):
		l.s.t.Fatal("the load never ended")
	}
	require.NoError(l.s.t, l.err)
	require.Zero(l.s.t, l.part.GivenUp, l.part)
	require.Zero(l.s.t, l.part.Refused, l.part)
	l.s.outcome.report.QueueIDs = append(l.s.outcome.report.QueueIDs, l.part.QueueIDs...)
}

// over says that the fault is over. The recovery is the time from here until
// all that was accepted before, and every reconciliation that had begun, has its
// end.
func (s *stage) over() {
	s.t.Helper()
	began := time.Now()
	var newest, newestRun int64
	require.Eventually(s.t, func() bool {
		return s.pool.QueryRow(s.t.Context(), `SELECT (SELECT coalesce(max(id), 0) FROM webhook_queue),
			(SELECT coalesce(max(id), 0) FROM webhook_reconciliation_logs)`).Scan(&newest, &newestRun) == nil
	}, chaosPatience(), 10*time.Millisecond, "the database doesn't answer")
	ctx := s.t.Context()
	go func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			open := -1
			err := s.pool.QueryRow(ctx, `SELECT (SELECT count(*) FROM webhook_queue_status
				WHERE id <= $1 AND status NOT IN ('completed', 'dead_letter'))
				+ (SELECT count(*) FROM webhook_reconciliation_logs WHERE id <= $2 AND status = 'running')`, newest, newestRun).Scan(&open)
			if err == nil && open == 0 {
				s.recovered <- time.Since(began)
				return
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
}

// settled waits until every event has its end, and closes the database: nothing
// may be lost and nothing may count twice.
func (s *stage) settled() {
	s.t.Helper()
	s.runsEnd()
	left := ""
	require.Eventually(s.t, func() bool {
		err := s.pool.QueryRow(s.t.Context(), `SELECT coalesce(string_agg(format('%s is %s after %s attempts (%s)', id, status, attempts, last_error), E'\n'), '')
			FROM (SELECT * FROM webhook_queue_status WHERE status NOT IN ('completed', 'dead_letter') ORDER BY id LIMIT 5) open`).Scan(&left)
		return err == nil && left == ""
	}, 2*chaosPatience(), 20*time.Millisecond, "events stay without an end")
	select {
	case s.outcome.recovery = <-s.recovered:
	case <-time.After(chaosPatience()):
		s.t.Fatal("the recovery never ended")
	}
	s.closeLedger()
}

// runsEnd waits until every reconciliation that has begun by now has its end. Those
// that begin meanwhile are the next minute's: the service goes on working.
func (s *stage) runsEnd() {
	s.t.Helper()
	newest := s.count(`SELECT coalesce(max(id), 0) FROM webhook_reconciliation_logs`)
	require.Eventually(s.t, func() bool {
		open := -1
		err := s.pool.QueryRow(s.t.Context(), `SELECT count(*) FROM webhook_reconciliation_logs WHERE id <= $1 AND status = 'running'`, newest).Scan(&open)
		return err == nil && open == 0
	}, chaosPatience(), 20*time.Millisecond, "a run of a reconciliation never ended")
}

// freeze stops a process without its knowing.
func (p *process) freeze() { _ = p.cmd.Process.Signal(syscall.SIGSTOP) }

// thaw lets it go on.
func (p *process) thaw() { _ = p.cmd.Process.Signal(syscall.SIGCONT) }

// second launches another process beside the first, with changes.
func (s *stage) second(changes ...string) *process {
	s.t.Helper()
	other := addressToKeep(s.t)
	return s.launch(append([]string{"HTTP_ADDR=" + other}, changes...)...)
}

// through is the environment's entry for the database, by another way or with
// other parameters than the stage's.
func (s *stage) through(change func(address string) string) string {
	for _, entry := range s.environ {
		if address, is := strings.CutPrefix(entry, "DATABASE_URL="); is {
			return "DATABASE_URL=" + change(address)
		}
	}
	panic(fmt.Sprintf("no DATABASE_URL in %d entries", len(s.environ)))
}

// with adds parameters to a database's address.
func with(parameters string) func(string) string {
	return func(address string) string { return address + "&" + parameters }
}

// spoilDatabase takes a guard out of the database, when the tests of the suite
// ask for it.
func spoilDatabase(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	if statement := os.Getenv(spoilEnv); statement != "" {
		_, err := pool.Exec(t.Context(), statement)
		require.NoError(t, err)
	}
}

// spoilEnv holds the statement that takes a guard out of the scenarios'
// databases.
const spoilEnv = "CHAOS_SPOIL"
