package store_test

import (
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// moneyDay is a day's money as texts.
type moneyDay struct{ Day, Currency, Paid, Withdrawn, Refunded, Net string }

func (b *bundle) money(t *testing.T, since, until time.Time, zone *time.Location) []moneyDay {
	t.Helper()
	days, err := b.MoneyByDay(t.Context(), since, until, zone)
	require.NoError(t, err)
	var got []moneyDay
	for _, d := range days {
		got = append(got, moneyDay{
			d.Day.In(zone).Format(time.DateTime), d.Currency, d.Paid.String(), d.Withdrawn.String(), d.Refunded.String(), d.Net().String(),
		})
	}
	return got
}

// The days of money are the orders' own steps: what is paid, refunded, disputed,
// charged back, won back, and corrected. Over all days they are what the orders
// hold.
func TestMoneyByDay_AddsUpToTheOrders(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.inbox(t, store.InboxOptions{})
	n := 0
	settle := func(f store.FetchedPayment) {
		t.Helper()
		n++
		a := b.deliver(t, in, n, f.Payment.ID)
		_, err := b.Settle(t.Context(), a, f, complete(a))
		require.NoError(t, err)
	}
	refunded := func(f store.FetchedPayment, amount string) store.FetchedPayment {
		f.Payment.Refunded = decimal.RequireFromString(amount)
		return f
	}
	detail := func(f store.FetchedPayment, detail string) store.FetchedPayment {
		f.Payment.StatusDetail = detail
		return f
	}
	// Each step is one day, at noon: the logs are set back afterwards.
	day := 0
	var today time.Time
	onDay := func(work func()) {
		t.Helper()
		day++
		today = time.Date(2026, 3, day, 12, 0, 0, 0, time.UTC)
		before := b.count(t, `SELECT coalesce(max(id), 0) FROM order_logs`)
		work()
		b.exec(t, `UPDATE order_logs SET changed_at = $1 WHERE id > $2`, today, before)
	}
	for _, ref := range []string{"A-1", "A-2", "A-3"} {
		_, err := b.RegisterOrder(t.Context(), ref, terms("150.10"))
		require.NoError(t, err)
	}
	b.exec(t, `UPDATE order_logs SET changed_at = '2026-03-01T00:00:00Z'`)
	onDay(func() {
		settle(fetched("1", "A-1", order.PaymentApproved, "150.10", 1))
		settle(fetched("2", "A-2", order.PaymentApproved, "150.1", 1))
		settle(fetched("3", "A-3", order.PaymentPending, "150.10", 1))
	})
	onDay(func() {
		settle(refunded(fetched("1", "A-1", order.PaymentApproved, "150.10", 2), "0.07"))
		settle(fetched("2", "A-2", order.PaymentInMediation, "150.10", 2)) // disputed
	})
	onDay(func() {
		settle(fetched("1", "A-1", order.PaymentRefunded, "150.10", 3)) // the rest of it
		settle(fetched("2", "A-2", order.PaymentChargedBack, "150.10", 3))
	})
	onDay(func() {
		settle(detail(fetched("2", "A-2", order.PaymentChargedBack, "150.10", 4), "reimbursed")) // won
		settle(fetched("3", "A-3", order.PaymentApproved, "150.10", 4))
	})
	onDay(func() {
		settle(fetched("3", "A-1", order.PaymentApproved, "150.10", 5)) // moved to another order
		settle(fetched("9", "", order.PaymentApproved, "999.99", 5))    // nobody's
		usd := fetched("8", "A-3", order.PaymentApproved, "150.10", 5)
		usd.Payment.Currency = "USD"
		settle(usd) // not the order's currency
	})
	require.NotZero(t, b.count(t, `SELECT count(*) FROM order_logs`))
	b.rollUpAll(t, 1000*time.Hour)

	march := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	want := []moneyDay{
		{"2026-03-01 00:00:00", "ARS", "300.2", "0", "0", "300.2"},
		{"2026-03-02 00:00:00", "ARS", "0", "150.1", "0.07", "-150.17"},
		{"2026-03-03 00:00:00", "ARS", "0", "0", "150.03", "-150.03"},
		{"2026-03-04 00:00:00", "ARS", "300.2", "0", "0", "300.2"},
		{"2026-03-05 00:00:00", "ARS", "150.1", "150.1", "0", "0"},
	}
	require.Equal(t, want, b.money(t, march, march.AddDate(0, 1, 0), time.UTC))
	var net, held decimal.Decimal
	for _, d := range want {
		net = net.Add(decimal.RequireFromString(d.Net))
	}
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT sum(paid_amount - refunded_amount) FROM orders`).Scan(&held))
	require.True(t, net.Equal(held), "the days make %s, the orders hold %s", net, held)

	// Both ends are whole days, and days are the reader's.
	require.Equal(t, want[1:3], b.money(t, march.Add(36*time.Hour), march.Add(49*time.Hour), time.UTC))
	kolkata := time.FixedZone("+0530", 5*60*60+30*60)
	b.exec(t, `UPDATE order_logs SET changed_at = '2026-03-01T18:29:00Z' WHERE changed_at = '2026-03-01T12:00:00Z'`)
	b.exec(t, `UPDATE order_logs SET changed_at = '2026-03-01T18:30:00Z' WHERE changed_at = '2026-03-02T12:00:00Z'`)
	b.exec(t, `UPDATE webhook_rollup SET covered_from = date_trunc('hour', now()), covered_until = date_trunc('hour', now()), complete = false`)
	b.rollUpAll(t, 1000*time.Hour)
	require.Equal(t, want[:2], b.money(t, march, time.Date(2026, 3, 3, 0, 0, 0, 0, kolkata), kolkata))
}
