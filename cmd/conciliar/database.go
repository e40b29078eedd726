package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/migrations"
)

// sessionSettings bound what one session of the service may take. Commands
// that change the schema go without: a new index takes as long as it takes.
var sessionSettings = map[string]string{
	// What the transactions are written for: a statement after a lock sees what
	// the lock's last holder committed. A database may have another default.
	"default_transaction_isolation":       "read committed",
	"statement_timeout":                   "60s",
	"lock_timeout":                        "15s",
	"idle_in_transaction_session_timeout": "60s",
	// Compiling a statement that takes milliseconds would take a hundred of them.
	"jit": "off",
}

// A poolOption changes how a pool connects.
type poolOption func(*pgxpool.Config)

// withTracer has statements traced; by nobody when tracer is nil.
func withTracer(tracer pgx.QueryTracer) poolOption {
	return func(cfg *pgxpool.Config) { cfg.ConnConfig.Tracer = tracer }
}

// withCredentials has each new connection log in with what the address says then:
// a password may change while the process runs, and where the database is may not.
func withCredentials(current func() *config.Database) poolOption {
	return func(cfg *pgxpool.Config) {
		cfg.BeforeConnect = func(_ context.Context, conn *pgx.ConnConfig) error {
			now, err := pgx.ParseConfig(current().DatabaseURL.Reveal())
			if err != nil {
				return errors.New("DATABASE_URL cannot be read")
			}
			conn.User, conn.Password = now.User, now.Password
			return nil
		}
	}
}

// openPool connects to the database. connections is how many it may open, for
// an address that does not say so itself by pool_max_conns.
func openPool(ctx context.Context, database config.Database, connections int, settings map[string]string, opts ...poolOption) (*pgxpool.Pool, error) {
	address := database.DatabaseURL.Reveal()
	cfg, err := pgxpool.ParseConfig(address)
	if err != nil {
		return nil, errors.New("DATABASE_URL cannot be read")
	}
	if !strings.Contains(address, "pool_max_conns") {
		cfg.MaxConns = int32(connections) //nolint:gosec // bounded by the configuration's checks
	}
	if cfg.ConnConfig.RuntimeParams["application_name"] == "" {
		cfg.ConnConfig.RuntimeParams["application_name"] = "conciliar"
	}
	for name, value := range settings {
		if cfg.ConnConfig.RuntimeParams[name] == "" {
			cfg.ConnConfig.RuntimeParams[name] = value
		}
	}
	// Ours whatever the address, the role or the database says: names without a
	// schema are our tables, and never somebody else's beside them.
	cfg.ConnConfig.RuntimeParams["search_path"] = database.DatabaseSchema
	for _, opt := range opts {
		opt(cfg)
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, &unreachableError{err}
	}
	return pool, nil
}

// An unreachableError means that the database could not be reached.
type unreachableError struct{ err error }

func (e *unreachableError) Error() string { return "the database cannot be reached: " + reason(e.err) }

func (e *unreachableError) Unwrap() error { return e.err }

// requireSchema fails when the schema is behind what this binary needs. One
// that is ahead will do: a release that was rolled back must start.
func requireSchema(ctx context.Context, pool *pgxpool.Pool) error {
	pending, err := migrations.Pending(ctx, pool)
	if err != nil {
		return err
	}
	if len(pending) > 0 {
		return fmt.Errorf("the database's schema is %d steps behind this release; run 'conciliar migrate' first", len(pending))
	}
	return nil
}
