package store

import (
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
)

// RegisterMetrics registers what the Store knows of itself: its pool.
func (s *Store) RegisterMetrics(registry prometheus.Registerer) error {
	return registry.Register(newPoolCollector(s.pool))
}

// A poolCollector tells how busy the connections to the database are.
type poolCollector struct {
	pool                         *pgxpool.Pool
	most, inUse, idle            *prometheus.Desc
	waits, waited, refusedByWait *prometheus.Desc
}

func newPoolCollector(pool *pgxpool.Pool) *poolCollector {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("conciliar_db_pool_"+name, help, nil, nil)
	}
	return &poolCollector{
		pool:          pool,
		most:          desc("connections_max", "Connections that this process may open to the database."),
		inUse:         desc("connections_in_use", "Connections that are in use now."),
		idle:          desc("connections_idle", "Connections that are open and not in use."),
		waits:         desc("waits_total", "How often a connection had to be waited for."),
		waited:        desc("wait_seconds_total", "Time spent waiting for a connection."),
		refusedByWait: desc("wait_failures_total", "How often the wait for a connection was given up."),
	}
}

func (c *poolCollector) Describe(out chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, out) }

func (c *poolCollector) Collect(out chan<- prometheus.Metric) {
	st := c.pool.Stat()
	for _, m := range []struct {
		desc  *prometheus.Desc
		kind  prometheus.ValueType
		value float64
	}{
		{c.most, prometheus.GaugeValue, float64(st.MaxConns())},
		{c.inUse, prometheus.GaugeValue, float64(st.AcquiredConns())},
		{c.idle, prometheus.GaugeValue, float64(st.IdleConns())},
		{c.waits, prometheus.CounterValue, float64(st.EmptyAcquireCount())},
		{c.waited, prometheus.CounterValue, st.EmptyAcquireWaitTime().Seconds()},
		{c.refusedByWait, prometheus.CounterValue, float64(st.CanceledAcquireCount())},
	} {
		out <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value)
	}
}
