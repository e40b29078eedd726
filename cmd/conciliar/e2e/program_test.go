// Package e2e tests the built program from outside, as people run it: with a
// real PostgreSQL, a simulated Mercado Pago, and a browser.
package e2e

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// program is the import path of what is tested.
const program = "github.com/conciliar/conciliar/cmd/conciliar"

// Exit codes of the program.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// binaryEnv names a program to run instead of building one: the tests of the
// tests run a spoilt one.
const binaryEnv = "CONCILIAR_TEST_BINARY"

// coverageEnv names a folder for what the program's runs cover; see the
// Makefile's target cover.
const coverageEnv = "CONCILIAR_TEST_COVERAGE"

// binaryDir is where binary has built; empty until it has.
var binaryDir string

// binary builds the program once: as people run it, or with the race detector
// when the tests have it.
var binary = sync.OnceValues(func() (string, error) {
	if path := os.Getenv(binaryEnv); path != "" {
		return path, nil
	}
	dir, err := os.MkdirTemp("", "conciliar-binary-*")
	if err != nil {
		return "", err
	}
	binaryDir = dir
	path := filepath.Join(dir, "conciliar")
	out, err := buildCommand(path).CombinedOutput()
	if err != nil {
		_, _ = os.Stderr.Write(out)
	}
	return path, err
})

// buildCommand builds the program to a path, as the Makefile does.
func buildCommand(path string, flags ...string) *exec.Cmd {
	// Without a version it would say the commit, which the docs can't.
	args, cgo := []string{"build", "-o", path, "-trimpath", "-tags", "nomsgpack", "-ldflags", "-s -w -X main.linkedVersion=dev"}, "CGO_ENABLED=0"
	if raceDetector {
		args, cgo = append(args, "-race"), "CGO_ENABLED=1"
	}
	if os.Getenv(coverageEnv) != "" {
		args = append(args, "-cover", "-coverpkg=github.com/conciliar/conciliar/...")
	}
	cmd := exec.Command("go", append(append(args, flags...), program)...) //nolint:noctx // the test's own time limit ends it
	cmd.Env = append(os.Environ(), cgo)
	return cmd
}

func TestMain(m *testing.M) {
	code := m.Run()
	closeChromium()
	if binaryDir != "" {
		_ = os.RemoveAll(binaryDir)
	}
	os.Exit(code)
}

// command is the program with arguments and with nothing in its environment but
// environ and what finds programs and temporary files.
func command(t *testing.T, environ []string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := binary()
	require.NoError(t, err)
	return commandOf(path, environ, args...)
}

// commandOf is command of another build of the program.
func commandOf(path string, environ []string, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...) //nolint:noctx // the tests end it themselves
	// The detector sleeps for a second before each end unless it is told not to.
	cmd.Env = []string{"GORACE=atexit_sleep_ms=0", "GOCOVERDIR=" + os.Getenv(coverageEnv)}
	for _, name := range []string{"PATH", "HOME", "TMPDIR"} {
		if value, set := os.LookupEnv(name); set {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	cmd.Env = append(cmd.Env, environ...)
	return cmd
}

// requireNoRace fails when the program's race detector has found something.
func requireNoRace(t *testing.T, said string) {
	t.Helper()
	if _, report, found := strings.Cut(said, "WARNING: DATA RACE"); found {
		t.Errorf("the program has a data race:%s", report)
	}
}

// An outcome is what a command left behind.
type outcome struct {
	code     int
	out, err string
	// printed is out, with the ends of a block's commands in it.
	printed string
}

// execute runs the program to its end.
func execute(t *testing.T, environ []string, args ...string) outcome {
	t.Helper()
	return outcomeOf(t, command(t, environ, args...))
}

// outcomeOf runs a command to its end.
func outcomeOf(t *testing.T, cmd *exec.Cmd) outcome {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exited *exec.ExitError
	if !errors.As(err, &exited) {
		require.NoError(t, err)
	}
	requireNoRace(t, errs.String())
	return outcome{code: cmd.ProcessState.ExitCode(), out: out.String(), err: errs.String()}
}

// A process is the program at work until it is stopped.
type process struct {
	cmd *exec.Cmd
	// out and err are what it has written.
	out, err *transcript
	// wait returns the exit code once the process has ended and all that it wrote
	// was read.
	wait func() int
}

// start runs the program in the background. It is killed when the test ends.
func start(t *testing.T, environ []string, args ...string) *process {
	t.Helper()
	return launch(t, command(t, environ, args...))
}

// launch runs a command in the background. It is killed when the test ends.
func launch(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd, out: newTranscript(), err: newTranscript()}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.err
	require.NoError(t, p.cmd.Start())
	p.wait = sync.OnceValue(func() int {
		_ = p.cmd.Wait()
		p.out.end()
		p.err.end()
		return p.cmd.ProcessState.ExitCode()
	})
	// Whoever waits for a text must learn that it can't come any more.
	go p.wait()
	t.Cleanup(func() {
		p.kill()
		requireNoRace(t, p.err.String())
		if t.Failed() {
			t.Logf("%v\n%s\n%s", cmd.Args[1:], lastLines(p.out.String(), 40), lastLines(p.err.String(), 40))
		}
	})
	return p
}

// lastLines are as many lines from the end of a text.
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// kill ends the process at once, with nothing said.
func (p *process) kill() { p.end(syscall.SIGKILL) }

// stop ends the process as an operator does, and returns its exit code.
func (p *process) stop() int { return p.end(syscall.SIGTERM) }

func (p *process) end(signal syscall.Signal) int {
	if attr := p.cmd.SysProcAttr; attr != nil && attr.Setpgid {
		_ = syscall.Kill(-p.cmd.Process.Pid, signal)
	} else {
		_ = p.cmd.Process.Signal(signal)
	}
	return p.wait()
}

// A transcript is what a process has written to one of its streams.
type transcript struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
	ended   bool
}

func newTranscript() *transcript { return &transcript{changed: make(chan struct{})} }

func (s *transcript) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
	return s.text.Write(p)
}

func (s *transcript) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *transcript) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// await returns the groups of the first match, as soon as there is one.
func (s *transcript) await(t *testing.T, pattern string) []string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	limit := time.After(patience)
	for {
		s.mu.Lock()
		found, changed, ended := re.FindStringSubmatch(s.text.String()), s.changed, s.ended
		s.mu.Unlock()
		if found != nil {
			return found
		}
		if ended {
			t.Fatalf("the process ended without %q", pattern)
		}
		select {
		case <-changed:
		case <-limit:
			t.Fatalf("%q never came", pattern)
		}
	}
}
