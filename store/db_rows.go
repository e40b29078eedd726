package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/shopspring/decimal"
)

// A column is one of the values that rows of a kind are written with.
type column[T any] struct {
	name, sqlType string
	one           func(T) any
	many          func([]T) any
}

// value is a column with the type that it has in SQL, and where its value comes from.
func value[T, V any](name, sqlType string, of func(T) V) column[T] {
	return column[T]{
		name: name, sqlType: sqlType,
		one: func(row T) any { return of(row) },
		many: func(rows []T) any {
			values := make(pgtype.FlatArray[V], len(rows)) // of a plain slice pgx asks reflection for each value
			for i, row := range rows {
				values[i] = of(row)
			}
			return values
		},
	}
}

// money is a numeric column; an amount that isn't valid is NULL. It is sent as text,
// which is what a decimal is made into anyway: as a driver.Valuer each of an array is
// tried as what it is not first.
func money[T any](name string, of func(T) decimal.NullDecimal) column[T] {
	return column[T]{
		name: name, sqlType: "numeric",
		one: func(row T) any {
			if amount := of(row); amount.Valid {
				return amount.Decimal.String()
			}
			return nil
		},
		many: func(rows []T) any {
			values := make([]string, len(rows))
			for i, row := range rows {
				values[i] = "NULL"
				if amount := of(row); amount.Valid {
					values[i] = amount.Decimal.String()
				}
			}
			return "{" + strings.Join(values, ",") + "}"
		},
	}
}

// A rowsStatement writes rows of a kind: one by its values, so that the plan is that of
// one row, and several by an array for each column.
type rowsStatement[T any] struct {
	columns   []column[T]
	one, many string
}

// writeRows makes a statement of what rows are to be written: write is given the rows as
// a relation x, which has their place n beside their columns. args is how many parameters
// of its own the statement has, which come first.
func writeRows[T any](columns []column[T], args int, write func(x string) string) rowsStatement[T] {
	one, many, names := make([]string, len(columns)), make([]string, len(columns)), make([]string, len(columns))
	for i, c := range columns {
		one[i] = fmt.Sprintf("$%d::%s AS %s", args+i+1, c.sqlType, c.name)
		many[i] = fmt.Sprintf("$%d::%s[]", args+i+1, c.sqlType)
		names[i] = c.name
	}
	return rowsStatement[T]{
		columns: columns,
		one:     write("(SELECT " + strings.Join(one, ", ") + ", 1 AS n) AS x"),
		many:    write("unnest(" + strings.Join(many, ", ") + ") WITH ORDINALITY AS x (" + strings.Join(names, ", ") + ", n)"),
	}
}

// of is the statement that writes the rows, with its parameters.
func (w rowsStatement[T]) of(rows []T, args ...any) (sql string, _ []any) {
	if len(rows) == 1 {
		for _, c := range w.columns {
			args = append(args, c.one(rows[0]))
		}
		return w.one, args
	}
	for _, c := range w.columns {
		args = append(args, c.many(rows))
	}
	return w.many, args
}

// queue adds the statement to a batch.
func (w rowsStatement[T]) queue(b *pgx.Batch, rows []T, args ...any) *pgx.QueuedQuery {
	sql, args := w.of(rows, args...)
	return b.Queue(sql, args...)
}

// namesOf are the columns' names, each after the prefix.
func namesOf[T any](columns []column[T], prefix string) string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = prefix + c.name
	}
	return strings.Join(names, ", ")
}

// exec runs the statement.
func (w rowsStatement[T]) exec(ctx context.Context, q querier, rows []T, args ...any) (pgconn.CommandTag, error) {
	sql, args := w.of(rows, args...)
	return q.Exec(ctx, sql, args...)
}
