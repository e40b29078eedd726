package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/migrations"
	"github.com/conciliar/conciliar/store"
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

// directConnections is how many sessions of its own a process has beside its pool: the
// lock that says it lives, what listens, and one to spare.
const directConnections = 3

// An opening is how a pool is about to connect.
type opening struct {
	*pgxpool.Config

	// settings are those of each session that the address leaves to us.
	settings map[string]string
	// measured asks for as many sessions as the pool may have before it is used;
	// beside is how many more the process opens outside of it.
	measured bool
	beside   int32
	// direct refuses a pooler that gives our session away, which only is in the way.
	direct bool
	// found is told what the way to the database is like.
	found func(finding)
	// pooler is where it is written down what is in between.
	pooler *store.Pooler
}

// A poolOption changes how a pool connects.
type poolOption func(*opening)

// noting writes down what is between us and PostgreSQL.
func noting(pooler *store.Pooler) poolOption {
	return func(o *opening) { o.pooler = pooler }
}

// telling has found told what the way to the database is like.
func telling(found func(finding)) poolOption {
	return func(o *opening) { o.found = found }
}

// measured has a service make sure of its connections before it uses them, and log
// what it finds.
func measured(cfg config.Config, logger *slog.Logger) poolOption {
	return func(o *opening) {
		o.measured = true
		if cfg.DatabaseDirectURL.Reveal() == "" {
			o.beside = directConnections
		}
		o.found = func(f finding) {
			if f.State == stateOK {
				logger.Info(f.Says)
				return
			}
			logger.Warn(f.Says, "do", f.Do)
		}
	}
}

// withTracer has statements traced; by nobody when tracer is nil.
func withTracer(tracer pgx.QueryTracer) poolOption {
	return func(o *opening) { o.ConnConfig.Tracer = tracer }
}

// withCredentials has each new connection log in with what the address says then:
// a password may change while the process runs, and where the database is may not.
func withCredentials(current func() config.Secret) poolOption {
	return func(o *opening) {
		o.BeforeConnect = func(_ context.Context, conn *pgx.ConnConfig) error {
			now, err := pgx.ParseConfig(current().Reveal())
			if err != nil {
				return errors.New("the database's address cannot be read")
			}
			conn.User, conn.Password = now.User, now.Password
			return nil
		}
	}
}

// openPool connects to DATABASE_URL. connections is how many it may open, for
// an address that does not say so itself by pool_max_conns.
func openPool(ctx context.Context, database config.Database, connections int, settings map[string]string, opts ...poolOption) (*pgxpool.Pool, error) {
	return openAddress(ctx, database, "DATABASE_URL", connections, settings, opts...)
}

// openDirect connects to where a session is ours alone: to DATABASE_DIRECT_URL, else to
// DATABASE_URL.
func openDirect(ctx context.Context, database config.Database, connections int, settings map[string]string, opts ...poolOption) (*pgxpool.Pool, error) {
	opts = append(opts, func(o *opening) { o.direct = true })
	return openAddress(ctx, database, directURL, connections, settings, opts...)
}

// directURL is the variable of the address past a pooler.
const directURL = "DATABASE_DIRECT_URL"

func openAddress(ctx context.Context, database config.Database, variable string, connections int, settings map[string]string, opts ...poolOption) (*pgxpool.Pool, error) {
	address := database.DatabaseURL.Reveal()
	if variable == directURL {
		address = database.Direct().Reveal()
	}
	cfg, err := pgxpool.ParseConfig(address)
	if err != nil {
		return nil, errors.New(variable + " cannot be read")
	}
	o := opening{Config: cfg, settings: map[string]string{}, found: func(finding) {}, pooler: new(store.Pooler)}
	for _, opt := range opts {
		opt(&o)
	}
	for name, value := range settings {
		if cfg.ConnConfig.RuntimeParams[name] == "" {
			o.settings[name] = value
		}
	}
	// Ours whatever the address, the role or the database says: names without a
	// schema are our tables, and never somebody else's beside them.
	o.settings["search_path"] = database.DatabaseSchema
	delete(cfg.ConnConfig.RuntimeParams, "search_path")
	if cfg.ConnConfig.RuntimeParams["application_name"] == "" {
		cfg.ConnConfig.RuntimeParams["application_name"] = sessionName
	}
	if !strings.Contains(address, "pool_max_conns") {
		cfg.MaxConns = int32(connections) //nolint:gosec // bounded by the configuration's checks
	} else if o.measured && int(cfg.MaxConns) < connections {
		o.found(poolTooSmall(fmt.Sprintf("pool_max_conns in %s is %d", variable, cfg.MaxConns), connections, "raise it, or lower WORKERS"))
	}
	*o.pooler = store.PoolerNone
	pool, pooled, err := o.straight(ctx)
	if err == nil && !pooled {
		return pool, nil
	}
	if err == nil {
		pool.Close()
	} else if !refusesSettings(err) {
		return nil, err
	}
	return o.throughPooler(ctx, database, variable, address)
}

