package store

import "github.com/prometheus/client_golang/prometheus"

// RegisterMetrics registers what the Store knows of itself: how busy its pool of
// connections to the database is.
func (s *Store) RegisterMetrics(registry prometheus.Registerer) error {
	const prefix = "conciliar_db_pool_"
	for _, gauge := range []struct {
		name, help string
		value      func() int32
	}{
		{"connections_max", "Connections that this process may open to the database.", func() int32 { return s.pool.Stat().MaxConns() }},
		{"connections_in_use", "Connections that are in use now.", func() int32 { return s.pool.Stat().AcquiredConns() }},
		{"connections_idle", "Connections that are open and not in use.", func() int32 { return s.pool.Stat().IdleConns() }},
	} {
		err := registry.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: prefix + gauge.name, Help: gauge.help},
			func() float64 { return float64(gauge.value()) }))
		if err != nil {
			return err
		}
	}
	for _, counter := range []struct {
		name, help string
		value      func() float64
	}{
		{"waits_total", "How often a connection had to be waited for.", func() float64 { return float64(s.pool.Stat().EmptyAcquireCount()) }},
		{"wait_seconds_total", "Time spent waiting for a connection.", func() float64 { return s.pool.Stat().EmptyAcquireWaitTime().Seconds() }},
		{"wait_failures_total", "How often the wait for a connection was given up.", func() float64 { return float64(s.pool.Stat().CanceledAcquireCount()) }},
	} {
		err := registry.Register(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: prefix + counter.name, Help: counter.help}, counter.value))
		if err != nil {
			return err
		}
	}
	return nil
}
