package mercadopago

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/conciliar/conciliar/jobs/provider"
)

// Bounds of GET /v1/payments/search. The reference names no largest limit;
// readings of it go from 50 to 1000, so 50 works everywhere.
const (
	MaxSearchLimit  = 50
	MaxSearchOffset = 10_000
)

// A SearchQuery asks for payments, those that changed first at the front.
type SearchQuery struct {
	// Begin and End bound when a payment was last changed, both included.
	// Without both, Mercado Pago looks at its last three months.
	Begin, End time.Time
	// Reference asks for the payments of one order; empty for all.
	Reference string
	// CollectorID asks for what one account was paid. Without it the answer also
	// has what the account paid itself.
	CollectorID string
	// Limit is how many payments a page holds, MaxSearchLimit when 0.
	Limit int
	// Offset is how many payments to pass over.
	Offset int
}

// A Page is one answer to a search.
type Page struct {
	// Total is how many payments the search finds, on all pages.
	Total int
	// Limit and Offset are what Mercado Pago applied, which may not be what was
	// asked for.
	Limit, Offset int
	Payments      []provider.Payment
	// Unreadable are the results that are no payments we understand. The others
	// are not held up by them; whoever walks the pages must look at these too.
	Unreadable []UnreadablePayment
}

// An UnreadablePayment is a result of a search that could not be decoded.
type UnreadablePayment struct {
	// ID is the payment's id, empty when even that could not be read.
	ID string
	// Err says which field is wrong.
	Err error
}

// DecodeSearchPage reads the answer of GET /v1/payments/search (the payments
// reference). A page without its paging or its results is an error: taken for an
// empty one it would look like the end.
func DecodeSearchPage(raw []byte) (Page, error) {
	o, err := readObject(raw)
	if err != nil {
		return Page{}, fmt.Errorf("search: %w", err)
	}
	var page Page
	paging := o.child("paging")
	for _, count := range []struct {
		name string
		to   *int
	}{{"total", &page.Total}, {"limit", &page.Limit}, {"offset", &page.Offset}} {
		n, err := strconv.ParseInt(paging.scalar(count.name), 10, 32)
		if err != nil || n < 0 {
			return Page{}, fmt.Errorf("search: paging.%s is missing or is no count", count.name)
		}
		*count.to = int(n)
	}
	var results []json.RawMessage
	if err := json.Unmarshal(o["results"], &results); err != nil || results == nil {
		return Page{}, errors.New("search: results is missing or is no list")
	}
	for _, result := range results {
		payment, err := DecodePayment(result)
		if err != nil {
			r, _ := readObject(result) // a nil object has no id
			page.Unreadable = append(page.Unreadable, UnreadablePayment{ID: r.id("id"), Err: err})
			continue
		}
		page.Payments = append(page.Payments, payment)
	}
	return page, nil
}

// searchTime is the only form of a date that the search takes (its error 1001).
const searchTime = "2006-01-02T15:04:05.000Z07:00"

// values is the query string of the search.
func (q SearchQuery) values() (url.Values, error) {
	v := url.Values{"sort": {"date_last_updated"}, "criteria": {"asc"}, "range": {"date_last_updated"}}
	switch {
	case q.Begin.IsZero() != q.End.IsZero():
		return nil, errors.New("search: begin and end go together")
	case q.End.Before(q.Begin):
		return nil, errors.New("search: end is before begin")
	case q.Limit < 0 || q.Limit > MaxSearchLimit:
		return nil, fmt.Errorf("search: limit %d is not within 0 and %d", q.Limit, MaxSearchLimit)
	case q.Offset < 0 || q.Offset > MaxSearchOffset:
		return nil, fmt.Errorf("search: offset %d is not within 0 and %d", q.Offset, MaxSearchOffset)
	case q.CollectorID != "" && !validID(q.CollectorID):
		return nil, errors.New("search: the collector's id is no id")
	}
	if !q.Begin.IsZero() {
		v.Set("begin_date", q.Begin.UTC().Format(searchTime)) // Format cuts: down
		v.Set("end_date", q.End.UTC().Add(time.Millisecond-1).Format(searchTime))
	}
	if q.Reference != "" {
		v.Set("external_reference", q.Reference)
	}
	if q.CollectorID != "" {
		v.Set("collector.id", q.CollectorID)
	}
	limit := q.Limit
	if limit == 0 {
		limit = MaxSearchLimit
	}
	v.Set("limit", strconv.Itoa(limit))
	v.Set("offset", strconv.Itoa(q.Offset))
	return v, nil
}
