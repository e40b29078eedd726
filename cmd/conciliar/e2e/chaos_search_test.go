//go:build chaos

package e2e

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
	"github.com/conciliar/conciliar/store"
)

// searches are what Mercado Pago's search does while it is the only way to the
// payments: no webhook arrives.
func searches() []scenario {
	return []scenario{
		{"one-millisecond", "2,500 payments in one millisecond, in no fixed order", "among others, all webhooks lost; one reconciliation", found(2500, 0)},
		{"counts-low", "a search that counts 100 payments too few", "all webhooks lost; one reconciliation", found(0, -100)},
		{"counts-high", "a search that counts 100 payments too many", "all webhooks lost; one reconciliation", found(0, 100)},
	}
}

// found lets one run find everything: payments that change one after the other,
// and as many more as given that change at one instant, by a search whose counts
// are off.
func found(atOnce, countOff int) func(*stage) {
	return func(s *stage) {
		s.set(setting{
			reconciles: true,
			faults:     simulator.Faults{Drop: 1, UnstablePages: true, SearchCountOff: countOff},
			// No other run may come in between: that would find a part.
			env: map[string]string{"RECONCILE_SCHEDULE": "0 0 29 2 *"},
		})
		s.launch()
		s.awaitRuns()
		s.begin(s.orders(60)).wait()
		if atOnce > 0 {
			s.payAtOnce(atOnce)
		}
		s.beginPlan(simulator.Plan{Orders: s.orders(60), Concurrency: 8, ReferencePrefix: "later-"}).wait()
		paid, unheard := s.now(), s.unheard()
		require.Greater(s.t, unheard, int64(atOnce))
		require.Zero(s.t, s.count(`SELECT count(*) FROM webhook_queue`), "a webhook arrived")

		status, said := s.call(http.MethodPost, "/api/webhooks/reconcile?wait=0s", reconcileToken, "")
		require.Equal(s.t, http.StatusAccepted, status, said)
		var run store.Run
		require.NoError(s.t, json.Unmarshal([]byte(said), &run))
		s.over()
		s.awaitRunsSince(paid)
		s.settled()

		_, said = get(s.t, "http://"+s.addr+"/api/webhooks/runs/"+strconv.FormatInt(run.ID, 10), statusToken)
		require.NoError(s.t, json.Unmarshal([]byte(said), &run))
		require.Equal(s.t, unheard, run.MissingFound)
		require.Zero(s.t, run.DriftFound)
		if countOff <= 0 {
			require.Zero(s.t, run.Unseen, "all were shown")
		}
		require.Zero(s.t, s.count(`SELECT count(*) FROM webhook_reconciliation_unseen WHERE reason <> $1`, store.UnseenCounted))
	}
}

// payAtOnce makes approved payments that all change in the same millisecond.
func (s *stage) payAtOnce(n int) {
	s.t.Helper()
	plan := simulator.Plan{Orders: n, ReferencePrefix: "at-once-", Weights: map[string]int{"approved": 1}}
	s.register(plan)
	at := time.Now()
	for _, o := range s.sim.Orders(plan) {
		s.sim.CreatePayment(simulator.PaymentSpec{
			Reference: o.Reference, Amount: o.Amount, Currency: o.Currency, Status: simulator.Approved, StatusDetail: "accredited", CreatedAt: at,
		})
	}
}
