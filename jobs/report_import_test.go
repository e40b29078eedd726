package jobs_test

import (
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago/report"
)

const releaseReport = "\uFEFFDATE;SOURCE_ID;EXTERNAL_REFERENCE;RECORD_TYPE;DESCRIPTION;NET_CREDIT_AMOUNT;NET_DEBIT_AMOUNT;GROSS_AMOUNT;MP_FEE_AMOUNT;CURRENCY\r\n" +
	"2026-01-02T00:00:00.000-04:00;;;initial_available_balance;;10,00;0,00;10,00;0,00;ARS\r\n" +
	"2026-01-02T10:00:00.000-04:00;77;A-1;release;payment;92,31;0,00;100,00;-7,69;ARS\r\n" +
	"2026-01-02T11:00:00.000-04:00;77;A-1;release;refund;0,00;2,31;-2,31;0,00;ARS\r\n" +
	"2026-01-02T12:00:00.000-04:00;900;;release;payout;0,00;95,00;-95,00;0,00;ARS\r\n" +
	";;;total;;102,31;97,31;;;ARS\r\n"

func (b *bundle) importing(name string) jobs.ReportImport {
	return jobs.ReportImport{
		Store: b.Store, Source: "mercadopago", CollectorID: "1", Name: name, By: "cli:ana",
		Open: func(file io.Reader) (jobs.ReportReader, error) {
			return report.NewReader(file, report.Options{CollectorID: "1"})
		},
	}
}

func TestReportImport_BooksAndExplains(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var shares []float64
	importing := b.importing("release.csv")
	importing.Progress = func(share float64, _ string) { shares = append(shares, share) }

	result, err := importing.Run(t.Context(), strings.NewReader(releaseReport))

	require.NoError(t, err)
	require.EqualValues(t, 5, result.Rows)
	require.EqualValues(t, 3, result.Movements)
	require.EqualValues(t, 3, result.New)
	require.False(t, result.Known)
	require.Len(t, result.Totals, 1)
	require.True(t, result.Totals[0].Difference.IsZero())
	require.IsNonDecreasing(t, shares)
	require.InDelta(t, 1, shares[len(shares)-1], 0)
	require.Equal(t, "900 explained 95 kept 5", scan[string](t, b, `SELECT concat_ws(' ', id, state, trim_scale(amount), 'kept', trim_scale(balance_kept)) FROM payouts`))
	require.Equal(t, "77 A-1 -7.69", scan[string](t, b, `SELECT concat_ws(' ', payment_id, order_reference, fee) FROM account_movements WHERE class = 'payment'`))
	require.Equal(t, releaseReport, string(scan[[]byte](t, b, `SELECT string_agg(content, '' ORDER BY id) FROM report_file_parts`)))
	require.True(t, scan[bool](t, b, `SELECT begin_at = '2026-01-02T04:00:00Z' AND end_at = '2026-01-02T16:00:00Z' FROM report_files`))

	again, err := b.importing("another name.csv").Run(t.Context(), strings.NewReader(releaseReport))
	require.NoError(t, err)
	require.True(t, again.Known)
	require.Zero(t, again.New)
	require.Equal(t, result.FileID, again.FileID)
}

func TestReportImport_TellsWhereRowsAreMissing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	lines := strings.SplitAfter(releaseReport, "\r\n")

	result, err := b.importing("cut.csv").Run(t.Context(), strings.NewReader(strings.Join(append(lines[:3:3], lines[4:]...), "")))

	require.NoError(t, err)
	require.Equal(t, "-2.31", result.Totals[0].Difference.String())
}

func TestReportImport_AFileThatCannotBeReadBooksNothing(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct{ content, says string }{
		"an amount that is none": {strings.Replace(releaseReport, "2,31;-2,31", "x;-2,31", 1), `row 3 (line 4), column "NET_DEBIT_AMOUNT"`},
		"a column is missing":    {strings.ReplaceAll(releaseReport, "NET_DEBIT_AMOUNT", "OTHER"), "NET_DEBIT_AMOUNT"},
		"another report":         {"TRANSACTION_TYPE,SOURCE_ID,TRANSACTION_DATE,SETTLEMENT_NET_AMOUNT,SETTLEMENT_CURRENCY,TRANSACTION_AMOUNT,EXTERNAL_REFERENCE,TRANSACTION_CURRENCY,FEE_AMOUNT\n", "import the release report"},
		"nothing":                {"", "empty"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			_, err := b.importing("bad.csv").Run(t.Context(), strings.NewReader(c.content))
			require.ErrorContains(t, err, c.says)
			require.Zero(t, scan[int](t, b, `SELECT (SELECT count(*) FROM account_movements) + (SELECT count(*) FROM report_files)`))
		})
	}
}
