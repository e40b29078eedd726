// Package localpg runs a private PostgreSQL for `conciliar dev` and for tests.
//
// The server is made for one owner: it listens on the loopback address only,
// asks for a random password, opens no socket file, and keeps its files in a
// directory that nobody else's database lives in. It does not outlive the
// process that started it, however that process ends. It is never meant for
// production.
package localpg

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// superuser is the only role of the server.
const superuser = "conciliar"

// duplicateDatabase is the SQLSTATE of CREATE DATABASE for a name that is
// taken (PostgreSQL's documentation, Appendix A).
const duplicateDatabase = "42P04"

// Options says how the server is made. The zero value is a temporary server on
// a free port that forgets everything.
type Options struct {
	// DataDir keeps the data between two starts. It is created when absent; a
	// directory that holds something else is refused. Empty means a temporary
	// directory, removed when the server ends.
	DataDir string
	// TempDir is where a temporary directory is made; empty is the system's
	// usual place.
	TempDir string
	// Port is the TCP port; 0 takes a free one.
	Port int
	// Logger receives progress at level info and the server's own log at level
	// debug. Nil is silent.
	Logger *slog.Logger
	// Fsync makes the data survive a crash of the machine. Without it the
	// server is faster, and still survives its own crash.
	Fsync bool
	// Settings are PostgreSQL's settings by name, such as max_connections. The
	// address, the port and the socket directory cannot be changed.
	Settings map[string]string
	// ClockOffset is how far the server's clock is ahead of the machine's, for
	// tests of what a wrong clock does. It needs libfaketime, on Linux.
	ClockOffset time.Duration
}

// Server is a running PostgreSQL.
type Server struct {
	port      int
	password  string
	version   string
	binaries  string
	as        *identity
	temporary bool
	logger    *slog.Logger

	process *process
	guard   *guard
	dir     *directory

	once    sync.Once
	stopErr error
}

// URL is the address of a database of this server, with the password in it:
// don't log it. The name "postgres" always exists.
func (s *Server) URL(database string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(superuser, s.password),
		Host:     net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)),
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Port is the TCP port on the loopback address.
func (s *Server) Port() int { return s.port }

// Version is what the server's binary says of itself, such as "15.13".
func (s *Server) Version() string { return s.version }

// Dir is the directory that holds the server's files.
func (s *Server) Dir() string { return s.dir.path }

// Done is closed when the server has ended, whether by Stop or by itself.
func (s *Server) Done() <-chan struct{} { return s.process.done }

// CreateDatabase creates a database unless it is there.
func (s *Server) CreateDatabase(ctx context.Context, name string) error {
	conn, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return fmt.Errorf("create database %q: %w", name, err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	_, err = conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize())
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && pgErr.Code == duplicateDatabase {
		return nil
	}
	if err != nil {
		return fmt.Errorf("create database %q: %w", name, err)
	}
	return nil
}

// Stop ends the server and waits until nothing of it is left: no process and,
// without a DataDir, no file. Kept data are shut down in order; when the
// context ends first, the server is stopped at once and recovers at its next
// start. A second call returns the first one's answer.
func (s *Server) Stop(ctx context.Context) error {
	s.once.Do(func() { s.stopErr = s.stop(ctx) })
	return s.stopErr
}

// await polls until the server answers, its process ends, or the context does.
func (s *Server) await(ctx context.Context) error {
	const pause = 20 * time.Millisecond
	for {
		err := errNotReady
		if s.ready() {
			if err = s.ping(ctx); err == nil {
				return nil
			}
		}
		select {
		case <-s.process.done:
			return fmt.Errorf("PostgreSQL ended while starting: %s", s.process.output.tail())
		case <-ctx.Done():
			return fmt.Errorf("PostgreSQL did not answer in time: %w", errors.Join(ctx.Err(), err))
		case <-time.After(pause):
		}
	}
}

var errNotReady = errors.New("it is still starting")

// ready reports whether our server has opened its port, be it as a standby. Before
// that, whoever answers there is somebody else's server, and must not be taken for ours.
func (s *Server) ready() bool {
	const statusLine = 8 // as PostgreSQL's miscadmin.h numbers the lines of postmaster.pid
	body, err := os.ReadFile(filepath.Join(s.dir.cluster(), "postmaster.pid"))
	if err != nil {
		return false
	}
	lines := strings.Split(string(body), "\n")
	if len(lines) < statusLine || lines[0] != strconv.Itoa(s.process.cmd.Process.Pid) {
		return false
	}
	status := strings.TrimSpace(lines[statusLine-1])
	return status == "ready" || status == "standby"
}

func (s *Server) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	return conn.Ping(ctx)
}
