package main

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// registerLogMetrics tells of the lines that no reader took.
func registerLogMetrics(registry *prometheus.Registry, pipe *logPipe) {
	registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "conciliar_log_lines_dropped_total", Help: "Log lines dropped because nobody read them in time.",
	}, func() float64 { return float64(pipe.Dropped()) }))
}

// newRegistry is the registry of one process: what it is, and what Go and the
// operating system say of it. The parts add their own.
func newRegistry() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "conciliar_build_info", Help: "1, for the version that runs.",
		ConstLabels: prometheus.Labels{"version": version, "go_version": runtime.Version()},
	})
	build.Set(1)
	registry.MustRegister(build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry
}
