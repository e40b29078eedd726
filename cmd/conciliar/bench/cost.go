package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// A meter reads what the service and its database have used.
type meter struct {
	service, database float64 // CPU time, ms
	wal               float64
}

// ticksPerSecond is the unit of /proc/PID/stat on every Linux that Go runs on
// (USER_HZ).
const ticksPerSecond = 100

// meter reads the meters. Where there is no /proc, CPU time is 0.
func (b *harness) meter(ctx context.Context, services ...*service) (m meter, err error) {
	for _, s := range services {
		m.service += cpuMillis(s.cmd.Process.Pid, false)
	}
	var postmaster int
	var wal float64
	err = b.pool.QueryRow(ctx, `SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8, split_part(pg_read_file('postmaster.pid'), E'\n', 1)::int`).Scan(&wal, &postmaster)
	if err != nil {
		return m, err
	}
	m.wal, m.database = wal, cpuMillis(postmaster, true)
	for _, child := range childrenOf(postmaster) {
		m.database += cpuMillis(child, false)
	}
	return m, nil
}

// costSince is what each of so many events took since the meters were read.
func (b *harness) costSince(ctx context.Context, before meter, events int, services ...*service) (*Cost, error) {
	after, err := b.meter(ctx, services...)
	if err != nil {
		return nil, err
	}
	n := float64(max(1, events))
	c := &Cost{
		ServiceMillis: (after.service - before.service) / n, DatabaseMillis: (after.database - before.database) / n,
		WALBytes: (after.wal - before.wal) / n,
	}
	for _, s := range services {
		c.PeakMB += statusMB(s.cmd.Process.Pid, "VmHWM")
	}
	return c, nil
}

// cpuMillis is the CPU time that a process has used, with that of children that it
// has waited for if asked.
func cpuMillis(pid int, withChildren bool) float64 {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0
	}
	// The name may hold spaces; what follows it does not (proc(5)).
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const utime, cutime, length = 11, 13, 15
	if len(fields) < length {
		return 0
	}
	upTo := cutime
	if withChildren {
		upTo = length
	}
	var ticks float64
	for _, field := range fields[utime:upTo] {
		n, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return 0
		}
		ticks += n
	}
	return ticks * 1000 / ticksPerSecond
}

// childrenOf are a process's children that are alive.
func childrenOf(pid int) (children []int) {
	files, _ := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task", "*", "children"))
	for _, file := range files {
		list, err := os.ReadFile(file) //nolint:gosec // the system's
		if err != nil {
			continue
		}
		for _, field := range strings.Fields(string(list)) {
			if child, err := strconv.Atoi(field); err == nil {
				children = append(children, child)
			}
		}
	}
	return children
}

// machine says on what it is measured, as far as the system tells.
func machine() string {
	words := []string{fmt.Sprintf("%d cores", runtime.NumCPU())}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "model name" {
				words = append(words, strings.TrimSpace(value))
				break
			}
		}
	}
	return strings.Join(append(words, runtime.GOOS+"/"+runtime.GOARCH), ", ")
}

// statusMB is a line of /proc/PID/status that counts memory, in MiB.
func statusMB(pid int, line string) float64 {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0
	}
	for l := range strings.Lines(string(text)) {
		if rest, found := strings.CutPrefix(l, line+":"); found {
			kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			if err != nil {
				return 0
			}
			return kb / 1024
		}
	}
	return 0
}
