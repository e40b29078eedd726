package bench

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReport_TablesHaveWhatIsKnown(t *testing.T) {
	t.Parallel()
	rounds := spreadOf(7, 8, 9)
	r := Report{
		Command: "conciliar bench settle", Machine: "2 cores", PostgreSQL: "15.1", Rounds: 3, Seconds: 4,
		Figures: []Figure{
			{
				Scenario: "settle", What: "a | b", Unit: "settled/s", Value: spreadOf(2174, 2170.4, 12195), Beside: "bare", Reference: &Spread{2000, 2000, 2000}, Ratio: 1.087,
				Latency: &Latency{P50: 1.5, P99: 8, P999: 20, Rounds: &rounds}, Bars: []Bar{atLeast("ratio", 1.25, 1.087), atMost("MiB", 64, 60)},
			},
			{Scenario: "paid", What: "receipt to order", Unit: "ms", Value: spreadOf(5)},
		},
		Statements: []Statement{{When: "settle", What: "insert orders", Calls: 3, RowsRead: 1, RowsOut: 1, Buffers: 12, Millis: 0.5, MostMillis: 2, Indexes: []string{"orders_pkey"}}},
	}
	var plain, markdown strings.Builder
	require.NoError(t, r.Print(&plain))
	require.Contains(t, plain.String(), "2 cores; PostgreSQL 15.1, fsync on")
	require.Contains(t, plain.String(), "ratio ≥ 1.25 NOT MET, MiB ≤ 64 met")

	require.NoError(t, r.PrintMarkdown(&markdown))
	require.Equal(t, "`conciliar bench settle`: 2 cores; PostgreSQL 15.1, fsync on; load generator and provider on the same cores; 3 rounds of 4 s\n"+`
### settle

| what | median (least to most) | p50 / p99 / p99.9 ms | beside | ratio | bar |
| --- | --- | --- | --- | --- | --- |
| a \| b | 2,174 (2,170 to 12,195) settled/s | 1.50 / 8 (7 to 9) / 20 | bare: 2,000 | 1.09 | ratio ≥ 1.25 NOT MET, MiB ≤ 64 met |

### paid

| what | median (least to most) |
| --- | --- |
| receipt to order | 5 ms |

### statements

| when | statement | calls | rows read | rows of its own | buffers | ms (most) | indexes |
| --- | --- | --- | --- | --- | --- | --- | --- |
| settle | insert orders | 3 | 1 | 1 | 12 | 0.50 (2) | orders_pkey |
`, markdown.String())
	require.False(t, r.Met())
}
