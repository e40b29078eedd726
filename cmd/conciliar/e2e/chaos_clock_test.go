//go:build chaos

package e2e

import (
	"runtime"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
	"github.com/conciliar/conciliar/store/localpg"
)

// clocks are processes whose clock is wrong. Go's clock cannot be shifted from
// outside and PostgreSQL's can (by libfaketime, on Linux), so PostgreSQL and
// Mercado Pago get the other time, and the service alone is off.
func clocks() []scenario {
	if runtime.GOOS != "linux" {
		return nil
	}
	return []scenario{
		{"clock-fast", "the service's clock is 10 minutes fast", "under load, with retries", clockOff(10 * time.Minute)},
		{"clock-slow", "the service's clock is 10 minutes slow", "under load, with retries", clockOff(-10 * time.Minute)},
	}
}

func clockOff(ahead time.Duration) func(*stage) {
	return func(s *stage) {
		server := s.ownServer(localpg.Options{TempDir: localpg.MemoryDir(), ClockOffset: -ahead})
		s.set(setting{
			databaseURL: s.migrated(server),
			clock:       func() time.Time { return time.Now().Add(-ahead) },
			faults:      simulator.Faults{Duplicates: 1, Disorder: true, NotFoundFirst: 0.5},
		})
		var off float64
		require.NoError(s.t, s.pool.QueryRow(s.t.Context(), `SELECT extract(epoch FROM $1::timestamptz - clock_timestamp())`, time.Now()).Scan(&off))
		require.InDelta(s.t, ahead.Seconds(), off, 30, "PostgreSQL's clock is not shifted")
		s.launch()
		s.begin(s.orders(30)).wait()
		s.over()
		s.settled()
	}
}
