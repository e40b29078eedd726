package e2e

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
)

// Half of the purchases are told of as payments and half as Mercado Pago's orders of
// every type, each thrice, in disorder, and a fifth of both never, while the search
// shows nothing of the last two minutes. When that has passed, one run brings all
// orders to what Mercado Pago's ledger says, and each payment counts once.
func TestLoad_OrdersAndPaymentsAreOneMoney(t *testing.T) {
	t.Parallel()
	const lag = 2 * time.Minute
	// Mercado Pago lives behind until everything has happened, so that the lag passes
	// at once and not by waiting.
	var behind atomic.Int64
	behind.Store(int64(10 * time.Minute))
	clock := func() time.Time { return time.Now().Add(-time.Duration(behind.Load())) }
	faults := simulator.Faults{Duplicates: 2, Disorder: true, Drop: 0.2, SearchLag: lag, UnstablePages: true}
	// A look before the lag has passed is in vain: a few are enough.
	s := newShopAt(t, faults, clock, map[string]string{"RETRY_BASE_DELAY": "2s"})
	s.hasReconciled()
	p := s.launch()
	plan := simulator.Plan{
		Orders: sized(100, 10_000), Concurrency: 24, ReferencePrefix: "roads-", ThroughOrders: 0.5, BothChannels: 0.2,
	}
	s.register(plan)

	report, err := s.sim.Run(t.Context(), plan)
	require.NoError(t, err)
	require.Zero(t, report.GivenUp, report)
	require.Zero(t, report.Refused, report)
	s.awaitQuiet()
	require.Positive(t, s.count(`SELECT count(*) FROM webhook_queue WHERE outcome = 'provisional'`), "the search knew everything")
	behind.Store(0)

	run := s.reconcile()

	s.awaitQuiet()
	payments := 0
	for _, o := range s.requireOrders() {
		payments += o.Payments
	}
	require.Equal(t, payments, s.count(`SELECT count(*) FROM payments`), "each payment is there once")
	require.Zero(t, s.count(`SELECT count(*) FROM payment_aliases WHERE awaited AND payment_id IS NULL`), "an order's payment is still looked for")
	require.Zero(t, s.count(`SELECT count(*) FROM webhook_dead_letter`))
	again := s.reconcile()
	require.Equal(t, []int64{0, 0}, []int64{again.MissingFound, again.DriftFound}, "a second run finds nothing")
	verified := execute(t, s.environ, "verify")
	require.Equal(t, exitDone, verified.code, verified.out)
	t.Logf("%s; %d found by the run of %s over %d payments", report, run.MissingFound, run.FinishedAt.Sub(run.StartedAt), run.PaymentsChecked)
	p.stop()
}
