package bench

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// A Spread is what several measurements of the same thing came to.
type Spread struct {
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
}

// spreadOf is the spread of values, of which there is at least one. The median of
// an even number is the lower middle.
func spreadOf(values ...float64) Spread {
	sorted := slices.Sorted(slices.Values(values))
	return Spread{Min: sorted[0], Median: sorted[(len(sorted)-1)/2], Max: sorted[len(sorted)-1]}
}

// A Latency is how long calls took, in milliseconds.
type Latency struct {
	P50  float64 `json:"p50_ms"`
	P99  float64 `json:"p99_ms"`
	P999 float64 `json:"p99_9_ms"`
	Max  float64 `json:"max_ms"`
	// Rounds is the P99 of each round, where there were several.
	Rounds *Spread `json:"p99_ms_by_round,omitempty"`
}

// latencyOf sorts times, of which there is at least one.
func latencyOf(times []time.Duration) *Latency {
	slices.Sort(times)
	at := func(p float64) float64 { return millis(times[min(len(times)-1, int(p*float64(len(times))))]) }
	return &Latency{P50: at(0.50), P99: at(0.99), P999: at(0.999), Max: at(1)}
}

// A Cost is what one event took of the machine.
type Cost struct {
	// ServiceMillis and DatabaseMillis are CPU time; 0 where the system does not say.
	ServiceMillis  float64 `json:"service_cpu_ms"`
	DatabaseMillis float64 `json:"database_cpu_ms"`
	WALBytes       float64 `json:"wal_bytes"`
	// PeakMB is the most memory that the service had resident, in MiB.
	PeakMB float64 `json:"service_peak_mb"`
}

// A Bar is a target that a figure must reach.
type Bar struct {
	// Of is what of the figure it is about: "ratio", "per second", "p99 ms" and the like.
	Of string `json:"of"`
	// Least and Most bound it; 0 means no bound.
	Least float64 `json:"least,omitempty"`
	Most  float64 `json:"most,omitempty"`
	Got   float64 `json:"got"`
	Met   bool    `json:"met"`
}

func atLeast(of string, least, got float64) Bar {
	return Bar{Of: of, Least: least, Got: got, Met: got >= least}
}

func atMost(of string, most, got float64) Bar {
	return Bar{Of: of, Most: most, Got: got, Met: got <= most}
}

func (b Bar) String() string {
	bound, limit := "≥", b.Least
	if b.Most != 0 {
		bound, limit = "≤", b.Most
	}
	met := "met"
	if !b.Met {
		met = "NOT MET"
	}
	return fmt.Sprintf("%s %s %s %s", b.Of, bound, number(limit), met)
}

// A Figure is one measurement, beside what it is compared with.
type Figure struct {
	Scenario string `json:"scenario"`
	What     string `json:"what"`
	Unit     string `json:"unit"`
	Value    Spread `json:"value"`
	// Latency is that of the round whose P99 is the median.
	Latency *Latency `json:"latency,omitempty"`
	// Beside says what Reference is: the same unit, measured in the same run.
	Beside    string  `json:"beside,omitempty"`
	Reference *Spread `json:"reference,omitempty"`
	// Ratio is the median over the reference's.
	Ratio float64 `json:"ratio,omitempty"`
	Cost  *Cost   `json:"cost,omitempty"`
	Bars  []Bar   `json:"bars,omitempty"`
}

// beside adds what a figure is compared with.
func (f Figure) beside(what string, reference Spread) Figure {
	f.Beside, f.Reference, f.Ratio = what, &reference, f.Value.Median/reference.Median
	return f
}

// A Report is what was measured.
type Report struct {
	// Command is how it was asked for, Machine and PostgreSQL what it was measured on.
	Command    string `json:"command"`
	Machine    string `json:"machine"`
	PostgreSQL string `json:"postgresql"`
	Cores      int    `json:"cores"`

	Rounds  int      `json:"rounds"`
	Seconds float64  `json:"seconds_each"`
	Figures []Figure `json:"figures"`
	// Statements are what `plans` looked at.
	Statements []Statement `json:"statements,omitempty"`
}

// Met reports whether every bar was met.
func (r Report) Met() bool {
	for _, f := range r.Figures {
		if slices.ContainsFunc(f.Bars, func(b Bar) bool { return !b.Met }) {
			return false
		}
	}
	return true
}

// medianBy returns the middle one of values, the lower middle of an even number.
func medianBy[T any](values []T, key func(T) float64) T {
	sorted := slices.SortedFunc(slices.Values(values), func(a, b T) int { return cmp.Compare(key(a), key(b)) })
	return sorted[(len(sorted)-1)/2]
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
