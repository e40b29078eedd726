package store_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/payout"
)

// A drawnRow is a row of an account's history, and how late reports have it.
type drawnRow struct {
	store.Movement
	knownAt time.Time
}

// A history is what happened to an account, as its own ledger knows.
type history struct {
	rows []drawnRow
	days int
	// kept is the balance after each payout.
	kept    map[string]decimal.Decimal
	balance decimal.Decimal
}

// drawHistory draws purchases, instalments, refunds, chargebacks that are won and lost,
// reserves, fees, withdrawals and payouts. Several may happen at one instant.
func drawHistory(rt *rapid.T, name string) *history {
	h := &history{kept: map[string]decimal.Decimal{}, balance: decimal.New(rapid.Int64Range(0, 5_000).Draw(rt, "balance"), -2)}
	h.days = rapid.IntRange(1, 5).Draw(rt, "days")
	end := epoch.Add(time.Duration(h.days) * day)
	type purchase struct {
		id    string
		cents decimal.Decimal
	}
	var purchases []purchase
	number := 0
	for at := epoch; ; {
		at = at.Add(time.Duration(rapid.SampledFrom([]int{0, 1, 40, 200, 700}).Draw(rt, "minutes")) * time.Minute)
		if !at.Before(end) {
			return h
		}
		add := func(class, id string, net decimal.Decimal) {
			m := movement(class, id, net.String(), at)
			late := time.Duration(rapid.SampledFrom([]int{0, 0, 0, 0, 13, 30}).Draw(rt, "late")) * time.Hour
			h.rows = append(h.rows, drawnRow{m, at.Add(late)})
			h.balance = h.balance.Add(net)
		}
		number++
		id := name + strconv.Itoa(number)
		cents := decimal.New(rapid.Int64Range(1, 9_999).Draw(rt, "cents"), -2)
		purchases = append(purchases, purchase{id, cents})
		switch rapid.SampledFrom([]string{"purchase", "purchase", "instalment", "refund", "chargeback", "won", "fee", "withdrawal", "twice", "payout", "payout"}).Draw(rt, "what") {
		case "purchase":
			add("payment", id, cents)
		case "instalment":
			of := rapid.SampledFrom(purchases).Draw(rt, "of")
			add("payment", of.id, of.cents)
		case "refund":
			add("refund", id, cents.Neg())
		case "chargeback":
			add("reserve", id, cents.Neg())
		case "won":
			add("reserve", id, cents.Neg())
			add("reserve", id, cents)
		case "fee":
			add("other", "", cents.Neg())
		case "withdrawal":
			add("withdrawal", id, cents.Neg())
			if rapid.Bool().Draw(rt, "returned") {
				add("withdrawal", id, cents)
			}
		case "twice":
			add("payment", id, cents)
			add("payment", id, cents)
		case "payout":
			if h.balance.IsPositive() {
				paid := decimal.Min(h.balance, cents)
				if rapid.Bool().Draw(rt, "all") {
					paid = h.balance
				}
				add("payout", id, paid.Neg())
				h.kept[id] = h.balance
			}
		}
	}
}

// file is the report of some days as it was made at a time: without the rows that were
// not known yet, in the balance that it begins with either.
func (h *history) file(from, until int, madeAt time.Time, opening decimal.Decimal) statement {
	st := statement{begin: epoch.Add(time.Duration(from) * day), end: epoch.Add(time.Duration(until) * day)}
	for _, row := range h.rows {
		switch known := !row.knownAt.After(madeAt); {
		case known && row.HappenedAt.Before(st.begin):
			opening = opening.Add(row.Credit).Sub(row.Debit)
		case known && row.HappenedAt.Before(st.end):
			st.movements = append(st.movements, row.Movement)
		}
	}
	st.balance = opening.String()
	return st
}

