//go:build chaos

package e2e

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
)

// killings are the steps at which a process dies with nothing said.
func killings() []scenario {
	return []scenario{
		{"kill-at-acceptance", "SIGKILL", "after the event's commit, before the answer", killUnderLoad(atAcceptance)},
		{"kill-after-fetch", "SIGKILL", "after the fetch, before the settlement", killUnderLoad(atSettling)},
		{"kill-before-commit", "SIGKILL", "before the settlement's commit", killUnderLoad(atSettlement)},
		{"kill-after-commit", "SIGKILL", "after the settlement's commit, before the worker knows", killUnderLoad(afterSettlement)},
		{"kill-and-takeover", "SIGKILL", "before the settlement's commit; nobody restarts it, another process runs", killOneOfTwo},
		{"kill-last-attempt", "SIGKILL", "in the last attempt that the event has; then replayed", killTheLastAttempt},
		{"kill-reconciling", "SIGKILL", "in a reconciliation, before what is missing is committed", killReconciling(atFinding)},
		{"kill-reconciled", "SIGKILL", "in a reconciliation, after what is missing is committed", killReconciling(afterFinding)},
		{"kill-archiving", "SIGKILL", "while events are archived, before the commit", killArchiving(atArchiving)},
		{"kill-archived", "SIGKILL", "while events are archived, after the commit", killArchiving(afterArchiving)},
		{"kill-leader", "SIGKILL of the leader", "in the scheduled minute, as the run starts", killTheLeader},
	}
}

// killUnderLoad kills the service at a point while orders are being paid, and
// starts it again.
func killUnderLoad(at func(frame) bool) func(*stage) {
	return func(s *stage) {
		s.set(setting{faults: simulator.Faults{Duplicates: 1, Disorder: true}})
		p := s.launch()
		stops := s.pg.hold(s.some(4), at)
		paid := s.begin(s.orders(40))
		stops.await(s.t)
		p.kill()
		stops.drop()
		s.launch()
		s.over()
		paid.wait()
		s.settled()
	}
}

// killOneOfTwo leaves the dead process dead.
func killOneOfTwo(s *stage) {
	s.set(setting{faults: simulator.Faults{Duplicates: 1}})
	first := s.launch()
	other := s.second(s.through(func(string) string { return s.databaseURL }), "WORKERS=2")
	stops := s.pg.hold(s.some(2), atSettlement)
	// The first one is the only receiver that the orders know.
	paid := s.begin(s.orders(40))
	stops.await(s.t)
	first.kill()
	stops.drop()
	s.over()
	require.NoError(s.t, s.sim.SetTarget("http://"+other.address(s.t)+"/api/checkout/webhook"))
	paid.wait()
	s.settled()
}

// address is where a process listens.
func (p *process) address(t *testing.T) string {
	t.Helper()
	return p.err.await(t, serveLogPattern)[1]
}

// killTheLastAttempt leaves an event nothing but the dead letter, from which a
// person replays it.
func killTheLastAttempt(s *stage) {
	s.set(setting{env: map[string]string{"RETRY_MAX_ATTEMPTS": "1"}})
	s.mayDie = 1
	p := s.launch()
	stops := s.pg.hold(0, atSettlement)
	event := s.notify(s.pay("last-1"))
	stops.await(s.t)
	p.kill()
	stops.drop()
	s.launch()
	s.over()
	s.replayDead("rescued_out", event)
	s.awaitPaid("last-1")
	s.settled()
}

// call makes one call to the service.
func (s *stage) call(method, path, token, body string) (status int, said string) {
	s.t.Helper()
	status, said, err := s.tryCall(s.t.Context(), method, path, token, body)
	require.NoError(s.t, err)
	return status, said
}

func (s *stage) tryCall(ctx context.Context, method, path, token, body string) (status int, said string, err error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+s.addr+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	return answerTo(req)
}

