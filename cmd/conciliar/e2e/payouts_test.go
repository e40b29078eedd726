package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store/storetest"
)

// An import that is killed in its middle goes on when it is run again: no row is booked
// twice, and none is missing.
func TestPayouts_AnImportThatIsKilledGoesOn(t *testing.T) {
	t.Parallel()
	const rows, payoutEvery = 12_000, 500
	database := storetest.URL(t)
	environ := environment(database, "http://127.0.0.1:1", map[string]string{"MERCADOPAGO_COLLECTOR_ID": "190061234"})
	file := filepath.Join(t.TempDir(), "release.csv")
	require.NoError(t, os.WriteFile(file, []byte(releaseReport(rows, payoutEvery)), 0o600))

	importing := start(t, environ, "payouts", "import", file)
	importing.err.await(t, `\d+% booking`)
	importing.kill()
	conn, err := pgx.Connect(t.Context(), database)
	require.NoError(t, err)
	defer func() { _ = conn.Close(t.Context()) }()
	var booked, finished int
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT rows_booked, (finished_at IS NOT NULL)::int FROM report_files`).Scan(&booked, &finished))
	require.Zero(t, finished, "it was killed in its middle")
	require.Positive(t, booked)

	again := execute(t, environ, "payouts", "import", file, "--json")

	require.Equal(t, exitDone, again.code, again.err)
	var result struct {
		Movements int  `json:"movements"`
		New       int  `json:"new_movements"`
		Known     bool `json:"known"`
	}
	require.NoError(t, json.Unmarshal([]byte(again.out), &result))
	require.Equal(t, rows, result.Movements)
	require.Equal(t, rows, result.New)
	require.False(t, result.Known)
	var movements, linked, explained, open int
	require.NoError(t, conn.QueryRow(t.Context(), `
		SELECT (SELECT count(*) FROM account_movements), (SELECT count(DISTINCT row) FROM report_rows),
		       (SELECT count(*) FROM payouts WHERE state = 'explained'), (SELECT count(*) FROM payouts WHERE state = 'open')`).
		Scan(&movements, &linked, &explained, &open))
	require.Equal(t, []int{rows, rows, rows / payoutEvery, 0}, []int{movements, linked, explained, open})
	require.Equal(t, exitDone, execute(t, environ, "verify").code)
}

// payOut imports a report in which an order's payment is released and paid out.
func payOut(t *testing.T, database string, environ []string, reference string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	var payment, collector string
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT payment_id, collector_id FROM payments WHERE order_reference = $1`, reference).Scan(&payment, &collector))
	file := filepath.Join(t.TempDir(), "released.csv")
	require.NoError(t, os.WriteFile(file, []byte("DATE,SOURCE_ID,EXTERNAL_REFERENCE,RECORD_TYPE,DESCRIPTION,NET_CREDIT_AMOUNT,NET_DEBIT_AMOUNT,CURRENCY\n"+
		"2026-03-01T00:00:00Z,,,initial_available_balance,,0.00,0.00,ARS\n"+
		"2026-03-01T10:00:00Z,"+payment+","+reference+",release,payment,140.00,0.00,ARS\n"+
		"2026-03-01T11:00:00Z,91000000001,,release,withdrawal,0.00,15.00,ARS\n"+
		"2026-03-01T12:00:00Z,91000000002,,release,payout,0.00,120.00,ARS\n"), 0o600))
	imported := execute(t, environ, "payouts", "import", file, "--collector-id", collector)
	require.Equal(t, exitDone, imported.code, imported.err)
}

// releaseReport is a report with so many movements, every so many of them a payout of all
// that there is.
func releaseReport(rows, payoutEvery int) string {
	var b strings.Builder
	b.WriteString("DATE;SOURCE_ID;EXTERNAL_REFERENCE;RECORD_TYPE;DESCRIPTION;NET_CREDIT_AMOUNT;NET_DEBIT_AMOUNT;CURRENCY\r\n" +
		"2026-01-01T00:00:00.000-03:00;;;initial_available_balance;;0,00;0,00;ARS\r\n")
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.FixedZone("", -3*60*60))
	for i := 1; i <= rows; i++ {
		at = at.Add(time.Minute)
		what, credit, debit := "shipping", "10,50", "0,00"
		if i%payoutEvery == 0 {
			what, credit, debit = "payout", "0,00", fmt.Sprintf("%d,50", (payoutEvery-1)*105/10)
		}
		_, _ = fmt.Fprintf(&b, "%s;%d;;release;%s;%s;%s;ARS\r\n", at.Format("2006-01-02T15:04:05.000-07:00"), 9_000_000+i, what, credit, debit)
	}
	return b.String()
}
