package localpg

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
)

// guardScript cleans up after a process that was killed and could not do it
// itself. It reads from a pipe which process group to end and how; the pipe
// ends when its owner does, however it does. Then it signals the group, waits
// until every process of the server has closed file 3 (which works where
// nobody reaps orphans, unlike asking for their process ids), and removes the
// directory when that is temporary. It lives in a session of its own, and
// ignores signals, so that what ends its owner does not end it.
const guardScript = `
trap '' HUP INT QUIT TERM
while read -r s g; do signal=$s group=$g; done
if [ -n "$group" ]; then
	kill -s "$signal" -- "-$group" 2>/dev/null
	while read -r rest <&3; do :; done
fi
[ -z "$1" ] || rm -rf -- "$1"
`

// gateScript holds a command back until the guard knows its process id. If the
// owner dies before that, the command never begins.
const gateScript = `read -r go && exec "$@"`

// guard is the process that outlives us for as long as cleaning up takes.
type guard struct {
	cmd    *exec.Cmd
	mu     sync.Mutex
	orders io.WriteCloser
	// alive is held open by every process of the server.
	alive *os.File
	// environment is added to that of the server's programs.
	environment []string
}

func startGuard(dir *directory) (_ *guard, err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("guard of the private PostgreSQL: %w", err)
	}
	defer func() { _ = r.Close() }()
	remove := ""
	if dir.temporary {
		remove = dir.path
	}
	cmd := exec.Command("/bin/sh", "-c", guardScript, "conciliar-guard", remove) //nolint:noctx // it must outlive every context
	cmd.Dir = "/"
	cmd.Env = environment()
	cmd.SysProcAttr = detached(nil)
	cmd.ExtraFiles = []*os.File{r}
	if dir.marker != nil {
		// Held open, it keeps the directory locked until the clean-up is over,
		// so that a restart waits for it.
		cmd.ExtraFiles = append(cmd.ExtraFiles, dir.marker)
	}
	orders, err := cmd.StdinPipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("guard of the private PostgreSQL: %w", err), w.Close())
	}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("guard of the private PostgreSQL: %w", err), w.Close())
	}
	return &guard{cmd: cmd, orders: orders, alive: w}, nil
}

// watch tells the guard what to end if we die; group 0 is nothing.
func (g *guard) watch(signal syscall.Signal, group int) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	line := "\n"
	if group != 0 {
		line = fmt.Sprintf("%s %d\n", signalName(signal), group)
	}
	if _, err := io.WriteString(g.orders, line); err != nil {
		return fmt.Errorf("guard of the private PostgreSQL: %w", err)
	}
	return nil
}

// close ends the guard, which finds nothing left to do.
func (g *guard) close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	err := errors.Join(g.orders.Close(), g.alive.Close(), g.cmd.Wait())
	if err != nil {
		return fmt.Errorf("guard of the private PostgreSQL: %w", err)
	}
	return nil
}

// start runs a command of the server as its user, in a session of its own: a
// terminal's Ctrl-C reaches us, and we stop the server in order.
func (g *guard) start(as *identity, logger *slog.Logger, onDeath syscall.Signal, dir, path string, args ...string) (*process, error) {
	argv := append([]string{"-c", gateScript, "conciliar-postgres", path}, args...)
	cmd := exec.Command("/bin/sh", argv...) //nolint:gosec,noctx // the path is PostgreSQL's, and Stop ends it, not a context
	cmd.Dir = dir
	cmd.Env = append(environment(), g.environment...)
	cmd.SysProcAttr = detached(as)
	cmd.ExtraFiles = []*os.File{g.alive}
	p := &process{cmd: cmd, output: &output{logger: logger}, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.output, p.output
	gate, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	err = g.watch(onDeath, cmd.Process.Pid)
	if err == nil {
		_, err = io.WriteString(gate, "go\n")
	}
	err = errors.Join(err, gate.Close())
	go func() {
		p.err = cmd.Wait()
		// A failure here means that the guard is gone: nothing would be
		// signalled anyway.
		_ = g.watch(0, 0)
		close(p.done)
	}()
	if err != nil {
		p.signal(syscall.SIGKILL)
		<-p.done
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	return p, nil
}

// process is a command of the server.
type process struct {
	cmd    *exec.Cmd
	output *output
	// done is closed when the process has ended; err may be read from then on.
	done chan struct{}
	err  error
}

// signal reaches the whole group. A process that has ended is left alone:
// its number may be somebody else's by now.
func (p *process) signal(s syscall.Signal) {
	select {
	case <-p.done:
	default:
		signalGroup(p.cmd.Process.Pid, s)
	}
}

// signalName is the name that the shell's kill takes.
func signalName(s syscall.Signal) string {
	switch s {
	case syscall.SIGINT:
		return "INT"
	case syscall.SIGQUIT:
		return "QUIT"
	default:
		return "KILL"
	}
}

// environment is what the server may know: where programs are and the time
// zone, and none of our variables, which hold secrets. The C locale keeps
// PostgreSQL's messages in English and keeps macOS from starting threads in
// the postmaster.
func environment() []string {
	env := []string{"LC_ALL=C"}
	for _, name := range []string{"PATH", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// output passes the server's log on, line by line, and remembers its end.
type output struct {
	logger *slog.Logger
	mu     sync.Mutex
	rest   string
	last   []string
}

// Write takes any piece of the log; it never fails.
func (o *output) Write(b []byte) (int, error) {
	const remembered = 12
	o.mu.Lock()
	defer o.mu.Unlock()
	lines := strings.Split(o.rest+string(b), "\n")
	o.rest = lines[len(lines)-1]
	for _, line := range lines[:len(lines)-1] {
		o.logger.Debug("PostgreSQL says", "line", line)
		o.last = append(o.last, line)
		if len(o.last) > remembered {
			o.last = o.last[1:]
		}
	}
	return len(b), nil
}

func (o *output) tail() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.TrimSpace(strings.Join(append(o.last[:len(o.last):len(o.last)], o.rest), " | "))
}