// killReconciling kills a reconciliation that finds payments whose webhooks
// never came. The run itself must come to its end.
func killReconciling(at func(frame) bool) func(*stage) {
	return func(s *stage) {
		s.set(setting{reconciles: true, faults: simulator.Faults{Drop: 0.5}})
		p := s.launch()
		// The run of the start must not be joined: it looks at what was before.
		s.awaitRuns()
		s.begin(s.orders(30)).wait()
		paid := s.now()
		stops := s.pg.hold(0, at)
		go func() {
			// Its caller dies with it.
			_, _, _ = s.tryCall(context.WithoutCancel(s.t.Context()), http.MethodPost, "/api/webhooks/reconcile", reconcileToken, `{"wait":"0s"}`)
		}()
		stops.await(s.t)
		p.kill()
		stops.drop()
		s.launch()
		s.over()
		s.awaitRunsSince(paid)
		s.settled()
	}
}

// now is PostgreSQL's clock.
func (s *stage) now() time.Time {
	s.t.Helper()
	var now time.Time
	require.NoError(s.t, s.pool.QueryRow(s.t.Context(), `SELECT clock_timestamp()`).Scan(&now))
	return now
}

// awaitRuns waits until a run has succeeded and none goes on.
func (s *stage) awaitRuns() {
	s.t.Helper()
	s.awaitRunsSince(time.Time{})
}

// awaitRunsSince is awaitRuns for a run that looked at all that was paid before
// a time of PostgreSQL's clock.
func (s *stage) awaitRunsSince(since time.Time) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		return s.count(`SELECT count(*) FROM webhook_reconciliation_logs
			WHERE status = 'succeeded' AND window_end > window_start AND window_end >= $1`, since) > 0 &&
			s.count(`SELECT count(*) FROM webhook_reconciliation_logs WHERE status = 'running'`) == 0
	}, 2*chaosPatience(), 50*time.Millisecond, "the run never came to its end")
}

// killArchiving kills a reconciliation while it moves old events. Every event
// must be in one place afterwards.
func killArchiving(at func(frame) bool) func(*stage) {
	return func(s *stage) {
		s.set(setting{})
		s.archives = true
		p := s.launch()
		s.begin(s.orders(30)).wait()
		require.Eventually(s.t, func() bool {
			return s.count(`SELECT count(*) FROM webhook_queue WHERE completed_at IS NULL`) == 0
		}, chaosPatience(), 20*time.Millisecond)
		_, err := s.pool.Exec(s.t.Context(), `UPDATE webhook_queue SET received_at = received_at - interval '8 days', completed_at = completed_at - interval '8 days'`)
		require.NoError(s.t, err)
		stops := s.pg.hold(0, at)
		go func() {
			_, _, _ = s.tryCall(context.WithoutCancel(s.t.Context()), http.MethodPost, "/api/webhooks/reconcile", reconcileToken, `{"wait":"0s"}`)
		}()
		stops.await(s.t)
		p.kill()
		stops.drop()
		s.launch()
		s.over()
		s.awaitRuns()
		require.Zero(s.t, s.count(`SELECT count(*) FROM webhook_queue WHERE received_at < now() - interval '7 days'`), "old events stay")
		s.settled()
	}
}

// killTheLeader kills the process that leads in the minute in which a run is
// due, as the run is being started. The other one must see to it, once.
func killTheLeader(s *stage) {
	s.set(setting{env: map[string]string{"RECONCILE_SCHEDULE": "* * * * *"}})
	leader := s.launch()
	starts := func(f frame) bool { return f.commits() && f.did("INSERT INTO webhook_reconciliation_logs") }
	stops := s.pg.hold(0, starts)
	paid := s.begin(s.orders(20))
	paid.wait()
	stops.await(s.t)
	// Not before: it might be the one that starts the run.
	s.second(s.through(func(string) string { return s.databaseURL }), "WORKERS=1")
	leader.kill()
	stops.drop()
	s.over()
	s.awaitRuns()
	require.Equal(s.t, s.count(`SELECT count(DISTINCT args ->> 'at') FROM river_job WHERE kind = 'reconcile_start'`),
		s.count(`SELECT count(*) FROM river_job WHERE kind = 'reconcile_start'`), "a minute has two starts")
	s.settled()
}
