package dashboard

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// A field is a filter of a list, as its form shows it.
type field struct {
	Name string
	// Label is its text's key.
	Label string
	// Kind is that of the control: select, text, date, moment, currency or amount.
	Kind  string
	Value string
	// All is the value that narrows nothing, and Default the one that is meant where
	// none is given.
	All, Default string
	// Options are a select's, Of the family of their words.
	Options []string
	Of      string
	// Size is how many characters of a text are shown.
	Size int
}

// Active reports whether it narrows the list beyond what the list is without it.
func (f field) Active() bool { return f.Value != f.Default }

// filters read what a list is narrowed to. Whatever is read is a field of the form
// too, so the two are never apart, and a parameter that nothing reads is refused.
type filters struct {
	*query

	fields []field
}

func (c *call) filters() *filters { return &filters{query: c.query()} }

func (f *filters) add(l field) { f.fields = append(f.fields, l) }

// choice is one of the words of a family, or empty for all.
func choice[S ~string](f *filters, name, label, family string, words []S) S {
	v := oneOf(f.query, name, words)
	f.add(field{Name: name, Label: label, Kind: "select", Value: string(v), Options: order.Words(words), Of: family})
	return v
}

// allStates is the word for every state where no choice means the open ones.
const allStates = "all"

// state is one of the states, open where none is named; empty for all of them.
func (f *filters) state(family, open string, states []string) string {
	v := f.word("state", append(slices.Clone(states), allStates))
	if v == "" {
		v = open
	}
	f.add(field{Name: "state", Label: "field.state", Kind: "select", Value: v, All: allStates, Default: open, Options: states, Of: family})
	if v == allStates {
		return ""
	}
	return v
}

// named is one of some names, or empty for all.
func (f *filters) named(name, label string, names []string) string {
	v := f.word(name, names)
	f.add(field{Name: name, Label: label, Kind: "select", Value: v, Options: names})
	return v
}

// suggested is any text, of which the form offers those of a family.
func (f *filters) suggested(name, label, family string, words []string) string {
	v := f.text(name)
	if v != "" && !slices.Contains(words, v) {
		words = append(slices.Clone(words), v)
	}
	f.add(field{Name: name, Label: label, Kind: "select", Value: v, Options: words, Of: family})
	return v
}

// typed is any text.
func (f *filters) typed(name, label string, size int) string {
	v := f.text(name)
	f.add(field{Name: name, Label: label, Kind: "text", Value: v, Size: size})
	return v
}

// number is an id, or 0 for all. It is a field only where it is given: links have it.
func (f *filters) number(name, label string) int64 {
	v := f.get(name)
	l := field{Name: name, Label: label, Kind: "text", Value: v, Size: 6}
	if v == "" {
		return 0
	}
	f.add(l)
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < 1 {
		f.err = errBadInput
		return 0
	}
	return n
}

// currency is a currency's code.
func (f *filters) currency() string {
	v := strings.ToUpper(f.text("currency"))
	f.add(field{Name: "currency", Label: "field.currency", Kind: "currency", Value: v})
	return v
}

// amount is an amount in digits and a point; nil when none is given.
func (f *filters) amount(name, label string) *decimal.Decimal {
	v := f.get(name)
	f.add(field{Name: name, Label: label, Kind: "amount", Value: v})
	if v == "" {
		return nil
	}
	amount, err := order.ParseAmount(v)
	if err != nil {
		f.err = errAmount
		return nil
	}
	return &amount
}

// on is the bounds of one of the merchant's days.
func (f *filters) on(name, label string) (since, until time.Time) {
	f.add(field{Name: name, Label: label, Kind: "date", Value: f.get(name)})
	return f.day(name)
}

// localMoment is how a browser's field says a moment, in the reader's zone.
const localMoment = "2006-01-02T15:04"

// moment is a moment as a link says it, with its offset, or as the form does; the zero
// time where none is given. It is a field only where it is given: links have it.
func (f *filters) moment(name, label string) time.Time {
	v := f.get(name)
	if v == "" {
		return time.Time{}
	}
	at, err := momentOf(v, f.zone)
	if err != nil || at.Year() < 2000 || at.Year() > 9998 {
		f.err = errBadInput
		at = time.Time{}
	}
	f.add(field{Name: name, Label: label, Kind: "moment", Value: v})
	return at
}

