package e2e

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
)

// sized is how much a test of the load does: a little with -short, as `make test`
// has it, and all of it in `make load`, which has the machine to itself.
func sized(short, full int) int {
	if testing.Short() {
		return short
	}
	return full
}

// hardships are what Mercado Pago really does to its receivers: everything
// twice more, out of order, some to the letter, answers lost, payments that
// cannot be read yet, limits and failures.
var hardships = simulator.Faults{
	Duplicates: 2, Disorder: true, ExactReplays: 0.05, DropAnswer: 0.05,
	NotFoundFirst: 0.05, RateLimited: 0.005, Errors5xx: 0.01,
}

// enoughAttempts lets every attempt fail for the faults' sake without a death:
// what a death means is tested where dead letters are.
var enoughAttempts = map[string]string{"RETRY_MAX_ATTEMPTS": "30"}

func TestLoad_PaymentsEndAsMercadoPagoSays(t *testing.T) {
	t.Parallel()
	s := newShop(t, hardships, enoughAttempts)
	p := s.launch()
	plan := simulator.Plan{Orders: sized(120, 8900), Concurrency: 24, ReferencePrefix: "e2e-"}
	s.register(plan)

	report, err := s.sim.Run(t.Context(), plan)

	require.NoError(t, err)
	require.Greater(t, report.Payments, plan.Orders)
	require.Zero(t, report.GivenUp, report)
	require.Zero(t, report.Refused, report)
	s.awaitQuiet()
	s.requireLedger(report)
	var health struct {
		Queue struct {
			Completed int `json:"completed"`
		} `json:"queue"`
	}
	_, body := get(t, "http://"+s.addr+"/api/webhooks/status", statusToken)
	require.NoError(t, json.Unmarshal([]byte(body), &health))
	require.Equal(t, s.count(`SELECT count(*) FROM webhook_queue`), health.Queue.Completed)
	p.stop()
	require.Zero(t, p.cmd.ProcessState.ExitCode())
}

func TestLoad_AKilledProcessLosesNothingAndDoublesNothing(t *testing.T) {
	t.Parallel()
	s := newShop(t, hardships, enoughAttempts)
	p := s.launch()
	plan := simulator.Plan{Orders: sized(90, 1500), Concurrency: 16, ReferencePrefix: "kill-"}
	s.register(plan)
	var done atomic.Int64
	progressed := make(chan struct{}, 1)
	plan.Progress = func(orders, _ int) {
		done.Store(int64(orders))
		select {
		case progressed <- struct{}{}:
		default:
		}
	}
	type ran struct {
		report simulator.Report
		err    error
	}
	result := make(chan ran, 1)
	go func() {
		report, err := s.sim.Run(context.WithoutCancel(t.Context()), plan)
		result <- ran{report, err}
	}()
	for _, at := range []int{plan.Orders / 5, plan.Orders / 2, plan.Orders * 3 / 4} {
		for done.Load() < int64(at) {
			select {
			case <-progressed:
			case <-time.After(patience):
				t.Fatalf("stuck at %d orders", done.Load())
			}
		}
		p.kill()
		p = s.launch()
	}
	r := <-result
	require.NoError(t, r.err)
	require.Zero(t, r.report.GivenUp, r.report)
	s.awaitQuiet()
	s.requireLedger(r.report)
	p.stop()
}

func TestLoad_TwoProcessesShareOneDatabaseAndOneMayDie(t *testing.T) {
	t.Parallel()
	s := newShop(t, hardships, enoughAttempts)
	first := s.launch()
	other := addressToKeep(t)
	second := s.launch("HTTP_ADDR=" + other)
	plan := simulator.Plan{Orders: sized(60, 800), Concurrency: 16, ReferencePrefix: "two-"}
	s.register(plan)
	var once sync.Once
	plan.Progress = func(orders, total int) {
		if orders > total/2 {
			once.Do(second.kill)
		}
	}
	report, err := s.sim.Run(t.Context(), plan)
	require.NoError(t, err)
	s.awaitQuiet()
	s.requireLedger(report)
	first.stop()
}
