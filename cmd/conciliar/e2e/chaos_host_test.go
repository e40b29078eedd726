//go:build chaos

package e2e

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
	"github.com/conciliar/conciliar/store/localpg"
)

// hosts are what the service and its database may lack.
func hosts() []scenario {
	all := []scenario{
		{"locked-table", "another program locks a table of ours", "for 40 s, under load", lockedTable},
		{"small-pool", "3 connections where 14 are wanted", "under load, two processes", smallPool},
	}
	if runtime.GOOS != "linux" {
		return all
	}
	all = append(all, scenario{"few-descriptors", "no file descriptor is left", "for 5 s, under load", fewDescriptors})
	if os.Geteuid() == 0 {
		// Only root may mount a disk of a few megabytes.
		all = append(all, scenario{"disk-full", "PostgreSQL's disk is full", "for 5 s, under load", diskFull})
	}
	return all
}

// lockedTable holds the jobs for longer than the service waits for any lock.
func lockedTable(s *stage) {
	s.set(setting{})
	s.launch()
	tx, err := s.pool.Begin(s.t.Context())
	require.NoError(s.t, err)
	paid := s.beginPlanAfter(simulator.Plan{Orders: s.orders(30), Concurrency: 8}, func() {
		_, err := tx.Exec(s.t.Context(), `LOCK TABLE river_job IN ACCESS EXCLUSIVE MODE`)
		require.NoError(s.t, err)
	})
	pause(40 * time.Second)
	require.NoError(s.t, tx.Rollback(s.t.Context()))
	s.over()
	paid.wait()
	s.settled()
}

func smallPool(s *stage) {
	s.set(setting{faults: simulator.Faults{Duplicates: 2}})
	p := s.launch(s.through(with("pool_max_conns=3")))
	s.second(s.through(with("pool_max_conns=3")))
	paid := s.begin(s.orders(60))
	paid.wait()
	s.over()
	s.settled()
	require.Contains(s.t, p.err.String(), "attempts wait for each other", "nobody was told")
}

// fewDescriptors leaves the service fewer than its connections need, and takes those by
// callers that say nothing.
func fewDescriptors(s *stage) {
	s.set(setting{faults: simulator.Faults{Duplicates: 1}})
	p := s.launch()
	// The orders are there before: a shop that is answered 503 registers again. Webhooks
	// have connections, and Mercado Pago is asked over others.
	paid := s.beginPlan(simulator.Plan{Orders: s.orders(120), Concurrency: 8})
	s.limitDescriptors(p, strconv.Itoa(s.descriptors(p)))
	var idle []net.Conn
	for range 40 {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(s.t.Context(), "tcp", s.addr)
		if err != nil {
			break
		}
		idle = append(idle, conn)
	}
	require.NotEmpty(s.t, idle)
	pause(5 * time.Second)
	for _, conn := range idle {
		_ = conn.Close()
	}
	s.limitDescriptors(p, "4096")
	s.over()
	paid.wait()
	s.settled()
}

// descriptors is how many a process has open.
func (s *stage) descriptors(p *process) int {
	s.t.Helper()
	entries, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "fd"))
	require.NoError(s.t, err)
	return len(entries)
}

// limitDescriptors says how many a process may have open from now on (prlimit(2)).
func (s *stage) limitDescriptors(p *process, most string) {
	s.t.Helper()
	out, err := exec.CommandContext(s.t.Context(), "prlimit", "--pid", strconv.Itoa(p.cmd.Process.Pid), "--nofile="+most+":4096").CombinedOutput()
	require.NoError(s.t, err, string(out))
}

// diskFull leaves no room for the tables of the service's database. The server's own
// files are elsewhere: without room for its log it would not run at all.
func diskFull(s *stage) {
	disk := s.disk("24m")
	server := s.ownServer(localpg.Options{TempDir: localpg.MemoryDir()})
	s.chown(disk, server.Dir())
	admin, err := pgx.Connect(s.t.Context(), server.URL("postgres"))
	require.NoError(s.t, err)
	defer func() { _ = admin.Close(context.WithoutCancel(s.t.Context())) }()
	for _, statement := range []string{
		`CREATE TABLESPACE small LOCATION '` + disk + `'`,
		`ALTER DATABASE template1 SET TABLESPACE small`,
	} {
		_, err := admin.Exec(s.t.Context(), statement)
		require.NoError(s.t, err)
	}
	s.set(setting{databaseURL: s.migrated(server)})
	s.launch()
	ballast := filepath.Join(disk, "ballast")
	paid := s.beginPlanAfter(simulator.Plan{Orders: s.orders(60), Concurrency: 8}, func() {
		file, err := os.Create(ballast)
		require.NoError(s.t, err)
		chunk := make([]byte, 4096)
		for err == nil {
			_, err = file.Write(chunk)
		}
		require.ErrorIs(s.t, err, syscall.ENOSPC)
		_ = file.Close()
	})
	pause(5 * time.Second)
	_, err = s.pool.Exec(s.t.Context(), `CREATE TABLE more AS SELECT repeat('x', 100) FROM generate_series(1, 1000)`)
	require.ErrorContains(s.t, err, "No space left", "the disk was not full")
	require.NoError(s.t, os.Remove(ballast))
	s.over()
	paid.wait()
	s.settled()
}

// disk is a file system of its own, of that size.
func (s *stage) disk(size string) string {
	s.t.Helper()
	dir, err := os.MkdirTemp("", "conciliar-chaos-*")
	require.NoError(s.t, err)
	require.NoError(s.t, os.Chmod(dir, 0o755))
	require.NoError(s.t, syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size))
	s.t.Cleanup(func() {
		_ = syscall.Unmount(dir, syscall.MNT_DETACH)
		_ = os.RemoveAll(dir)
	})
	return dir
}

// chown gives a folder to whom another belongs.
func (s *stage) chown(dir, like string) {
	s.t.Helper()
	info, err := os.Stat(like)
	require.NoError(s.t, err)
	owner := info.Sys().(*syscall.Stat_t)
	require.NoError(s.t, os.Chown(dir, int(owner.Uid), int(owner.Gid)))
}
