package store_test

import (
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/payout"
)

// longStatement books so many movements in batches, none of which is kept, with a payout
// after every so many, and returns the most memory that was in use on the way.
func (b *bundle) longStatement(tb testing.TB, rows, payoutEvery int) (most uint64) {
	tb.Helper()
	st := statement{balance: "0", begin: epoch}
	report := b.keepRows(tb, st, int64(rows))
	var stats runtime.MemStats
	batch := make([]store.Movement, 0, store.BookBatch)
	for i := 1; i <= rows; i++ {
		m := movement("other", strconv.Itoa(i), "10.5", epoch.Add(time.Duration(i)*time.Second))
		if i%payoutEvery == 0 {
			m = movement("payout", strconv.Itoa(i), "-"+strconv.Itoa((payoutEvery-1)*105/10)+".5", m.HappenedAt)
		}
		m.Row = int64(i)
		if batch = append(batch, m); len(batch) == cap(batch) || i == rows {
			require.NoError(tb, b.BookRows(tb.Context(), &report, int64(len(batch)), batch))
			batch = batch[:0]
			runtime.GC()
			runtime.ReadMemStats(&stats)
			most = max(most, stats.HeapAlloc)
		}
	}
	require.NoError(tb, b.FinishReport(tb.Context(), report))
	require.NoError(tb, b.ExplainPayouts(tb.Context()))
	return most
}

// Memory does not grow with a report's length: what a batch needs is all.
func TestBookRows_MemoryDoesNotGrowWithTheReport(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const rows, payoutEvery = 20_000, 2_000 // more than are read at a time
	before := heap()
	most := b.longStatement(t, rows, payoutEvery)
	require.Less(t, most, before+64<<20)
	require.Equal(t, rows/payoutEvery, b.count(t, `SELECT count(*) FROM payouts WHERE state = $1`, payout.Explained))
	require.Zero(t, b.count(t, `SELECT count(*) FROM account_movements WHERE payout_id IS NULL`))
}

func heap() uint64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// BenchmarkBookRows books and explains 100,000 rows at a time.
func BenchmarkBookRows(b *testing.B) {
	const rows = 100_000
	for b.Loop() {
		s := setup(b)
		most := s.longStatement(b, rows, 5_000)
		b.ReportMetric(float64(most)/(1<<20), "MiB")
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
