package dashboard

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/day"
)

const (
	// pageRows is how many rows a list shows at once.
	pageRows = 50
	// textLength is how many bytes of a filter are taken.
	textLength = 200
)

// A query reads the parameters of a list. The first one that cannot be what it
// should be ends in err: a filter that is not understood must not be left out,
// because the list would then show what was not asked for.
type query struct {
	values url.Values
	// zone is the reader's own, days the merchant's.
	zone, days *time.Location
	err        error
}

func (c *call) query() *query {
	return &query{values: c.URL.Query(), zone: c.reader.zone, days: c.reader.days}
}

// sent reads the form of an action in the same way.
func (c *call) sent() *query {
	return &query{values: c.PostForm, zone: c.reader.zone, days: c.reader.days}
}

func (q *query) get(name string) string { return strings.TrimSpace(q.values.Get(name)) }

// text is any text.
func (q *query) text(name string) string {
	v := q.get(name)
	if len(v) > textLength || !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
		q.err = errBadInput
		return ""
	}
	return v
}

// word is one of the words, or empty.
func (q *query) word(name string, words []string) string { return oneOf(q, name, words) }

// oneOf is one of the words of a kind, or empty.
func oneOf[S ~string](q *query, name string, words []S) S {
	v := S(q.get(name))
	if v != "" && !slices.Contains(words, v) {
		q.err = errBadInput
		return ""
	}
	return v
}

// day is the bounds of one of the merchant's days; zero times when none is given.
func (q *query) day(name string) (since, until time.Time) {
	v := q.get(name)
	if v == "" {
		return since, until
	}
	begin, err := day.Parse(v, q.days)
	if err != nil || begin.Year() < 2000 || begin.Year() > 9998 {
		q.err = errBadInput
		return since, until
	}
	return begin, day.Next(begin, q.days)
}

// page is where a list goes on.
func (q *query) page() store.Page {
	p := store.Page{Limit: pageRows}
	if v := q.get("before"); v != "" {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n < 1 {
			q.err = errBadInput
			return p
		}
		p.Before = n
	}
	return p
}

// placeOf is where a list goes on that is not by id; zero at its start.
func placeOf[P any](q *query, parse func(string) (P, bool)) (place P) {
	v := q.values.Get("before")
	if v == "" {
		return place
	}
	place, ok := parse(v)
	if !ok {
		q.err = errBadInput
	}
	return place
}

// placeText is a place in a page's address; empty at the list's end.
func placeText[P interface {
	comparable
	String() string
}](place P) string {
	if end := *new(P); place == end {
		return ""
	}
	return place.String()
}

// idText is a place by id in a page's address; empty at the list's end.
func idText(id int64) string {
	if id == 0 {
		return ""
	}
	return strconv.FormatInt(id, 10)
}

// id is the number in the page's path. What is not a number names nothing.
func (c *call) id() (int64, error) {
	text := c.PathValue("id")
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 || strconv.FormatInt(n, 10) != text {
		return 0, errNoPage
	}
	return n, nil
}

// form reads the form that was sent.
func (c *call) form() error {
	if c.Method != http.MethodPost || c.ParseForm() != nil {
		return errBadInput
	}
	return nil
}

// note is the form's note, which an action must have.
func (c *call) note() (store.Note, error) {
	if err := c.form(); err != nil {
		return store.Note{}, err
	}
	note, err := store.ParseNote(c.PostForm.Get("note"))
	if err != nil {
		return store.Note{}, errNoNote
	}
	return note, nil
}

// actNoted does to the thing with the id what takes a note, and goes on to its page.
func (c *call) actNoted(page, done string, id int64, do func(ctx context.Context, id int64, note store.Note, by store.Actor) error) error {
	note, err := c.note()
	if err != nil {
		return err
	}
	if err := do(c.ctx, id, note, c.actor()); err != nil {
		return err
	}
	return c.done(page, done)
}
