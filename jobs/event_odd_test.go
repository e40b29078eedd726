package jobs_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// A mixed is one payment of a stream of odd and ordinary ones, each of an order of
// its own.
type mixed struct {
	id, reference string
	// class is that of its dead letter; empty for an ordinary payment.
	class  string
	fields []string
	event  int64
}

// A sort is what is wrong with a payment; nothing with an ordinary one.
type sort struct {
	word   string
	fields []provider.Field
}

// streams are up to 40 payments in any order.
var streams = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) sort {
	return sort{
		word:   rapid.SampledFrom([]string{"ordinary", "missing", "status", "currency"}).Draw(t, "sort"),
		fields: rapid.SliceOfNDistinct(rapid.SampledFrom(provider.Fields()), 1, 3, rapid.ID).Draw(t, "fields"),
	}
}), 8, 40)

// says has the provider answer so about a payment.
func (b *bundle) says(id string, s sort) *mixed {
	m := &mixed{id: id, reference: "order-" + id}
	p := approved(id, m.reference, "150.05")
	switch s.word {
	case "missing":
		b.fake.fails(id, &provider.Error{Kind: provider.Odd, StatusCode: 200, Err: &provider.OddPayment{
			ID: id, Reference: m.reference, Fields: s.fields, Problem: "payment: something is missing", Raw: p.Raw,
		}})
		m.class = "odd_payment"
		for _, f := range s.fields {
			m.fields = append(m.fields, string(f))
		}
		return m
	case "status":
		p.Status, m.class, m.fields = "levitating", "unknown_status", []string{"status"}
	case "currency":
		p.Currency, m.class, m.fields = "XXX", "odd_payment", []string{"currency"}
	}
	b.fake.says(id, func(context.Context, int) (provider.Payment, error) { return p, nil })
	return m
}

// Odd and ordinary payments in any order, more odd ones in a row than failures open
// the circuit: an ordinary one is settled by its first attempt, which nothing holds,
// and each odd one can be seen among the dead letters, at its order, and by the alert.
func TestOddPayments_AreEachOnePaymentsMatter(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.start(t)
	next, odd := 1000, 0
	for range 8 {
		stream := streams.Example(rand.Int())
		t.Log(stream)
		payments := make([]*mixed, len(stream))
		for i, s := range stream {
			next++
			payments[i] = b.says(strconv.Itoa(next), s)
			b.register(t, payments[i].reference, "150.05")
		}
		for _, m := range payments {
			m.event = b.accept(t, m.id)
		}
		fixture.Await(t, func() bool {
			return scan[int](t, b, `SELECT count(*) FROM webhook_queue_status WHERE status NOT IN ('completed', 'dead_letter')`) == 0
		})

		for _, m := range payments {
			require.JSONEq(t, `{}`, string(b.job(t, m.event).Metadata), "nothing held or put off event %d", m.event)
			known, err := b.Order(t.Context(), m.reference)
			require.NoError(t, err)
			if m.class == "" {
				require.Equal(t, "completed 1", scan[string](t, b, `SELECT status || ' ' || attempts FROM webhook_queue_status WHERE id = $1`, m.event))
				require.Equal(t, order.StatusPaid, known.Status)
				require.Empty(t, known.OddPayments)
				continue
			}
			odd++
			letter := b.letter(t, m.event)
			require.NotNil(t, letter)
			require.Equal(t, []any{"permanent_failure", m.class, "open", 1}, []any{letter.Reason, letter.Class, letter.State, letter.Attempts})
			require.Equal(t, `{"id":`+m.id+`}`, string(scan[[]byte](t, b, `SELECT resource FROM webhook_queue WHERE id = $1`, m.event)))
			require.Len(t, known.OddPayments, 1)
			require.Equal(t, []string{m.id, m.class}, []string{known.OddPayments[0].PaymentID, known.OddPayments[0].Class})
			require.ElementsMatch(t, m.fields, known.OddPayments[0].Fields)
			require.Equal(t, order.StatusPending, known.Status)
		}
		st, err := b.Status(t.Context())
		require.NoError(t, err)
		require.Equal(t, store.CircuitClosed, st.Provider.Circuit)
		require.EqualValues(t, odd, st.Signals.OddPayments, "the alert counts each")
	}
	require.Positive(t, odd)
	require.Zero(t, scan[int](t, b, `SELECT count(*) FROM provider_outages`))
	require.Zero(t, b.fake.credentialChecks())

	evaluator, err := jobs.NewEvaluator(b.Store, false, b.config.Logger)
	require.NoError(t, err)
	require.NoError(t, evaluator.Evaluate(t.Context(), b.operator))
	alerts, err := b.OpenAlerts(t.Context())
	require.NoError(t, err)
	opened := map[string]string{}
	for _, a := range alerts {
		opened[a.Code] = string(a.Detail)
	}
	require.JSONEq(t, fmt.Sprintf(`{"open": %d}`, odd), opened["odd_payments_open"])
}
