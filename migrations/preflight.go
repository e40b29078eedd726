package migrations

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

const (
	// OldestPostgreSQL is the oldest version that the steps run on, and newestKnown the
	// newest that this release was tested with, as server_version_num has them.
	OldestPostgreSQL = 140000
	newestKnown      = 189999
)

// A RefusedError means that a schema was not touched, because something is in the way
// of steps that are still to be applied.
type RefusedError struct {
	// Problems are what is in the way, each with what to do about it.
	Problems []string
}

func (e *RefusedError) Error() string {
	return "the schema was not changed:\n  " + strings.Join(e.Problems, "\n  ")
}

// A preflight collects what is in the way before the first step.
type preflight struct {
	schema   string
	problems []string
	// login and database are who we are, and where.
	login, database string
}

func (p *preflight) refuse(format string, args ...any) {
	p.problems = append(p.problems, fmt.Sprintf(format, args...))
}

func (p *preflight) err() error {
	if len(p.problems) == 0 {
		return nil
	}
	return &RefusedError{p.problems}
}

// begin learns who we are, and demands a PostgreSQL that the steps run on.
func (p *preflight) begin(ctx context.Context, db Querier, logger *slog.Logger) error {
	var version int
	var plpgsql bool
	err := db.QueryRow(ctx, `
		SELECT current_user, current_database(), current_setting('server_version_num')::int,
		       EXISTS (SELECT FROM pg_language WHERE lanname = 'plpgsql' AND has_language_privilege(oid, 'USAGE'))`).
		Scan(&p.login, &p.database, &version, &plpgsql)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	switch {
	case version < OldestPostgreSQL:
		p.refuse("PostgreSQL %d is too old: use 14 or newer", version/10000)
	case version > newestKnown:
		logger.WarnContext(ctx, "this release was tested with PostgreSQL 14 to 18", "version", version/10000)
	}
	if !plpgsql {
		p.refuse("the role %s may not write functions: GRANT USAGE ON LANGUAGE plpgsql TO %s", p.login, quote(p.login))
	}
	return nil
}

// rights demands that the schema can be made, or that something can be made in it.
func (p *preflight) rights(ctx context.Context, db Querier) error {
	var exists, creatable, usable bool
	err := db.QueryRow(ctx, `
		SELECT to_regnamespace($1) IS NOT NULL, has_database_privilege(current_database(), 'CREATE'),
		       coalesce(has_schema_privilege(to_regnamespace($1), 'CREATE') AND has_schema_privilege(to_regnamespace($1), 'USAGE'), false)`, p.schema).
		Scan(&exists, &creatable, &usable)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	switch {
	case !exists && !creatable:
		p.refuse("the role %s may not create the schema %s: as the database's owner, CREATE SCHEMA %s AUTHORIZATION %s, or GRANT CREATE ON DATABASE %s TO %s",
			p.login, p.schema, p.schema, quote(p.login), quote(p.database), quote(p.login))
	case exists && !usable:
		p.refuse("the role %s may not create anything in the schema %s: GRANT USAGE, CREATE ON SCHEMA %s TO %s", p.login, p.schema, p.schema, quote(p.login))
	}
	return nil
}

// names demands that what is still to be made is not there yet.
func (p *preflight) names(ctx context.Context, db Querier, unmade []catalogued) error {
	found, err := named(ctx, db, `true`, p.schema, unmade)
	if err != nil {
		return err
	}
	if len(found) > 0 {
		p.refuse("in the schema %s these names are taken: %s. Set DATABASE_SCHEMA to another name", p.schema, some(found))
	}
	return nil
}

// ownership demands that what is there of ours is ours to change.
func (p *preflight) ownership(ctx context.Context, db Querier, schema string) error {
	found, err := named(ctx, db, `kind <> 'column' AND NOT pg_has_role(owner, 'USAGE')`, schema, catalogue())
	if err != nil {
		return err
	}
	if len(found) > 0 {
		p.refuse("the role %s does not own all that is in the schema %s: %s. Migrate as the owner, or GRANT the owner's role TO %s", p.login, schema, some(found), quote(p.login))
	}
	return nil
}

// named returns which of our objects are in the schema and meet a condition, as words
// such as "table orders".
func named(ctx context.Context, db Querier, condition, schema string, objects []catalogued) ([]string, error) {
	found, err := readTexts(ctx, db, `SELECT kind || ' ' || name FROM (`+ours+`) o WHERE `+condition+` ORDER BY kind = 'column', kind, name`, ourArguments(schema, objects)...)
	if err != nil {
		return nil, err
	}
	return withoutTheirColumns(found), nil
}

// checkUp looks at everything that could stop these steps halfway, before the first.
func checkUp(ctx context.Context, db Querier, schema string, steps []Step, logger *slog.Logger) error {
	pending := map[string]bool{}
	for _, s := range steps {
		pending[stepKey(s.Line, s.Version)] = true
	}
	held, err := holders(ctx, db)
	if err != nil {
		return err
	}
	p := &preflight{schema: schema}
	if err := p.begin(ctx, db, logger); err != nil {
		return err
	}
	if err := p.rights(ctx, db); err != nil {
		return err
	}
	unmade := catalogue()
	// Where no step of ours is remembered, River's are somebody else's.
	if slices.Contains(held, schema) {
		if err := p.ownership(ctx, db, schema); err != nil {
			return err
		}
		unmade = slices.DeleteFunc(unmade, func(o catalogued) bool {
			return !pending[stepKey(o.line, o.version)] || o.line == "conciliar" && repeatable(o.version)
		})
	}
	if err := p.names(ctx, db, unmade); err != nil {
		return err
	}
	return p.err()
}

// repeatable reports whether a step of ours may have been broken off halfway and is
// written to be run again.
func repeatable(version int64) bool {
	names, err := fs.Glob(files, fmt.Sprintf("%05d_*.sql", version))
	if err != nil || len(names) != 1 {
		return false
	}
	text, err := files.ReadFile(names[0])
	return err == nil && strings.Contains(string(text), "\n-- +goose NO TRANSACTION\n")
}

func stepKey(line string, version int64) string { return fmt.Sprintf("%s %d", line, version) }

// some lists names, and of many only the first.
func some(names []string) string {
	const most = 8
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}

func quote(identifier string) string { return pgx.Identifier{identifier}.Sanitize() }
