//go:build chaos

package e2e

import (
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
)

// signals are a process that is told to stop, and one that is stopped without
// its knowing.
func signals() []scenario {
	return []scenario{
		{"term-under-load", "SIGTERM", "under load", termUnderLoad},
		{"term-while-waiting", "SIGTERM", "while attempts wait for Mercado Pago", termWhileWaiting},
		{"zombie", "SIGSTOP, SIGCONT", "after the fetch; woken when another process is at the event", zombie},
		{"zombie-in-commit", "SIGSTOP, SIGCONT", "before the settlement's commit, beyond the rescue", zombieInCommit},
	}
}

func termUnderLoad(s *stage) {
	s.set(setting{faults: simulator.Faults{Duplicates: 2, Disorder: true}})
	p := s.launch()
	reached := s.pg.hold(s.some(6), atSettlement)
	paid := s.begin(s.orders(80))
	reached.await(s.t)
	reached.release()
	p.stop()
	require.Zero(s.t, p.cmd.ProcessState.ExitCode(), "it must end in order")
	require.Zero(s.t, s.count(`SELECT count(*) FROM river_job WHERE state = 'running'`), "an attempt was neither ended nor given back")
	s.launch()
	s.over()
	paid.wait()
	s.settled()
}

// termWhileWaiting ends a process whose attempts cannot end in time: they are
// given back, and cost the event none of its attempts.
func termWhileWaiting(s *stage) {
	s.set(setting{env: map[string]string{"JOB_TIMEOUT": "60s", "RESCUE_AFTER": "2m"}})
	p := s.launch()
	held := s.api.holdAnswer(s.t, isPayment)
	event := s.notify(s.pay("waiting-1"))
	held.await(s.t)
	began := time.Now()
	p.stop()
	s.t.Logf("stopped within %s", time.Since(began))
	held.release()
	s.api.open()
	require.Zero(s.t, s.count(`SELECT count(*) FROM river_job WHERE state = 'running'`), "the attempt was not given back")
	s.launch()
	s.over()
	s.settled()
	require.Equal(s.t, 1, s.count(`SELECT attempts FROM webhook_queue WHERE id = $1`, event), "the stop spent an attempt")
}

// zombie stops a process between the fetch and the settlement for longer than
// the rescue takes, and wakes it while another process works at the event: what
// it fetched then is old, the attempt is not its own any more, and it must
// change nothing.
func zombie(s *stage) {
	s.set(setting{})
	// It must not find its own time up when it wakes.
	first := s.launch("JOB_TIMEOUT=3m", "RESCUE_AFTER=4m", s.through(with("idle_in_transaction_session_timeout=0")))
	// Other jobs lock their rows in the same way: only after the fetch is it this one.
	var fetched atomic.Bool
	s.api.set(func(w http.ResponseWriter, r *http.Request) {
		if isPayment(r) {
			fetched.Store(true)
		}
		s.api.to.ServeHTTP(w, r)
	})
	stops := s.pg.hold(0, func(f frame) bool { return fetched.Load() && atSettling(f) })
	event := s.notify(s.pay("zombie-1"))
	stops.await(s.t)
	first.freeze()
	held := s.api.holdAnswer(s.t, isPayment)
	s.second(s.through(func(string) string { return s.databaseURL }), "JOB_TIMEOUT=9s", "RESCUE_AFTER=10s")
	held.await(s.t)
	// Not before: with the statement on its way the zombie would hold the job's
	// row, and nobody could take the job up.
	stops.release()
	first.thaw()
	// The settlement of the first process has found out, or has gone through.
	require.Eventually(s.t, func() bool {
		return strings.Contains(first.err.String(), `"outcome":"stale"`) ||
			s.count(`SELECT count(*) FROM webhook_queue WHERE completed_at IS NOT NULL`) > 0
	}, chaosPatience(), 20*time.Millisecond, "the zombie never woke")
	require.Zero(s.t, s.count(`SELECT count(*) FROM webhook_queue WHERE completed_at IS NOT NULL`), "the zombie ended another's attempt")
	require.Zero(s.t, s.count(`SELECT count(*) FROM payment_logs`), "the zombie applied what it had fetched")
	held.release()
	s.api.open()
	s.over()
	s.settled()
	require.Equal(s.t, 2, s.count(`SELECT attempts FROM webhook_queue WHERE id = $1`, event), "the attempts are told wrongly")
}

// zombieInCommit stops a process that holds the job's row and has written all
// of the settlement. Another one cannot take the event meanwhile; when it wakes
// it may commit, once.
func zombieInCommit(s *stage) {
	s.set(setting{})
	first := s.launch()
	stops := s.pg.hold(0, atSettlement)
	s.notify(s.pay("zombie-2"))
	stops.await(s.t)
	first.freeze()
	s.second(s.through(func(string) string { return s.databaseURL }))
	// Longer than the rescue takes.
	require.Eventually(s.t, func() bool {
		return s.count(`SELECT count(*) FROM river_job WHERE kind = 'webhook_payment' AND attempted_at < now() - interval '12 seconds'`) == 1
	}, chaosPatience(), 100*time.Millisecond)
	stops.release()
	first.thaw()
	s.over()
	s.settled()
}
