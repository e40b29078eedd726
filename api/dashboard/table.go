package dashboard

import (
	"fmt"
	"html/template"
	"reflect"

	"github.com/conciliar/conciliar/store"
)

// A table is what a list shows: a table where there is room, and a card for each
// row where there is none.
type table struct {
	// Caption is its text's key, unless Title is the text itself; where Unseen, it is
	// for screen readers alone.
	Caption, Title string
	Unseen         bool
	Columns        []head
	Rows           []row
	// Empty is the key of what is said where there are no rows.
	Empty string
	// Form is the id of the form that the rows' boxes belong to; empty where rows
	// cannot be chosen.
	Form string
}

// A head is a column's: the key of its text, and its part of a row.
type head struct{ Label, Part string }

// The parts of a row, which are classes. What has none is a short text.
const (
	// partTitle names the row; on a card partState stands beside it.
	partTitle, partState = "title", "state"
	// partCause is a sentence, and partTopic a name that may be long.
	partCause, partTopic = "cause", "topic"
	partNumber           = "number"
	// What is minor is left out of a card: the row's own page has it.
	partMinor, partMinorNumber, partMinorTopic = "minor", "number minor", "topic minor"
	// partActs are buttons.
	partActs = "acts"
)

// A row is one thing of the list.
type row struct {
	Cells []cell
	// Box is the id that its box sends; 0 where it has none.
	Box int64
}

// A column is a table's, with what it shows of a row.
type column[T any] struct {
	label, part string
	cell        func(T) cell
}

// tableOf is the table of the rows. caption and empty are keys of texts.
func tableOf[T any](caption, empty string, rows []T, columns ...column[T]) table {
	t := table{Caption: caption, Empty: empty, Rows: make([]row, len(rows))}
	for _, c := range columns {
		t.Columns = append(t.Columns, head{c.label, c.part})
	}
	for i, v := range rows {
		for _, c := range columns {
			t.Rows[i].Cells = append(t.Rows[i].Cells, c.cell(v))
		}
	}
	return t
}

// unseen is the table with its caption for screen readers alone.
func (t table) unseen() table {
	t.Unseen = true
	return t
}

// A cell is a value and how it is written.
type cell struct {
	Kind  cellKind
	Value any
	// Of is a word's family, or an amount's currency.
	Of string
	// Label is the key of what stands before the value; Link is where it leads. Both may
	// be empty.
	Label, Link string
	// Below are smaller lines.
	Below []cell
	Acts  []act
}

// An act is a button: it does something, or leads to where that is asked.
type act struct {
	// Label is its text's key, and Path where it is sent or leads to.
	Label, Path string
	// Post is true for one that does something, Main for what is usually right.
	Post, Main bool
}

// A cellKind says how a value is written. The zero one is text as it is.
type cellKind string

const (
	cellID      cellKind = "id"
	cellCode    cellKind = "code"
	cellNumber  cellKind = "number"
	cellMoney   cellKind = "money"
	cellTime    cellKind = "time"
	cellAge     cellKind = "age"
	cellWord    cellKind = "word"
	cellBadge   cellKind = "badge"
	cellError   cellKind = "error"
	cellDetails cellKind = "details"
	// cellDifference is what differs, of a finding.
	cellDifference cellKind = "difference"
)

func plainCell(v any) cell                { return cell{Value: v} }
func idCell(v any) cell                   { return cell{Kind: cellID, Value: v} }
func codeCell(v any) cell                 { return cell{Kind: cellCode, Value: v} }
func numberCell(n any) cell               { return cell{Kind: cellNumber, Value: n} }
func moneyCell(sum any, of string) cell   { return cell{Kind: cellMoney, Value: sum, Of: of} }
func timeCell(t any) cell                 { return cell{Kind: cellTime, Value: t} }
func ageCell(t any) cell                  { return cell{Kind: cellAge, Value: t} }
func wordCell(family string, v any) cell  { return cell{Kind: cellWord, Value: v, Of: family} }
func badgeCell(family string, v any) cell { return cell{Kind: cellBadge, Value: v, Of: family} }

// linkCell is an id that leads to its page; empty where there is none.
func linkCell(id string, path func(id string) string) cell {
	if id == "" {
		return cell{}
	}
	return plainCell(id).leading(path(id))
}

// leading is the cell as a link; where there is nothing to lead to, it is none.
func (c cell) leading(path string) cell {
	c.Link = path
	return c
}

// after is the cell after a text of the catalogue.
func (c cell) after(label string) cell {
	c.Label = label
	return c
}

// doing is the cell with buttons.
func (c cell) doing(acts ...act) cell {
	c.Acts = acts
	return c
}

// over is the cell with smaller lines below it. Empty ones are left out.
func (c cell) over(lines ...cell) cell {
	for _, l := range lines {
		if !l.Empty() {
			c.Below = append(c.Below, l)
		}
	}
	return c
}

// Empty reports whether the cell shows nothing.
func (c cell) Empty() bool { return c.Blank() && len(c.Acts)+len(c.Below) == 0 }

// Blank reports whether the cell has no value. A number and an amount are one, also when
// they are zero.
func (c cell) Blank() bool {
	v := reflect.ValueOf(c.Value)
	return !v.IsValid() || v.IsZero() && c.Kind != cellNumber && c.Kind != cellMoney
}

// EventTable is a list of events as a part of a page, with its caption if it has one.
func (p *page) EventTable(events []store.Event, caption []any) table {
	t := eventTable(events)
	if len(caption) > 0 {
		t.Title, t.Unseen = plain(caption[0]), false
	}
	return t
}

// AnomalyTable is a list of anomalies as a part of a page.
func (p *page) AnomalyTable(anomalies []store.Anomaly) table { return anomalyTable(anomalies) }

// Write is a cell's value in the reader's words.
func (r *reader) Write(c cell) (any, error) {
	switch c.Kind {
	case cellNumber:
		return r.Number(c.Value)
	case cellMoney:
		return r.Money(c.Value, c.Of)
	case cellTime:
		return r.When(c.Value)
	case cellAge:
		return r.Age(c.Value)
	case cellWord, cellBadge:
		return r.Word(c.Of, c.Value), nil
	case cellError:
		return r.Cause(c.Value), nil
	case cellID, cellCode, "":
		return plain(c.Value), nil
	case cellDetails, cellDifference:
		return template.HTML(""), nil
	}
	return nil, fmt.Errorf("a cell of the kind %q", c.Kind)
}
