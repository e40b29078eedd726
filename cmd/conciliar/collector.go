package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// gcLeast and gcMost bound GOGC as we set it, in percent; gcLeast is Go's own.
	gcLeast, gcMost = 100, 200
	// gcRoom is what a small heap may grow by between two collections.
	gcRoom = 32 << 20
)

// collectLess has the collector run half as often while the heap is small, as it is in a
// service that keeps nothing: at Go's setting it ran all the time and took an eighth of
// the CPU. Less often than that gains little and costs memory. A large heap is collected
// as Go would. GOGC and GOMEMLIMIT are their owner's word.
func collectLess() {
	// What the start left behind goes back to the system.
	debug.FreeOSMemory()
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	debug.SetGCPercent(gcMost)
	followHeap(gcMost)
}

// followHeap sets the collector's percentage after each collection, from what lived.
func followHeap(set int) {
	// The object lives until the next collection, which runs the finalizer.
	runtime.SetFinalizer(new([32]byte), func(*[32]byte) {
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(live)
		now := gcPercent(live[0].Value.Uint64())
		if now != set {
			debug.SetGCPercent(now)
		}
		followHeap(now)
	})
}

// gcPercent is the collector's percentage for a heap of which so many bytes lived. Steps
// of a quarter keep it from being set each time, which stops the world.
func gcPercent(live uint64) int {
	percent := gcRoom * 100 / max(live, 1) / 25 * 25
	return int(min(max(percent, gcLeast), gcMost))
}
