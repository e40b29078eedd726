//go:build chaos

package e2e

import (
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
	"github.com/conciliar/conciliar/store/localpg"
	"github.com/conciliar/conciliar/store/storetest"
)

// failovers are what puts another PostgreSQL, or an older state of it, in the place of
// the one that the service knows. Where that loses events by nature, their ids are not
// held against the database: every order still is.
func failovers() []scenario {
	return []scenario{
		{"restore-dump", "a dump is restored", "under the running service, webhooks arriving and a shop told of its orders; what came after the dump is lost but for its orders, which one reconciliation heals", restoreDump},
		{"restore-base-backup", "a base backup is restored", "taken under load; what came after it is lost but for its orders, which one reconciliation heals", restoreBaseBackup},
		{"promote-synchronous", "PostgreSQL is cut off and ends; its synchronous standby is promoted", "webhooks arriving, both hosts in DATABASE_URL, synchronous_commit at local for the role", promoteSynchronous},
		{"promote-asynchronous", "PostgreSQL is cut off and ends; its asynchronous standby is promoted", "without the last events, which are lost but for their orders: one reconciliation heals those", promoteAsynchronous},
	}
}

// restoreDump puts a dump in the place of the tables, in one transaction, while the
// service has statements prepared for those that were there.
func restoreDump(s *stage) {
	server := s.ownServer(localpg.Options{TempDir: localpg.MemoryDir()})
	s.listen(nil, setting{databaseURL: s.migrated(server), faults: simulator.Faults{Duplicates: 1}})
	p := s.launch()
	s.begin(s.orders(20)).wait()
	s.awaitQuiet()
	during := simulator.Plan{Orders: s.orders(40), Concurrency: 8, ReferencePrefix: "during-"}
	s.register(during)
	dump, script := filepath.Join(server.Dir(), "shop.dump"), filepath.Join(server.Dir(), "shop.sql")
	s.beginPlanAfter(simulator.Plan{Orders: s.orders(20), Concurrency: 8, ReferencePrefix: "tail-"}, func() {
		require.NoError(s.t, server.Run(s.t.Context(), "pg_dump", "--format=custom", "--schema=conciliar", "--file="+dump, "--dbname=shop"))
	}).waitLosing()
	s.awaitQuiet()

	// The restore has every lock before another webhook comes.
	tables := s.findings(`SELECT string_agg(format('%I.%I', schemaname, tablename), ', ') FROM pg_tables WHERE schemaname = 'conciliar'`)
	gate, err := s.pool.Begin(s.t.Context())
	require.NoError(s.t, err)
	_, err = gate.Exec(s.t.Context(), `SELECT pg_advisory_xact_lock(1)`)
	require.NoError(s.t, err)
	require.NoError(s.t, server.Run(s.t.Context(), "pg_restore", "--clean", "--if-exists", "--file="+script, dump))
	restored := make(chan error, 1)
	go func() {
		restored <- server.Run(s.t.Context(), "psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--single-transaction", "--dbname=shop",
			"--command=LOCK TABLE "+tables[0], "--command=SELECT pg_advisory_xact_lock(1)", "--file="+script)
	}()
	s.awaitCount(1, `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = 1`)
	paid := s.tell(during)
	require.NoError(s.t, gate.Rollback(s.t.Context()))
	require.NoError(s.t, <-restored)
	s.pool.Reset()
	paid.wait()
	// A webhook may be turned away by a restore that outlasts its patience, not by a plan.
	const stale = `SELECT count(*) FROM webhook_queue WHERE attempt_errors::text LIKE '%cached plan%'`
	require.Eventually(s.t, func() bool {
		return s.count(`SELECT count(*) FROM webhook_queue WHERE completed_at IS NULL`) == 0 || s.count(stale) > 0
	}, 2*chaosPatience(), 20*time.Millisecond, "events stay without an end")
	require.Zero(s.t, s.count(stale), "an old plan outlived the restore")
	// River's statements return types that a restore makes again: those that insert the
	// deliveries' jobs have met them by now.
	s.awaitCount(0, `SELECT count(*) FROM order_events e WHERE NOT EXISTS (SELECT FROM deliveries d WHERE d.order_event_id = e.id)`)
	require.NotRegexp(s.t, `("/api/checkout/webhook"|order events not made deliveries)[^\n]*cached plan`, p.err.String(), "an old plan outlived the restore")
	s.heal()
}

// restoreBaseBackup goes on from a copy of the server's files.
func restoreBaseBackup(s *stage) {
	backup := s.dataDir()
	server := s.ownServer(localpg.Options{DataDir: s.dataDir()})
	s.set(setting{databaseURL: s.migrated(server), faults: simulator.Faults{Duplicates: 1}})
	p := s.launch()
	s.begin(s.orders(20)).wait()
	during := s.beginPlan(simulator.Plan{Orders: s.orders(40), Concurrency: 8, ReferencePrefix: "during-"})
	tail := s.beginPlanAfter(simulator.Plan{Orders: s.orders(20), Concurrency: 8, ReferencePrefix: "tail-"}, func() {
		require.NoError(s.t, server.Copy(s.t.Context(), backup))
	})
	lost := append(tail.waitLosing(), during.waitLosing()...)
	require.Zero(s.t, p.stop())
	at := server.Port()
	s.crash(server)
	s.ownServer(localpg.Options{DataDir: backup, Port: at})
	s.pool.Reset()
	s.restored()
	s.launch()
	s.givesNoIDTwice(lost)
	s.heal()
}

