//go:build chaos

package e2e

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
	"github.com/conciliar/conciliar/store/localpg"
	"github.com/conciliar/conciliar/store/storetest"
)

// poolers are what PgBouncer does between the service and PostgreSQL.
func poolers() []scenario {
	return []scenario{
		{"pooler-session", "PgBouncer in session mode killed and started again, then the service killed", "under load", behindPooler(map[string]string{"pool_mode": "session", "default_pool_size": "40"})},
		{"pooler-transaction", "PgBouncer in transaction mode killed and started again, then the service killed", "under load", behindPooler(map[string]string{"pool_mode": "transaction", "default_pool_size": "5"})},
	}
}

func behindPooler(settings map[string]string) func(*stage) {
	return func(s *stage) {
		// Nothing is rescued in time: another process takes over what the dead one had.
		s.set(setting{
			databaseURL: storetest.URL(s.t), faults: simulator.Faults{Duplicates: 1, Disorder: true}, env: map[string]string{"RESCUE_AFTER": "10m"},
		})
		if settings["pool_mode"] == "transaction" {
			s.setUpRole()
			s.environ = append(s.environ, "DATABASE_DIRECT_URL="+s.databaseURL+"&application_name=direct")
		}
		start := func(port int) *localpg.Pooler {
			pooler, err := localpg.StartPooler(s.t.Context(), localpg.PoolerOptions{Upstream: s.databaseURL, Port: port, Settings: settings})
			require.NoError(s.t, err)
			s.t.Cleanup(func() { require.NoError(s.t, pooler.Stop()) })
			return pooler
		}
		pooler := start(0)
		through, err := pooler.Through(s.databaseURL)
		require.NoError(s.t, err)
		s.environ = append(s.environ, "DATABASE_URL="+through)
		first := s.launch()
		paid := s.begin(s.orders(120))
		pause(500 * time.Millisecond)
		require.NoError(s.t, pooler.Stop())
		pause(300 * time.Millisecond)
		start(pooler.Port())
		pause(500 * time.Millisecond)
		// It dies with attempts under way, which another process takes over.
		asked, release := s.api.hold()
		require.Eventually(s.t, func() bool { return asked.Load() > 0 }, chaosPatience(), 10*time.Millisecond, "no attempt was under way")
		if settings["pool_mode"] == "transaction" {
			// A session of the pooler's that dies by chance would let go of the lock, too.
			require.Equal(s.t, 1, s.count(`SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND application_name = 'direct' AND datname = current_database()`), "a dead process's lock lives on in the pooler")
		}
		first.kill()
		// Its word that it lives dies with it, and is not kept by a pooler.
		require.Eventually(s.t, func() bool {
			return s.count(`SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`) == 0
		}, chaosPatience(), 10*time.Millisecond, "a dead process's lock lives on")
		release()
		s.launch()
		s.over()
		paid.wait()
		s.settled()
	}
}
