package localpg

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// poolerPrograms are where packages put PgBouncer beside PATH.
var poolerPrograms = []string{"/usr/sbin/pgbouncer", "/usr/local/sbin/pgbouncer", "/opt/homebrew/bin/pgbouncer"}

// PoolerOptions say how a PgBouncer is run.
type PoolerOptions struct {
	// Upstream is the URL of a database of the server behind it. Whoever it names may
	// log in at the pooler, without a password.
	Upstream string
	// Port is the TCP port; 0 takes a free one.
	Port int
	// Settings are PgBouncer's settings by name, such as pool_mode. The addresses and
	// who may log in cannot be changed.
	Settings map[string]string
}

// A Pooler is a running PgBouncer, for tests. It must be installed.
type Pooler struct {
	port    int
	process *process
	guard   *guard
	dir     *directory
	once    sync.Once
	stopErr error
}

// StartPooler starts a PgBouncer on a free port of the loopback address, and returns
// when it listens. Like a Server it runs as a user without rights and does not outlive
// the process that started it. The context bounds the start only.
func StartPooler(ctx context.Context, opts PoolerOptions) (_ *Pooler, err error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if err := supported(); err != nil {
		return nil, err
	}
	program, err := findPooler()
	if err != nil {
		return nil, err
	}
	upstream, err := url.Parse(opts.Upstream)
	if err != nil || upstream.User == nil {
		return nil, errors.New("PgBouncer: the upstream is not a URL with a user")
	}
	as, err := serverUser()
	if err != nil {
		return nil, err
	}
	dir, err := openDirectory(ctx, Options{}, as)
	if err != nil {
		return nil, err
	}
	guard, err := startGuard(dir)
	if err != nil {
		return nil, errors.Join(err, dir.close())
	}
	p := &Pooler{guard: guard, dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Stop())
		}
	}()
	if err := dir.create(ctx, as); err != nil {
		return nil, err
	}
	if p.port = opts.Port; p.port == 0 {
		if p.port, err = freePort(ctx); err != nil {
			return nil, err
		}
	}
	users, config := filepath.Join(dir.path, "users.txt"), filepath.Join(dir.path, "pgbouncer.ini")
	password, _ := upstream.User.Password()
	if err := as.writeFile(users, fmt.Sprintf("%q %q\n", upstream.User.Username(), password)); err != nil {
		return nil, err
	}
	if err := as.writeFile(config, poolerConfig(upstream, p.port, users, opts.Settings)); err != nil {
		return nil, err
	}
	if p.process, err = guard.start(as, slog.New(slog.DiscardHandler), syscall.SIGKILL, dir.path, program, config); err != nil {
		return nil, err
	}
	return p, p.await(ctx)
}

func findPooler() (string, error) {
	if path, err := exec.LookPath("pgbouncer"); err == nil {
		return path, nil
	}
	for _, path := range poolerPrograms {
		if path, err := exec.LookPath(path); err == nil {
			return path, nil
		}
	}
	return "", errors.New("PgBouncer is not installed: on Debian or Ubuntu `apt-get install pgbouncer`, on macOS `brew install pgbouncer`")
}

func poolerConfig(upstream *url.URL, port int, users string, given map[string]string) string {
	settings := map[string]string{}
	for name, value := range given {
		settings[name] = value
	}
	settings["listen_addr"], settings["listen_port"], settings["unix_socket_dir"] = "127.0.0.1", strconv.Itoa(port), ""
	settings["auth_type"], settings["auth_file"] = "trust", users
	lines := []string{
		"[databases]", "* = host=" + upstream.Hostname() + " port=" + upstream.Port(), "[pgbouncer]",
	}
	names := make([]string, 0, len(settings))
	for name := range settings {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		lines = append(lines, name+" = "+settings[name])
	}
	return strings.Join(lines, "\n") + "\n"
}

// await returns when the pooler takes connections.
func (p *Pooler) await(ctx context.Context) error {
	const pause = 20 * time.Millisecond
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)))
		if err == nil {
			return conn.Close()
		}
		select {
		case <-p.process.done:
			return fmt.Errorf("PgBouncer ended while starting: %s", p.process.output.tail())
		case <-ctx.Done():
			return fmt.Errorf("PgBouncer did not answer in time: %w", errors.Join(ctx.Err(), err))
		case <-time.After(pause):
		}
	}
}

// Port is the TCP port on the loopback address.
func (p *Pooler) Port() int { return p.port }

// Through is the address of a database through the pooler.
func (p *Pooler) Through(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", errors.New("PgBouncer: the address is not a URL")
	}
	u.Host = net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port))
	return u.String(), nil
}

// Stop ends the pooler with its connections and waits until nothing of it is left. A
// second call returns the first one's answer.
func (p *Pooler) Stop() error {
	p.once.Do(func() {
		if p.process != nil {
			p.process.signal(syscall.SIGKILL)
			<-p.process.done
		}
		p.stopErr = errors.Join(p.dir.close(), p.guard.close())
	})
	return p.stopErr
}
