package e2e

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
	"github.com/conciliar/conciliar/store/storetest"
)

// setUpRole makes the settings that a pooler in transaction mode lacks the role's, with
// the line that the doctor says.
func (s *shop) setUpRole() {
	s.t.Helper()
	through := "DATABASE_URL=" + storetest.Pooler(s.t, s.databaseURL, map[string]string{"pool_mode": "transaction"})
	got := execute(s.t, append(s.environ, through, "DATABASE_DIRECT_URL="+s.databaseURL), "doctor", "--json")
	lines := regexp.MustCompile(`Run (ALTER ROLE .*;) and have the pooler`).FindStringSubmatch(got.out)
	require.NotNil(s.t, lines, got.out)
	_, err := s.pool.Exec(s.t.Context(), lines[1])
	require.NoError(s.t, err)
}

// Through PgBouncer, in either mode, the service settles every order, and what a
// killed process worked is taken up by another as without one: its lock is not left
// behind in the pooler.
func TestPooler_TheServiceWorksBehindPgBouncer(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string]map[string]string{
		"in session mode":                       {"pool_mode": "session", "default_pool_size": "100"},
		"in session mode with too few sessions": {"pool_mode": "session", "default_pool_size": "9"},
		"in transaction mode":                   {"pool_mode": "transaction"},
		"in transaction mode with a small pool": {"pool_mode": "transaction", "default_pool_size": "3"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t, simulator.Faults{}, map[string]string{"JOB_TIMEOUT": "30m", "RESCUE_AFTER": "1h"})
			if settings["pool_mode"] == "transaction" {
				s.setUpRole()
				s.environ = append(s.environ, "DATABASE_DIRECT_URL="+s.databaseURL+"&application_name=direct")
			}
			s.environ = append(s.environ, "DATABASE_URL="+storetest.Pooler(t, s.databaseURL, settings))
			s.hasReconciled()
			plan := simulator.Plan{Orders: 20, Concurrency: 8, ReferencePrefix: "first-"}
			held := newHeldAPI(t, s.sim)

			first := s.launch("MERCADOPAGO_BASE_URL=" + held.address)
			require.NotContains(t, first.err.String(), "lack")
			const events = 8
			for i := range events {
				require.True(t, s.sim.Notify(t.Context(), s.sell("order-"+string(rune('a'+i)))).Acknowledged())
			}
			held.await(t, events)
			if settings["pool_mode"] == "transaction" {
				// Left in the pooler, the lock would outlive the process.
				require.Equal(t, 1, s.count(`SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND application_name = 'direct' AND datname = current_database()`))
				require.Equal(t, 1, s.count(`SELECT count(*) FROM pg_stat_activity WHERE application_name = 'direct' AND query LIKE 'LISTEN%' AND datname = current_database()`))
			}
			first.kill()
			held.open()

			second := s.launch()
			s.register(plan)
			_, err := s.sim.Run(t.Context(), plan)
			require.NoError(t, err)
			s.awaitQuiet()
			s.requireOrders()
			require.Equal(t, events, s.count(`SELECT count(*) FROM webhook_queue WHERE attempts = 2 AND attempt_errors -> 0 ->> 'error' LIKE 'orphaned: %'`))
			require.Zero(t, s.count(`SELECT count(*) FROM webhook_dead_letter`))
			s.requireSound()
			found := findings(t, s.environ, exitDone)
			require.Equal(t, "ok", found["pooler"].State)
			if settings["default_pool_size"] == "9" {
				require.Contains(t, second.err.String(), "The pooler has 9 sessions for us, and 29 are wanted")
			}
			require.Equal(t, exitDone, second.stop())
		})
	}
}

func TestPooler_TransactionModeNeedsAnAddressOfItsOwnForSessions(t *testing.T) {
	t.Parallel()
	s := newShop(t, simulator.Faults{}, nil)
	s.setUpRole()
	through := "DATABASE_URL=" + storetest.Pooler(t, s.databaseURL, map[string]string{"pool_mode": "transaction"})
	for _, args := range []string{"serve", "migrate"} {
		got := execute(t, append(s.environ, through), args)
		require.Equal(t, exitUsage, got.code, got.err)
		require.Contains(t, got.err, "DATABASE_DIRECT_URL: is needed, as DATABASE_URL leads through a pooler in transaction mode")
	}
	found := findings(t, append(s.environ, through), exitFailed)
	require.Equal(t, "fail", found["pooler"].State)
	// What only reads needs no session.
	got := execute(t, append(s.environ, through), "verify")
	require.Equal(t, exitDone, got.code, got.err)
}

func TestPooler_MigratesInSessionMode(t *testing.T) {
	t.Parallel()
	through := storetest.Pooler(t, storetest.EmptyURL(t), map[string]string{"pool_mode": "session"})
	got := execute(t, []string{"DATABASE_URL=" + through}, "migrate")
	require.Equal(t, exitDone, got.code, got.err)
	got = execute(t, []string{"DATABASE_URL=" + through}, "migrate", "--check")
	require.Equal(t, exitDone, got.code, got.err)
}

func TestPooler_StatementModeIsRefused(t *testing.T) {
	t.Parallel()
	s := newShop(t, simulator.Faults{}, nil)
	got := execute(t, append(s.environ, "DATABASE_URL="+storetest.Pooler(t, s.databaseURL, map[string]string{"pool_mode": "statement"})), "serve")
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.err, "transaction blocks not allowed in statement pooling mode")
}

// Locks that hold nobody off would have one event worked twice.
func TestServe_RefusesADatabaseThatOnlySpeaksTheProtocol(t *testing.T) {
	t.Parallel()
	s := newShop(t, simulator.Faults{}, nil)
	faking := "DATABASE_URL=" + storetest.Impostor(t, s.databaseURL, strings.NewReplacer("pg_advisory_xact_lock(", "abs(").Replace)
	const lacks = "advisory locks of a transaction hold nobody off"
	got := execute(t, append(s.environ, faking), "serve")
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.err, lacks)
	found := findings(t, append(s.environ, faking), exitFailed)
	require.Contains(t, found["abilities"].Says, lacks)
}

func TestPool_OneThatIsTooSmallIsToldAndWorks(t *testing.T) {
	t.Parallel()
	s := newShop(t, simulator.Faults{}, nil)
	s.hasReconciled()
	p := s.launch("DATABASE_URL=" + s.databaseURL + "&pool_max_conns=2")
	require.Contains(t, p.err.String(), "pool_max_conns in DATABASE_URL is 2, and 26 are wanted")
	plan := simulator.Plan{Orders: 20, Concurrency: 8}
	s.register(plan)
	_, err := s.sim.Run(t.Context(), plan)
	require.NoError(t, err)
	s.awaitQuiet()
	s.requireOrders()
	s.requireSound()
}
