package storetest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/conciliar/conciliar/migrations"
	"github.com/conciliar/conciliar/store/localpg"
)

// connections is how many a server for tests accepts: several test binaries
// share it, each with parallel tests that have a pool each.
const connections = "300"

// templateLock makes one process build a template while the others wait. The
// number is only ours: "concTEST" as eight bytes.
const templateLock = int64(0x636f_6e63_5445_5354)

// server is the PostgreSQL that this test binary uses.
type server struct {
	address *url.URL
	// admin creates and drops databases.
	admin *pgxpool.Pool
	// version is PostgreSQL's, such as 150018.
	version int

	templateOnce sync.Once
	templateName string
	templateErr  error

	sharedOnce sync.Once
	sharedPool *pgxpool.Pool
	sharedErr  error
}

// theServer lives as long as the test binary. A private server has a guard
// that ends it when the binary does, however it does.
var theServer = sync.OnceValues(func() (*server, error) { return connect(context.Background()) })

func running(tb testing.TB) *server {
	tb.Helper()
	s, err := theServer()
	if err != nil {
		tb.Fatalf("storetest: no database: %v", err)
	}
	return s
}

func connect(ctx context.Context) (*server, error) {
	raw := os.Getenv(ServerEnv)
	if raw == "" {
		private, err := StartServer(ctx, nil)
		if err != nil {
			return nil, err
		}
		raw = private.URL("postgres")
	}
	address, err := parseAddress(raw)
	if err != nil {
		return nil, err
	}
	s := &server{address: address}
	config, err := pgxpool.ParseConfig(raw)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read", ServerEnv)
	}
	// Cloning is the server's work; more at once would only be slower.
	config.MaxConns = 4
	if s.admin, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, err
	}
	if err := s.admin.QueryRow(ctx, "SELECT current_setting('server_version_num')::int").Scan(&s.version); err != nil {
		s.admin.Close()
		return nil, err
	}
	return s, nil
}

// StartServer starts a private server that suits tests: fast, forgetful, and
// with room for many connections. A nil logger is silent.
func StartServer(ctx context.Context, logger *slog.Logger) (*localpg.Server, error) {
	return localpg.Start(ctx, localpg.Options{
		Logger:  logger,
		TempDir: localpg.MemoryDir(),
		Settings: map[string]string{
			"max_connections": connections,
			// Keeps the log of a forgetful server small: it may lie in memory.
			"max_wal_size": "256MB",
			// As the service has it. Compiling a plan takes longer than a test's few rows.
			"jit": "off",
		},
	})
}

// template returns the name of a migrated database to clone. It is made once
// for a server and a schema, by whichever process comes first.
func (s *server) template(ctx context.Context) (string, error) {
	s.templateOnce.Do(func() {
		// The tests after this one rely on it too.
		ctx := context.WithoutCancel(ctx)
		name := "conciliar_template_" + migrations.Fingerprint()
		s.templateName, s.templateErr = name, s.once(ctx, name, func(unfinished string) error {
			if err := s.create(ctx, unfinished, "template0"); err != nil {
				return err
			}
			if err := s.migrate(ctx, unfinished); err != nil {
				return err
			}
			if err := s.warm(ctx, unfinished); err != nil {
				return err
			}
			// A database with a session in it cannot be cloned.
			_, err := s.admin.Exec(ctx, "ALTER DATABASE "+pgx.Identifier{unfinished}.Sanitize()+" ALLOW_CONNECTIONS false")
			return err
		})
	})
	return s.templateName, s.templateErr
}

// shared returns a pool on the database that every Tx of a schema uses.
func (s *server) shared(ctx context.Context) (*pgxpool.Pool, error) {
	s.sharedOnce.Do(func() {
		ctx := context.WithoutCancel(ctx)
		template, err := s.template(ctx)
		if err != nil {
			s.sharedErr = err
			return
		}
		name := "conciliar_shared_" + migrations.Fingerprint()
		if s.sharedErr = s.once(ctx, name, func(unfinished string) error {
			return s.create(ctx, unfinished, template)
		}); s.sharedErr != nil {
			return
		}
		config, err := pgxpool.ParseConfig(inSchema(s.url(name)))
		if err != nil {
			s.sharedErr = err
			return
		}
		config.MaxConns = 50
		s.sharedPool, s.sharedErr = pgxpool.NewWithConfig(ctx, config)
	})
	return s.sharedPool, s.sharedErr
}

// once makes a database unless it is there. It is built under another name and
// renamed when it is complete, so that a killed test run leaves nothing that
// looks finished.
func (s *server) once(ctx context.Context, name string, build func(unfinished string) error) (err error) {
	conn, err := s.admin.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", templateLock); err != nil {
		return fmt.Errorf("lock the template: %w", err)
	}
	defer func() {
		_, unlockErr := conn.Exec(ctx, "SELECT pg_advisory_unlock($1)", templateLock)
		err = errors.Join(err, unlockErr)
	}()
	var exists bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&exists); err != nil || exists {
		return err
	}
	unfinished := name + "_new"
	if _, err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{unfinished}.Sanitize()+" WITH (FORCE)"); err != nil {
		return fmt.Errorf("remove an unfinished %s: %w", name, err)
	}
	if err := build(unfinished); err != nil {
		return fmt.Errorf("make %s: %w", name, err)
	}
	_, err = conn.Exec(ctx, "ALTER DATABASE "+pgx.Identifier{unfinished}.Sanitize()+" RENAME TO "+pgx.Identifier{name}.Sanitize())
	return err
}

// create clones a template. Its files are copied as they are, which PostgreSQL 14 always
// does, and not written to the log block by block: a clone is half the work.
func (s *server) create(ctx context.Context, name, template string) error {
	statement := "CREATE DATABASE " + pgx.Identifier{name}.Sanitize() + " TEMPLATE " + pgx.Identifier{template}.Sanitize()
	if s.version >= 150_000 {
		statement += " STRATEGY file_copy"
	}
	_, err := s.admin.Exec(ctx, statement)
	return err
}

// warm opens a session once the schema is whole. PostgreSQL then writes down what each
// session has to know of the catalogue (pg_internal.init), and clones copy it.
func (s *server) warm(ctx context.Context, name string) error {
	conn, err := pgx.Connect(ctx, s.url(name))
	if err != nil {
		return err
	}
	return errors.Join(conn.Ping(ctx), conn.Close(ctx))
}

func (s *server) migrate(ctx context.Context, name string) error {
	pool, err := pgxpool.New(ctx, inSchema(s.url(name)))
	if err != nil {
		return err
	}
	defer pool.Close()
	return migrations.Up(ctx, pool, slog.New(slog.DiscardHandler))
}
