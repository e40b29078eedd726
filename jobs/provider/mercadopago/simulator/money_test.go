package simulator

import (
	"fmt"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
)

const day = 24 * time.Hour

// moved writes an account's movements in one line each: description, net, balance.
func moved(s *Simulator) (lines []string) {
	for _, m := range s.Movements(DefaultCollectorID) {
		lines = append(lines, fmt.Sprintf("%s/%s %s %s", m.RecordType, m.Description, m.Net, m.Balance))
	}
	return lines
}

func TestMovements_APaymentIsReleasedAndPaidOut(t *testing.T) {
	t.Parallel()
	clock := newClock()
	s := setup(t, Config{Clock: clock.Now, Money: Money{
		ReleaseAfter: 10 * day, TaxShare: money("0.01"), PayoutEvery: day, PayoutKeeps: money("10"),
	}})
	id := s.CreatePayment(PaymentSpec{Reference: "A-1", Amount: money("100"), Status: Approved, StatusDetail: "accredited"})
	require.Empty(t, moved(s), "nothing is released yet")
	clock.Add(10 * day)
	require.Equal(t, []string{"release/payment 94.91 94.91"}, moved(s))
	clock.Add(day)
	require.NoError(t, s.Move(id, Refunded, "refunded", money("100")))
	require.Equal(t, []string{"release/payment 94.91 94.91", "release/payout -84.91 10", "release/refund -94.91 -84.91"}, moved(s))

	body := decode(t, get(t, s, "/v1/payments/"+id).Body)
	require.Equal(t, "94.91", fmt.Sprint(body["transaction_details"].(map[string]any)["net_received_amount"])) //nolint:forcetypeassert // a test
	require.Equal(t, "2026-03-11T11:00:00.123-04:00", body["money_release_date"])
}

func TestMovements_ADisputeReservesAndEnds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ends   []string // statuses and details
		wanted []string
	}{
		"won":      {[]string{ChargedBack, "reimbursed"}, []string{"unblock/reserve_for_dispute 95.91 95.91"}},
		"lost":     {[]string{ChargedBack, "settled"}, []string{"unblock/reserve_for_dispute 95.91 95.91", "release/chargeback -95.91 0"}},
		"refunded": {[]string{Refunded, "by_admin"}, []string{"unblock/reserve_for_dispute 95.91 95.91", "release/refund -95.91 0"}},
	} {
		clock := newClock()
		s := setup(t, Config{Clock: clock.Now, Money: Money{ReleaseAfter: day}})
		id := s.CreatePayment(PaymentSpec{Amount: money("100"), Status: Approved, StatusDetail: "accredited"})
		clock.Add(2 * day)
		require.NoError(t, s.Move(id, InMediation, "pending", decimal.Zero))
		clock.Add(day)
		refunded := decimal.Zero
		if c.ends[0] == Refunded {
			refunded = money("100")
		}
		require.NoError(t, s.Move(id, c.ends[0], c.ends[1], refunded))
		require.Equal(t, append([]string{"release/payment 95.91 95.91", "block/reserve_for_dispute -95.91 0"}, c.wanted...), moved(s), name)
	}
}

// Whatever happens, in whatever parts: what came less what went is the balance, a
// payment that was given back whole leaves nothing, and movements are in order.
func TestMovements_AreALedger(t *testing.T) {
	t.Parallel()
	clock := newClock()
	s := setup(t, Config{Seed: 7, Clock: clock.Now, Money: Money{ReleaseAfter: 3 * day, TaxShare: money("0.013"), PayoutEvery: day}})
	var ids []string
	for i := range 20 {
		ids = append(ids, s.CreatePayment(PaymentSpec{Amount: decimal.New(int64(1000+377*i), -2), Status: Approved, StatusDetail: "accredited"}))
		clock.Add(7 * time.Hour)
		if i%2 == 0 {
			_ = s.Movements(DefaultCollectorID) // looking changes nothing
		}
		p, err := s.payment(ids[i/2])
		require.NoError(t, err)
		st := p.current.Load().state
		require.NoError(t, s.Move(st.ID, Approved, "partially_refunded", decimal.Min(st.Amount, st.Refunded.Add(st.Amount.Div(decimal.NewFromInt(3)).Round(2)))))
	}
	for _, id := range ids {
		p, err := s.payment(id)
		require.NoError(t, err)
		require.NoError(t, s.Move(id, Refunded, "refunded", p.current.Load().state.Amount))
	}
	clock.Add(30 * day)
	balance, left := decimal.Zero, map[string]decimal.Decimal{}
	var last time.Time
	for _, m := range s.Movements(DefaultCollectorID) {
		balance = balance.Add(m.Net)
		require.True(t, m.Balance.Equal(balance))
		require.True(t, m.Gross.Add(m.Fee).Add(m.Taxes).Equal(m.Net), "gross and costs are the net")
		require.False(t, m.At.Before(last))
		last = m.At
		if m.Description != "payout" {
			left[m.SourceID] = left[m.SourceID].Add(m.Net)
		}
	}
	require.Len(t, left, 20)
	for id, net := range left {
		require.True(t, net.IsZero(), "%s leaves %s", id, net)
	}
}
