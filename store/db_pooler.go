package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// A Pooler is what stands between a process and PostgreSQL, by how long it keeps a
// session of PostgreSQL's with one of ours (PgBouncer's documentation, "pool_mode").
type Pooler string

// The poolers. One that keeps a session for a single statement lets no transaction
// begin, and is an error.
const (
	// PoolerNone is none: a session of ours is one of PostgreSQL's.
	PoolerNone Pooler = "none"
	// PoolerSession keeps it for as long as we are connected.
	PoolerSession Pooler = "session"
	// PoolerTransaction keeps it for one transaction: settings, named statements, locks
	// of a session and LISTEN are lost, or somebody else's.
	PoolerTransaction Pooler = "transaction"
)

const (
	// poolerLooks is how often a pooler is looked at until its sessions count as ours:
	// another process may take the session between two of our statements, never five
	// times in a row.
	poolerLooks = 5
	// poolerWait is how long a second connection is waited for: a pooler that has none
	// left lets us wait for minutes.
	poolerWait = 5 * time.Second
)

// errPoolerFull means that a pooler has one connection for us and no second.
var errPoolerFull = errors.New("the pooler has no second connection for us: raise its pool size")

// Pooled reports whether something stands between a connection and PostgreSQL that
// speaks for itself: PostgreSQL tells each session the number of the process behind it,
// and a pooler tells one of its own.
func Pooled(ctx context.Context, conn *pgx.Conn) (bool, error) {
	backend, err := backendOf(ctx, conn)
	return err == nil && backend != conn.PgConn().PID(), wrap(err, "look for a pooler")
}

// PoolerOf tells which pooler is behind an address that has one.
func PoolerOf(ctx context.Context, config *pgx.ConnConfig) (Pooler, error) {
	one, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return "", err
	}
	defer hangUp(ctx, one)
	other, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return "", err
	}
	defer hangUp(ctx, other)
	for range poolerLooks {
		shared, err := sharesSession(ctx, one, other)
		if err != nil || shared {
			return PoolerTransaction, wrap(err, "look at the pooler")
		}
	}
	return PoolerSession, nil
}

// sharesSession reports whether a connection's session of PostgreSQL is given to
// another one while the first has no transaction open.
func sharesSession(ctx context.Context, one, other *pgx.Conn) (bool, error) {
	before, err := backendOf(ctx, one)
	if err != nil {
		return false, err
	}
	waiting, cancel := context.WithTimeout(ctx, poolerWait)
	defer cancel()
	if _, err := other.Exec(waiting, "BEGIN"); err != nil {
		if waiting.Err() != nil && ctx.Err() == nil {
			return false, errPoolerFull
		}
		return false, err
	}
	// The connection may be broken, and then nothing is left of the transaction.
	defer func() { _, _ = other.Exec(ctx, "ROLLBACK") }()
	taken, err := backendOf(ctx, other)
	if err != nil || taken == before {
		return err == nil, err
	}
	after, err := backendOf(ctx, one)
	return err == nil && after != before, err
}

// backendOf is the number of the process that serves a statement. It asks by the
// simple protocol: a pooler may know no named statement.
func backendOf(ctx context.Context, conn *pgx.Conn) (pid uint32, err error) {
	return pid, conn.QueryRow(ctx, "SELECT pg_backend_pid()", pgx.QueryExecModeSimpleProtocol).Scan(&pid)
}

// ApplySettings sets settings for the length of a connection's session.
func ApplySettings(ctx context.Context, conn *pgx.Conn, settings map[string]string) error {
	names, values := namesAndValues(settings)
	_, err := conn.Exec(ctx, `SELECT set_config(name, value, false) FROM unnest($1::text[], $2::text[]) AS s(name, value)`,
		pgx.QueryExecModeExec, names, values)
	return wrap(err, "set up a session")
}

// DifferingSettings returns which of the settings have another value in the sessions
// that a database gives, by name in order.
func DifferingSettings(ctx context.Context, conn *pgx.Conn, settings map[string]string) ([]string, error) {
	names, values := namesAndValues(settings)
	// What set_config returns is written as current_setting writes it; it lasts until
	// the statement's end.
	rows, _ := conn.Query(ctx, `
		SELECT name, current_setting(name), set_config(name, value, true)
		FROM unnest($1::text[], $2::text[]) AS s(name, value)`, pgx.QueryExecModeExec, names, values)
	var differing []string
	var name, is, wanted string
	_, err := pgx.ForEachRow(rows, []any{&name, &is, &wanted}, func() error {
		if is != wanted {
			differing = append(differing, name)
		}
		return nil
	})
	return differing, wrap(err, "read a session's settings")
}

func namesAndValues(settings map[string]string) (names, values []string) {
	for name := range settings {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		values = append(values, settings[name])
	}
	return names, values
}

// RoleSettings is the SQL that makes settings a role's in one database, for an
// operator to run.
func RoleSettings(ctx context.Context, conn *pgx.Conn, settings map[string]string, names []string) (string, error) {
	var role, database string
	err := conn.QueryRow(ctx, `SELECT quote_ident(current_user::text), quote_ident(current_database()::text)`, pgx.QueryExecModeExec).Scan(&role, &database)
	if err != nil {
		return "", wrap(err, "name the role and the database")
	}
	var sql string
	for _, name := range names {
		sql += fmt.Sprintf("ALTER ROLE %s IN DATABASE %s SET %s = '%s'; ", role, database, name, settings[name])
	}
	return sql[:max(0, len(sql)-1)], nil
}
