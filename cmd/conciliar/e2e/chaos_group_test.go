//go:build chaos

package e2e

import (
	"fmt"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
)

// crowds are what happens while a hundred events are settled at once.
func crowds() []scenario {
	return []scenario{
		{"kill-in-group", "SIGKILL", "a hundred payments are settled at once; before a group's commit", killInGroup(atSettlement)},
		{"kill-after-group", "SIGKILL", "a hundred payments are settled at once; after a group's commit, before the workers know", killInGroup(afterSettlement)},
		{"cut-after-group", "connection cut", "a hundred payments are settled at once; after a group's commit, before PostgreSQL's answer", cutAfterGroup},
		{"group-and-locked-order", "a shop's own transaction holds an order", "while a hundred payments are settled at once", groupAndLockedOrder},
		{"groups-of-two", "two processes", "each payment is told of twice, and all are settled at once", groupsOfTwo},
	}
}

// crowdSize is how many payments are settled at once.
const crowdSize = 100

// crowdSetting is what that takes.
var crowdSetting = setting{env: map[string]string{"WORKERS": "100", "JOB_TIMEOUT": "40s", "RESCUE_AFTER": "50s"}}

// crowd pays orders, tells of each payment so often, and returns once all attempts wait
// for Mercado Pago, which answers them when release is called.
func (s *stage) crowd(times int) (release func()) {
	s.t.Helper()
	asked, release := s.api.hold()
	ids := make([]string, crowdSize)
	for n := range ids {
		ids[n] = s.pay(fmt.Sprintf("crowd-%d", n))
	}
	// Side by side: the first attempt must still wait when the last begins.
	results := make([]simulator.Result, times*len(ids))
	var told sync.WaitGroup
	for i := range results {
		told.Go(func() { results[i] = s.sim.Notify(s.t.Context(), ids[i%len(ids)]) })
	}
	told.Wait()
	for _, result := range results {
		require.True(s.t, result.Acknowledged(), "answer %d, %v", result.StatusCode, result.Err)
		s.acknowledge(result.QueueID)
	}
	require.Eventually(s.t, func() bool { return asked.Load() >= crowdSize }, chaosPatience(), 10*time.Millisecond, "the attempts never asked")
	return release
}

// requireCrowd asserts that many were settled in one transaction.
func (s *stage) requireCrowd() {
	s.t.Helper()
	require.Greater(s.t, s.count(`SELECT max(n) FROM (SELECT count(*) AS n FROM payment_logs GROUP BY applied_at) groups`), 10, "nothing was settled together")
	require.Equal(s.t, crowdSize, s.count(`SELECT count(*) FROM order_events WHERE type = 'order.paid'`))
}

func killInGroup(at func(frame) bool) func(*stage) {
	return func(s *stage) {
		s.set(crowdSetting)
		p := s.launch()
		release := s.crowd(1)
		stops := s.pg.hold(1, at)
		release()
		stops.await(s.t)
		p.kill()
		stops.drop()
		s.launch()
		s.over()
		s.settled()
		s.requireCrowd()
	}
}

func cutAfterGroup(s *stage) {
	s.set(crowdSetting)
	s.launch()
	release := s.crowd(1)
	stops := s.pg.hold(1, afterSettlement)
	release()
	stops.await(s.t)
	stops.drop()
	s.over()
	s.settled()
	s.requireCrowd()
}

func groupAndLockedOrder(s *stage) {
	s.set(crowdSetting)
	s.launch()
	release := s.crowd(1)
	holder, err := s.pool.Begin(s.t.Context())
	require.NoError(s.t, err)
	_, err = holder.Exec(s.t.Context(), `SELECT FROM orders WHERE reference = 'crowd-7' FOR UPDATE`)
	require.NoError(s.t, err)
	release()
	s.awaitCount(crowdSize-1, `SELECT count(*) FROM orders WHERE status = 'paid'`)
	require.NoError(s.t, holder.Commit(s.t.Context()))
	s.over()
	s.settled()
	s.requireCrowd()
}

func groupsOfTwo(s *stage) {
	s.set(crowdSetting)
	s.launch()
	s.second()
	release := s.crowd(2)
	release()
	s.over()
	s.settled()
	s.requireCrowd()
}
