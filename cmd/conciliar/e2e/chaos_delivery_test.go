//go:build chaos

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
)

// deliveries are what Mercado Pago does to its receivers.
func deliveries() []scenario {
	return []scenario{
		{"duplicates", "ten deliveries of one webhook", "at once, at two processes", tenAtOnce},
		{"redeliveries", "each webhook ten times", "under load", underLoad(simulator.Faults{Duplicates: 9, ExactReplays: 0.3}, 12)},
		{"disorder", "webhooks out of order, late, and lost", "under load", underLoad(simulator.Faults{
			Disorder: true, LateShare: 0.3, LateBy: 300 * time.Millisecond, DropAnswer: 0.2,
		}, 60)},
		{"stale-answer", "an answer of Mercado Pago that is late", "it comes when a newer state is applied", staleAnswer},
		{"two-processes", "two processes", "both receive and settle", twoProcesses},
		{"reconcile-at-once", "ten calls for a reconciliation", "at once, at two processes", tenReconciliations},
		{"unknown-status", "a status that is not documented", "the event dies, the status is put right, the event is replayed", unknownStatus},
	}
}

func underLoad(faults simulator.Faults, orders int) func(*stage) {
	return func(s *stage) {
		s.set(setting{faults: faults})
		s.launch()
		s.begin(s.orders(orders)).wait()
		s.over()
		s.settled()
	}
}

// tenAtOnce delivers a webhook ten times, byte for byte, at the same moment.
func tenAtOnce(s *stage) {
	s.set(setting{})
	s.launch()
	other := s.second()
	for n := range s.some(5) {
		request, err := s.sim.SignedRequest(s.t.Context(), s.pay(fmt.Sprintf("ten-%d", n)))
		require.NoError(s.t, err)
		body, err := io.ReadAll(request.Body)
		require.NoError(s.t, err)
		var wg sync.WaitGroup
		first := make(chan int64, 10)
		for i := range cap(first) {
			again := request.Clone(s.t.Context())
			again.Body = io.NopCloser(bytes.NewReader(body))
			if i%2 == 1 {
				again.URL.Host = other.address(s.t)
				again.Host = again.URL.Host
			}
			wg.Go(func() {
				status, said, err := answerTo(again)
				var receipt struct {
					QueueID   int64 `json:"queue_id"`
					Duplicate bool  `json:"duplicate"`
				}
				if err != nil || status != http.StatusOK || json.Unmarshal([]byte(said), &receipt) != nil {
					s.t.Errorf("answer %d: %s: %v", status, said, err)
				}
				s.acknowledge(receipt.QueueID)
				if !receipt.Duplicate {
					first <- receipt.QueueID
				}
			})
		}
		wg.Wait()
		require.Len(s.t, first, 1, "one of ten is the first")
	}
	s.over()
	s.settled()
	require.Equal(s.t, s.count(`SELECT count(*) FROM orders`), s.count(`SELECT count(*) FROM webhook_queue`), "one event for each webhook")
}

// staleAnswer lets a payment be refunded while an answer that still says
// approved is on its way.
func staleAnswer(s *stage) {
	s.set(setting{})
	s.launch()
	payment := s.pay("stale-1")
	held := s.api.holdAnswer(s.t, isPayment)
	s.notify(payment)
	held.await(s.t)
	require.NoError(s.t, s.sim.Move(payment, simulator.Refunded, "refunded", decimal.RequireFromString("150.00")))
	s.notify(payment)
	require.Eventually(s.t, func() bool {
		return s.count(`SELECT count(*) FROM orders WHERE status = 'refunded'`) == 1
	}, chaosPatience(), 20*time.Millisecond, "the refund was not applied")
	held.release()
	s.api.open()
	s.over()
	s.settled()
}

func twoProcesses(s *stage) {
	s.set(setting{faults: hardships})
	s.launch()
	other := s.second()
	paid := s.beginPlan(simulator.Plan{Orders: s.orders(60), Concurrency: 8, Progress: func(done, total int) {
		if done == total/2 {
			_ = s.sim.SetTarget("http://" + other.address(s.t) + "/api/checkout/webhook")
		}
	}})
	paid.wait()
	s.over()
	s.settled()
}

// tenReconciliations are one run, and what it finds is one event each.
func tenReconciliations(s *stage) {
	s.set(setting{reconciles: true, faults: simulator.Faults{Drop: 1}})
	s.launch()
	other := s.second()
	s.awaitRuns()
	s.begin(s.orders(20)).wait()
	paid := s.now()
	var wg sync.WaitGroup
	for i := range 10 {
		host := s.addr
		if i%2 == 1 {
			host = other.address(s.t)
		}
		req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, "http://"+host+"/api/webhooks/reconcile?wait=30s", http.NoBody)
		require.NoError(s.t, err)
		req.Header.Set("Authorization", "Bearer "+reconcileToken)
		wg.Go(func() {
			if status, said, err := answerTo(req); err != nil || status != http.StatusOK {
				s.t.Errorf("answer %d: %s: %v", status, said, err)
			}
		})
	}
	wg.Wait()
	s.over()
	s.awaitRunsSince(paid)
	s.settled()
}

// unknownStatus is what a person has to look at: it dies at once, and is
// replayed when it can be read.
func unknownStatus(s *stage) {
	s.set(setting{})
	s.mayDie = 1
	s.launch()
	payment := s.pay("unknown-1")
	require.NoError(s.t, s.sim.Move(payment, "expropriated", "", decimal.Zero))
	event := s.notify(payment)
	died := func(deaths int) func() bool {
		return func() bool {
			return s.count(`SELECT count(*) FROM webhook_dead_letter WHERE queue_id = $1 AND state = 'open' AND deaths = $2`, event, deaths) == 1
		}
	}
	require.Eventually(s.t, died(1), chaosPatience(), 20*time.Millisecond, "the event is lost: no dead letter tells of it")
	// Retried by hand, as River's own pages do, it dies again.
	_, err := s.pool.Exec(s.t.Context(), `UPDATE river_job SET state = 'available', finalized_at = NULL, max_attempts = max_attempts + 1
		WHERE id = (SELECT job_id FROM webhook_queue WHERE id = $1)`, event)
	require.NoError(s.t, err)
	require.Eventually(s.t, died(2), chaosPatience(), 20*time.Millisecond, "the second death is not told")
	require.NoError(s.t, s.sim.Move(payment, simulator.Approved, "accredited", decimal.Zero))
	s.over()
	s.replayDead("permanent_failure", event)
	s.awaitPaid("unknown-1")
	s.settled()
}
