//go:build chaos

package e2e

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
	"github.com/conciliar/conciliar/store/localpg"
)

// databaseFaults are what PostgreSQL and the network to it do.
func databaseFaults() []scenario {
	return []scenario{
		{"cut-at-acceptance", "connection cut", "after the event's commit, before PostgreSQL's answer", cutUnderLoad(atAcceptance)},
		{"cut-before-commit", "connection cut", "before the settlement's commit", cutUnderLoad(atSettlement)},
		{"cut-after-commit", "connection cut", "after the settlement's commit, before PostgreSQL's answer", cutUnderLoad(afterSettlement)},
		{"cut-database", "every connection to PostgreSQL cut", "under load, again and again", cutDatabase},
		{"silent-database", "nothing passes to PostgreSQL or back", "for 5 s, under load", silentDatabase},
		{"restart", "PostgreSQL restarted at once (immediate)", "under load", restartDatabase},
		{"restart-asynchronous", "PostgreSQL restarted at once (immediate), synchronous_commit off and its WAL writer asleep", "under load", restartAsynchronous},
		{"out-of-connections", "PostgreSQL has no connection left, and ends the service's", "for 3 s, under load", outOfConnections},
		{"pool-exhausted", "every connection of the service waits for a lock", "a thousand webhooks arrive at once", poolExhausted},
		{"job-deleted", "somebody deletes an event's job", "while it waits for its next attempt; then replayed", deleteJob},
		{"deadlocks", "deadlocks with another program", "under load", deadlocks},
		{"serializable", "a database that makes transactions serializable by default", "ten deliveries of each webhook, two processes", serializable},
	}
}

// cutUnderLoad takes the connection away from the service, which lives.
func cutUnderLoad(at func(frame) bool) func(*stage) {
	return func(s *stage) {
		s.set(setting{faults: simulator.Faults{Duplicates: 1, Disorder: true}})
		s.launch()
		var stops []*hold
		for range 3 {
			stops = append(stops, s.pg.hold(s.some(2), at))
		}
		paid := s.begin(s.orders(60))
		for _, stop := range stops {
			stop.await(s.t)
			stop.drop()
		}
		s.over()
		paid.wait()
		s.settled()
	}
}

func cutDatabase(s *stage) {
	s.set(setting{faults: simulator.Faults{Duplicates: 1}})
	network := newFaultProxy(s.t, hostOf(s.t, s.databaseURL))
	s.launch("DATABASE_URL=" + network.through(s.databaseURL))
	paid := s.begin(s.orders(80))
	for range s.some(3) {
		pause(300 * time.Millisecond)
		network.cut()
		pause(300 * time.Millisecond)
		network.mend()
	}
	s.over()
	paid.wait()
	s.settled()
}

// pause is how long a fault lasts, or a quiet time between two. Nothing is
// awaited with it.
func pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	<-timer.C
}

func silentDatabase(s *stage) {
	s.set(setting{})
	network := newFaultProxy(s.t, hostOf(s.t, s.databaseURL))
	s.launch("DATABASE_URL=" + network.through(s.databaseURL))
	paid := s.begin(s.orders(60))
	cure := network.poison("silence", `{"name":"silence","type":"timeout","stream":"downstream","attributes":{"timeout":0}}`)
	pause(5 * time.Second)
	cure()
	s.over()
	paid.wait()
	s.settled()
}

// ownServer starts a PostgreSQL for one scenario. Commits are as durable as in
// production, against all but the machine's own end.
func (s *stage) ownServer(opts localpg.Options) *localpg.Server {
	s.t.Helper()
	settings := map[string]string{"synchronous_commit": "on"}
	for name, value := range opts.Settings {
		settings[name] = value
	}
	opts.Settings = settings
	server, err := localpg.Start(s.t.Context(), opts)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = server.Stop(context.WithoutCancel(s.t.Context())) })
	return server
}

// migrated makes the service's database on a server and returns its address.
func (s *stage) migrated(server *localpg.Server) string {
	s.t.Helper()
	require.NoError(s.t, server.CreateDatabase(s.t.Context(), "shop"))
	address := server.URL("shop")
	got := execute(s.t, environment(address, "http://127.0.0.1:1", nil), "migrate")
	require.Zero(s.t, got.code, got.err)
	return address
}

// restartDatabase ends PostgreSQL as a crash does: it recovers from its log.
func restartDatabase(s *stage) {
	restartWith(s, simulator.Faults{Duplicates: 1, Disorder: true}, nil)
}

