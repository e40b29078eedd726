package e2e

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
	"github.com/conciliar/conciliar/store"
)

// reconcile asks for a run by API and waits for its end. The run that a process
// begins with is joined while it lasts, and may have looked before what the test
// did: it is waited for, and another asked for.
func (s *shop) reconcile() store.Run {
	s.t.Helper()
	for {
		req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, "http://"+s.addr+"/api/webhooks/reconcile?wait=1s", nil)
		require.NoError(s.t, err)
		req.Header.Set("Authorization", "Bearer "+reconcileToken)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(s.t, err)
		var run store.Run
		err = json.NewDecoder(resp.Body).Decode(&run)
		require.NoError(s.t, resp.Body.Close())
		require.NoError(s.t, err)
		require.Eventually(s.t, func() bool {
			_, body := get(s.t, "http://"+s.addr+"/api/webhooks/runs/"+strconv.FormatInt(run.ID, 10), statusToken)
			require.NoError(s.t, json.Unmarshal([]byte(body), &run))
			return run.FinishedAt != nil
		}, 10*patience, 100*time.Millisecond, "the run never ends")
		require.Equal(s.t, store.RunSucceeded, run.Status, run)
		if run.Trigger != store.TriggerStart {
			return run
		}
	}
}

// unheard counts the payments whose latest state is not in the database.
func (s *shop) unheard() int64 { return int64(len(s.unheardSince())) }

// unheardSince is when the latest states were reached that are not in the database,
// the oldest first.
func (s *shop) unheardSince() []time.Time {
	s.t.Helper()
	rows, err := s.pool.Query(s.t.Context(), `SELECT payment_id, status, status_detail, trim_scale(refunded_amount)::text, date_last_updated FROM payments`)
	require.NoError(s.t, err)
	known := map[string]bool{}
	defer rows.Close()
	for rows.Next() {
		var id, status, detail, refunded string
		var at time.Time
		require.NoError(s.t, rows.Scan(&id, &status, &detail, &refunded, &at))
		known[stateKey(id, status, detail, refunded, at)] = true
	}
	require.NoError(s.t, rows.Err())
	var missing []time.Time
	for _, o := range s.sim.Truth() {
		// States come payment by payment, the latest of each last.
		for i, state := range o.States {
			if i+1 < len(o.States) && o.States[i+1].ID == state.ID {
				continue
			}
			if !known[stateKey(state.ID, state.Status, state.StatusDetail, state.Refunded.String(), state.DateLastUpdated)] {
				missing = append(missing, state.DateLastUpdated)
			}
		}
	}
	slices.SortFunc(missing, time.Time.Compare)
	return missing
}

// What no webhook told is found: by the first run that begins when the search
// shows it, completely, and without asking more than it has to.
func TestLoad_ReconciliationFindsWhatNoWebhookTold(t *testing.T) {
	t.Parallel()
	const lag = 3 * time.Minute
	// Mercado Pago lives behind until everything has happened, so that the lag
	// passes at once and not by waiting.
	var behind atomic.Int64
	behind.Store(int64(10 * time.Minute))
	// Then it stands still for a while, however long a run takes.
	var frozen atomic.Pointer[time.Time]
	clock := func() time.Time {
		if at := frozen.Load(); at != nil {
			return *at
		}
		return time.Now().Add(-time.Duration(behind.Load()))
	}
	faults := simulator.Faults{
		Drop: 0.15, LateShare: 0.10, LateBy: 5 * time.Second, Disorder: true, SearchLag: lag, UnstablePages: true,
	}
	s := newShopAt(t, faults, clock, nil)
	p := s.launch()
	plan := simulator.Plan{Orders: sized(120, 17_700), Concurrency: 24, ReferencePrefix: "found-"}
	s.register(plan)

	report, err := s.sim.Run(t.Context(), plan)
	require.NoError(t, err)
	require.Greater(t, report.Payments, plan.Orders)
	require.Zero(t, report.GivenUp, report)
	s.awaitQuiet()

	// While the search lags, a run sees half of what no webhook told, and some of that
	// as it was before: it finds what it can and does no harm.
	untold := s.unheardSince()
	require.Greater(t, len(untold), 1, "too little to find")
	halfSeen := untold[(len(untold)-1)/2].Add(lag)
	frozen.Store(&halfSeen)
	require.Positive(t, s.reconcile().MissingFound)
	frozen.Store(nil)
	behind.Store(0)
	unheard, before := s.unheard(), s.sim.Gets()
	require.Positive(t, unheard, "nothing is left to find")

	run := s.reconcile()

	require.Equal(t, unheard, run.MissingFound)
	require.Zero(t, run.DriftFound)
	s.requireOrders()
	for id, gets := range s.sim.Gets() {
		require.LessOrEqual(t, gets-before[id], int64(2), "payment %s", id)
	}
	again := s.reconcile()
	require.Equal(t, []int64{0, 0, 0}, []int64{again.MissingFound, again.DriftFound, again.StuckRequeued}, "a second run finds nothing")
	require.Zero(t, s.count(`SELECT count(*) FROM webhook_dead_letter`))
	t.Logf("%s; %d found by the run of %s over %d payments", strings.TrimSpace(report.String()), run.MissingFound,
		run.FinishedAt.Sub(run.StartedAt), run.PaymentsChecked)
	p.stop()
}
