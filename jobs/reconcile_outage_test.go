package jobs_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// One attempt for each step, and a provider that is down, or refuses our
// credentials, longer than any backoff: the run waits, and succeeds.
func TestReconcile_WaitsAnOutageOut(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]func(*simulator.Simulator, bool){
		"down": (*simulator.Simulator).SetOutage, "shut out": (*simulator.Simulator).SetRevoked,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := fixture.ClockAt(time.Now().Add(-time.Hour))
			w := newWorld(t, worldSpec{
				sim:  simulator.Config{Seed: 3, Clock: clock.Now},
				deps: func(d *jobs.Deps) { *d = d.WithProbeEvery(probeEvery) },
			})
			w.register(t, "A-1", "A-2")
			w.pay("A-1")
			// An unpaid order that is old enough to be asked about.
			w.exec(t, `UPDATE orders SET created_at = now() - interval '2 hours' WHERE reference = 'A-2'`)
			set(w.sim, true)
			w.start(t)
			run := w.begin(t)
			fixture.Await(t, func() bool {
				p, err := w.Provider(t.Context())
				require.NoError(t, err)
				return p.Circuit != store.CircuitClosed
			})
			fixture.Await(t, func() bool {
				return look[int](t, w, `SELECT count(*) FROM river_job WHERE kind = 'reconcile_step' AND (metadata ->> 'snoozes')::int > 0 AND attempt = 0`) == 1
			})

			set(w.sim, false)

			run = w.ended(t, run.ID)
			require.Equal(t, store.RunSucceeded, run.Status, deref(run.Error))
			require.Equal(t, found{missing: 1}, foundBy(run))
			w.requireTruth(t)
		})
	}
}
