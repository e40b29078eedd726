package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
)

// unmapProgram takes the program's own pages out of the process, but for those that may
// have been written: code and constants, of which a start touches twice as much as what
// comes after it, and which the system reads again from its cache when they are needed.
// What can't be unmapped stays.
func unmapProgram() {
	program, err := os.Executable()
	if err != nil {
		return
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(maps)) {
		var begin, end uintptr
		var mode string
		_, err := fmt.Sscanf(line, "%x-%x %s", &begin, &end, &mode)
		if err != nil || !strings.HasSuffix(strings.TrimSpace(line), program) || strings.Contains(mode, "w") {
			continue
		}
		_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, begin, end-begin, syscall.MADV_DONTNEED)
	}
}
