package jobs_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

func (w *world) check(t *testing.T, req jobs.CheckRequest) jobs.CheckReport {
	t.Helper()
	checker, err := jobs.NewChecker(w.deps)
	require.NoError(t, err)
	report, err := checker.Check(t.Context(), req)
	require.NoError(t, err)
	return report
}

// kinds are what a check found, by payment or order.
func kinds(report jobs.CheckReport) map[string]string {
	all := map[string]string{}
	for _, d := range report.Differences {
		about := d.PaymentID
		if about == "" {
			about = d.Reference
		}
		all[about] = d.Kind
	}
	return all
}

// everything is what the database holds, to be compared.
const everything = `SELECT jsonb_build_object(
	'orders', (SELECT jsonb_agg(o ORDER BY reference) FROM orders o), 'payments', (SELECT jsonb_agg(p ORDER BY payment_id) FROM payments p),
	'events', (SELECT jsonb_agg(q ORDER BY id) FROM webhook_queue q), 'runs', (SELECT jsonb_agg(r ORDER BY id) FROM webhook_reconciliation_logs r),
	'findings', (SELECT jsonb_agg(f ORDER BY id) FROM webhook_reconciliation_findings f), 'anomalies', (SELECT jsonb_agg(a ORDER BY id) FROM anomalies a),
	'inquiries', (SELECT jsonb_agg(i ORDER BY order_reference) FROM webhook_reconciliation_inquiries i))::text`

func TestCheck_FindsEveryDifference(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldSpec{})
	w.start(t)
	equal := w.settled(t, "equal", false)
	tampered := w.settled(t, "tampered", true)
	w.settled(t, "wrong", true)
	w.register(t, "missing", "unpaid", "odd")
	report := w.check(t, jobs.CheckRequest{})
	require.True(t, report.Clean(), "%+v", report.Differences)
	require.Equal(t, int64(1), report.PaymentsChecked)
	require.Equal(t, int64(6), report.OrdersChecked)
	require.WithinDuration(t, report.WindowEnd, report.Position, time.Second)

	missing := w.pay("missing")
	unpaid := w.sim.CreatePayment(simulator.PaymentSpec{
		Reference: "unpaid", Amount: money("100"), Status: simulator.Approved, CreatedAt: time.Now().Add(-70 * time.Hour),
	})
	odd := w.sim.CreatePayment(simulator.PaymentSpec{Reference: "odd", Amount: money("100"), Status: "novel"})
	require.True(t, w.sim.Notify(t.Context(), odd).Acknowledged())
	fixture.Await(t, func() bool { return look[int](t, w, `SELECT count(*) FROM webhook_dead_letter`) == 1 })
	w.exec(t, `UPDATE orders SET created_at = now() - interval '2 hours' WHERE reference = 'unpaid'`)
	w.exec(t, `UPDATE payments SET amount = 7 WHERE payment_id = $1`, tampered)
	w.exec(t, `UPDATE orders SET status = 'pending' WHERE reference = 'wrong'`)

	was := look[string](t, w, everything)
	var told []jobs.CheckReport
	report = w.check(t, jobs.CheckRequest{Progress: func(r jobs.CheckReport) { told = append(told, r) }})
	require.Equal(t, map[string]string{missing: "missing", unpaid: "missing", odd: "missing", tampered: "drift", "wrong": "drift"}, kinds(report))
	require.False(t, report.Clean())
	require.NotContains(t, kinds(report), equal)
	require.Len(t, told[len(told)-1].Differences, 5)
	require.Equal(t, was, look[string](t, w, everything), "a check writes nothing")

	report = w.check(t, jobs.CheckRequest{Since: time.Now().Add(-100 * 24 * time.Hour), Until: time.Now().Add(-80 * 24 * time.Hour)})
	require.Equal(t, int64(2), report.PaymentsChecked)
	require.Contains(t, kinds(report), tampered)

	checker, err := jobs.NewChecker(w.deps)
	require.NoError(t, err)
	_, err = checker.Check(t.Context(), jobs.CheckRequest{Since: time.Now().Add(-500 * 24 * time.Hour)})
	require.ErrorIs(t, err, store.ErrRunWindow)

	w.reconcile(t)
	require.Equal(t, map[string]string{odd: "missing"}, kinds(w.check(t, jobs.CheckRequest{})), "a dead letter is not a settlement")
}

func TestCheck_AnOpenAnomalyIsNoDifference(t *testing.T) {
	t.Parallel()
	w, mp := newContraryWorld(t, func(p *provider.Payment) { p.Refunded = money("5") })
	require.Len(t, w.check(t, jobs.CheckRequest{}).Differences, 1)
	w.reconcile(t)
	require.Equal(t, "unsettled", w.check(t, jobs.CheckRequest{}).Differences[0].Kind, "it stands, and no anomaly says so yet")
	w.reconcile(t)
	require.True(t, w.check(t, jobs.CheckRequest{}).Clean())
	w.exec(t, `UPDATE anomalies SET closed_at = now(), closed_by = 'operator' WHERE closed_at IS NULL`)
	require.True(t, w.check(t, jobs.CheckRequest{}).Clean(), "a person's word on the same facts holds")
	mp.lies.Store(false)
	require.True(t, w.check(t, jobs.CheckRequest{}).Clean())
}

func TestCheck_CountsWhatIsStuck(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldSpec{})
	w.register(t, "order")
	require.True(t, w.sim.Notify(t.Context(), w.pay("order")).Acknowledged())
	w.exec(t, `UPDATE webhook_queue SET received_at = now() - interval '1 hour'`)
	require.True(t, w.check(t, jobs.CheckRequest{}).Clean(), "an event that is open is about to settle")
	w.withoutTrigger(t, `DELETE FROM river_job`)
	report := w.check(t, jobs.CheckRequest{})
	require.Equal(t, int64(1), report.Stuck)
	require.False(t, report.Clean())
}
