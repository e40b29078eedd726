package simulator

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTruth_TheFirstPaymentOpensAnOrder(t *testing.T) {
	t.Parallel()
	clock := newClock()
	s := setup(t, Config{Clock: clock.Now})
	id := s.CreatePayment(PaymentSpec{Reference: "by-hand", Amount: money("10"), Currency: "BRL"})
	requireTruth(t, s, want{"pending", "0", "0"})
	require.NoError(t, s.Move(id, Approved, "accredited", money("0")))
	requireTruth(t, s, want{"paid", "10", "0"})
	truth := s.Truth()[0]
	require.Equal(t, "BRL", truth.Currency)
	require.Equal(t, "10", truth.Amount.String())
	require.Empty(t, truth.Lifecycle)
	require.Equal(t, []string{Pending, Approved}, []string{truth.States[0].Status, truth.States[1].Status})
	require.Equal(t, id, truth.States[1].ID)
	require.Equal(t, "2026-03-01T15:00:00.123Z", truth.States[0].DateLastUpdated.Format("2006-01-02T15:04:05.999999999Z07:00"))
	require.Equal(t, "2026-03-01T15:00:00.124Z", truth.States[1].DateLastUpdated.Format("2006-01-02T15:04:05.999999999Z07:00"),
		"a change in the same millisecond is later all the same")
}

func TestTruth_WhatIsNotTheMerchantsCountsForNothing(t *testing.T) {
	t.Parallel()
	test := false
	for name, spec := range map[string]PaymentSpec{
		"another collector": {Amount: money("10"), CollectorID: 1},
		"another mode":      {Amount: money("10"), LiveMode: &test},
		"another currency":  {Amount: money("10"), Currency: "USD"},
		"a card validation": {Amount: money("10"), OperationType: "card_validation"},
		"no amount":         {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t, Config{LiveMode: true})
			require.NoError(t, s.open([]OrderSpec{{Reference: "o", Amount: money("10"), Currency: "ARS"}}))
			spec.Reference, spec.Status = "o", ChargedBack
			s.CreatePayment(spec)
			requireTruth(t, s, want{"pending", "0", "0"})
			require.Equal(t, 1, s.Truth()[0].Payments)
			s.CreatePayment(PaymentSpec{Reference: "o", Amount: money("10"), Status: Approved})
			requireTruth(t, s, want{"paid", "10", "0"})
		})
	}
}

func TestTruth_AStatusThatIsNotDocumentedLeavesTheTruthAlone(t *testing.T) {
	t.Parallel()
	s := setup(t, Config{})
	id := s.CreatePayment(PaymentSpec{Reference: "o", Amount: money("10"), Status: "novel"})
	requireTruth(t, s, want{"pending", "0", "0"})
	require.NoError(t, s.Move(id, Approved, "accredited", money("0")))
	require.NoError(t, s.Move(id, "Approved", "accredited", money("10")))
	requireTruth(t, s, want{"paid", "10", "0"})
	require.NoError(t, s.Move(id, Cancelled, "by_admin", money("0")))
	requireTruth(t, s, want{"cancelled", "0", "0"})
}

func TestTruth_MoneyBeforeEverythingThatIsNotMoney(t *testing.T) {
	t.Parallel()
	s := setup(t, Config{})
	require.NoError(t, s.open([]OrderSpec{{Reference: "o", Amount: money("10"), Currency: "ARS"}}))
	for _, next := range []struct{ status, shown string }{
		{Cancelled, "cancelled"}, {Rejected, "rejected"}, {Pending, "pending"}, {InProcess, "in_process"},
		{Authorized, "authorized"}, {Approved, "partially_paid"}, {InMediation, "in_mediation"}, {ChargedBack, "charged_back"},
	} {
		s.CreatePayment(PaymentSpec{Reference: "o", Amount: money("6"), Status: next.status})
		require.Equal(t, next.shown, s.Truth()[0].Status)
	}
	require.Equal(t, "6", s.Truth()[0].Paid.String())
}

func TestMove_RefusesWhatCannotHappen(t *testing.T) {
	t.Parallel()
	s := setup(t, Config{})
	id := s.CreatePayment(PaymentSpec{Reference: "o", Amount: money("10"), Status: Approved})
	require.ErrorIs(t, s.Move("1", Approved, "", money("0")), ErrUnknownPayment)
	require.ErrorIs(t, s.Move("x", Approved, "", money("0")), ErrUnknownPayment)
	require.Error(t, s.Move(id, Refunded, "refunded", money("10.01")))
	require.Error(t, s.Move(id, Refunded, "refunded", money("-0.01")))
	require.Len(t, s.Truth()[0].States, 1)
}

func TestTruth_ARefundMayBeTakenBack(t *testing.T) {
	t.Parallel()
	s := setup(t, Config{})
	id := s.CreatePayment(PaymentSpec{Reference: "o", Amount: money("10"), Status: Approved, Refunded: money("3")})
	requireTruth(t, s, want{"partially_refunded", "10", "3"})
	require.NoError(t, s.Move(id, Approved, "partially_refunded", money("2")))
	requireTruth(t, s, want{"partially_refunded", "10", "2"})
	require.Contains(t, get(t, s, "/v1/payments/"+id).Body.String(), `"amount":2,`)
	require.NoError(t, s.Move(id, Approved, "accredited", money("0")))
	requireTruth(t, s, want{"paid", "10", "0"})
	require.Contains(t, get(t, s, "/v1/payments/"+id).Body.String(), `"refunds":[]`)
}
