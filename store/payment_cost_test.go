package store_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

func said(amount string) decimal.NullDecimal {
	return decimal.NewNullDecimal(decimal.RequireFromString(amount))
}

// costing is a payment of 100 that leaves what is said.
func costing(id, reference string, status order.PaymentStatus, minute int, fee, net string) store.FetchedPayment {
	f := fetched(id, reference, status, "100", minute)
	f.Payment.CreatedAt = epoch
	f.Cost = store.PaymentCost{Fee: said(fee), Taxes: said("1.40"), Net: said(net), ReleaseDate: epoch.AddDate(0, 0, 10), ReleaseStatus: "pending"}
	return f
}

func (b *bundle) requireNet(t *testing.T, reference, net string) store.PaymentCost {
	t.Helper()
	o, err := b.Order(t.Context(), reference)
	require.NoError(t, err)
	require.Len(t, o.Payments, 1)
	cost := o.Payments[0].Cost
	require.True(t, cost.Net.Valid)
	require.Equal(t, net, cost.Net.Decimal.String())
	return cost
}

func TestSettle_APaymentKeepsWhatItCosts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.inbox(t, store.InboxOptions{})
	b.register(t, "A-1", "100", "ARS")
	b.apply(t, in, 1, costing("77", "A-1", order.PaymentApproved, 1, "6.29", "92.31"))
	cost := b.requireNet(t, "A-1", "92.31")
	require.Equal(t, "6.29", cost.Fee.Decimal.String())
	require.False(t, cost.FinancingFee.Valid, "what was not said is not nothing")
	require.Equal(t, "7.69", cost.Deducted().Decimal.String())
	require.Equal(t, epoch.AddDate(0, 0, 10), cost.ReleaseDate)

	// The same state, released: no new state, and yet known.
	released := costing("77", "A-1", order.PaymentApproved, 1, "6.29", "92.31")
	released.Cost.ReleaseStatus = "released"
	b.apply(t, in, 2, released)
	require.Equal(t, "released", b.requireNet(t, "A-1", "92.31").ReleaseStatus)
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM payment_logs`))

	// An older state says nothing.
	b.apply(t, in, 3, costing("77", "A-1", order.PaymentApproved, 0, "1", "99"))
	b.requireNet(t, "A-1", "92.31")
	b.apply(t, in, 4, costing("77", "A-1", order.PaymentRefunded, 5, "0", "100"))
	b.requireNet(t, "A-1", "100")
	b.sound(t)
}

func TestReadAnswers_ReadsWhatTheReleaseBeforeFetched(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.inbox(t, store.InboxOptions{})
	for i, id := range []string{"71", "72", "73"} {
		b.apply(t, in, i, costing(id, "", order.PaymentApproved, 1, "6.29", "92.31"))
	}
	read := func(_ string, raw []byte) (store.PaymentCost, store.PaymentMethod, bool) {
		return store.PaymentCost{Net: said("90")}, store.PaymentMethod{ID: "visa", Type: "credit_card"}, string(raw) != `{"id":"73"}`
	}
	done, err := b.ReadAnswers(t.Context(), 2, read)
	require.NoError(t, err)
	require.True(t, done, "nothing is unread")
	// The release before fetches two of them again, and knows no costs.
	b.exec(t, `UPDATE payments SET fetched_at = fetched_at + interval '1 minute' WHERE payment_id <> '71'`)
	done, err = b.ReadAnswers(t.Context(), 2, read)
	require.NoError(t, err)
	require.False(t, done)
	done, err = b.ReadAnswers(t.Context(), 2, read)
	require.NoError(t, err)
	require.True(t, done)
	for id, net := range map[string]string{"71": "92.31", "72": "90"} {
		p, err := b.Payment(t.Context(), "mercadopago", id)
		require.NoError(t, err)
		require.Equal(t, net, p.Cost.Net.Decimal.String(), id)
	}
	p, err := b.Payment(t.Context(), "mercadopago", "73")
	require.NoError(t, err)
	require.False(t, p.Cost.Net.Valid, "what can't be read is not said")
}

func TestReadAnswers_ReadsTheMethodThatTheReleaseBeforeLeftOut(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.inbox(t, store.InboxOptions{})
	for i, id := range []string{"71", "72", "73", "74", "75"} {
		f := costing(id, "", order.PaymentApproved, 1, "6.29", "92.31")
		f.Method = store.PaymentMethod{ID: "pix", Type: "bank_transfer"}
		b.apply(t, in, i, f)
	}
	b.exec(t, `UPDATE payments SET payment_method = NULL, payment_type = NULL WHERE payment_id <> '75'`)
	b.exec(t, `UPDATE payments SET raw = '' WHERE payment_id = '74'`)
	before := b.count(t, `SELECT sum(extract(epoch FROM updated_at) * 1000000)::bigint FROM payments`)
	read := func(_ string, raw []byte) (store.PaymentCost, store.PaymentMethod, bool) {
		return store.PaymentCost{Net: said("92.31")}, store.PaymentMethod{ID: "visa", Type: "credit_card"}, string(raw) != `{"id":"73"}`
	}
	for i := range 3 {
		done, err := b.ReadAnswers(t.Context(), 2, read)
		require.NoError(t, err)
		require.Equal(t, i >= 1, done, "three of them, two at a time")
	}
	for id, want := range map[string]store.PaymentMethod{
		"71": {ID: "visa", Type: "credit_card"}, "72": {ID: "visa", Type: "credit_card"}, "73": {}, "74": {}, "75": {ID: "pix", Type: "bank_transfer"},
	} {
		p, err := b.Payment(t.Context(), "mercadopago", id)
		require.NoError(t, err)
		require.Equal(t, want, p.Method, id)
	}
	require.Equal(t, before, b.count(t, `SELECT sum(extract(epoch FROM updated_at) * 1000000)::bigint FROM payments`), "nobody is told of it as a change")
	// The next fetch tells what could not be read.
	again := costing("74", "", order.PaymentApproved, 1, "6.29", "92.31")
	again.Method = store.PaymentMethod{ID: "visa", Type: "credit_card"}
	b.apply(t, in, 9, again)
	p, err := b.Payment(t.Context(), "mercadopago", "74")
	require.NoError(t, err)
	require.Equal(t, again.Method, p.Method)
	b.sound(t)
}

func TestPayments_AreListedByTheirLastChange(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.inbox(t, store.InboxOptions{})
	for i, f := range []store.FetchedPayment{
		costing("71", "A-1", order.PaymentApproved, 1, "6.29", "92.31"), costing("72", "A-2", order.PaymentPending, 1, "0", "0"),
		costing("73", "A-1", order.PaymentRefunded, 1, "6.29", "92.31"),
	} {
		if i == 2 {
			f.Method = store.PaymentMethod{ID: "rapipago", Type: "ticket"}
		}
		b.apply(t, in, i, f)
	}
	list := func(filter store.PaymentFilter, limit int) (ids []string) {
		page := store.PageOf[store.PaymentPlace]{Limit: limit}
		for {
			found, err := b.Payments(t.Context(), filter, page)
			require.NoError(t, err)
			for _, p := range found.Items {
				ids = append(ids, p.ID)
			}
			if found.Next == (store.PaymentPlace{}) {
				return ids
			}
			at, ok := filter.ParsePaymentPlace(found.Next.String())
			require.True(t, ok)
			other := store.PaymentFilter{}
			if !filter.ByMade() {
				other.MadeSince = epoch
			}
			_, ok = other.ParsePaymentPlace(found.Next.String())
			require.False(t, ok, "a place is in one order only")
			page.Before = at
		}
	}
	require.Equal(t, []string{"71", "72", "73"}, list(store.PaymentFilter{}, 1))
	require.Equal(t, []string{"73"}, list(store.PaymentFilter{Type: "ticket"}, 1))
	require.Equal(t, []string{"73"}, list(store.PaymentFilter{Method: "rapipago"}, 1))
	require.Empty(t, list(store.PaymentFilter{Type: "rapipago"}, 1))
	// By when they were made, or recorded: 71 last, 72 not said.
	b.exec(t, `UPDATE payments SET date_created = '2026-02-02T00:00:00Z' WHERE payment_id = '71'`)
	b.exec(t, `UPDATE payments SET date_created = NULL, created_at = '2026-02-01T00:00:00Z' WHERE payment_id = '72'`)
	b.exec(t, `UPDATE payments SET date_created = '2026-02-01T00:00:00Z' WHERE payment_id = '73'`)
	since, until := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 2, 2, 0, 0, 0, 0, time.UTC)
	for limit := range 3 {
		require.Equal(t, []string{"72", "73", "71"}, list(store.PaymentFilter{MadeSince: since}, limit+1))
		require.Equal(t, []string{"73", "72"}, list(store.PaymentFilter{MadeSince: since, MadeUntil: until, LatestFirst: true}, limit+1))
		require.Equal(t, []string{"73"}, list(store.PaymentFilter{MadeUntil: until, Type: "ticket"}, limit+1))
	}
	require.Equal(t, []string{"71", "73"}, list(store.PaymentFilter{Order: "A-1"}, 1))
	require.Equal(t, []string{"72"}, list(store.PaymentFilter{Status: order.PaymentPending}, 9))
	require.Empty(t, list(store.PaymentFilter{Currency: "BRL"}, 9))
	require.Empty(t, list(store.PaymentFilter{ChangedSince: time.Now().Add(time.Hour)}, 9))
	for _, bad := range []string{"", "1", "1.mercadopago", "x.mercadopago.7", "-1.mercadopago.7", "01.mercadopago.7"} {
		_, ok := store.PaymentFilter{}.ParsePaymentPlace(bad)
		require.False(t, ok, bad)
	}
}

func TestPaymentDays_SumUpByDayAndCurrency(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.inbox(t, store.InboxOptions{})
	untold := fetched("74", "", order.PaymentApproved, "100", 1)
	untold.Payment.CreatedAt = epoch
	later := costing("75", "", order.PaymentApproved, 1, "1", "97.60")
	later.Payment.CreatedAt = epoch.AddDate(0, 0, 1)
	refunded := costing("73", "", order.PaymentRefunded, 1, "6.29", "92.31")
	refunded.Payment.Refunded = decimal.NewFromInt(110)
	for i, f := range []store.FetchedPayment{
		costing("71", "", order.PaymentApproved, 1, "6.29", "92.31"), costing("72", "", order.PaymentPending, 1, "9", "9"), refunded, untold, later,
	} {
		b.apply(t, in, i, f)
	}
	days, err := b.PaymentDays(t.Context(), epoch.AddDate(0, 0, -1), epoch.AddDate(0, 0, 2), time.UTC)
	require.NoError(t, err)
	require.Len(t, days, 2)
	first := days[0]
	require.Equal(t, time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC), first.Day)
	require.EqualValues(t, 3, first.Payments)
	require.EqualValues(t, 1, first.Unknown)
	require.EqualValues(t, 1, first.CostUnknown)
	require.Equal(t, []string{"300", "100", "12.58", "2.8", "184.62"}, []string{
		first.Gross.String(), first.Refunded.String(), first.Cost.Fee.Decimal.String(), first.Cost.Taxes.Decimal.String(), first.Cost.Net.Decimal.String(),
	})
	require.False(t, first.Cost.FinancingFee.Valid)
	require.EqualValues(t, 1, days[1].Payments)
	// The day depends on the zone: 03:04 in UTC is the day before in Buenos Aires.
	zone, err := time.LoadLocation("America/Argentina/Buenos_Aires")
	require.NoError(t, err)
	days, err = b.PaymentDays(t.Context(), epoch.AddDate(0, 0, -1), epoch.AddDate(0, 0, 2), zone)
	require.NoError(t, err)
	require.Equal(t, "2026-01-02T00:00:00-03:00", days[0].Day.Format(time.RFC3339))
}

// A day of 25 hours takes the payments of all of them.
func TestPaymentDays_ADayIsAsLongAsItIs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.inbox(t, store.InboxOptions{})
	zone, err := time.LoadLocation("America/New_York")
	require.NoError(t, err)
	for i, at := range []string{"2026-11-01T03:59:59Z", "2026-11-01T04:00:00Z", "2026-11-02T04:59:59Z", "2026-11-02T05:00:00Z"} {
		p := fetched(strconv.Itoa(71+i), "", order.PaymentApproved, "100", 1)
		p.Payment.CreatedAt, err = time.Parse(time.RFC3339, at)
		require.NoError(t, err)
		b.apply(t, in, i, p)
	}
	days, err := b.PaymentDays(t.Context(), time.Date(2026, 10, 31, 4, 0, 0, 0, time.UTC), time.Date(2026, 11, 2, 6, 0, 0, 0, time.UTC), zone)
	require.NoError(t, err)
	var got []string
	for _, d := range days {
		got = append(got, d.Day.Format(time.DateOnly)+" "+strconv.FormatInt(d.Payments, 10))
	}
	require.Equal(t, []string{"2026-10-31 1", "2026-11-01 2", "2026-11-02 1"}, got)
}