// Whatever happened, in whatever files and order it is read, with rows that come late:
// in the end every payout is explained to the cent, keeps what the account's own ledger
// had, and what came less what was paid out is the balance.
func TestPayouts_EveryHistoryIsExplained(t *testing.T) {
	t.Parallel()
	b := setup(t)
	account := 0
	rapid.Check(t, func(rt *rapid.T) {
		h := drawHistory(rt, fmt.Sprintf("p%d-", account))
		opening := h.balance
		for _, row := range h.rows {
			opening = opening.Sub(row.Credit).Add(row.Debit)
		}
		var files []statement
		for range rapid.IntRange(0, 4).Draw(rt, "early files") {
			from := rapid.IntRange(0, h.days-1).Draw(rt, "from")
			until := rapid.IntRange(from+1, h.days).Draw(rt, "until")
			made := epoch.Add(time.Duration(until)*24*time.Hour + time.Duration(rapid.IntRange(0, 10).Draw(rt, "made"))*time.Hour)
			files = append(files, h.file(from, until, made, opening))
		}
		for d := range h.days {
			files = append(files, h.file(d, d+1, epoch.Add(1000*24*time.Hour), opening))
		}
		var read [2][]string
		for i := range read {
			account++
			for _, st := range rapid.Permutation(files).Draw(rt, "order") {
				b.readAs(t, strconv.Itoa(account), st, rapid.SampledFrom([]int{1, 3, 50}).Draw(rt, "batch"))
			}
			read[i] = b.requireExplained(rt, strconv.Itoa(account), h)
		}
		require.Equal(rt, read[0], read[1], "the order of the files says nothing")
	})
}

// readAs reads a statement for an account of its own: ids of payouts are kept apart by
// a prefix.
func (b *bundle) readAs(t *testing.T, account string, st statement, batch int) {
	t.Helper()
	own := st
	own.account = account
	own.movements = nil
	for _, m := range st.movements {
		if m.Class == store.MovementPayout {
			m.SourceID = account + "/" + m.SourceID
		}
		own.movements = append(own.movements, m)
	}
	report := b.keep(t, own)
	b.book(t, own, &report, batch, 1<<20)
	require.NoError(t, b.FinishReport(t.Context(), report))
	require.NoError(t, b.ExplainPayouts(t.Context()))
}

func (b *bundle) requireExplained(rt *rapid.T, account string, h *history) []string {
	rows, err := b.pool.Query(rt.Context(), `
		SELECT split_part(p.id, '/', 2), p.state, p.balance_kept,
		       p.amount + p.balance_kept - p.opening_balance - (SELECT coalesce(sum(credit - debit), 0) FROM account_movements m WHERE m.payout_id = p.id AND m.id <> p.movement_id),
		       (SELECT string_agg(m.source_id || ':' || m.description || ':' || (m.credit - m.debit), ' ' ORDER BY m.happened_at, m.source_id, m.description, m.credit, m.debit)
		        FROM account_movements m WHERE m.payout_id = p.id AND m.id <> p.movement_id)
		FROM payouts p WHERE collector_id = $1 ORDER BY paid_at, split_part(p.id, '/', 2)`, account)
	require.NoError(rt, err)
	defer rows.Close()
	var lines []string
	for rows.Next() {
		var id, state string
		var kept, rest decimal.Decimal
		var parts *string
		require.NoError(rt, rows.Scan(&id, &state, &kept, &rest, &parts))
		require.Equal(rt, string(payout.Explained), state, id)
		require.True(rt, rest.IsZero(), "%s: %s too much", id, rest)
		require.True(rt, kept.Equal(h.kept[id]), "%s kept %s, and had %s", id, kept, h.kept[id])
		lines = append(lines, fmt.Sprint(id, parts != nil && *parts != "", kept))
		if parts != nil {
			lines = append(lines, *parts)
		}
	}
	require.NoError(rt, rows.Err())
	var movements int
	var balance decimal.Decimal
	require.NoError(rt, b.pool.QueryRow(rt.Context(), `
		SELECT count(*), coalesce(sum(credit - debit), 0) + (SELECT balance FROM account_balances WHERE collector_id = $1 ORDER BY known_at LIMIT 1)
		FROM account_movements WHERE collector_id = $1`, account).Scan(&movements, &balance))
	require.Len(rt, h.rows, movements)
	require.True(rt, balance.Equal(h.balance), "the balance is %s, and was %s", balance, h.balance)
	return lines
}
