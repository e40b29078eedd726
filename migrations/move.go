package migrations

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// lockPatience is how long a move waits for a table that somebody uses.
const lockPatience = "10s"

// A Move is what Relocate needs to know.
type Move struct {
	// From is the schema that the installation is in. It goes to the one that the
	// pool's sessions look in.
	From string
	// Queues are patterns (LIKE) of our queues' names: jobs in others make River's
	// tables somebody else's.
	Queues []string
	// SignsOfLife says by what a process of ours lives, of the installation that tx
	// looks at.
	SignsOfLife func(ctx context.Context, tx pgx.Tx) ([]string, error)
}

// Relocate moves an installation into the schema that the pool's sessions look in, in
// one transaction: all of it or nothing. It is refused with a RefusedError while a
// process of ours lives. What others have in the schema that it leaves stays there;
// roles with rights to a table may use the new schema. Steps that the installation
// lacks are not applied: Up does.
func Relocate(ctx context.Context, pool *pgxpool.Pool, move Move, logger *slog.Logger) error {
	conn, schema, err := lock(ctx, pool)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		r := &relocation{Move: move, preflight: preflight{schema: schema}, tx: tx}
		if err := r.check(ctx, logger); err != nil {
			return err
		}
		return r.do(ctx)
	})
	if err != nil {
		return err
	}
	logger.InfoContext(ctx, "installation moved", "from", move.From, "to", schema)
	return nil
}

// A relocation is one move under way. schema is where it goes.
type relocation struct {
	Move
	preflight
	tx pgx.Tx
}

// check finds everything that is in the way before anything is changed.
func (r *relocation) check(ctx context.Context, logger *slog.Logger) error {
	held, err := holders(ctx, r.tx)
	if err != nil {
		return err
	}
	here, there := false, false
	for _, schema := range held {
		here, there = here || schema == r.schema, there || schema == r.From
	}
	switch {
	case !there:
		r.refuse("the schema %s holds no installation", r.From)
		return r.err()
	case here:
		r.refuse("the schema %s holds an installation already: set DATABASE_SCHEMA to another name", r.schema)
		return r.err()
	}
	for _, look := range []func(context.Context) error{
		func(ctx context.Context) error { return r.begin(ctx, r.tx, logger) },
		func(ctx context.Context) error { return r.rights(ctx, r.tx) },
		func(ctx context.Context) error { return r.names(ctx, r.tx, catalogue()) },
		func(ctx context.Context) error { return r.ownership(ctx, r.tx, r.From) },
		r.known, r.shared, r.alive,
	} {
		if err := look(ctx); err != nil {
			return err
		}
	}
	return r.err()
}

