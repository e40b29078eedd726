package migrations

import (
	"context"
	_ "embed"
	"slices"
	"strconv"
	"strings"
)

// catalogueText names everything that the steps make, one object a line with the step
// that made it: "table orders conciliar 2". A test writes it (make catalogue).
//
//go:embed catalogue.txt
var catalogueText string

// An object is what a schema holds: a table, a view, a sequence of its own, a function,
// a type, or a column, whose name is "table.column".
type object struct{ Kind, Name string }

// A catalogued object is one of ours.
type catalogued struct {
	object
	// line and version are the step that makes it. Version 0 of ours is the table that
	// remembers our steps.
	line    string
	version int64
}

// catalogue lists all our objects.
func catalogue() []catalogued {
	var all []catalogued
	for line := range strings.Lines(catalogueText) {
		f := strings.Fields(line)
		version, err := strconv.ParseInt(f[3], 10, 64)
		if err != nil {
			panic("migrations: catalogue.txt: " + err.Error())
		}
		all = append(all, catalogued{object{f[0], f[1]}, f[2], version})
	}
	return all
}

// objectsIn is a query for the objects of schema $1. What belongs to another object,
// as an index and an identity's sequence do, is not listed.
const objectsIn = `
	SELECT CASE relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence' ELSE 'table' END AS kind,
	       relname::text AS name, relowner AS owner, oid, 'pg_class'::regclass AS catalog
	FROM pg_class c
	WHERE relnamespace = to_regnamespace($1) AND relkind IN ('r', 'p', 'v', 'm', 'S')
	  AND NOT (relkind = 'S' AND EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype IN ('a', 'i')))
	UNION ALL
	SELECT 'function', proname::text, proowner, oid, 'pg_proc'::regclass FROM pg_proc WHERE pronamespace = to_regnamespace($1)
	UNION ALL
	SELECT 'type', typname::text, typowner, oid, 'pg_type'::regclass FROM pg_type WHERE typnamespace = to_regnamespace($1) AND typtype IN ('e', 'd')
	UNION ALL
	SELECT 'column', c.relname || '.' || a.attname, c.relowner, c.oid, 'pg_class'::regclass
	FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND attnum > 0 AND NOT attisdropped
	WHERE c.relnamespace = to_regnamespace($1) AND relkind IN ('r', 'p', 'v', 'm')`

// ours narrows objectsIn to our objects, whose kinds and names are $2 and $3.
const ours = `SELECT * FROM (` + objectsIn + `) o JOIN unnest($2::text[], $3::text[]) AS ours (kind, name) USING (kind, name)`

// ourArguments are the arguments of a query with ours.
func ourArguments(schema string, objects []catalogued) []any {
	kinds, names := make([]string, len(objects)), make([]string, len(objects))
	for i, o := range objects {
		kinds[i], names[i] = o.Kind, o.Name
	}
	return []any{schema, kinds, names}
}

// Missing returns what the schema lacks of what this release uses, as words such as
// "table orders". Columns of a table that is missing are not listed. It is of use once
// no step is pending: what Pending knows is not said twice.
func Missing(ctx context.Context, db Querier) ([]string, error) {
	schema, err := schemaOf(ctx, db)
	if err != nil {
		return nil, err
	}
	missing, err := readTexts(ctx, db, `
		SELECT kind || ' ' || name FROM unnest($2::text[], $3::text[]) AS wanted (kind, name)
		WHERE NOT EXISTS (SELECT FROM (`+objectsIn+`) o WHERE o.kind = wanted.kind AND o.name = wanted.name)
		ORDER BY kind = 'column', 1`, ourArguments(schema, catalogue())...)
	if err != nil {
		return nil, err
	}
	return withoutTheirColumns(missing), nil
}

// withoutTheirColumns leaves out the columns of tables that are listed before them.
func withoutTheirColumns(names []string) []string {
	whole := map[string]bool{}
	return slices.DeleteFunc(names, func(object string) bool {
		kind, name, _ := strings.Cut(object, " ")
		table, _, _ := strings.Cut(name, ".")
		whole[name] = true
		return kind == "column" && whole[table]
	})
}
