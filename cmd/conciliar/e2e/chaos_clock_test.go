//go:build chaos

package e2e

import (
	"runtime"
	"time"

	"github.com/shopspring/decimal"
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
		{"clock-back-30s", "PostgreSQL's clock was ahead by 30 s and is set back; the service killed with it", "under load, with retries", clockBack(30 * time.Second)},
		{"clock-back-hour", "PostgreSQL's clock was ahead by an hour and is set back; the service killed with it", "under load, with retries", clockBack(time.Hour)},
		{"clock-back-day", "PostgreSQL's clock was ahead by a day and is set back; the service killed with it", "under load, with retries", clockBack(24 * time.Hour)},
	}
}

// clockBack is a failover to a host whose clock is right from one whose clock was ahead:
// PostgreSQL ends and is there again with the other time, and so is the service. What is
// told afterwards of a payment must be read, though it was last read "later".
func clockBack(ahead time.Duration) func(*stage) {
	return func(s *stage) {
		s.ahead = true
		dir := s.dataDir()
		server := s.ownServer(localpg.Options{DataDir: dir, ClockOffset: ahead})
		s.set(setting{databaseURL: s.migrated(server), faults: simulator.Faults{Duplicates: 1, Disorder: true, NotFoundFirst: 0.5}})
		first := s.launch()
		refunded := s.pay("refunded-1")
		s.notify(refunded)
		s.awaitPaid("refunded-1")
		before := s.beginPlan(simulator.Plan{Orders: s.orders(30), Concurrency: 8, ReferencePrefix: "before-"})
		pause(time.Second)
		first.kill()
		at := server.Port()
		s.crash(server)
		s.ownServer(localpg.Options{DataDir: dir, Port: at})
		s.launch()
		require.NoError(s.t, s.sim.Move(refunded, simulator.Refunded, "refunded", decimal.RequireFromString("150.00")))
		s.notify(refunded)
		s.over()
		s.beginPlan(simulator.Plan{Orders: s.orders(30), Concurrency: 8, ReferencePrefix: "after-"}).wait()
		before.wait()
		s.settled()
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
