package mercadopago

import (
	"bytes"
	"cmp"
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

// DecodeSearchPage reads the answer of GET /v1/payments/search (the payments
// reference). A page without its paging or its results is an error: taken for an
// empty one it would look like the end. A result that can't be booked is one of
// the page's Odd and fails nothing else.
func DecodeSearchPage(raw []byte) (provider.SearchPage, error) {
	o, err := readObject(raw)
	if err != nil {
		return provider.SearchPage{}, fmt.Errorf("search: %w", err)
	}
	var page provider.SearchPage
	paging := o.child("paging")
	for _, count := range []struct {
		name string
		to   *int
	}{{"total", &page.Total}, {"limit", &page.Limit}, {"offset", &page.Offset}} {
		n, err := strconv.ParseInt(paging.text(count.name), 10, 32)
		if err != nil || n < 0 {
			return provider.SearchPage{}, fmt.Errorf("search: paging.%s is missing or is not a count", count.name)
		}
		*count.to = int(n)
	}
	var results []json.RawMessage
	if err := json.Unmarshal(o.value("results"), &results); err != nil || results == nil {
		return provider.SearchPage{}, errors.New("search: results is missing or is not a list")
	}
	for _, result := range results {
		payment, err := DecodePayment(result)
		var odd *provider.OddPayment
		switch {
		case err == nil:
			page.Payments = append(page.Payments, payment)
		case errors.As(err, &odd):
			page.Odd = append(page.Odd, *odd)
		default: // not even an object
			page.Odd = append(page.Odd, provider.OddPayment{
				Fields: []provider.Field{provider.FieldID}, Problem: err.Error(), Raw: bytes.Clone(result),
			})
		}
	}
	return page, nil
}

// searchTime is the only form of a date that the search takes (its error 1001).
const searchTime = "2006-01-02T15:04:05.000Z07:00"

// searchValues is the query string of the search.
func searchValues(q provider.SearchQuery) (url.Values, error) {
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
		return nil, errors.New("search: the collector's id is malformed")
	}
	if !q.Begin.IsZero() {
		v.Set("begin_date", q.Begin.UTC().Format(searchTime)) // Format cuts: down
		v.Set("end_date", q.End.UTC().Add(time.Millisecond-1).Format(searchTime))
	}
	if q.Reference != "" {
		v.Set("external_reference", q.Reference)
	}
	if q.Descending {
		v.Set("criteria", "desc")
	}
	if q.Status != "" {
		v.Set("status", q.Status)
	}
	if q.CollectorID != "" {
		v.Set("collector.id", q.CollectorID)
	}
	v.Set("limit", strconv.Itoa(cmp.Or(q.Limit, MaxSearchLimit)))
	v.Set("offset", strconv.Itoa(q.Offset))
	return v, nil
}

// orderPageSize is how many orders a page of their search holds: the largest that the
// orders reference allows.
const orderPageSize = 100

// decodeOrderPage reads the answer of GET /v1/orders (the orders reference). Its
// paging is not looked at: rows are believed and no count. A row that can't be read is
// named, and fails nothing else.
func decodeOrderPage(raw []byte) (provider.OrderPage, error) {
	o, err := readObject(raw)
	if err != nil {
		return provider.OrderPage{}, fmt.Errorf("orders: %w", err)
	}
	var rows []json.RawMessage
	if err := json.Unmarshal(o.value("data"), &rows); err != nil || rows == nil {
		return provider.OrderPage{}, errors.New("orders: data is missing or is not a list")
	}
	var page provider.OrderPage
	for _, row := range rows {
		fields, err := readObject(row)
		id := fields.id("id")
		if err != nil || !mercadoPagoOrderID(id) {
			page.Unread++
			continue
		}
		found := provider.FoundOrder{
			Ref: provider.Ref{Topic: topicOrder, ID: id}, UpdatedAt: readNanos(fields.text("last_updated_date")), Raw: bytes.Clone(row),
		}
		if order, err := readMercadoPagoOrder(row); err == nil {
			found.Payments, found.Readable = order.ordered(), true
		}
		page.Orders = append(page.Orders, found)
	}
	return page, nil
}

// orderSearchValues is the query string of the orders' search, which takes no window
// of changes and wants one of creations.
func orderSearchValues(q provider.OrderQuery) url.Values {
	return url.Values{
		"begin_date": {q.Begin.UTC().Format(searchTime)}, "end_date": {q.End.UTC().Format(searchTime)},
		"sort_by": {"last_updated_date"}, "sort_order": {"desc"},
		"page": {strconv.Itoa(q.Page)}, "page_size": {strconv.Itoa(orderPageSize)},
	}
}