// restartAsynchronous does so where a commit need not be in that log: the server
// writes it every ten seconds. Each webhook comes once, for a second one would bring
// back what was lost.
func restartAsynchronous(s *stage) {
	restartWith(s, simulator.Faults{}, map[string]string{
		"synchronous_commit": "off", "wal_writer_delay": "10s", "wal_writer_flush_after": "1GB", "wal_buffers": "64MB",
	})
}

// underWay waits until so many more events are there, or all of the load, however slow the
// machine is.
func (s *stage) underWay(l *traffic, events int) {
	s.t.Helper()
	before := -1
	require.Eventually(s.t, func() bool {
		select {
		case <-l.done:
			return true
		default:
		}
		there := 0
		if s.pool.QueryRow(s.t.Context(), `SELECT count(*) FROM webhook_queue`).Scan(&there) != nil {
			return false // it has just begun
		}
		if before < 0 {
			before = there
		}
		return there >= before+events
	}, chaosPatience(), 10*time.Millisecond, "no load is under way")
}

// dataDir is a place for a server's data that outlives the server. It is not the test's
// own, which PostgreSQL's user cannot enter.
func (s *stage) dataDir() string {
	s.t.Helper()
	dir, err := os.MkdirTemp("", "conciliar-chaos-*")
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(s.t, os.Chmod(dir, 0o755))
	return filepath.Join(dir, "postgres")
}

func restartWith(s *stage, faults simulator.Faults, settings map[string]string) {
	dir := s.dataDir()
	server := s.ownServer(localpg.Options{DataDir: dir, Settings: settings})
	s.set(setting{databaseURL: s.migrated(server), faults: faults})
	s.launch()
	paid := s.begin(s.orders(80))
	for range 2 {
		s.underWay(paid, 20)
		at := server.Port()
		s.crash(server)
		server = s.ownServer(localpg.Options{DataDir: dir, Port: at, Settings: settings})
	}
	s.over()
	paid.wait()
	s.settled()
}

// crash ends a server at once, with nothing of what it had in memory alone
// written: an immediate shutdown (PostgreSQL documentation, 19.5).
func (s *stage) crash(server *localpg.Server) {
	s.t.Helper()
	found, err := filepath.Glob(filepath.Join(server.Dir(), "*", "postmaster.pid"))
	require.NoError(s.t, err)
	require.Len(s.t, found, 1)
	body, err := os.ReadFile(found[0])
	require.NoError(s.t, err)
	first, _, _ := strings.Cut(string(body), "\n")
	pid, err := strconv.Atoi(first)
	require.NoError(s.t, err)
	require.NoError(s.t, syscall.Kill(pid, syscall.SIGQUIT))
	<-server.Done()
	_ = server.Stop(s.t.Context())
}

