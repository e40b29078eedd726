package bench

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// Bars of the acknowledgement benchmark: the service's rate over pgbench's, in
// one run, by connections. pgbench runs one transaction for each event, with as
// many clients as bar.clients.
var ackBars = []struct {
	connections, clients int
	// ratio is the least that is good; 0 is no bar.
	ratio float64
}{
	{1, 1, 0.55},
	{16, 64, 0},
	{64, 64, 1.5},
	{256, 64, 2.2},
}

// An AckFigure is one row of the acknowledgement benchmark.
type AckFigure struct {
	Connections int     `json:"connections"`
	PerSecond   float64 `json:"acknowledged_per_second"`
	P50Millis   float64 `json:"p50_ms"`
	P99Millis   float64 `json:"p99_ms"`
	Clients     int     `json:"pgbench_clients"`
	Ceiling     float64 `json:"pgbench_per_second"`
	Ratio       float64 `json:"ratio"`
	Bar         float64 `json:"bar,omitempty"`
	Met         bool    `json:"met"`
}

// A Report is what `conciliar bench` measured.
type Report struct {
	Cores   int         `json:"cores"`
	Rounds  int         `json:"rounds"`
	Seconds float64     `json:"seconds_each"`
	Ack     []AckFigure `json:"acknowledged"`
	// SettledPerSecond is how fast a backlog of SettledEvents was worked off by
	// one process, the provider answering without a delay.
	SettledEvents    int     `json:"settled_events"`
	SettledPerSecond float64 `json:"settled_per_second"`
	// SettledUntold is the same while the shop's endpoint never answers.
	SettledUntold float64 `json:"settled_per_second_shop_hanging"`
	// Verified is how long the verification of the database took.
	Verified VerifyFigure `json:"verified"`
}

// Met reports whether every bar was met.
func (r Report) Met() bool {
	return !slices.ContainsFunc(r.Ack, func(f AckFigure) bool { return !f.Met }) && (r.Verified.Met || r.Verified.Events == 0)
}

// Print writes the report as tables.
func (r Report) Print(w io.Writer) error {
	_, _ = fmt.Fprintf(w, "%d cores, load generator on the same; median of %d rounds of %.0f s; fsync on\n\n", r.Cores, r.Rounds, r.Seconds)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(table, "connections\tacknowledged/s\tp50 ms\tp99 ms\tpgbench clients\tpgbench/s\tratio\tbar\t")
	for _, f := range r.Ack {
		bar := "-"
		if f.Bar > 0 {
			bar = fmt.Sprintf("%.2f met", f.Bar)
			if !f.Met {
				bar = fmt.Sprintf("%.2f NOT MET", f.Bar)
			}
		}
		_, _ = fmt.Fprintf(table, "%d\t%.0f\t%.2f\t%.2f\t%d\t%.0f\t%.2f\t%s\t\n",
			f.Connections, f.PerSecond, f.P50Millis, f.P99Millis, f.Clients, f.Ceiling, f.Ratio, bar)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(w, "\nsettled events/s: %.0f (backlog of %d, one process, provider without delay)\n", r.SettledPerSecond, r.SettledEvents)
	_, _ = fmt.Fprintf(w, "settled events/s: %.0f (the same, while ORDER_EVENTS_URL never answers)\n", r.SettledUntold)
	return r.Verified.write(w)
}

// medianBy returns the middle one of values, the lower middle of an even number.
func medianBy[T any](values []T, key func(T) float64) T {
	sorted := slices.SortedFunc(slices.Values(values), func(a, b T) int { return cmp.Compare(key(a), key(b)) })
	return sorted[(len(sorted)-1)/2]
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