// momentOf is the moment of such a text.
func momentOf(text string, zone *time.Location) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	return time.ParseInLocation(localMoment, text, zone)
}

// Local is such a text as the browser's field takes it.
func (r *reader) Local(text string) (string, error) {
	at, err := momentOf(text, r.zone)
	return at.In(r.zone).Format(localMoment), err
}

// payer is what stands for a payer's e-mail address; empty for all. It is a field only
// where it is given: the search has it.
func (f *filters) payer() store.PayerKey {
	v := f.get("payer")
	if v == "" {
		return ""
	}
	f.add(field{Name: "payer", Label: "field.payer", Kind: "text", Value: v, Size: 22})
	payer, ok := store.ParsePayerKey(v)
	if !ok {
		f.err = errBadInput
	}
	return payer
}

// hourForm is how the start of an hour, in UTC, stands in an address.
const hourForm = "2006-01-02T15Z"

// hour is the start of an hour; zero for all. It is a field only where it is given: links
// have it.
func (f *filters) hour(name, label string) time.Time {
	v := f.get(name)
	if v == "" {
		return time.Time{}
	}
	f.add(field{Name: name, Label: label, Kind: "text", Value: v, Size: 14})
	at, err := time.Parse(hourForm, v)
	if err != nil {
		f.err = errBadInput
	}
	return at
}

// params are the filters that narrow the list, but for its state.
func (f *filters) params() url.Values {
	params := url.Values{}
	for _, l := range f.fields {
		if l.Active() && l.Name != "state" {
			params.Set(l.Name, l.Value)
		}
	}
	return params
}

// refuseOthers fails for a parameter that is not a filter of the list: it would be left out
// unseen, and the list would show what was not asked for.
func (f *filters) refuseOthers() {
	for name := range f.values {
		known := name == "before" || slices.ContainsFunc(f.fields, func(l field) bool { return l.Name == name })
		if !known {
			f.err = errBadInput
		}
	}
}

// A listing is the body of a list's page: its filters, its rows and its pages.
type listing struct {
	table

	// Path is the list's own address, without filters.
	Path   string
	Fields []field
	// Older is the place that the next page begins at; empty at the list's end.
	Older string
	// Hint is the key of what is said of the list before it; empty for nothing.
	Hint string
	// Beside leads to the page beside it; it has no label where there is none.
	Beside act
	// Acts are what can be done to all of it.
	Acts []act
	// Export is the kind of the export that takes the same filters; empty for none.
	Export string
	// First is true for the list's first page.
	First bool
}

// Active is how many filters narrow the list.
func (l listing) Active() (n int) {
	for _, f := range l.Fields {
		if f.Active() {
			n++
		}
	}
	return n
}

// ExportPath exports what the list is narrowed to.
func (l listing) ExportPath() string {
	params := url.Values{"export": {l.Export}}
	for _, f := range l.Fields {
		if f.Active() {
			params.Set(f.Name, f.Value)
		}
	}
	return Base + "/export?" + params.Encode()
}

// listed is the body of a list's page.
func (f *filters) listed(path string, t table, older string) listing {
	if len(t.Rows) == 0 && (t.Empty == "" || (listing{Fields: f.fields}).Active() > 0 || f.get("before") != "") {
		t.Empty = "list.nothing"
	}
	return listing{table: t, Path: path, Fields: f.fields, Older: older, First: f.get("before") == ""}
}

// read reads the page of a list that the filters asked for, unless they are wrong.
func read[F, T any, P comparable](c *call, f *filters, list func(context.Context, F, store.PageOf[P]) (store.ListOf[T, P], error), filter F, at store.PageOf[P]) (store.ListOf[T, P], error) {
	if f.refuseOthers(); f.err != nil {
		return store.ListOf[T, P]{}, f.err
	}
	return list(c.ctx, filter, at)
}
