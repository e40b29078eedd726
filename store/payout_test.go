package store_test

import (
	"testing"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
)

func TestPayouts_AreExplainedAndCarryTheBalance(t *testing.T) {
	t.Parallel()
	b := setup(t)

	report := b.read(t, statement{balance: "10", begin: hour(0), movements: []store.Movement{
		movement("payment", "77", "92.31", hour(1)),
		movement("refund", "77", "-2.31", hour(2)),
		movement("payout", "900", "-95", hour(3)),
		movement("payment", "78", "50", hour(4)),
		movement("payout", "901", "-55", hour(5)),
		movement("payment", "79", "1", hour(6)),
		movement("withdrawal", "902", "-0.5", hour(7)),
		movement("withdrawal", "902", "0.2", hour(8)),
		movement("payout", "903", "-0.7", hour(9)),
		movement("payment", "80", "1", hour(10)),
	}})

	require.Equal(t, []string{
		"900 explained 95 unexplained 0 kept 5 of 77:payment:92.31 77:refund:-2.31",
		"901 explained 55 unexplained 0 kept 0 of 78:payment:50",
		"903 explained 0.7 unexplained 0 kept 0 of 79:payment:1 902:withdrawal:-0.5 902:withdrawal:0.2",
	}, b.payoutLines(t))
	require.EqualValues(t, 10, report.New)
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM account_movements WHERE payout_id IS NULL`))
	require.Equal(t, 3, b.count(t, `SELECT count(*) FROM account_movements WHERE class = 'payout' AND payout_id = source_id`))
	require.Zero(t, b.count(t, `SELECT count(*) FROM account_movements WHERE class = 'withdrawal' AND payment_id IS NOT NULL`))
}

// A row that comes late changes the payout that it belongs to, and all after it as far
// as the balance that they begin with is another.
func TestPayouts_ALateRowIsLookedAt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	day := statement{balance: "0", begin: hour(0), movements: []store.Movement{
		movement("payment", "77", "60", hour(1)),
		movement("payout", "900", "-100", hour(3)),
		movement("payment", "78", "50", hour(4)),
		movement("payout", "901", "-50", hour(5)),
	}}
	b.read(t, day)
	require.Equal(t, []string{
		"900 open 100 unexplained 40 kept 0 of 77:payment:60",
		"901 explained 50 unexplained 0 kept 0 of 78:payment:50",
	}, b.payoutLines(t))

	late := movement("payment", "76", "41", hour(2))
	day.movements = append([]store.Movement{day.movements[0], late}, day.movements[1:]...)
	report := b.read(t, day)

	require.EqualValues(t, 1, report.New)
	require.Equal(t, []string{
		"900 explained 100 unexplained 0 kept 1 of 77:payment:60 76:payment:41",
		"901 explained 50 unexplained 0 kept 1 of 78:payment:50",
	}, b.payoutLines(t))
}

// What a later report says of the balance shows that a day is missing, which stands
// until that day is read.
func TestPayouts_AMissingDayIsSaid(t *testing.T) {
	t.Parallel()
	b := setup(t)
	days := []statement{
		{balance: "0", begin: hour(0), movements: []store.Movement{movement("payment", "1", "10", hour(1)), movement("payout", "901", "-7", hour(2))}},
		{balance: "3", begin: hour(24), movements: []store.Movement{movement("payment", "2", "20", hour(25))}},
		{balance: "23", begin: hour(48), movements: []store.Movement{movement("payment", "3", "30", hour(49)), movement("payout", "903", "-53", hour(50))}},
	}
	b.read(t, days[0])
	b.read(t, days[2])
	require.Equal(t, []string{
		"901 explained 7 unexplained 0 kept 3 of 1:payment:10",
		"903 open 53 unexplained 20 kept 0 of 3:payment:30",
	}, b.payoutLines(t))

	b.read(t, days[1])

	require.Equal(t, []string{
		"901 explained 7 unexplained 0 kept 3 of 1:payment:10",
		"903 explained 53 unexplained 0 kept 0 of 2:payment:20 3:payment:30",
	}, b.payoutLines(t))
}

// Two payouts with one id of the provider's are two.
func TestPayouts_AnIDOfTheProvidersStandsOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.read(t, statement{balance: "100", begin: hour(0), movements: []store.Movement{
		movement("payout", "900", "-10", hour(1)), movement("payout", "900", "-10", hour(1)), movement("payout", "", "-20", hour(2)),
	}})
	require.Equal(t, []string{
		"900 explained 10 unexplained 0 kept 90 of",
		"900-2 explained 10 unexplained 0 kept 80 of",
		"20260102T050405Z explained 20 unexplained 0 kept 60 of",
	}, b.payoutLines(t))
}

func TestBookRows_TheSameRowOfTwoFilesIsOneMovement(t *testing.T) {
	t.Parallel()
	b := setup(t)
	twice := movement("payment", "77", "5", hour(1))
	short := statement{begin: hour(0), movements: []store.Movement{twice, movement("payment", "78", "1", hour(2)), twice}}
	fees := statement{begin: hour(0), movements: append([]store.Movement{}, short.movements...)}
	for i := range fees.movements {
		fees.movements[i].Fee = decimal.NewNullDecimal(money("-0.5"))
		fees.movements[i].Reference = "A-1"
	}
	fees.movements = append(fees.movements, movement("payment", "79", "2", hour(3)), twice)

	require.EqualValues(t, 3, b.read(t, short).New)
	require.EqualValues(t, 2, b.read(t, fees).New, "a third equal row is a third movement")
	require.EqualValues(t, 3, b.read(t, short).New, "the same file again is known")

	require.Equal(t, 5, b.count(t, `SELECT count(*) FROM account_movements`))
	require.Equal(t, 2, b.count(t, `SELECT count(*) FROM account_movements WHERE source_id = '77' AND fee = -0.5 AND order_reference = 'A-1'`),
		"what only one file has is kept")
	require.Equal(t, 2, b.count(t, `SELECT count(*) FROM report_files`))
	require.Equal(t, 8, b.count(t, `SELECT count(*) FROM report_rows`))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM report_rows r JOIN account_movements m ON m.id = r.movement_id WHERE ordinal = 3 AND row = 5`))
}

