package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/storetest"
)

func TestVerify_ExitsOneOnAViolation(t *testing.T) {
	t.Parallel()
	databaseURL := storetest.URL(t)
	environ := []string{"DATABASE_URL=" + databaseURL}
	db := storetest.Open(t, databaseURL)
	_, err := db.Exec(t.Context(), `INSERT INTO orders (reference, amount, currency, settled_at, fold_version) SELECT 'A-' || n, 150, 'ARS', now(), $1 FROM generate_series(1, 3) n`, order.FoldVersion)
	require.NoError(t, err)

	got := execute(t, environ, "verify")
	require.Equal(t, exitDone, got.code, got.err)
	require.Contains(t, got.out, "3 orders")
	require.Contains(t, got.out, "all invariants hold")

	_, err = db.Exec(t.Context(), `UPDATE orders SET status = 'paid', paid_amount = 150`)
	require.NoError(t, err)
	got = execute(t, environ, "verify", "--limit", "2")
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.out, "order_folds: 3 violations")
	require.Contains(t, got.out, `"order_reference":"A-2"`)
	require.NotContains(t, got.out, `"order_reference":"A-3"`)
	require.Contains(t, got.out, "and 1 more")
	require.Empty(t, got.err)

	got = execute(t, environ, "verify", "--json")
	require.Equal(t, exitFailed, got.code)
	var report verifyReport
	require.NoError(t, json.Unmarshal([]byte(got.out), &report))
	require.Len(t, report.Violations, 1)
	require.Len(t, report.Violations[0].Rows, 3)

	require.Equal(t, exitUsage, execute(t, environ, "verify", "--limit", "0").code)
	got = execute(t, append(environ, "MERCADOPAGO_LIVE_MODE=maybe", "RESCUE_AFTER=1s"), "verify")
	require.Equal(t, exitUsage, got.code)
	require.Contains(t, got.err, "MERCADOPAGO_LIVE_MODE")
	require.Contains(t, got.err, "RESCUE_AFTER")
}

func TestDocs_TheInvariantsAreTheCodes(t *testing.T) {
	t.Parallel()
	var rows, want []string
	for line := range strings.Lines(readDoc(t, "docs/recovery.md")) {
		if strings.HasPrefix(line, "| `") {
			rows = append(rows, strings.Join(strings.Split(strings.TrimSpace(line), " | ")[:2], " | "))
		}
	}
	for _, i := range store.Invariants() {
		want = append(want, fmt.Sprintf("| `%s` | %s", i.Name, i.Meaning))
	}
	require.Equal(t, want, rows)
}
