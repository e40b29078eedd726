package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"
)

// A PageOf asks for a part of a list whose rows have places of type P. Pages are
// found by the place that the one before ended with, so that rows which come
// meanwhile move nothing.
type PageOf[P comparable] struct {
	// Before is the place that the page before ended with; zero begins the list.
	Before P
	// Limit is how many rows it holds at most, from 1 on.
	Limit int
}

// A Page is a part of a list by id, newest first.
type Page = PageOf[int64]

// A ListOf is a page that was read.
type ListOf[T any, P comparable] struct {
	Items []T
	// Next is what PageOf.Before must be for what follows; zero at the list's end.
	Next P
}

// A List is a page of a list by id.
type List[T any] = ListOf[T, int64]

// list cuts the row that says that more follow. placeOf is a row's place.
func list[T any, P comparable](rows []T, page PageOf[P], placeOf func(T) P) ListOf[T, P] {
	if len(rows) <= page.Limit {
		return ListOf[T, P]{Items: rows}
	}
	rows = rows[:page.Limit]
	return ListOf[T, P]{Items: rows, Next: placeOf(rows[page.Limit-1])}
}

// conditions collects the terms of a WHERE clause with their arguments.
type conditions struct {
	terms []string
	args  []any
}

// add adds a term, in which every ? stands for the argument.
func (c *conditions) add(term string, arg any) {
	c.terms = append(c.terms, strings.ReplaceAll(term, "?", c.arg(arg)))
}

// always adds a term without an argument.
func (c *conditions) always(term string) { c.terms = append(c.terms, term) }

// arg adds an argument and returns its placeholder.
func (c *conditions) arg(v any) string {
	c.args = append(c.args, v)
	return "$" + strconv.Itoa(len(c.args))
}

// equal adds column = value unless value is empty.
func (c *conditions) equal(column, value string) {
	if value != "" {
		c.add(column+" = ?", text(value))
	}
}

// between adds the terms that a column of times is in [since, until). A zero
// time means no bound.
func (c *conditions) between(column string, since, until time.Time) {
	if !since.IsZero() {
		c.add(column+" >= ?", since)
	}
	if !until.IsZero() {
		c.add(column+" < ?", until)
	}
}

// amounts adds the terms that a column is in [from, to]. Nil means no bound.
func (c *conditions) amounts(column string, from, to *decimal.Decimal) {
	if from != nil {
		c.add(column+" >= ?", *from)
	}
	if to != nil {
		c.add(column+" <= ?", *to)
	}
}

// sql is the clause, true when there is no term.
func (c *conditions) sql() string {
	if len(c.terms) == 0 {
		return "true"
	}
	return strings.Join(c.terms, " AND ")
}

// An ordered list is read page by page in the order of its places.
type ordered[T any, P comparable] struct {
	// what it is, for errors.
	what string
	// statement selects its rows, without WHERE, ORDER BY and LIMIT.
	statement string
	// columns are those that its order follows, downwards unless it is ascending.
	columns   []string
	ascending bool
	scan      pgx.RowToFunc[T]
	// placeOf is where a row stands, and values what its columns hold there.
	placeOf func(T) P
	values  func(P) []any
}

// readOrdered reads one page of the rows that the conditions select.
func readOrdered[T any, P comparable](ctx context.Context, s *Store, l ordered[T, P], c conditions, page PageOf[P]) (ListOf[T, P], error) {
	if page.Limit < 1 {
		return ListOf[T, P]{}, fmt.Errorf("%s: a page of %d rows", l.what, page.Limit)
	}
	after, direction := " < ", " DESC"
	if l.ascending {
		after, direction = " > ", ""
	}
	if begin := *new(P); page.Before != begin {
		place := strings.Join(mapped(l.values(page.Before), c.arg), ", ")
		c.always("(" + strings.Join(l.columns, ", ") + ")" + after + "(" + place + ")")
	}
	where := c.sql()
	rows, _ := s.pool.Query(ctx, l.statement+" WHERE "+where+" ORDER BY "+strings.Join(l.columns, direction+", ")+direction+" LIMIT "+c.arg(page.Limit+1), c.args...)
	found, err := pgx.CollectRows(rows, l.scan)
	return list(found, page, l.placeOf), wrap(err, "%s", l.what)
}

// readPage is readOrdered for a list by id, newest first. id is the column.
func readPage[T any](ctx context.Context, s *Store, what, statement, id string, c conditions, page Page, scan pgx.RowToFunc[T], idOf func(T) int64) (List[T], error) {
	return readOrdered(ctx, s, ordered[T, int64]{
		what: what, statement: statement, columns: []string{id}, scan: scan, placeOf: idOf, values: func(id int64) []any { return []any{id} },
	}, c, page)
}

// readSnapshot runs fn in a transaction that sees one moment and writes nothing.
func (s *Store) readSnapshot(ctx context.Context, fn func(tx pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, fn)
}

// toUTC puts times that were read into UTC. Those that are not there stay so.
func toUTC(times ...*time.Time) {
	for _, t := range times {
		if t != nil {
			*t = t.UTC()
		}
	}
}