// An import that was killed goes on where it was, whatever was read meanwhile.
func TestBookRows_AnImportGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	b := setup(t)
	st := statement{balance: "0", begin: hour(0)}
	for i := range 40 {
		st.movements = append(st.movements, movement("payment", "77", "1", hour(1+i/8)))
	}
	st.movements = append(st.movements, movement("payout", "900", "-40", hour(9)))
	report := b.keep(t, st)
	b.book(t, st, &report, 6, 3)
	stale := report
	b.read(t, statement{begin: hour(0), movements: st.movements[:30]})

	again := b.keep(t, st)
	require.EqualValues(t, 18, again.Booked)
	b.book(t, st, &again, 6, 1<<20)
	require.ErrorIs(t, b.BookRows(t.Context(), &stale, 1, st.movements[:1]), store.ErrReportMoved)
	require.NoError(t, b.FinishReport(t.Context(), again))
	require.NoError(t, b.ExplainPayouts(t.Context()))

	require.Equal(t, 41, b.count(t, `SELECT count(*) FROM account_movements`))
	require.Equal(t, 71, b.count(t, `SELECT count(*) FROM report_rows`))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM payouts WHERE state = 'explained'`))
	require.Equal(t, string(st.content()), b.keptContent(t, again.ID))
}

func (b *bundle) keptContent(t *testing.T, fileID int64) string {
	t.Helper()
	var content []byte
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT string_agg(content, '' ORDER BY id) FROM report_file_parts WHERE file_id = $1`, fileID).Scan(&content))
	return string(content)
}
