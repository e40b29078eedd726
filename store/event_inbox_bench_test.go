package store_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
)

// BenchmarkInbox measures accepted events a second at several numbers of
// concurrent callers. `conciliar bench` measures the same over HTTP, with
// PostgreSQL's own rate for the same rows beside it.
func BenchmarkInbox(b *testing.B) {
	for _, callers := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			bundle := setup(b)
			in, err := store.NewInbox(bundle.Store, store.InboxOptions{})
			require.NoError(b, err)
			defer in.Close()
			var number atomic.Int64
			b.SetParallelism(callers)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := in.Accept(context.Background(), signed(int(number.Add(1)), "42")); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