// outOfConnections takes every connection that PostgreSQL has, after it has
// ended the service's own.
func outOfConnections(s *stage) {
	server := s.ownServer(localpg.Options{TempDir: localpg.MemoryDir(), Settings: map[string]string{"max_connections": "30", "superuser_reserved_connections": "0"}})
	s.set(setting{databaseURL: s.migrated(server)})
	s.launch()
	paid := s.begin(s.orders(60))
	pause(300 * time.Millisecond)
	admin, err := pgx.Connect(s.t.Context(), server.URL("postgres"))
	require.NoError(s.t, err)
	defer func() { _ = admin.Close(context.WithoutCancel(s.t.Context())) }()
	var taken []*pgx.Conn
	refused := 0
	for until := time.Now().Add(3 * time.Second); time.Now().Before(until); {
		_, err := admin.Exec(s.t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'conciliar'`)
		require.NoError(s.t, err)
		for {
			conn, err := pgx.Connect(s.t.Context(), server.URL("postgres"))
			if err != nil {
				refused++
				break
			}
			taken = append(taken, conn)
		}
		pause(20 * time.Millisecond)
	}
	require.Positive(s.t, refused)
	for _, conn := range taken {
		_ = conn.Close(s.t.Context())
	}
	s.over()
	paid.wait()
	s.settled()
}

// poolExhausted lets a thousand webhooks arrive while every connection of the
// service waits for a lock that somebody holds.
func poolExhausted(s *stage) {
	s.set(setting{faults: simulator.Faults{Duplicates: 1}})
	s.launch(s.through(with("pool_max_conns=4")))
	plan := simulator.Plan{Orders: 340, Concurrency: 1000, Window: 340}
	tx, err := s.pool.Begin(s.t.Context())
	require.NoError(s.t, err)
	paid := s.beginPlanAfter(plan, func() {
		_, err := tx.Exec(s.t.Context(), `LOCK TABLE webhook_queue IN ACCESS EXCLUSIVE MODE`)
		require.NoError(s.t, err)
	})
	pause(3 * time.Second)
	require.NoError(s.t, tx.Rollback(s.t.Context()))
	s.over()
	paid.wait()
	require.GreaterOrEqual(s.t, paid.part.Sent, 1000)
	s.settled()
}

// deadlocks lets another program take the locks of the settlement in the
// opposite order, again and again.
func deadlocks(s *stage) {
	s.set(setting{faults: simulator.Faults{Duplicates: 5}})
	s.launch()
	ctx, stop := context.WithCancel(s.t.Context())
	defer stop()
	contradicted := make(chan struct{})
	go func() {
		defer close(contradicted)
		for ctx.Err() == nil {
			_ = s.contradict(ctx)
		}
	}()
	paid := s.begin(25)
	paid.wait()
	require.Eventually(s.t, func() bool {
		return s.count(`SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`) > 0
	}, chaosPatience(), 100*time.Millisecond, "there was no deadlock")
	stop()
	<-contradicted
	s.over()
	s.settled()
}

// contradict locks orders, and then the jobs of attempts that wait for them.
func (s *stage) contradict(ctx context.Context) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		// The service is the one that finds the deadlock, and is its victim.
		for _, statement := range []string{
			`SET LOCAL deadlock_timeout = '20s'`,
			`SELECT pg_advisory_xact_lock(hashtextextended(reference, 2)) FROM (SELECT reference FROM orders ORDER BY random() LIMIT 10) o`,
			`SELECT pg_sleep(0.1)`,
			`SELECT id FROM river_job WHERE state = 'running' FOR UPDATE`,
		} {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
}

// serializable is a database whose owner wants every transaction to be so. The
// service's own are written for PostgreSQL's default.
func serializable(s *stage) {
	s.set(setting{faults: simulator.Faults{Duplicates: 9}})
	address, err := url.Parse(s.databaseURL)
	require.NoError(s.t, err)
	_, err = s.pool.Exec(s.t.Context(), `ALTER DATABASE `+pgx.Identifier{strings.TrimPrefix(address.Path, "/")}.Sanitize()+
		` SET default_transaction_isolation = 'serializable'`)
	require.NoError(s.t, err)
	s.launch()
	s.second()
	paid := s.begin(s.orders(20))
	paid.wait()
	s.over()
	s.settled()
}

// deleteJob takes an event's job away by SQL. The event must not be forgotten.
func deleteJob(s *stage) {
	s.set(setting{env: map[string]string{"RETRY_BASE_DELAY": "1h"}})
	s.mayDie = 1
	s.launch()
	s.api.set(failing)
	event := s.notify(s.pay("deleted-1"))
	require.Eventually(s.t, func() bool {
		return s.count(`SELECT count(*) FROM river_job WHERE state = 'retryable'`) == 1
	}, chaosPatience(), 20*time.Millisecond)
	_, err := s.pool.Exec(s.t.Context(), `DELETE FROM river_job WHERE state = 'retryable'`)
	require.NoError(s.t, err)
	s.api.open()
	s.over()
	s.replayDead("deleted", event)
	s.awaitPaid("deleted-1")
	s.settled()
}

// replayDead waits for the dead letter of an event and replays it, as a person
// does.
func (s *stage) replayDead(reason string, event int64) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		return s.count(`SELECT count(*) FROM webhook_dead_letter WHERE queue_id = $1 AND reason = $2 AND state = 'open'`, event, reason) == 1
	}, chaosPatience(), 20*time.Millisecond, "the event is lost: no dead letter tells of it")
	status, said := s.call(http.MethodPost, "/api/webhooks/dead-letters/replay", processToken, `{"filter":{"reason":"`+reason+`"}}`)
	require.Less(s.t, status, 300, said)
}

func (s *stage) awaitPaid(reference string) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		return s.count(`SELECT count(*) FROM orders WHERE reference = $1 AND status = 'paid'`, reference) == 1
	}, chaosPatience(), 20*time.Millisecond, "the replay paid nothing")
}
