package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestCollector_LeavesALargeHeapToGo(t *testing.T) {
	t.Parallel()
	for live, percent := range map[uint64]int{0: 200, 1 << 20: 200, 8 << 20: 200, 10 << 20: 150, 12 << 20: 125, 16 << 20: 100, 1 << 40: 100} {
		require.Equal(t, percent, gcPercent(live, time.Second), live)
	}
}

func TestCollector_KeepsTheHeapSmallWhereLittleHappens(t *testing.T) {
	t.Parallel()
	for _, live := range []uint64{0, 1 << 20, 16 << 20, 1 << 40} {
		require.Equal(t, 50, gcPercent(live, 5*time.Second), live)
	}
}
