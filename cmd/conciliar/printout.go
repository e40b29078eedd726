package main

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/conciliar/conciliar/store"
)

// A printout is what a command tells people: texts, and rows whose columns are
// aligned with those of the rows beside them. It is written in one piece.
type printout struct {
	text bytes.Buffer
	rows *tabwriter.Writer
}

// printResult prints v as JSON, or shows it to people.
func printResult(std stdio, asJSON bool, v any, show func(r *printout)) error {
	if asJSON {
		return printJSON(std.out, v)
	}
	r := newPrintout()
	show(r)
	_, err := std.out.Write(r.bytes())
	return err
}

// printVerdict is printResult, and ends the command as failed unless all is well.
func printVerdict(std stdio, asJSON, well bool, v any, show func(r *printout)) error {
	err := printResult(std, asJSON, v, show)
	if err == nil && !well {
		return errSilent
	}
	return err
}

func newPrintout() *printout {
	r := &printout{}
	r.rows = tabwriter.NewWriter(&r.text, 0, 0, 2, ' ', 0)
	return r
}

// bytes are the whole printout.
func (r *printout) bytes() []byte {
	_ = r.rows.Flush() // a buffer takes everything
	return r.text.Bytes()
}

// printf adds a text.
func (r *printout) printf(format string, args ...any) {
	_ = r.rows.Flush()
	_, _ = fmt.Fprintf(&r.text, format, args...)
}

// header adds the names of columns, separated by tabs.
func (r *printout) header(names string) { _, _ = fmt.Fprintln(r.rows, names) }

// row adds cells. What they hold came from outside, so what could steer a terminal
// is escaped.
func (r *printout) row(cells ...any) {
	texts := make([]string, len(cells))
	for i, cell := range cells {
		texts[i] = cellText(cell)
	}
	r.header(strings.Join(texts, "\t"))
}

// section adds a table under its title, left out when it is empty.
func section[T any](r *printout, title, header string, items []T, cells func(T) []any) {
	if len(items) == 0 {
		return
	}
	r.printf("\n%s\n", title)
	r.header(header)
	for _, item := range items {
		r.row(cells(item)...)
	}
}

// content adds a body as a person can read it.
func (r *printout) content(name string, c store.Content) {
	note := ""
	if c.Encoding == store.EncodingBase64 {
		note = ", in base64"
	}
	r.printf("\n%s (%d bytes%s)\n%s\n", name, c.Bytes, note, printable(c.Data, "\n\t"))
}

// cellText writes a cell; - stands for what is not there.
func cellText(cell any) string {
	var text string
	switch v := cell.(type) {
	case *string:
		if v != nil {
			text = *v
		}
	case *int64:
		if v != nil {
			text = strconv.FormatInt(*v, 10)
		}
	case time.Time:
		text = v.UTC().Format(time.RFC3339)
	case *time.Time:
		if v != nil {
			text = v.UTC().Format(time.RFC3339)
		}
	case string:
		text = v
	default:
		text = fmt.Sprint(v)
	}
	if text == "" {
		return "-"
	}
	return printable(text, "")
}

// printable escapes what is not printable, but for the characters that may stay.
func printable(text, may string) string {
	var b strings.Builder
	for _, r := range text {
		if unicode.IsPrint(r) || strings.ContainsRune(may, r) {
			b.WriteRune(r)
			continue
		}
		quoted := strconv.QuoteRune(r)
		b.WriteString(quoted[1 : len(quoted)-1])
	}
	return b.String()
}
