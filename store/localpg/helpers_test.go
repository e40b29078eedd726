//go:build unix

package localpg

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// helperEnv turns the test binary into a process that owns a server: its value
// is the data directory, or "-" for a temporary one.
const helperEnv = "LOCALPG_TEST_HELPER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(helperEnv); dir != "" {
		if err := helperMain(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// owned is what the helper says about its server.
type owned struct{ Dir, URL string }

// helperMain starts a server, says where, and stops it on a signal, as a
// program with a server does; before it stops, the server has to answer.
func helperMain(dir string) error {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	if dir == "-" {
		dir = ""
	}
	s, err := Start(ctx, Options{DataDir: dir, TempDir: MemoryDir()})
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(owned{Dir: s.Dir(), URL: s.URL("postgres")}); err != nil {
		return err
	}
	<-ctx.Done()
	ctx = context.WithoutCancel(ctx)
	if err := s.ping(ctx); err != nil {
		return fmt.Errorf("the signal reached the server before us: %w", err)
	}
	return s.Stop(ctx)
}

// A helper is a process of ours that owns a server.
type helper struct {
	owned
	cmd *exec.Cmd
	// postmaster is the server's first process.
	postmaster int
}

func startHelper(t *testing.T, dir string) *helper {
	t.Helper()
	if dir == "" {
		dir = "-"
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), helperEnv+"="+dir)
	cmd.Stderr = os.Stderr
	// A group of its own, so that a test can signal it as a terminal does.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	h := &helper{cmd: cmd}
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(line, &h.owned))
	h.postmaster = postmaster(t, h.Dir)
	return h
}

// postmaster reads the server's process number.
func postmaster(t *testing.T, dir string) int {
	t.Helper()
	body, err := os.ReadFile(filepath.Join(dir, "data", "postmaster.pid"))
	require.NoError(t, err)
	line, _, _ := strings.Cut(string(body), "\n")
	pid, err := strconv.Atoi(line)
	require.NoError(t, err)
	return pid
}

// ended reports whether a process has ended. Where nobody reaps orphans its
// number stays; then the state tells.
func ended(pid int) bool {
	if !alive(pid) {
		return true
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(stat), ") Z ")
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// start starts a server that the test's end stops.
func start(t *testing.T, opts Options) *Server {
	t.Helper()
	if opts.TempDir == "" {
		opts.TempDir = MemoryDir()
	}
	s, err := Start(t.Context(), opts)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, s.Stop(context.WithoutCancel(t.Context())))
	})
	return s
}

func connect(t *testing.T, s *Server) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.URL("postgres"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

func show(t *testing.T, conn *pgx.Conn, setting string) string {
	t.Helper()
	var value string
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT current_setting($1)", setting).Scan(&value))
	return value
}

// eventually fails unless something comes to be before a generous deadline.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, time.Minute, 10*time.Millisecond, what)
}

func listening(t *testing.T, port int) bool {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}
