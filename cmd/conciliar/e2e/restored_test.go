package e2e

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
)

func TestRestored_WaitsForTheEndOfEveryProcess(t *testing.T) {
	t.Parallel()
	s := newShop(t, simulator.Faults{}, nil)
	s.hasReconciled()
	p := s.launch()
	first := s.sim.Notify(t.Context(), s.sell("order-1"))
	require.True(t, first.Acknowledged())
	s.awaitQuiet()
	got := execute(t, s.environ, "restored")
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.err, "(all) on ")
	require.Contains(t, got.err, "sessions named conciliar")
	require.Equal(t, exitDone, p.stop())

	got = execute(t, s.environ, "restored", "--json")
	require.Equal(t, exitDone, got.code, got.err)
	var done struct {
		Sequences []struct {
			Table string `json:"table"`
			Next  int64  `json:"next"`
		} `json:"sequences"`
	}
	require.NoError(t, json.Unmarshal([]byte(got.out), &done))
	next := map[string]int64{}
	for _, moved := range done.Sequences {
		next[moved.Table] = moved.Next
	}
	s.launch()
	require.True(t, s.sim.Notify(t.Context(), s.sell("order-2")).Acknowledged())
	s.awaitQuiet()
	require.GreaterOrEqual(t, int64(s.count(`SELECT max(id) FROM webhook_queue`)), next["webhook_queue"])
	require.Equal(t, 2, s.count(`SELECT count(*) FROM orders WHERE status = 'paid'`))
	s.requireSound()
}
