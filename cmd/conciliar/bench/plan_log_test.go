package bench

import (
	"bytes"
	"encoding/csv"
	"testing"

	"github.com/stretchr/testify/require"
)

// logged is PostgreSQL's CSV log of messages of sessions.
func logged(t *testing.T, lines ...[2]string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	for _, line := range lines {
		record := make([]string, 26)
		record[csvApplication], record[csvMessage] = line[0], line[1]
		require.NoError(t, w.Write(record))
	}
	w.Flush()
	require.NoError(t, w.Error())
	return out.Bytes()
}

func TestPlanLog_SumsUpTheCallsOfAStatement(t *testing.T) {
	t.Parallel()
	const once = `duration: %MS% ms  plan:
{
  "Query Text": "UPDATE orders\n  SET status = $1",
  "Plan": {
    "Node Type": "ModifyTable", "Operation": "Update", "Relation Name": "orders", "Actual Rows": 0, "Actual Loops": 1,
    "Shared Hit Blocks": 10, "Shared Read Blocks": 2,
    "Plans": [{
      "Node Type": "Nested Loop", "Actual Rows": 3, "Actual Loops": 1,
      "Plans": [
        {"Node Type": "Seq Scan", "Relation Name": "payments", "Actual Rows": 3, "Actual Loops": 1, "Rows Removed by Filter": 2000},
        {"Node Type": "Index Scan", "Relation Name": "orders", "Index Name": "orders_pkey", "Actual Rows": 1, "Actual Loops": 3},
        {"Node Type": "Index Scan", "Relation Name": "orders", "Index Name": "orders_updated_idx", "Actual Rows": 0, "Actual Loops": 0}
      ]}]
  }
}`
	took := func(ms string) string { return string(bytes.ReplaceAll([]byte(once), []byte("%MS%"), []byte(ms))) }
	statements, err := statementsOf(logged(t,
		[2]string{"conciliar", took("1.5")},
		[2]string{"conciliar", "checkpoint complete"},
		[2]string{harnessName, took("9")},
		[2]string{"conciliar", took("2.5")},
	))
	require.NoError(t, err)
	require.Equal(t, []Statement{{
		What: "update orders; read payments, orders", SQL: "UPDATE orders SET status = $1", Calls: 2,
		RowsRead: 2006, RowsOut: 3, Buffers: 12, Millis: 2, MostMillis: 2.5, Indexes: []string{"orders_pkey"}, FullScans: []string{"payments"},
	}}, statements)
}

func TestPlanLog_WhatItCannotReadIsAnError(t *testing.T) {
	t.Parallel()
	_, err := statementsOf(logged(t, [2]string{"conciliar", "duration: 1 ms  plan:\nQuery Text: SELECT 1"}))
	require.ErrorContains(t, err, "a plan in PostgreSQL's log")
}
