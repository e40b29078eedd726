// Package report reads Mercado Pago's money reports: the release report and the
// settlement report, as CSV. Columns are found by their titles in English, Spanish
// and Portuguese; separator, decimal mark, byte order mark and line ends are as the
// account's settings and the panel write them. A file is streamed: memory does not
// grow with its length.
package report

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/jobs/provider"
)

const (
	// maxRecord bounds a row, in bytes: a quote that is never closed must not make
	// one row of the rest of the file.
	maxRecord = 1 << 20
	// maxText bounds a text of a row, in characters, far beyond the documented 255.
	maxText = 512
)

// ErrSpreadsheet means that the file is a spreadsheet (XLSX) and not a CSV.
var ErrSpreadsheet = errors.New("the file is a spreadsheet: choose CSV where the report is made, or save it as CSV with all digits of the ids")

// An Error is about a place in a file. Its text has the names of columns and never
// what stands in a row.
type Error struct {
	// Row is the row after the header, from 1; 0 for the header itself.
	Row int
	// Line is the line in the file, from 1.
	Line int
	// Column is the column's title as it stands in the file; empty when it is about
	// the whole row.
	Column string
	// Err is what is wrong.
	Err error
}

func (e *Error) Error() string {
	place := fmt.Sprintf("row %d (line %d)", e.Row, e.Line)
	if e.Row == 0 {
		place = "the header"
	}
	if e.Column != "" {
		place += fmt.Sprintf(", column %q", e.Column)
	}
	return place + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// MissingError names the columns that a report needs and that its header doesn't
// have.
type MissingError struct {
	Report  provider.MoneyReport
	Columns []string
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("a %s report needs the column %s: add it where the report is configured", e.Report, strings.Join(e.Columns, " and "))
}

// Options say what a file doesn't.
type Options struct {
	// CollectorID is the account that the report is of.
	CollectorID string
	// Currency is the ISO 4217 code of rows that name none; empty when it isn't
	// known, and then each movement must name its own.
	Currency string
	// Zone is that of dates without one; −04:00 when nil, as the reports have it.
	Zone *time.Location
}

// A Reader reads the rows of one file.
type Reader struct {
	opts    Options
	shape   shape
	csv     *csv.Reader
	bounded *boundedReader
	titles  []string
	at      map[column]int
	row     int
	mark    mark
	zone    *time.Location
}

// zoneless is the zone of a date that names none: the reports' default.
var zoneless = time.FixedZone("-04:00", -4*60*60)

// NewReader reads a file's header. Its error is ErrSpreadsheet, a *MissingError, an
// *Error, or that of r.
func NewReader(r io.Reader, opts Options) (*Reader, error) {
	bounded := &boundedReader{r: r}
	buffered := bufio.NewReader(bounded)
	start, err := buffered.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if bytes.HasPrefix(start, []byte("PK\x03\x04")) {
		return nil, ErrSpreadsheet
	}
	if bytes.HasPrefix(start, []byte("\uFEFF")) {
		_, _ = buffered.Discard(len("\uFEFF"))
	}
	separator, err := findSeparator(buffered)
	if err != nil {
		return nil, err
	}
	reader := &Reader{opts: opts, csv: csv.NewReader(buffered), bounded: bounded, zone: opts.Zone}
	if reader.zone == nil {
		reader.zone = zoneless
	}
	reader.csv.Comma = separator
	// Some exports quote JSON without doubling its quotes. What that tears apart has
	// another number of fields than the header.
	reader.csv.LazyQuotes = true
	reader.csv.FieldsPerRecord = -1
	header, err := reader.csv.Read()
	if err != nil {
		return nil, reader.failed(err)
	}
	reader.titles = append([]string(nil), header...)
	reader.csv.ReuseRecord = true
	return reader, reader.findColumns()
}

// findSeparator is the sign that stands most often in the first line outside quotes.
func findSeparator(r *bufio.Reader) (rune, error) {
	line, err := r.Peek(r.Size())
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	counts, quoted := map[rune]int{}, false
	for _, sign := range string(line) {
		if sign == '"' {
			quoted = !quoted
		}
		if !quoted && (sign == '\n' || sign == '\r') {
			break
		}
		if !quoted && strings.ContainsRune(",;\t|", sign) {
			counts[sign]++
		}
	}
	separator := ','
	for _, sign := range ",;\t|" {
		if counts[sign] > counts[separator] {
			separator = sign
		}
	}
	return separator, nil
}

// findColumns says which report it is and where its columns are.
func (r *Reader) findColumns() error {
	r.at = map[column]int{}
	for i, title := range r.titles {
		if !utf8.ValidString(title) {
			return &Error{Line: 1, Err: errors.New("is not UTF-8: choose UTF-8 where the file is exported")}
		}
		name, known := titles()[titleKey(title)]
		if !known {
			continue
		}
		if _, twice := r.at[name]; twice {
			// FEE_AMOUNT beside MP_FEE_AMOUNT: the API's own name counts.
			if string(name) != strings.TrimSpace(title) {
				continue
			}
			if r.titles[r.at[name]] == title {
				return &Error{Line: 1, Column: title, Err: errors.New("stands there twice")}
			}
		}
		r.at[name] = i
	}
	for _, s := range shapes {
		r.shape = s
		if _, ok := r.at[s.marks]; ok {
			break
		}
	}
	var missing []string
	for _, name := range r.shape.needed {
		if _, ok := r.at[name]; !ok {
			missing = append(missing, string(name))
		}
	}
	if len(missing) > 0 {
		return &MissingError{Report: r.shape.report, Columns: missing}
	}
	return nil
}

// Report says which report the file is.
func (r *Reader) Report() provider.MoneyReport { return r.shape.report }

// All yields the rows that are left, and ends after an error.
func (r *Reader) All() iter.Seq2[provider.Movement, error] {
	return func(yield func(provider.Movement, error) bool) {
		for {
			m, err := r.Next()
			if errors.Is(err, io.EOF) || !yield(m, err) || err != nil {
				return
			}
		}
	}
}

// Next is the next row; io.EOF after the last. Any other error is an *Error, or that
// of the file's reader.
func (r *Reader) Next() (provider.Movement, error) {
	var record []string
	for {
		r.bounded.left = maxRecord
		var err error
		record, err = r.csv.Read()
		if errors.Is(err, io.EOF) {
			return provider.Movement{}, io.EOF
		}
		r.row++
		if err != nil {
			return provider.Movement{}, r.failed(err)
		}
		if !blank(record) { // some exports end with lines of separators
			break
		}
	}
	for len(record) > len(r.titles) && record[len(record)-1] == "" {
		record = record[:len(record)-1]
	}
	if len(record) != len(r.titles) {
		return provider.Movement{}, r.wrong("", fmt.Errorf("has %d fields, the header %d", len(record), len(r.titles)))
	}
	return r.movement(record)
}

func blank(record []string) bool {
	for _, field := range record {
		if strings.TrimSpace(field) != "" {
			return false
		}
	}
	return true
}

// failed says where reading failed. What the csv package says is about places and
// never has what stands there.
func (r *Reader) failed(err error) error {
	var parse *csv.ParseError
	switch {
	case errors.Is(err, io.EOF):
		return &Error{Line: 1, Err: errors.New("is missing: the file is empty")}
	case errors.As(err, &parse):
		return &Error{Row: r.row, Line: parse.StartLine, Err: parse.Err}
	case errors.Is(err, errRecordTooLong):
		return &Error{Row: r.row, Line: r.line(), Err: err}
	}
	return err
}

// line is the line that the row begins in.
func (r *Reader) line() int {
	line, _ := r.csv.FieldPos(0)
	return line
}

func (r *Reader) wrong(name column, err error) error {
	e := &Error{Row: r.row, Line: r.line(), Err: err}
	if i, ok := r.at[name]; ok {
		e.Column = r.titles[i]
	}
	return e
}

var errRecordTooLong = fmt.Errorf("is longer than %d bytes: a quote may be missing", maxRecord)

// A boundedReader lets one row have no more than maxRecord bytes, give or take what
// is read ahead.
type boundedReader struct {
	r    io.Reader
	left int
	used bool
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if !b.used {
		b.left, b.used = maxRecord, true
	}
	if b.left <= 0 {
		return 0, errRecordTooLong
	}
	n, err := b.r.Read(p)
	b.left -= n
	return n, err
}

// A fields is a row whose columns are read one after the other, up to the first that
// can't be.
type fields struct {
	r      *Reader
	record []string
	mark   mark
	err    error
}

func (f *fields) has(name column) bool {
	_, ok := f.r.at[name]
	return ok
}

// text is a column's text, without blanks around it; empty where there is no such
// column.
func (f *fields) text(name column) string {
	i, ok := f.r.at[name]
	if !ok {
		return ""
	}
	s := strings.TrimSpace(strings.ReplaceAll(strings.ToValidUTF8(f.record[i], "\uFFFD"), "\x00", "\uFFFD"))
	if utf8.RuneCountInString(s) > maxText {
		f.fail(name, fmt.Errorf("is longer than %d characters", maxText))
		return ""
	}
	return s
}

func (f *fields) fail(name column, err error) {
	if f.err == nil {
		f.err = f.r.wrong(name, err)
	}
}

// amount is a column's amount.
func (f *fields) amount(name column) decimal.Decimal {
	d, err := f.mark.parse(f.text(name))
	if err != nil {
		f.fail(name, err)
	}
	return d
}

// optional is the amount of a column that may not be there.
func (f *fields) optional(name column) decimal.NullDecimal {
	if !f.has(name) {
		return decimal.NullDecimal{}
	}
	return decimal.NewNullDecimal(f.amount(name))
}

// amounts are all columns that hold an amount.
var amounts = []column{
	columnIn, columnOut, columnGross, columnFee, columnFinancingFee, columnShippingFee, columnTaxes,
	columnCoupon, columnSharedCoupon, columnBalance, columnAmount, columnNet,
}

// learn takes the decimal mark from the first row that tells it; it holds for the
// whole file.
func (f *fields) learn() {
	for _, name := range amounts {
		if f.r.mark != 0 {
			break
		}
		f.r.mark = tells(f.text(name))
	}
	f.mark = f.r.mark
}