// straight connects as PostgreSQL itself is connected to: the settings come with the
// start of the session.
func (o *opening) straight(ctx context.Context) (_ *pgxpool.Pool, pooled bool, err error) {
	cfg := o.Copy()
	maps.Copy(cfg.ConnConfig.RuntimeParams, o.settings)
	pool, err := connectPool(ctx, cfg)
	if err != nil {
		return nil, false, err
	}
	err = pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
		pooled, err = store.Pooled(ctx, conn.Conn())
		return err
	})
	if err != nil {
		pool.Close()
		return nil, false, err
	}
	return pool, pooled, nil
}

// connectPool makes a pool whose database answers.
func connectPool(ctx context.Context, cfg *pgxpool.Config) (*pgxpool.Pool, error) {
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

// sessionName is what the sessions of our processes call themselves.
const sessionName = "conciliar"

// withName has sessions call themselves by another name.
func withName(name string) poolOption {
	return func(o *opening) { o.ConnConfig.RuntimeParams["application_name"] = name }
}

// requireSteps fails when the schema is behind what this binary needs, or when the
// installation is in another schema than the default. One that is ahead will do: a
// release that was rolled back must start.
func requireSteps(ctx context.Context, pool *pgxpool.Pool) error {
	if err := requirePlace(ctx, pool); err != nil {
		return err
	}
	pending, err := migrations.Pending(ctx, pool)
	if err != nil {
		return err
	}
	if len(pending) > 0 {
		return fmt.Errorf("the database's schema is %d steps behind this release; run 'conciliar migrate' first", len(pending))
	}
	return nil
}

// requireSchema is requireSteps, and fails also when a table or a column is gone that a
// step has made.
func requireSchema(ctx context.Context, pool *pgxpool.Pool) error {
	if err := requireSteps(ctx, pool); err != nil {
		return err
	}
	missing, err := migrations.Missing(ctx, pool)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return fmt.Errorf("the database's schema lacks what its steps have made: %s; restore it from a backup", strings.Join(missing, ", "))
	}
	return nil
}

// requirePlace fails when the default schema holds no installation and another one
// does: one from before there were schemas, or one whose DATABASE_SCHEMA was forgotten.
func requirePlace(ctx context.Context, pool *pgxpool.Pool) error {
	found, err := migrations.Find(ctx, pool)
	if err != nil || found.Here || found.Schema != config.DefaultSchema || len(found.Elsewhere) == 0 {
		return err
	}
	return config.Problems{{Variable: "DATABASE_SCHEMA", Text: fmt.Sprintf(
		"is %[1]s, which holds no installation, and the schema %[2]s holds one: stop every process and run 'conciliar migrate --move-from %[2]s', or set DATABASE_SCHEMA=%[2]s and leave it there",
		found.Schema, found.Elsewhere[0])}}
}

// moveHere moves an installation into the schema that is configured.
func moveHere(ctx context.Context, pool *pgxpool.Pool, from string, logger *slog.Logger) error {
	return migrations.Relocate(ctx, pool, migrations.Move{From: from, Queues: jobs.Queues(), SignsOfLife: func(ctx context.Context, tx pgx.Tx) ([]string, error) {
		return store.SignsOfLife(ctx, tx, sessionName)
	}}, logger)
}