// known demands that this release knows every step that was applied.
func (r *relocation) known(ctx context.Context) error {
	steps, err := sources()
	if err != nil {
		return err
	}
	var newer bool
	err = r.tx.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM `+qualified(r.From, table)+` WHERE version_id > $1)
		    OR EXISTS (SELECT FROM `+qualified(r.From, "river_migration")+` WHERE version > $2)`,
		steps[len(steps)-1].Version, len(riverVersions())).Scan(&newer)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if newer {
		r.refuse("a newer release migrated %s: move it with that release", r.From)
	}
	return nil
}

// shared demands that nobody else works with River's tables.
func (r *relocation) shared(ctx context.Context) error {
	foreign, err := readTexts(ctx, r.tx, `
		SELECT queue FROM (SELECT queue FROM `+qualified(r.From, "river_job")+` UNION SELECT name FROM `+qualified(r.From, "river_queue")+`) q
		WHERE queue NOT LIKE ALL ($1) ORDER BY 1`, r.Queues)
	if err != nil {
		return err
	}
	if len(foreign) > 0 {
		r.refuse("a program of yours works with River's tables in %s (queues %s), which Conciliar's jobs are in as well: set DATABASE_SCHEMA=%s and leave them there",
			r.From, some(foreign), r.From)
	}
	return nil
}

// alive demands that no process of ours lives.
func (r *relocation) alive(ctx context.Context) error {
	if err := r.exec(ctx, []string{"SET LOCAL search_path TO " + qualified(r.From)}); err != nil {
		return err
	}
	found, err := r.SignsOfLife(ctx, r.tx)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if err := r.exec(ctx, []string{"SET LOCAL search_path TO " + qualified(r.schema)}); err != nil {
		return err
	}
	if len(found) > 0 {
		r.refuse("a process works with %s: stop every process, and move again (after a crash, a minute later): %s", r.From, some(found))
	}
	return nil
}

// do moves. Nobody reads or writes meanwhile.
func (r *relocation) do(ctx context.Context) error {
	if err := create(ctx, r.tx, r.schema); err != nil {
		return err
	}
	objects, err := r.objects(ctx)
	if err != nil {
		return err
	}
	statements := []string{"SET LOCAL lock_timeout = '" + lockPatience + "'"}
	for _, o := range objects {
		if o.kind == "table" {
			statements = append(statements, "LOCK TABLE "+o.named+" IN ACCESS EXCLUSIVE MODE")
		}
	}
	if err := r.exec(ctx, statements); err != nil {
		return err
	}
	// Who started since the check is waiting for a table, or was too early.
	if err := r.alive(ctx); err != nil {
		return err
	}
	if err := r.err(); err != nil {
		return err
	}
	usable, err := r.users(ctx)
	if err != nil {
		return err
	}
	statements = usable
	for _, o := range objects {
		statements = append(statements, "ALTER "+strings.ToUpper(o.kind)+" "+o.named+" SET SCHEMA "+qualified(r.schema))
	}
	if err := r.exec(ctx, statements); err != nil {
		return err
	}
	return r.exec(ctx, []string{`
		DO $$ DECLARE f regprocedure; BEGIN
			FOR f IN SELECT oid FROM pg_proc WHERE pronamespace = current_schema()::regnamespace AND array_to_string(proconfig, ' ') LIKE 'search_path=%' LOOP
				EXECUTE format('ALTER FUNCTION %s SET search_path FROM CURRENT', f);
			END LOOP;
		END $$`})
}

// A moved object, as an ALTER names it.
type moved struct{ kind, named string }

// objects lists what of ours is there.
func (r *relocation) objects(ctx context.Context) ([]moved, error) {
	rows, err := r.tx.Query(ctx, `
		SELECT kind, CASE kind WHEN 'function' THEN oid::regprocedure::text ELSE format('%I.%I', $1::text, name) END
		FROM (`+ours+`) o WHERE kind <> 'column' ORDER BY kind = 'view', kind, name`, ourArguments(r.From, catalogue())...)
	if err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (o moved, err error) {
		return o, row.Scan(&o.kind, &o.named)
	})
}

// users lets every role that owns a table or has rights to it use the schema: rights
// go with the table, and are worth nothing without that.
func (r *relocation) users(ctx context.Context) ([]string, error) {
	return readTexts(ctx, r.tx, `
		SELECT DISTINCT format('GRANT USAGE ON SCHEMA %I TO %s', current_schema(), CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END)
		FROM (
			SELECT acl.grantee FROM (`+ours+`) o JOIN pg_class c ON c.oid = o.oid AND o.catalog = 'pg_class'::regclass
			CROSS JOIN aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) acl
			UNION
			SELECT acl.grantee FROM (`+ours+`) o JOIN pg_attribute a ON a.attrelid = o.oid AND o.catalog = 'pg_class'::regclass
			CROSS JOIN aclexplode(a.attacl) acl
		) granted
		WHERE CASE grantee WHEN 0 THEN true ELSE NOT has_schema_privilege(grantee, current_schema(), 'USAGE') END`,
		ourArguments(r.From, catalogue())...)
}

func (r *relocation) exec(ctx context.Context, statements []string) error {
	for _, statement := range statements {
		if _, err := r.tx.Exec(ctx, statement); err != nil {
			return fmt.Errorf("migrate: nothing was moved: %s: %w", statement, err)
		}
	}
	return nil
}
