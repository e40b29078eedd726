package compare

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// The columns of a shop's file, by their titles. The first two are needed.
const (
	columnReference = "reference"
	columnStatus    = "status"
	columnAmount    = "amount"
	columnCurrency  = "currency"
	columnPaid      = "paid_amount"
	columnRefunded  = "refunded_amount"
)

var (
	columns = []string{columnReference, columnStatus, columnAmount, columnCurrency, columnPaid, columnRefunded}
	needed  = columns[:2]
)

// A FileError is about a place in a shop's file.
type FileError struct {
	// Line is the line in the file, from 1, and Column the title of the column; empty
	// when it is about the whole line.
	Line   int
	Column string
	// Why is the rest of a sentence that begins with the place.
	Why string
}

func (e *FileError) Error() string {
	place := fmt.Sprintf("line %d", e.Line)
	if e.Column != "" {
		place += fmt.Sprintf(", column %q", e.Column)
	}
	return place + ": " + e.Why
}

// A row is an order as the shop has it.
type row struct {
	line              int
	reference, status string
	// given are the values of the columns that the row fills in, as they are written,
	// and amounts those of them that are money.
	given   map[string]string
	amounts map[string]decimal.Decimal
}

// A file is read row by row: its memory grows with the number of references alone.
type file struct {
	csv *csv.Reader
	at  map[string]int
	// seen has the line of each reference.
	seen map[string]int
}

// peeked is how much of a file is looked at for its separator.
const peeked = 4 << 10

func openFile(r io.Reader) (*file, error) {
	buffered := bufio.NewReaderSize(r, peeked)
	begin, err := buffered.Peek(peeked)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if mark := []byte("\xEF\xBB\xBF"); bytes.HasPrefix(begin, mark) {
		begin = begin[len(mark):]
		if _, err := buffered.Discard(len(mark)); err != nil {
			return nil, err
		}
	}
	header, _, _ := bytes.Cut(begin, []byte("\n"))
	f := &file{csv: csv.NewReader(buffered), at: map[string]int{}, seen: map[string]int{}}
	if bytes.Count(header, []byte(";")) > bytes.Count(header, []byte(",")) {
		f.csv.Comma = ';'
	}
	titles, err := f.csv.Read()
	if errors.Is(err, io.EOF) {
		return nil, &FileError{Line: 1, Why: "the file is empty"}
	}
	if err != nil {
		return nil, placed(err)
	}
	for i, title := range titles {
		name := strings.ToLower(strings.TrimSpace(title))
		if _, twice := f.at[name]; twice && slices.Contains(columns, name) {
			return nil, &FileError{Line: 1, Column: name, Why: "stands there twice"}
		}
		f.at[name] = i
	}
	for _, name := range needed {
		if _, ok := f.at[name]; !ok {
			return nil, &FileError{Line: 1, Column: name, Why: "is missing; the columns are " + strings.Join(titles, ", ")}
		}
	}
	return f, nil
}

// placed says where a text is not a CSV.
func placed(err error) error {
	if wrong, ok := errors.AsType[*csv.ParseError](err); ok {
		return &FileError{Line: wrong.StartLine, Why: wrong.Err.Error()}
	}
	return err
}

// next reads a row; io.EOF after the last.
func (f *file) next() (row, error) {
	record, err := f.csv.Read()
	if err != nil {
		return row{}, placed(err)
	}
	line, _ := f.csv.FieldPos(0)
	r := row{
		line: line, reference: record[f.at[columnReference]], status: strings.TrimSpace(record[f.at[columnStatus]]),
		given: map[string]string{}, amounts: map[string]decimal.Decimal{},
	}
	if !store.ValidReference(r.reference) {
		return r, &FileError{line, columnReference, "must have 1 to 64 characters"}
	}
	if first, twice := f.seen[r.reference]; twice {
		return r, &FileError{line, columnReference, fmt.Sprintf("%q stands in line %d already", r.reference, first)}
	}
	f.seen[strings.Clone(r.reference)] = line
	for _, name := range columns[len(needed):] {
		i, ok := f.at[name]
		if !ok {
			continue
		}
		text := strings.TrimSpace(record[i])
		if text == "" {
			continue
		}
		r.given[name] = text
		if name == columnCurrency {
			continue
		}
		if r.amounts[name], err = f.amount(text); err != nil {
			return r, &FileError{line, name, err.Error()}
		}
	}
	return r, nil
}

// amount reads an amount with a decimal point, or a decimal comma where semicolons
// separate. One that may have either a decimal mark or a mark of thousands isn't read.
func (f *file) amount(text string) (decimal.Decimal, error) {
	point := text
	if f.csv.Comma == ';' {
		point = strings.Replace(text, ",", ".", 1)
	}
	if _, decimals, _ := strings.Cut(point, "."); len(decimals) == 3 {
		return decimal.Decimal{}, fmt.Errorf("%q can't be read in one way only: write it without thousands, like \"1500.00\"", text)
	}
	d, err := order.ParseAmount(point)
	if wrong, ok := errors.AsType[*order.TermsError](err); ok {
		return d, fmt.Errorf("%q %s", text, wrong.Why)
	}
	return d, err
}
