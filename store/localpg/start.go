package localpg

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// startLimit bounds a start whose context has no nearer end; initdb takes a
// second or two, recovery of kept data may take longer.
const startLimit = 2 * time.Minute

// Start finds PostgreSQL's binaries (fetching them when none are installed),
// makes the data directory when it is not there yet, starts the server and
// returns when it answers. The context bounds the start only.
func Start(ctx context.Context, opts Options) (_ *Server, err error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	logger := opts.Logger
	logger = cmp.Or(logger, slog.New(slog.DiscardHandler))
	if opts.Port < 0 || opts.Port > 65535 {
		return nil, fmt.Errorf("port %d is out of range", opts.Port)
	}
	if err := supported(); err != nil {
		return nil, err
	}
	as, err := serverUser()
	if err != nil {
		return nil, err
	}
	clock, err := shiftedClock(opts.ClockOffset, fakeClocks)
	if err != nil {
		return nil, err
	}
	dir, err := openDirectory(ctx, opts, as)
	if err != nil {
		return nil, err
	}
	guard, err := startGuard(dir)
	if err != nil {
		return nil, errors.Join(err, dir.close())
	}
	guard.environment = clock
	s := &Server{temporary: dir.temporary, password: dir.password, logger: logger, guard: guard, dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.abandon())
		}
	}()
	if err := dir.create(ctx, as); err != nil {
		return nil, err
	}
	bin, err := findOrFetch(ctx, logger, as, dir)
	if err != nil {
		return nil, err
	}
	s.version, s.binaries, s.as = bin.version, bin.dir, as
	logger.InfoContext(ctx, "PostgreSQL found", "version", bin.version, "binaries", bin.dir)
	if err := s.initialise(ctx, bin, as, opts.Fsync); err != nil {
		return nil, err
	}
	if err := s.launch(ctx, bin, as, opts); err != nil {
		return nil, err
	}
	logger.InfoContext(ctx, "PostgreSQL is ready", "port", s.port, "dir", dir.path)
	return s, nil
}

// initialise runs initdb, unless the directory holds a database already. The
// cluster is made beside its final place and renamed, so that an interrupted
// initdb is never mistaken for a database.
func (s *Server) initialise(ctx context.Context, bin binaries, as *identity, fsync bool) error {
	if _, err := os.Stat(s.dir.cluster()); err == nil {
		return s.dir.clearStalePID()
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	unfinished := s.dir.cluster() + ".new"
	if err := os.RemoveAll(unfinished); err != nil {
		return fmt.Errorf("remove an interrupted initdb: %w", err)
	}
	pwfile := filepath.Join(s.dir.path, "password.new")
	verifier, err := scramVerifier(s.password)
	if err != nil {
		return err
	}
	if err := as.writeFile(pwfile, verifier+"\n"); err != nil {
		return err
	}
	defer func() { _ = os.Remove(pwfile) }()
	args := []string{
		"--pgdata=" + unfinished, "--username=" + superuser, "--pwfile=" + pwfile,
		"--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-instructions",
	}
	if !fsync {
		args = append(args, "--no-sync")
	}
	s.logger.InfoContext(ctx, "making a database", "dir", s.dir.path)
	p, err := s.guard.start(as, s.logger, syscall.SIGKILL, s.dir.path, filepath.Join(bin.dir, "initdb"), args...)
	if err != nil {
		return err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		p.signal(syscall.SIGKILL)
		<-p.done
		return fmt.Errorf("initdb: %w", ctx.Err())
	}
	if p.err != nil {
		return fmt.Errorf("initdb: %w: %s", p.err, p.output.tail())
	}
	return os.Rename(unfinished, s.dir.cluster())
}

// launch starts the server. Between choosing a free port and opening it another
// process may take it, so a chosen port is tried again with another.
func (s *Server) launch(ctx context.Context, bin binaries, as *identity, opts Options) error {
	const tries = 5
	for try := 1; ; try++ {
		s.port = opts.Port
		if s.port == 0 {
			port, err := freePort(ctx)
			if err != nil {
				return err
			}
			s.port = port
		}
		p, err := s.guard.start(as, s.logger, s.stopSignal(), s.dir.cluster(),
			filepath.Join(bin.dir, "postgres"), s.arguments(opts)...)
		if err != nil {
			return err
		}
		s.process = p
		err = s.await(ctx)
		if err == nil {
			return nil
		}
		portTaken := strings.Contains(p.output.tail(), "could not bind")
		if opts.Port != 0 || !portTaken || try == tries {
			return err
		}
	}
}

func (s *Server) arguments(opts Options) []string {
	settings := map[string]string{
		// No statement and no row of a failed statement in the log: they may
		// hold somebody's data.
		"log_min_error_statement": "panic",
		"log_error_verbosity":     "terse",
	}
	if !opts.Fsync {
		settings["fsync"] = "off"
		settings["synchronous_commit"] = "off"
		settings["full_page_writes"] = "off"
	}
	if s.temporary {
		// Shared memory that goes with the directory, even when the server is
		// killed: otherwise it stays behind in the system's.
		settings["dynamic_shared_memory_type"] = "mmap"
	}
	maps.Copy(settings, opts.Settings)
	settings["listen_addresses"] = "127.0.0.1"
	settings["port"] = strconv.Itoa(s.port)
	settings["unix_socket_directories"] = ""
	args := []string{"-D", s.dir.cluster()}
	names := make([]string, 0, len(settings))
	for name := range settings {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		args = append(args, "-c", name+"="+settings[name])
	}
	return args
}

// stopSignal is how the server is told to end: at once when its files go too,
// in order ("fast") when they are kept. See "Shutting Down the Server" in
// PostgreSQL's documentation.
func (s *Server) stopSignal() syscall.Signal {
	if s.temporary {
		return syscall.SIGQUIT
	}
	return syscall.SIGINT
}

func (s *Server) stop(ctx context.Context) error {
	// An immediate shutdown kills what is left after five seconds itself.
	const patience = 15 * time.Second
	s.process.signal(s.stopSignal())
	select {
	case <-s.process.done:
		return s.abandon()
	case <-ctx.Done():
		s.process.signal(syscall.SIGQUIT)
	}
	var late error
	if !s.temporary {
		late = fmt.Errorf("PostgreSQL was stopped before its shutdown was complete: %w", ctx.Err())
	}
	select {
	case <-s.process.done:
	case <-time.After(patience):
		s.process.signal(syscall.SIGKILL)
		<-s.process.done
	}
	return errors.Join(late, s.abandon())
}

// abandon ends whatever still runs and lets go of the directory.
func (s *Server) abandon() error {
	if s.process != nil {
		select {
		case <-s.process.done:
		default:
			s.process.signal(syscall.SIGQUIT)
			<-s.process.done
		}
	}
	// The guard goes last: until then it removes the files if we are killed.
	return errors.Join(s.dir.close(), s.guard.close())
}

func freePort(ctx context.Context) (int, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer func() { _ = l.Close() }()
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return 0, fmt.Errorf("find a free port: unexpected address %s", l.Addr())
	}
	return addr.Port, nil
}
