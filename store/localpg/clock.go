package localpg

import (
	"errors"
	"path/filepath"
	"strconv"
	"time"
)

// fakeClocks is where distributions put libfaketime.
var fakeClocks = []string{
	"/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/lib64/faketime/libfaketimeMT.so.1", "/usr/lib/faketime/libfaketimeMT.so.1",
}

// shiftedClock is the environment in which a program's clock is off by offset.
// The monotonic clock stays, so that waiting takes its time.
func shiftedClock(offset time.Duration, libraries []string) ([]string, error) {
	if offset == 0 {
		return nil, nil
	}
	found := installed(libraries)
	if len(found) == 0 {
		return nil, errors.New("a shifted clock needs libfaketime: on Debian or Ubuntu `apt-get install libfaketime`")
	}
	sign := ""
	if offset > 0 {
		sign = "+"
	}
	return []string{
		"LD_PRELOAD=" + filepath.Clean(found[0]),
		"FAKETIME=" + sign + strconv.FormatFloat(offset.Seconds(), 'f', -1, 64),
		"FAKETIME_DONT_FAKE_MONOTONIC=1",
	}, nil
}
