package store

import (
	"context"
	"reflect"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// readOne reads the row that a query finds; pgx.ErrNoRows when it finds none.
func readOne[T any](ctx context.Context, q querier, query string, args ...any) (T, error) {
	rows, _ := q.Query(ctx, query, args...)
	return pgx.CollectExactlyOneRow(rows, rowTo[T])
}

// readAll reads the rows that a query finds, none when it finds none.
func readAll[T any](ctx context.Context, q querier, query string, args ...any) ([]T, error) {
	rows, _ := q.Query(ctx, query, args...)
	return pgx.CollectRows(rows, rowTo[T])
}

// readColumn reads the rows of a query for one column.
func readColumn[T any](ctx context.Context, q querier, query string, args ...any) ([]T, error) {
	rows, _ := q.Query(ctx, query, args...)
	return pgx.CollectRows(rows, pgx.RowTo[T])
}

// readValue reads the one column of the row that a query finds; pgx.ErrNoRows when it
// finds none.
func readValue[T any](ctx context.Context, q querier, query string, args ...any) (T, error) {
	rows, _ := q.Query(ctx, query, args...)
	return pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
}

// execute runs a statement of which nothing is read.
func execute(ctx context.Context, q querier, statement string, args ...any) error {
	_, err := q.Exec(ctx, statement, args...)
	return err
}

// rowTo reads a row's columns into the fields of a struct, in their order, those of
// embedded structs included. Times are in UTC.
func rowTo[T any](row pgx.CollectableRow) (T, error) {
	v, err := pgx.RowToStructByPos[T](row)
	fieldsToUTC(reflect.ValueOf(&v).Elem())
	return v, err
}

func fieldsToUTC(v reflect.Value) {
	for i := range v.NumField() {
		if !v.Type().Field(i).IsExported() {
			continue
		}
		switch field := v.Field(i).Addr().Interface().(type) {
		case *time.Time:
			toUTC(field)
		case **time.Time:
			toUTC(*field)
		default:
			if v.Type().Field(i).Anonymous {
				fieldsToUTC(v.Field(i))
			}
		}
	}
}
