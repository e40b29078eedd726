package e2e

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
	"github.com/conciliar/conciliar/store"
)

// Whoever waits for a run is told what the run waits for.
func TestReconcile_TellsOfAnOutage(t *testing.T) {
	t.Parallel()
	s := newShop(t, simulator.Faults{}, map[string]string{"RETRY_BASE_DELAY": scaledBase.String()})
	s.sim.SetOutage(true)
	command := start(t, s.environ, "reconcile")
	command.err.await(t, `missing: .*; waiting for mercadopago, unreachable since 20\d\d-`)
	s.sim.SetOutage(false)
	require.Equal(t, exitDone, command.wait())
	require.Contains(t, command.out.String(), store.RunSucceeded)
}
