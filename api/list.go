package api

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gin-gonic/gin"
	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/day"
	"github.com/conciliar/conciliar/store/order"
)

const (
	// Rows on a page, unless the caller says otherwise, and at most.
	defaultLimit = 50
	maxLimit     = 200
)

// A listDocument is one page of a list.
type listDocument[T any] struct {
	Items []T `json:"items"`
	// NextCursor asks for what follows; null at the list's end.
	NextCursor *string `json:"next_cursor"`
}

// newListDocument is the page that was read of a list.
func newListDocument[F, T, D any, P comparable](l listSpec[F, T, D, P], ev *requestEvent, found store.ListOf[T, P]) listDocument[D] {
	doc := listDocument[D]{Items: make([]D, len(found.Items))}
	for i, item := range found.Items {
		doc.Items[i] = l.show(ev, item)
	}
	if end := *new(P); found.Next != end {
		cursor := encodeCursor(l.name, l.places, found.Next)
		doc.NextCursor = &cursor
	}
	return doc
}

// document shows rows as their documents.
func document[T, D any](of func(T) D) func(ev *requestEvent, v T) D {
	return func(_ *requestEvent, v T) D { return of(v) }
}

// A listSpec is a list as an endpoint: what its query selects, how it is read
// and shown, and how its places are written.
type listSpec[F, T, D any, P comparable] struct {
	// name stands in the list's cursors.
	name   string
	places places[P]
	filter func(q *filters) F
	read   func(ctx context.Context, filter F, page store.PageOf[P]) (store.ListOf[T, P], error)
	show   func(ev *requestEvent, v T) D
}

// list answers one page of a list.
func list[F, T, D any, P comparable](l listSpec[F, T, D, P]) handler {
	return func(c *gin.Context, ev *requestEvent) error {
		return l.answer(c, ev, &filters{values: c.Request.URL.Query()})
	}
}

// answer answers the page that the filters ask for.
func (l listSpec[F, T, D, P]) answer(c *gin.Context, ev *requestEvent, q *filters) error {
	filter, page := l.filter(q), pageOf(q, l.name, l.places)
	if q.err != nil {
		return q.err
	}
	ctx, cancel := bounded(c)
	defer cancel()
	found, err := l.read(ctx, filter, page)
	if err != nil {
		return err
	}
	return answerJSON(c, http.StatusOK, newListDocument(l, ev, found))
}

// stateOf is the state that a list is asked for: preset unless the caller says
// otherwise, and empty for all of them.
func (f *filters) stateOf(states []string, preset string) string {
	switch state := f.word("state", append(slices.Clone(states), "all")); state {
	case "":
		return preset
	case "all":
		return ""
	default:
		return state
	}
}

// cursorVersion begins every cursor, so that a later form can be told from it.
const cursorVersion = "1"

// places say how a list's places are written in its cursors.
type places[P comparable] struct {
	write func(P) string
	// read is false for what write does not make.
	read func(text string) (P, bool)
}

// byID are the places of a list by id.
var byID = places[int64]{
	write: func(id int64) string { return strconv.FormatInt(id, 10) },
	read: func(text string) (int64, bool) {
		id, err := strconv.ParseInt(text, 10, 64)
		return id, err == nil && id > 0
	},
}

// encodeCursor is the place in a list. It says which list, so that it cannot be
// taken for a place in another. To callers it is one word that means nothing.
func encodeCursor[P comparable](list string, p places[P], at P) string {
	return base64.RawURLEncoding.EncodeToString([]byte(cursorVersion + "." + list + "." + p.write(at)))
}

// decodeCursor returns the place of a cursor of the list. Only what encodeCursor
// makes is one.
func decodeCursor[P comparable](list string, p places[P], cursor string) (at P, ok bool) {
	var none P
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return none, false
	}
	text, found := strings.CutPrefix(string(raw), cursorVersion+"."+list+".")
	if !found {
		return none, false
	}
	if at, ok = p.read(text); !ok || encodeCursor(list, p, at) != cursor {
		return none, false
	}
	return at, true
}

// filters are the query of a call that lists, which was checked against the
// route's parameters. The first thing that is wrong is kept.
type filters struct {
	values url.Values
	// zone is that in which dates begin; UTC when nil.
	zone *time.Location
	err  error
}