// promoteSynchronous promotes a standby that has all that was acknowledged, though the
// role's commits wait for the primary alone. Each webhook comes once, for a second one
// would bring back what was lost.
func promoteSynchronous(s *stage) {
	primary, standby, network := s.hosts(simulator.Faults{})
	s.exec(`ALTER SYSTEM SET synchronous_standby_names = '*'`)
	s.exec(`SELECT pg_reload_conf()`)
	s.exec(`ALTER ROLE conciliar SET synchronous_commit = 'local'`)
	s.awaitCount(1, `SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'`)
	s.launch()
	s.begin(s.orders(20)).wait()
	paid := s.beginPlanAfter(simulator.Plan{Orders: s.orders(60), Concurrency: 8, ReferencePrefix: "cut-off-"}, network.cut)
	// What is acknowledged now would be lost.
	pause(time.Second)
	s.crash(primary)
	s.promote(standby)
	s.over()
	paid.wait()
	s.settled()
}

// promoteAsynchronous promotes a standby that lacks what was acknowledged last.
func promoteAsynchronous(s *stage) {
	primary, standby, network := s.hosts(simulator.Faults{Duplicates: 1})
	p := s.launch()
	s.begin(s.orders(20)).wait()
	lost := s.beginPlanAfter(simulator.Plan{Orders: s.orders(20), Concurrency: 8, ReferencePrefix: "tail-"}, func() {
		var written string
		require.NoError(s.t, s.pool.QueryRow(s.t.Context(), `SELECT pg_current_wal_lsn()::text`).Scan(&written))
		s.awaitCount(1, `SELECT count(*) FROM pg_stat_replication WHERE replay_lsn >= '`+written+`'`)
		network.cut()
	}).waitLosing()
	require.Zero(s.t, p.stop())
	s.crash(primary)
	s.promote(standby)
	s.restored()
	s.launch()
	s.givesNoIDTwice(lost)
	s.heal()
}

// hosts sets the stage on a primary and its standby, which is reached by the returned
// network; DATABASE_URL names both.
func (s *stage) hosts(faults simulator.Faults) (primary, standby *localpg.Server, network *faultProxy) {
	s.t.Helper()
	copied := s.dataDir()
	primary = s.ownServer(localpg.Options{DataDir: s.dataDir()})
	s.set(setting{databaseURL: s.migrated(primary), faults: faults})
	network = newFaultProxy(s.t, hostOf(s.t, s.databaseURL))
	_, port, err := net.SplitHostPort(network.proxy.Listen)
	require.NoError(s.t, err)
	require.NoError(s.t, primary.Copy(s.t.Context(), copied, "--write-recovery-conf", "--port="+port))
	standby = s.ownServer(localpg.Options{DataDir: copied})
	s.awaitCount(1, `SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'`)
	u, err := url.Parse(s.databaseURL)
	require.NoError(s.t, err)
	both := strings.Replace(s.databaseURL, u.Host, u.Host+",127.0.0.1:"+strconv.Itoa(standby.Port()), 1)
	s.environ = append(s.environ, "DATABASE_URL="+both+"&target_session_attrs=read-write")
	return primary, standby, network
}

// promote makes a standby the primary, which the stage looks at from now on.
func (s *stage) promote(standby *localpg.Server) {
	s.t.Helper()
	s.databaseURL = standby.URL("shop")
	s.pool = sessionsIn(s.t, s.databaseURL, storetest.Schema)
	s.exec(`SELECT pg_promote()`)
}

func (s *stage) exec(statement string) {
	s.t.Helper()
	_, err := s.pool.Exec(s.t.Context(), statement)
	require.NoError(s.t, err)
}

// restored is what a person runs whose database is an older one: a minute later, for it
// says that the process of then was alive a moment ago.
func (s *stage) restored() {
	s.t.Helper()
	s.exec(`UPDATE processes SET seen_at = seen_at - interval '2 minutes'`)
	got := execute(s.t, s.environ, "restored")
	require.Equal(s.t, exitDone, got.code, got.err)
}

// givesNoIDTwice pays more orders, whose events have ids that none had who was answered
// by the previous database.
func (s *stage) givesNoIDTwice(before []int64) {
	s.t.Helper()
	later := s.beginPlan(simulator.Plan{Orders: s.orders(20), Concurrency: 8, ReferencePrefix: "later-"})
	later.wait()
	for _, id := range later.part.QueueIDs {
		require.NotContains(s.t, before, id, "an id is given twice")
	}
}

// heal lets one reconciliation find what is lost, and there must be such.
func (s *stage) heal() {
	s.t.Helper()
	require.Positive(s.t, s.unheard(), "nothing was lost")
	run := start(s.t, s.environ, "reconcile", "--since", "24h")
	s.awaitCount(1, `SELECT count(*) FROM webhook_reconciliation_logs WHERE scope = 'backfill'`)
	s.over()
	require.Equal(s.t, exitDone, run.wait(), run.err)
	s.settled()
}

// waitLosing waits until everything was acknowledged, by a database that is not there
// any more when the ledger is closed, and returns the events' ids.
func (l *traffic) waitLosing() []int64 {
	l.s.t.Helper()
	before := l.s.outcome.report.QueueIDs
	l.wait()
	l.s.outcome.report.QueueIDs = before
	return l.part.QueueIDs
}
