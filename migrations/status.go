package migrations

import (
	"context"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// riverApplied reads River's history without creating anything: asking for the
// status must work with a login that may only read.
func riverApplied(ctx context.Context, pool *pgxpool.Pool, schema string) (map[int64]*time.Time, error) {
	in := qualified(schema, "river_migration")
	return applied(ctx, pool, in, "SELECT version, created_at FROM "+in+" WHERE line = 'main'")
}

func ourApplied(ctx context.Context, pool *pgxpool.Pool, schema string) (map[int64]*time.Time, error) {
	in := qualified(schema, table)
	return applied(ctx, pool, in, "SELECT version_id, tstamp AT TIME ZONE current_setting('TimeZone') FROM "+in+" WHERE is_applied")
}

func applied(ctx context.Context, pool *pgxpool.Pool, in, query string) (map[int64]*time.Time, error) {
	var exists bool
	if err := pool.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", in).Scan(&exists); err != nil {
		return nil, fmt.Errorf("migrate: status: %w", err)
	}
	versions := map[int64]*time.Time{}
	if !exists {
		return versions, nil
	}
	rows, err := pool.Query(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("migrate: status: %w", err)
	}
	var version int64
	var at time.Time
	if _, err := pgx.ForEachRow(rows, []any{&version, &at}, func() error {
		when := at.UTC()
		versions[version] = &when
		return nil
	}); err != nil {
		return nil, fmt.Errorf("migrate: status: %w", err)
	}
	return versions, nil
}

// sources lists our own steps from their file names: 00001_inbox.sql.
func sources() ([]Step, error) {
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return nil, fmt.Errorf("migrate: embedded files: %w", err)
	}
	steps := make([]Step, 0, len(entries))
	for _, e := range entries {
		number, name, ok := strings.Cut(strings.TrimSuffix(e.Name(), ".sql"), "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if !ok || err != nil {
			return nil, fmt.Errorf("migrate: embedded file %q is not named <number>_<name>.sql", e.Name())
		}
		steps = append(steps, Step{Line: "conciliar", Version: version, Name: strings.ReplaceAll(name, "_", " ")})
	}
	return steps, nil
}
