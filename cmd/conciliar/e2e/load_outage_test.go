package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
	"github.com/conciliar/conciliar/store"
)

// aDay is a day of an outage in which the first retry comes after 10 ms and not
// after a minute.
const (
	scaledBase = 10 * time.Millisecond
	aDay       = 24 * 60 * scaledBase
)

func TestLoad_AnOutageOfADayEndsWithAllOrdersRightAndNobodyCalled(t *testing.T) {
	t.Parallel()
	s := newShop(t, simulator.Faults{Duplicates: 1, Disorder: true}, map[string]string{"RETRY_BASE_DELAY": scaledBase.String()})
	receiver := s.launch()
	other := addressToKeep(t)
	apiOnly := addressToKeep(t)
	s.launch("HTTP_ADDR=" + other)
	plan := simulator.Plan{Orders: sized(40, 300), Concurrency: 16, ReferencePrefix: "day-"}
	s.register(plan)
	s.sim.SetOutage(true)
	over, cancel := context.WithTimeout(t.Context(), aDay)
	defer cancel()

	report, err := s.sim.Run(t.Context(), plan)

	require.NoError(t, err)
	s.awaitCount(0, `SELECT count(*) FROM webhook_queue_status WHERE status NOT IN ('held', 'completed')`)
	p := s.launchOnlyAPI(apiOnly)
	_, body := get(t, "http://"+apiOnly+"/api/webhooks/status", statusToken)
	require.Regexp(t, `"circuit":"(open|half_open)"`, body, "a process that never asks knows it, too")
	require.Contains(t, body, `"reason":"unavailable"`)
	var done jobs.QueueProcessed
	s.read(&done, "process-queue", "--wait", "5s")
	require.NotEqual(t, store.CircuitClosed, done.Provider)
	require.Zero(t, done.Woken)
	p.kill()
	<-over.Done()
	require.Equal(t, s.count(`SELECT count(*) FROM webhook_queue WHERE completed_at IS NULL`), s.count(`SELECT count(*) FROM webhook_queue_status WHERE status = 'held'`))

	s.sim.SetOutage(false)

	s.awaitQuiet()
	s.requireLedger(report)
	require.Zero(t, s.count(`SELECT count(*) FROM operator_actions WHERE action <> 'process_queue'`), "zero manual steps")
	s.awaitCount(0, `SELECT count(*) FROM provider_outages WHERE released_at IS NULL`)
	require.Equal(t, 1, s.count(`SELECT count(*) FROM provider_outages`), "one outage is one row")
	require.LessOrEqual(t, s.count(`SELECT max(attempts) FROM webhook_queue`), 3)
	receiver.stop()
}

func TestLoad_ARevokedTokenBurnsNoAttempt(t *testing.T) {
	t.Parallel()
	// On a machine that is busy with other things an attempt takes long, and one that takes
	// longer than it may is spent.
	s := newShop(t, simulator.Faults{}, map[string]string{"RETRY_BASE_DELAY": scaledBase.String(), "JOB_TIMEOUT": "30m", "RESCUE_AFTER": "1h"})
	p := s.launch()
	plan := simulator.Plan{Orders: sized(40, 100), Concurrency: 16, ReferencePrefix: "revoked-"}
	s.register(plan)
	s.sim.SetRevoked(true)

	report, err := s.sim.Run(t.Context(), plan)

	require.NoError(t, err)
	s.awaitCount(0, `SELECT count(*) FROM webhook_queue_status WHERE status <> 'held'`)
	require.Zero(t, s.count(`SELECT coalesce(max(attempts), 0) FROM webhook_queue_status`))
	require.Equal(t, 1, s.count(`SELECT count(*) FROM provider_state WHERE reason = 'credentials_rejected'`))
	s.sim.SetRevoked(false)
	s.awaitQuiet()
	s.requireLedger(report)
	require.Equal(t, 1, s.count(`SELECT max(attempts) FROM webhook_queue`))
	p.stop()
}

// Events are let go in steps; whoever comes next goes on with them.
func TestLoad_AProcessKilledWhileItReleasesLeavesTheRestToTheNext(t *testing.T) {
	t.Parallel()
	s := newShop(t, simulator.Faults{}, map[string]string{"RETRY_BASE_DELAY": scaledBase.String(), "PROVIDER_RATE_LIMIT": "40"})
	p := s.launch()
	plan := simulator.Plan{Orders: sized(120, 400), Concurrency: 16, ReferencePrefix: "release-"}
	s.register(plan)
	s.sim.SetRevoked(true)
	report, err := s.sim.Run(t.Context(), plan)
	require.NoError(t, err)
	s.awaitCount(0, `SELECT count(*) FROM webhook_queue_status WHERE status <> 'held'`)
	held := s.count(`SELECT count(*) FROM webhook_queue`)
	s.sim.SetRevoked(false)
	s.awaitCount(1, `SELECT count(*) FROM provider_outages WHERE held_released > 0`)

	p.kill()

	require.Positive(t, s.count(`SELECT count(*) FROM webhook_queue_status WHERE status = 'held'`), "it died in the middle")
	p = s.launch()
	s.awaitQuiet()
	s.requireLedger(report)
	s.awaitCount(0, `SELECT count(*) FROM provider_outages WHERE released_at IS NULL`)
	require.Equal(t, held, s.count(`SELECT held_released::int FROM provider_outages`), "each was let go once")
	p.stop()
}
