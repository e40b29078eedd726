package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// found applies what an event fetched that is not a payment; n tells deliveries apart,
// and the later one was fetched later.
func (b *bundle) found(t *testing.T, n int, id string, change func(*store.Fetched)) int64 {
	t.Helper()
	ev := signed(n, id)
	ev.Topic, ev.Work = "a_dispute", store.WorkFollow
	a := b.startAttempt(t, b.accept(t, ev))
	event, err := b.StartAttempt(t.Context(), a.QueueID)
	require.NoError(t, err)
	fetched := store.Fetched{Event: event}
	change(&fetched)
	result, err := b.Apply(t.Context(), a, fetched, complete(a))
	require.NoError(t, err)
	require.Equal(t, store.OutcomeFollowed, result.Outcome)
	return a.QueueID
}

func (b *bundle) dispute(t *testing.T, n int, c store.Chargeback) int64 {
	t.Helper()
	return b.found(t, n, c.ID, func(f *store.Fetched) { f.Chargeback = &c })
}

func (b *bundle) complain(t *testing.T, n int, c store.Claim) int64 {
	t.Helper()
	return b.found(t, n, c.ID, func(f *store.Fetched) { f.Claim = &c })
}

func TestDisputes_TheLaterStateIsKept(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register(t, "A-1", "10", "ARS")
	b.pay(t, 1, "A-1", "10")
	payment := one[string](t, b, `SELECT payment_id FROM payments`)
	at := func(minute int) time.Time { return epoch.Add(time.Duration(minute) * time.Minute) }
	chargeback := func(status string, updated time.Time) store.Chargeback {
		return store.Chargeback{ID: "2170", PaymentIDs: []string{"1", payment}, DocumentationStatus: status, UpdatedAt: updated}
	}
	claim := func(stage string, updated time.Time) store.Claim {
		return store.Claim{ID: "52", PaymentID: payment, Stage: stage, UpdatedAt: updated}
	}
	for i, c := range []struct {
		word    string
		updated time.Time
		want    string
	}{
		{"first", at(5), "first"},
		{"older", at(4), "first"},
		{"fetched later", at(5), "fetched later"},
		{"undated", time.Time{}, "undated"},
		{"dated again", at(3), "dated again"},
		{"newer", at(6), "newer"},
	} {
		b.dispute(t, 10+2*i, chargeback(c.word, c.updated))
		b.complain(t, 11+2*i, claim(c.word, c.updated))
		o, err := b.Order(t.Context(), "A-1")
		require.NoError(t, err)
		require.Len(t, o.Chargebacks, 1)
		require.Equal(t, c.want, o.Chargebacks[0].DocumentationStatus)
		require.Len(t, o.Claims, 1)
		require.Equal(t, c.want, o.Claims[0].Stage)
	}
	o, err := b.Order(t.Context(), "A-1")
	require.NoError(t, err)
	require.Equal(t, chargeback("newer", at(6)), o.Chargebacks[0])
	require.Equal(t, claim("newer", at(6)), o.Claims[0])
	require.Empty(t, b.sound(t).Violations)
}

func TestDisputes_BelongToTheOrderThatTheyAreAbout(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, reference := range []string{"A-1", "A-2"} {
		b.register(t, reference, "10", "ARS")
	}
	b.pay(t, 1, "A-1", "10")
	payment := one[string](t, b, `SELECT payment_id FROM payments`)
	chargeback := b.dispute(t, 10, store.Chargeback{ID: "2170", PaymentIDs: []string{payment}})
	aboutPayment := b.complain(t, 11, store.Claim{ID: "52", PaymentID: payment})
	aboutOrder := b.complain(t, 12, store.Claim{ID: "53", OrderID: "31", Reference: "A-2"})
	b.complain(t, 13, store.Claim{ID: "54", OrderID: "32", Reference: " null "})
	b.warn(t, 14, fetched(payment, "A-1", order.PaymentApproved, "10", 1))
	// A payment of nobody's with the chargeback's number.
	b.accept(t, signed(15, "2170"))

	for reference, want := range map[string]struct {
		chargebacks, claims []string
		events              []int64
	}{
		"A-1": {[]string{"2170"}, []string{"52"}, []int64{aboutPayment, chargeback}},
		"A-2": {nil, []string{"53"}, []int64{aboutOrder}},
	} {
		o, err := b.Order(t.Context(), reference)
		require.NoError(t, err)
		var chargebacks, claims []string
		for _, c := range o.Chargebacks {
			chargebacks = append(chargebacks, c.ID)
		}
		for _, c := range o.Claims {
			claims = append(claims, c.ID)
		}
		require.Equal(t, want.chargebacks, chargebacks)
		require.Equal(t, want.claims, claims)

		events, err := b.Events(t.Context(), store.EventFilter{Order: reference}, store.Page{Limit: 10})
		require.NoError(t, err)
		var named []int64
		works := map[string]int{}
		for _, e := range events.Items {
			works[e.Work]++
			if e.Work == store.WorkFollow {
				named = append(named, e.QueueID)
			}
		}
		require.Equal(t, want.events, named)
		if reference == "A-1" {
			require.Equal(t, map[string]int{store.WorkFollow: 2, store.WorkPayment: 1, store.WorkFraudAlert: 1}, works)
		}
	}
}

func TestSignals_NameTheChargebacksWhoseDocumentsAreWanted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register(t, "A-1", "10", "ARS")
	b.pay(t, 1, "A-1", "10")
	payment := one[string](t, b, `SELECT payment_id FROM payments`)
	soon, later := time.Now().Add(time.Hour).Truncate(time.Second), time.Now().Add(30*time.Hour).Truncate(time.Second)
	for i, c := range []store.Chargeback{
		{ID: "later", PaymentIDs: []string{"9"}, DocumentsWanted: true, DocumentationDeadline: later},
		{ID: "soon", PaymentIDs: []string{payment}, DocumentsWanted: true, DocumentationDeadline: soon},
		{ID: "undated", PaymentIDs: []string{}, DocumentsWanted: true},
		{ID: "over", PaymentIDs: []string{payment}, DocumentsWanted: true, DocumentationDeadline: time.Now().Add(-time.Hour)},
		{ID: "sent", PaymentIDs: []string{payment}, DocumentationDeadline: soon},
	} {
		b.dispute(t, 10+i, c)
	}
	due := func() (ids []string) {
		t.Helper()
		for _, c := range b.signals(t).Chargebacks {
			ids = append(ids, c.ID)
		}
		return ids
	}
	require.Equal(t, []string{"undated", "soon", "later"}, due())
	require.Equal(t, store.ChargebackDue{ID: "soon", PaymentID: payment, Reference: "A-1", Deadline: new(soon.UTC())}, b.signals(t).Chargebacks[1])

	for _, c := range []struct {
		detail string
		want   []string
	}{
		{"in_process", []string{"undated", "soon", "later"}},
		{order.DetailSettled, []string{"undated", "later"}},
		{order.DetailReimbursed, []string{"undated", "later"}},
	} {
		b.exec(t, `UPDATE payments SET status = 'charged_back', status_detail = $1`, c.detail)
		require.Equal(t, c.want, due(), c.detail)
	}
	o, err := b.Order(t.Context(), "A-1")
	require.NoError(t, err)
	for _, c := range o.Chargebacks {
		require.False(t, c.DocumentsWanted, c.ID)
	}
}
