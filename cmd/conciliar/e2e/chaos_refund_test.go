//go:build chaos

package e2e

import (
	"net/http"
	"net/url"
	"regexp"
	"sync"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
)

// The points at which a refund is stopped.
var (
	// afterSending: that it is sent is committed, and it is not sent.
	afterSending = func(f frame) bool { return f.committed() && f.did("UPDATE refunds SET state = $2, tries") }
	// atRefunded: Mercado Pago has made it, and that is not committed.
	atRefunded = func(f frame) bool { return f.commits() && f.did("UPDATE refunds SET state = $2, provider_id") }
	// afterRefunded: it is committed and the service doesn't know.
	afterRefunded = func(f frame) bool { return f.committed() && f.did("UPDATE refunds SET state = $2, provider_id") }
)

// refundFaults are what happens to refunds: each is made once.
func refundFaults() []scenario {
	return []scenario{
		{"kill-refund-sending", "SIGKILL", "after a refund's commit, before the call", killRefunding(afterSending)},
		{"kill-refund-made", "SIGKILL", "after Mercado Pago made a refund, before its answer is kept", killRefunding(atRefunded)},
		{"kill-refund-kept", "SIGKILL", "after a refund's end is committed, before the worker knows", killRefunding(afterRefunded)},
		{"refund-cut", "the connection breaks", "after Mercado Pago made a refund", refundFails(simulator.RefundFault{Cut: true, Made: true})},
		{"refund-timeout", "no answer", "from Mercado Pago about a refund that it made", refundFails(simulator.RefundFault{Hang: true, Made: true})},
		{"refund-500", "500 twice", "from Mercado Pago about a refund, made at the first", refundFails(simulator.RefundFault{Status: 500, Made: true}, simulator.RefundFault{Status: 500})},
		{"refund-two-processes", "no answer, and SIGKILL", "about a refund whose form two processes got at once", refundAtTwo},
	}
}

var refunding = setting{env: map[string]string{"REFUNDS": "enabled"}}

// killRefunding kills the service at a point of a refund, and starts it again.
func killRefunding(at func(frame) bool) func(*stage) {
	return func(s *stage) {
		s.set(refunding)
		p := s.launch()
		form := s.refundForm("refund-1", "40.00")
		stops := s.pg.hold(0, at)
		s.sendRefund(s.addr, form)
		stops.await(s.t)
		p.kill()
		stops.drop()
		s.launch()
		s.over()
		s.refundedOnce("refund-1", "40")
		s.settled()
	}
}

// refundFails has Mercado Pago answer a refund otherwise than it should.
func refundFails(faults ...simulator.RefundFault) func(*stage) {
	return func(s *stage) {
		s.set(refunding)
		s.launch()
		form := s.refundForm("refund-1", "40.00")
		s.sim.FailRefunds(faults...)
		s.sendRefund(s.addr, form)
		s.over()
		s.refundedOnce("refund-1", "40")
		s.settled()
	}
}

// refundAtTwo sends one form to two processes, several times, and kills the one that
// sends the refund.
func refundAtTwo(s *stage) {
	s.set(refunding)
	first := s.launch()
	form := s.refundForm("refund-1", "150.00")
	other := s.second(s.through(func(string) string { return s.databaseURL })).address(s.t)
	made := make(chan struct{})
	s.sim.FailRefunds(simulator.RefundFault{Hang: true, Made: true, Meanwhile: func() { close(made) }})
	var all sync.WaitGroup
	for i := range 6 {
		all.Go(func() { s.sendRefund([]string{s.addr, other}[i%2], form) })
	}
	all.Wait()
	<-made
	first.kill()
	s.launch()
	s.over()
	s.refundedOnce("refund-1", "150")
	s.settled()
}

// refundForm pays an order and returns what its page sends for a refund.
func (s *stage) refundForm(reference, amount string) url.Values {
	s.t.Helper()
	s.notify(s.pay(reference))
	s.awaitPaid(reference)
	operator := newOperator(s.t, "http://"+s.addr)
	operator.logIn(s.t, operatorPassword)
	_, page := operator.send(s.t, http.MethodGet, "/dashboard/orders?"+url.Values{"reference": {reference}}.Encode(), "", "")
	form := url.Values{"amount": {amount}, "again": {amount}, "note": {"it broke"}}
	for _, field := range regexp.MustCompile(`<input type="hidden" name="(id|source|payment|reference|seen)" value="([^"]*)">`).FindAllStringSubmatch(page, -1) {
		form.Set(field[1], field[2])
	}
	require.Len(s.t, form, 8)
	return form
}

// sendRefund sends the form to a process.
func (s *stage) sendRefund(addr string, form url.Values) {
	s.t.Helper()
	operator := newOperator(s.t, "http://"+addr)
	operator.logIn(s.t, operatorPassword)
	resp, page := operator.send(s.t, http.MethodPost, "/dashboard/refunds", "application/x-www-form-urlencoded", form.Encode())
	require.Equal(s.t, http.StatusOK, resp.StatusCode, page)
}

// refundedOnce waits until the order has been refunded by the sum, which Mercado Pago
// gave back in one refund.
func (s *stage) refundedOnce(reference, sum string) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		return s.count(`SELECT count(*) FROM orders o JOIN refunds r ON r.order_reference = o.reference
			WHERE o.reference = $1 AND o.refunded_amount = $2::text::numeric AND r.state = 'done'`, reference, sum) == 1
	}, 2*chaosPatience(), 20*time.Millisecond, "the order is not refunded")
	given := s.sim.GivenRefunds()
	require.Len(s.t, given, 1)
	require.True(s.t, given[0].Amount.Equal(decimal.RequireFromString(sum)))
	require.Equal(s.t, 1, s.count(`SELECT count(*) FROM refunds`))
	require.Equal(s.t, 1, s.count(`SELECT count(*) FROM operator_actions WHERE action = 'refund'`))
}