func (f *filters) fail(format string, args ...any) {
	if f.err == nil {
		f.err = newProblem(problemInvalidParameter, fmt.Sprintf(format, args...))
	}
}

// pageOf is the part of the list that is asked for.
func pageOf[P comparable](f *filters, list string, p places[P]) store.PageOf[P] {
	page := store.PageOf[P]{Limit: f.limit()}
	if f.values.Has("cursor") {
		at, ok := decodeCursor(list, p, f.values.Get("cursor"))
		if !ok {
			f.fail("cursor is not from this list; start without it.")
		}
		page.Before = at
	}
	return page
}

// limit is how many rows are asked for.
func (f *filters) limit() int {
	if !f.values.Has("limit") {
		return defaultLimit
	}
	text := f.values.Get("limit")
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxLimit || strconv.Itoa(n) != text {
		f.fail("limit is %q; it takes a number from 1 to %d.", clip(text, 64), maxLimit)
	}
	return n
}

// wait is how long the caller waits for something to come; 0 unless it says.
func (f *filters) wait() time.Duration {
	if !f.values.Has("wait") {
		return 0
	}
	wait, err := callOptions{"wait": f.values.Get("wait")}.wait()
	if f.err == nil {
		f.err = err
	}
	return wait
}

// text is a value that may be any text but the empty one.
func (f *filters) text(name string) string {
	value := f.values.Get(name)
	if value == "" && f.values.Has(name) {
		f.fail("%s is empty; omit it or give it a value.", name)
	}
	if !utf8.ValidString(value) || strings.ContainsRune(value, 0) {
		f.fail("%s is not text: it has bytes that are not UTF-8, or a NUL.", name)
	}
	return value
}

// id is the number of a thing; 0 when none is given.
func (f *filters) id(name string) int64 {
	if !f.values.Has(name) {
		return 0
	}
	text := f.values.Get(name)
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id < 1 || strconv.FormatInt(id, 10) != text {
		f.fail("%s is %q; it takes a positive number.", name, clip(text, 64))
	}
	return id
}

// word is a value out of a list.
func (f *filters) word(name string, known []string) string {
	value := f.text(name)
	if value != "" && !slices.Contains(known, value) {
		f.fail("%s is %q; it takes one of %s.", name, clip(value, 64), strings.Join(known, ", "))
	}
	return value
}

// time is a point in time.
func (f *filters) time(name string) time.Time {
	value := f.text(name)
	if value == "" {
		return time.Time{}
	}
	t, ok := parseTime(value)
	if begin, err := day.Parse(value, cmp.Or(f.zone, time.UTC)); err == nil {
		t, ok = begin.UTC(), true
	}
	if !ok {
		f.fail("%s is %q; %s.", name, clip(value, 64), timeHint)
	}
	return t
}

// location is a time zone, UTC when none is named.
func (f *filters) location(name string) *time.Location {
	value := f.text(name)
	zone, err := time.LoadLocation(value)
	if err != nil || value == "Local" {
		f.fail("%s is %q; it takes an IANA name such as America/Sao_Paulo.", name, clip(value, 64))
		return time.UTC
	}
	return zone
}

// amount is an amount of money; nil when none is given.
func (f *filters) amount(name string) *decimal.Decimal {
	value := f.text(name)
	if value == "" {
		return nil
	}
	amount, err := order.ParseAmount(value)
	if err != nil {
		f.fail("%s is %q; it takes an amount such as 150.00.", name, clip(value, 64))
		return nil
	}
	return &amount
}

const timeHint = "it takes a time such as 2026-01-31T15:04:05Z, or a date"

// parseTime reads a time as RFC 3339 writes it, or a date, which is its start in
// UTC. PostgreSQL's range is wider than that of four digits for the year.
func parseTime(text string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// members of a filter in a body are read like the query's, so that a filter that
// was tried with a list can be replayed with.
func filtersOf(raw json.RawMessage, known ...string) (*filters, error) {
	members, err := parseObject(raw, known...)
	if err != nil {
		return nil, err
	}
	f := &filters{values: url.Values{}}
	for _, name := range known {
		if _, given := members[name]; !given {
			continue
		}
		value, err := members.text(name, `"…"`)
		if err != nil {
			return nil, err
		}
		f.values.Set(name, value)
	}
	return f, nil
}
