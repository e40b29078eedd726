package store

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/store/day"
)

// A MoneyDay is how the money of all orders of one currency moved in one day. It
// is counted from the orders' logs, by when the change was written here: what a
// reconciliation finds two days late counts on the day on which it was found.
//
// Over all time, Paid less Withdrawn is the sum of the orders' paid amounts, and
// Refunded the sum of their refunded amounts. Money that is not an order's is not
// counted: payments without an order, in another currency than the order's, of
// another account.
type MoneyDay struct {
	// Day is when the day began, in the zone asked for.
	Day      time.Time
	Currency string
	// Paid is what paid amounts rose by: payments that were approved, also after a
	// dispute that the merchant won.
	Paid decimal.Decimal
	// Withdrawn is what paid amounts fell by, as a positive number: disputes and
	// chargebacks, and payments that were corrected or moved to another order. A
	// refund is not among it.
	Withdrawn decimal.Decimal
	// Refunded is what refunded amounts rose by, less what they fell by where a
	// refund was taken back or its payment withdrawn.
	Refunded decimal.Decimal
}

// Net is what the day left: paid, less withdrawn, less refunded.
func (d MoneyDay) Net() decimal.Decimal { return d.Paid.Sub(d.Withdrawn).Sub(d.Refunded) }

// MoneyByDay returns the days of [since, until) in the zone, oldest first and by
// currency within a day; the days of both ends are whole. Days and currencies in
// which no money moved are absent. History from before the first roll-up reaches
// three years back.
func (s *Store) MoneyByDay(ctx context.Context, since, until time.Time, zone *time.Location) ([]MoneyDay, error) {
	first, end := day.Begin(since, zone), day.Begin(until, zone)
	if end.Before(until) {
		end = day.Next(until, zone)
	}
	// By day of PostgreSQL's zone it could not be: its zones are its own.
	rows, _ := s.pool.Query(ctx, `
		SELECT began_at, currency, paid, withdrawn, refunded FROM order_money_quarters
		WHERE began_at >= $1 AND began_at < $2 ORDER BY began_at, currency`, first, end)
	days := map[moneyKey]int{}
	var found []MoneyDay
	var q MoneyDay
	_, err := pgx.ForEachRow(rows, []any{&q.Day, &q.Currency, &q.Paid, &q.Withdrawn, &q.Refunded}, func() error {
		begin := day.Begin(q.Day, zone)
		key := moneyKey{begin.Unix(), q.Currency}
		i, ok := days[key]
		if !ok {
			i = len(found)
			days[key] = i
			found = append(found, MoneyDay{Day: begin, Currency: q.Currency})
		}
		d := &found[i]
		d.Paid, d.Withdrawn, d.Refunded = d.Paid.Add(q.Paid), d.Withdrawn.Add(q.Withdrawn), d.Refunded.Add(q.Refunded)
		return nil
	})
	sortMoney(found)
	return found, wrap(err, "money by day")
}

type moneyKey struct {
	day      int64
	currency string
}

func sortMoney(days []MoneyDay) {
	slices.SortFunc(days, func(a, b MoneyDay) int {
		return cmp.Or(a.Day.Compare(b.Day), cmp.Compare(a.Currency, b.Currency))
	})
}
