//go:build chaos

package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
)

// roads are what happens where the same money is told of by Mercado Pago's orders and
// by their payments.
func roads() []scenario {
	return []scenario{
		{"kill-provisional", "SIGKILL", "an order is paid provisionally, and its payment's settlement is not committed", killProvisional},
		{"both-sides", "two processes", "one settles a payment while the other settles what its order said before", bothSides},
		{"both-channels", "each purchase told as a payment and as an order", "under load, at two processes", bothChannels},
	}
}

// throughOrder makes a payment of an order of the merchant's through an online order
// of Mercado Pago's, whose id it returns too.
func (s *stage) throughOrder(reference string, unlisted bool) (payment, order string) {
	s.t.Helper()
	amount := decimal.RequireFromString("150.00")
	require.NoError(s.t, register(s.t.Context(), "http://"+s.addr, reference, amount, "ARS"))
	payment = s.sim.CreatePayment(simulator.PaymentSpec{
		Reference: reference, Amount: amount, Status: simulator.Approved, StatusDetail: "accredited", Unlisted: unlisted,
	})
	order, err := s.sim.CreateResource(simulator.OnlineOrder, payment)
	require.NoError(s.t, err)
	return payment, order
}

// notifyOrder delivers a webhook about an online order, which must be taken.
func (s *stage) notifyOrder(id string) {
	s.t.Helper()
	result := s.sim.NotifyResource(s.t.Context(), simulator.OnlineOrder, id)
	require.True(s.t, result.Acknowledged(), "answer %d, %v", result.StatusCode, result.Err)
	s.acknowledge(result.QueueID)
}

// killProvisional kills the service while it replaces what an order said by the
// payment itself.
func killProvisional(s *stage) {
	s.set(setting{})
	p := s.launch()
	var payments []string
	for n := range s.some(5) {
		payment, order := s.throughOrder(fmt.Sprintf("provisional-%d", n), true)
		payments = append(payments, payment)
		s.notifyOrder(order)
	}
	require.Eventually(s.t, func() bool {
		return s.count(`SELECT count(*) FROM orders WHERE status = 'paid'`) == len(payments)
	}, chaosPatience(), 20*time.Millisecond, "the orders' words paid nothing")
	require.Zero(s.t, s.count(`SELECT count(*) FROM payments`), "a payment is known: nothing is provisional")
	stops := s.pg.hold(0, atSettlement)
	for _, payment := range payments {
		s.sim.List(payment)
	}
	stops.await(s.t)
	p.kill()
	stops.drop()
	s.launch()
	s.over()
	s.awaitCount(len(payments), `SELECT count(*) FROM payments`)
	s.settled()
}

// bothSides lets one process settle a payment that was refunded meanwhile, and
// another one, at the same moment, what the payment's order said before.
func bothSides(s *stage) {
	s.set(setting{
		// The search shows nothing, and nobody looks again: what is wrong would stay.
		// Each process has one attempt under way (docs/configuration.md, Workers): two do
		// the two.
		faults: simulator.Faults{SearchLag: time.Hour}, env: map[string]string{"RETRY_BASE_DELAY": "1h", "WORKERS": "1", "PROVIDER_RATE_LIMIT": "1"},
	})
	s.launch()
	s.second()
	payment, order := s.throughOrder("sides-1", false)
	said := s.api.holdAnswer(s.t, func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/v1/orders/") })
	s.notifyOrder(order)
	said.await(s.t)
	require.NoError(s.t, s.sim.Move(payment, simulator.Approved, "partially_refunded", decimal.RequireFromString("30.00")))
	stops := s.pg.hold(0, atSettlement)
	s.notify(payment)
	stops.await(s.t)
	said.release()
	require.Eventually(s.t, func() bool {
		return s.count(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) > 0 ||
			s.count(`SELECT count(*) FROM webhook_queue WHERE topic = 'order' AND completed_at IS NOT NULL`) > 0
	}, chaosPatience(), 10*time.Millisecond, "the order's settlement never began")
	stops.release()
	s.api.open()
	s.over()
	s.settled()
}

// bothChannels tells two processes of everything twice, by turns.
func bothChannels(s *stage) {
	s.set(setting{faults: simulator.Faults{Duplicates: 1, Disorder: true}})
	s.launch()
	other := s.second()
	paid := s.beginPlan(simulator.Plan{
		Orders: s.orders(40), Concurrency: 8, ThroughOrders: 1, BothChannels: 1, Progress: func(done, total int) {
			if done == total/2 {
				_ = s.sim.SetTarget("http://" + other.address(s.t) + "/api/checkout/webhook")
			}
		},
	})
	paid.wait()
	s.over()
	s.settled()
}
