package migrations

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// schemaName is a schema's name that needs no quotes anywhere.
var schemaName = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

// A Querier is a connection, a pool or a transaction.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// schemaOf returns the one schema that sessions look in. With more than one it would
// depend on what is in them whose tables are meant.
func schemaOf(ctx context.Context, q Querier) (string, error) {
	var path string
	if err := q.QueryRow(ctx, "SELECT current_setting('search_path')").Scan(&path); err != nil {
		return "", fmt.Errorf("migrate: search_path: %w", err)
	}
	if name := strings.Trim(path, `"`); schemaName.MatchString(name) {
		return name, nil
	}
	return "", fmt.Errorf("migrate: the session's search_path is %q, and must be one schema: does a connection pooler drop it?", path)
}

// Installation says where an installation of ours is in this database.
type Installation struct {
	// Schema is where the sessions look.
	Schema string
	// Here is true when it is there. Elsewhere are the other schemas that hold one,
	// public first.
	Here      bool
	Elsewhere []string
}

// Find looks for installations.
func Find(ctx context.Context, db Querier) (Installation, error) {
	schema, err := schemaOf(ctx, db)
	if err != nil {
		return Installation{}, err
	}
	held, err := holders(ctx, db)
	if err != nil {
		return Installation{}, err
	}
	found := Installation{Schema: schema, Here: slices.Contains(held, schema)}
	found.Elsewhere = slices.DeleteFunc(held, func(s string) bool { return s == schema })
	return found, nil
}

// holders are the schemas with the table that remembers our steps, public first.
func holders(ctx context.Context, db Querier) ([]string, error) {
	return readTexts(ctx, db, `
		SELECT nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE relname = $1 AND relkind = 'r' ORDER BY nspname <> 'public', nspname`, table)
}

// readTexts reads the one column of the rows that a query finds.
func readTexts(ctx context.Context, db Querier, query string, args ...any) ([]string, error) {
	rows, err := db.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	return found, nil
}

// create makes the schema unless it is there.
func create(ctx context.Context, db interface {
	Querier
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}, schema string) error {
	var exists bool
	if err := db.QueryRow(ctx, "SELECT to_regnamespace($1) IS NOT NULL", schema).Scan(&exists); err != nil || exists {
		return err
	}
	// IF NOT EXISTS would ask for the right to create it even when it is there.
	if _, err := db.Exec(ctx, "CREATE SCHEMA "+qualified(schema)); err != nil {
		return fmt.Errorf("migrate: create the schema %s: %w", schema, err)
	}
	return nil
}

// undoesTables fails where a transaction that is rolled back leaves its tables behind,
// as in a database that only speaks PostgreSQL's protocol: a step that fails would leave
// half of itself.
func undoesTables(ctx context.Context, conn *pgx.Conn, schema string) error {
	const name = "conciliar_trial"
	tx, err := conn.Begin(ctx)
	if err != nil {
		return fmt.Errorf("migrate: try a transaction: %w", err)
	}
	defer func() { _ = tx.Rollback(ctx) }()
	if _, err := tx.Exec(ctx, "CREATE TABLE "+qualified(schema, name)+" ()"); err != nil {
		return fmt.Errorf("migrate: try to create a table in the schema %s: %w", schema, err)
	}
	if err := tx.Rollback(ctx); err != nil {
		return fmt.Errorf("migrate: try a transaction: %w", err)
	}
	var stays bool
	if err := conn.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", schema+"."+name).Scan(&stays); err != nil {
		return fmt.Errorf("migrate: try a transaction: %w", err)
	}
	if !stays {
		return nil
	}
	if _, err := conn.Exec(ctx, "DROP TABLE "+qualified(schema, name)); err != nil {
		return fmt.Errorf("migrate: drop %s: %w", name, err)
	}
	return errors.New("migrate: the database is not PostgreSQL in what migrations rest on: a transaction that is rolled back leaves its tables behind; use PostgreSQL 14 to 18")
}

func qualified(name ...string) string { return pgx.Identifier(name).Sanitize() }
