package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// gcIdle, gcLeast and gcMost are GOGC as we set it, in percent; gcLeast is Go's own.
	gcIdle, gcLeast, gcMost = 50, 100, 200
	// gcRoom is what a small heap may grow by between two collections.
	gcRoom = 16 << 20
	// gcSeldom is how far apart collections are in a process that has little to do.
	gcSeldom = 5 * time.Second
	// startOver is when what only the start needed may go.
	startOver = 10 * time.Second
)

// collectLess has the collector run half as often while the heap is small, as it is in a
// service that keeps nothing: at Go's setting it ran all the time and took an eighth of
// the CPU. Less often than that gains little and costs memory. A large heap is collected
// as Go would, and one that hardly grows sooner: that costs nothing. GOGC and GOMEMLIMIT
// are their owner's word.
func collectLess() {
	time.AfterFunc(startOver, func() {
		// What the start left behind goes back to the system.
		debug.FreeOSMemory()
		unmapProgram()
	})
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	debug.SetGCPercent(gcMost)
	followHeap(gcMost, time.Now())
}

// followHeap sets the collector's percentage after each collection, from what lived and
// from how long ago the last one was.
func followHeap(set int, last time.Time) {
	// The object lives until the next collection, which runs the finalizer.
	runtime.SetFinalizer(new([32]byte), func(*[32]byte) {
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(live)
		now := gcPercent(live[0].Value.Uint64(), time.Since(last))
		if now != set {
			debug.SetGCPercent(now)
		}
		followHeap(now, time.Now())
	})
}

// gcPercent is the collector's percentage for a heap of which so many bytes lived, and
// which it took so long to fill. Steps of a quarter keep it from being set each time,
// which stops the world.
func gcPercent(live uint64, filled time.Duration) int {
	if filled >= gcSeldom {
		return gcIdle
	}
	percent := gcRoom * 100 / max(live, 1) / 25 * 25
	return int(min(max(percent, gcLeast), gcMost))
}
