package store_test

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
)

// A statement is a report as its tests write it: the balance that it begins with,
// unless that is empty, and its movements.
type statement struct {
	// account is the collector, 1 unless set.
	account   string
	balance   string
	begin     time.Time
	end       time.Time
	movements []store.Movement
}

func money(text string) decimal.Decimal { return decimal.RequireFromString(text) }

// movement is money that came, or went where it is negative.
func movement(class, id, net string, at time.Time) store.Movement {
	m := store.Movement{
		Currency: "ARS", HappenedAt: at, SourceID: id, RecordType: "release", Description: class, Class: class,
		Credit: decimal.Max(money(net), decimal.Zero), Debit: decimal.Max(money(net).Neg(), decimal.Zero),
	}
	if class != store.MovementPayout && class != store.MovementWithdrawal {
		m.PaymentID = id
	}
	return m
}

// hour is so many hours after the epoch.
func hour(n int) time.Time { return epoch.Add(time.Duration(n) * time.Hour) }

// content is what stands for the file of a statement.
func (st statement) content() []byte {
	var b bytes.Buffer
	_, _ = fmt.Fprintln(&b, "balance", st.balance, st.begin)
	for _, m := range st.movements {
		_, _ = fmt.Fprintln(&b, m.HappenedAt, m.SourceID, m.Description, m.Credit, m.Debit, m.Fee.Valid)
	}
	return b.Bytes()
}

// keep keeps a statement as a report.
func (b *bundle) keep(t testing.TB, st statement) store.Report {
	t.Helper()
	return b.keepRows(t, st, int64(len(st.movements)))
}

// keepRows is keep for a statement of so many rows, which need not be in it.
func (b *bundle) keepRows(t testing.TB, st statement, rows int64) store.Report {
	t.Helper()
	content := st.content()
	file := store.NewReport{
		Source: "mercadopago", CollectorID: cmp.Or(st.account, "1"), Name: "release.csv", ImportedBy: "cli:ana", SHA256: sha256.Sum256(content),
		Bytes: int64(len(content)), Rows: rows, Begin: st.begin, End: st.end,
	}
	if st.balance != "" {
		file.Balances = []store.KnownBalance{{Currency: "ARS", At: st.begin, Balance: money(st.balance)}}
	}
	report, err := b.KeepReport(t.Context(), file, bytes.NewReader(content))
	require.NoError(t, err)
	return report
}

// book books rows of a statement from where its report is, in batches of so many, and
// at most so many batches.
func (b *bundle) book(t testing.TB, st statement, report *store.Report, batch, batches int) {
	t.Helper()
	for ; batches > 0 && report.Booked < report.Rows; batches-- {
		rows := st.movements[report.Booked:min(report.Booked+int64(batch), report.Rows)]
		for i := range rows {
			rows[i].Row = report.Booked + int64(i) + 1
		}
		require.NoError(t, b.BookRows(t.Context(), report, int64(len(rows)), rows))
	}
}

// read imports a statement and explains the payouts.
func (b *bundle) read(t testing.TB, st statement) store.Report {
	t.Helper()
	report := b.keep(t, st)
	b.book(t, st, &report, 7, 1<<20)
	require.NoError(t, b.FinishReport(t.Context(), report))
	require.NoError(t, b.ExplainPayouts(t.Context()))
	return report
}

// payoutLines are the payouts with what they are made of, one a line.
func (b *bundle) payoutLines(t testing.TB) []string {
	t.Helper()
	rows, err := b.pool.Query(t.Context(), `
		SELECT concat_ws(' ', p.id, state, trim_scale(amount), 'unexplained', trim_scale(unexplained_amount), 'kept', coalesce(trim_scale(balance_kept)::text, '?'), 'of',
		       (SELECT string_agg(m.source_id || ':' || m.description || ':' || trim_scale(m.credit - m.debit), ' '
		               ORDER BY m.happened_at, m.class = 'payout', m.source_id, m.description, m.credit, m.debit)
		        FROM account_movements m WHERE m.payout_id = p.id AND m.id <> p.movement_id))
		FROM payouts p ORDER BY paid_at, id`)
	require.NoError(t, err)
	defer rows.Close()
	var lines []string
	for rows.Next() {
		var line string
		require.NoError(t, rows.Scan(&line))
		lines = append(lines, strings.TrimSpace(line))
	}
	require.NoError(t, rows.Err())
	return lines
}
