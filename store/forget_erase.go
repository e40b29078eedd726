package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// erase looks at each row of a table.
func (s *Store) erase(ctx context.Context, e erasure, match *payerMatch, done *Forgotten) error {
	types, err := s.columnTypes(ctx, e)
	if err != nil {
		return err
	}
	columns := e.columns()
	after := make([]any, len(e.key))
	for i := range after {
		after[i] = ""
	}
	if e.numeric {
		after[0] = int64(0)
	}
	for rest := forgetBatch; rest == forgetBatch; {
		rows, _ := s.pool.Query(ctx, `
			SELECT `+columns+` FROM `+e.table+` t
			WHERE (`+e.keyColumns()+`) > (`+placeholders(1, len(e.key))+`)
			ORDER BY `+e.keyColumns()+fmt.Sprintf(` LIMIT $%d`, len(e.key)+1), append(slices.Clone(after), forgetBatch)...)
		found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (erasedRow, error) { return e.scan(row) })
		if err != nil {
			return err
		}
		rest = len(found)
		for _, row := range found {
			after = row.key
			if err := s.eraseRow(ctx, e, types, row, match, done); err != nil {
				return err
			}
		}
	}
	return nil
}

// An erasedRow is a row that may name the payer.
type erasedRow struct {
	key       []any
	payment   forgottenPayment
	open      bool
	documents [][]byte
	words     []json.RawMessage
	named     []*string
}

func (e erasure) keyColumns() string { return "t." + strings.Join(e.key, ", t.") }

// columns are what scan reads.
func (e erasure) columns() string {
	all := []string{e.keyColumns()}
	if e.payment != nil {
		all = append(all, "t."+strings.Join(e.payment, ", t."))
	} else {
		all = append(all, "'', ''")
	}
	open := "false"
	if e.open != "" {
		open = e.open
	}
	all = append(all, open)
	for _, c := range e.documents {
		all = append(all, "coalesce(t."+c+", '')")
	}
	if e.address {
		all = append(all, "coalesce(convert_to(host(t.remote_ip), 'UTF8'), '')")
	}
	for _, c := range e.words {
		all = append(all, "to_jsonb(t."+c+")")
	}
	for _, c := range e.named {
		all = append(all, "t."+c)
	}
	return strings.Join(all, ", ")
}

func (e erasure) scan(row pgx.Row) (erasedRow, error) {
	r := erasedRow{
		key: make([]any, len(e.key)), documents: make([][]byte, len(e.documents)),
		words: make([]json.RawMessage, len(e.words)), named: make([]*string, len(e.named)),
	}
	if e.address {
		r.documents = append(r.documents, nil)
	}
	var to []any
	for i := range r.key {
		to = append(to, &r.key[i])
	}
	to = append(to, &r.payment.source, &r.payment.id, &r.open)
	for i := range r.documents {
		to = append(to, &r.documents[i])
	}
	for i := range r.words {
		to = append(to, &r.words[i])
	}
	for i := range r.named {
		to = append(to, &r.named[i])
	}
	return r, row.Scan(to...)
}

// isOf reports whether the row's documents are the payer's.
func (r erasedRow) isOf(e erasure, match *payerMatch) bool {
	if len(r.documents) == 0 {
		return false
	}
	if match.payments[r.payment.source+"/"+r.payment.id] {
		return true
	}
	names := match.names
	if e.payment == nil {
		names = match.isAbout
	}
	return slices.ContainsFunc(r.documents, names)
}

// holds reports whether there is anything in the row's documents.
func (r erasedRow) holds() bool {
	return slices.ContainsFunc(r.documents, func(d []byte) bool { return len(d) > 0 })
}

// eraseRow erases what names the payer in one row, or counts it.
func (s *Store) eraseRow(ctx context.Context, e erasure, types map[string]string, row erasedRow, match *payerMatch, done *Forgotten) error {
	for i, column := range e.named {
		if row.named[i] != nil && match.names([]byte(*row.named[i])) {
			done.Mentions = append(done.Mentions, Mention{e.table, column, strings.Trim(fmt.Sprint(row.key), "[]")})
		}
	}
	empties := row.isOf(e, match) && row.holds()
	replaces := slices.ContainsFunc(row.words, func(w json.RawMessage) bool {
		_, changed, err := match.replaceJSON(w)
		return changed || err != nil
	})
	if empties {
		done.Emptied[e.table]++
	}
	if replaces {
		done.Replaced[e.table]++
	}
	if done.DryRun || !empties && !replaces {
		return nil
	}
	where := fmt.Sprintf(` WHERE (%s) = (%s)`, e.keyColumns(), placeholders(1, len(e.key)))
	return s.inTx(ctx, func(tx pgx.Tx) error {
		// As it is now: a row may have changed since it was looked at.
		now, err := e.scan(tx.QueryRow(ctx, `SELECT `+e.columns()+` FROM `+e.table+` t`+where+` FOR UPDATE OF t`, row.key...))
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		var sets []string
		args := slices.Clone(row.key)
		if empties {
			sets = append(sets, e.empty)
			if now.open {
				sets[0] = e.later
			}
		}
		for i, column := range e.words {
			replaced, changed, err := match.replaceJSON(now.words[i])
			if err != nil {
				return fmt.Errorf("%s of row %v: %w", column, row.key, err)
			}
			if changed {
				args = append(args, replaced)
				sets = append(sets, column+" = "+fromJSON(types[column], fmt.Sprintf("$%d::jsonb", len(args))))
			}
		}
		if len(sets) == 0 {
			return nil
		}
		return execute(ctx, tx, `UPDATE `+e.table+` t SET `+strings.Join(sets, ", ")+where, args...)
	})
}

// fromJSON is a value of a column's type, made of JSON.
func fromJSON(columnType, value string) string {
	switch columnType {
	case "text":
		return "(" + value + ") #>> '{}'"
	case "jsonb[]":
		return "ARRAY(SELECT jsonb_array_elements(" + value + "))"
	}
	return value
}

// columnTypes are the types of the columns of which words are replaced.
func (s *Store) columnTypes(ctx context.Context, e erasure) (map[string]string, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT attname, format_type(atttypid, NULL) FROM pg_attribute
		WHERE attrelid = $1::regclass AND attname = ANY ($2)`, e.table, e.words)
	types := map[string]string{}
	var name, columnType string
	_, err := pgx.ForEachRow(rows, []any{&name, &columnType}, func() error {
		types[name] = columnType
		return nil
	})
	return types, err
}

func placeholders(from, n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("$%d", from+i)
	}
	return strings.Join(all, ", ")
}
