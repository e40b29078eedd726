package migrations

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"
)

// schemaName is a schema's name that needs no quotes anywhere.
var schemaName = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

// A querier is a connection, a pool or a transaction.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// schemaOf returns the one schema that sessions look in. With more than one it would
// depend on what is in them whose tables are meant.
func schemaOf(ctx context.Context, q querier) (string, error) {
	var path string
	if err := q.QueryRow(ctx, "SELECT current_setting('search_path')").Scan(&path); err != nil {
		return "", fmt.Errorf("migrate: search_path: %w", err)
	}
	if name := strings.Trim(path, `"`); schemaName.MatchString(name) {
		return name, nil
	}
	return "", fmt.Errorf("migrate: the session's search_path is %q, and must be one schema: does a connection pooler drop it?", path)
}

// create makes the schema unless it is there.
func create(ctx context.Context, conn *pgx.Conn, schema string) error {
	var exists bool
	if err := conn.QueryRow(ctx, "SELECT to_regnamespace($1) IS NOT NULL", schema).Scan(&exists); err != nil || exists {
		return err
	}
	// IF NOT EXISTS would ask for the right to create it even when it is there.
	if _, err := conn.Exec(ctx, "CREATE SCHEMA "+qualified(schema)); err != nil {
		return fmt.Errorf("migrate: create the schema %s: %w", schema, err)
	}
	return nil
}

func qualified(name ...string) string { return pgx.Identifier(name).Sanitize() }
