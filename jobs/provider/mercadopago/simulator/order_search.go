package simulator

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// Limits of the orders' search, by the orders reference.
const (
	defaultOrderPage = 20
	largestOrderPage = 100
	longestOrderDays = 30
	oldestOrderYears = 5
	// lastOrderPage keeps the arithmetic of pages in bounds.
	lastOrderPage = 1_000_000
)

// An orderQuery is what a search of orders asks for.
type orderQuery struct {
	begin, end                      time.Time // of the creation
	reference, kind, status, detail string
	byCreation, ascending           bool
	page, size                      int
}

// parseOrderSearch reads the parameters of a search of orders. The error is an
// answer.
func parseOrderSearch(values url.Values, now time.Time) (orderQuery, *apiError) {
	q := orderQuery{
		reference: values.Get("external_reference"), kind: values.Get("type"),
		status: values.Get("status"), detail: values.Get("status_detail"),
	}
	refused := func(description string) (orderQuery, *apiError) {
		return orderQuery{}, badRequest(1, "Params Error", description)
	}
	var err error
	if q.begin, err = time.Parse(time.RFC3339Nano, values.Get("begin_date")); err != nil {
		return refused("begin_date is required, in RFC 3339")
	}
	if q.end, err = time.Parse(time.RFC3339Nano, values.Get("end_date")); err != nil {
		return refused("end_date is required, in RFC 3339")
	}
	switch {
	case q.end.Before(q.begin) || q.end.Sub(q.begin) > longestOrderDays*24*time.Hour:
		return refused("begin_date and end_date are more than 30 days apart")
	case q.begin.Before(now.AddDate(-oldestOrderYears, 0, 0)):
		return refused("begin_date is more than five years ago")
	}
	switch values.Get("sort_by") {
	case "", "created_date":
		q.byCreation = true
	case "last_updated_date":
	default:
		return refused("Invalid sort_by value")
	}
	switch values.Get("sort_order") {
	case "", "desc":
	case "asc":
		q.ascending = true
	default:
		return refused("Invalid sort_order value")
	}
	if q.page, err = strconv.Atoi(cmp.Or(values.Get("page"), "1")); err != nil || q.page < 1 || q.page > lastOrderPage {
		return refused("Invalid page value")
	}
	if q.size, err = strconv.Atoi(cmp.Or(values.Get("page_size"), strconv.Itoa(defaultOrderPage))); err != nil ||
		q.size < 1 || q.size > largestOrderPage {
		return refused("Invalid page_size value")
	}
	return q, nil
}

// searchOrders answers GET /v1/orders: the orders of the account, as they are now.
func (s *Simulator) searchOrders(w http.ResponseWriter, r *http.Request) error {
	n := uint64(s.counters.orderSearches.Add(1)) //nolint:gosec // counts up from 1
	if s.cfg.TestCredentials {
		return &apiError{status: http.StatusUnauthorized, message: "unauthorized", word: "unauthorized"}
	}
	if fault := s.fault(forOrderSearch, n); fault != nil {
		return fault
	}
	q, bad := parseOrderSearch(r.URL.Query(), s.now())
	if bad != nil {
		return bad
	}
	found := s.ordersFound(s.accountOf(r.Context()), q)
	total := len(found)
	offset := (q.page - 1) * q.size
	rows := make([]object, 0, q.size)
	if offset < total {
		for _, v := range found[offset:min(offset+q.size, total)] {
			rows = append(rows, v.describe(true))
		}
	}
	// The reference prints the counts as text, some mocks of the SDKs as numbers.
	numbers := draws(s.cfg.Seed, forOrderPaging, n).IntN(4) == 0
	count := func(n int) any { return numberOrText(numbers, int64(n)) }
	writeJSON(w, http.StatusOK, encoded(object{
		"data": rows,
		"paging": object{
			"total": count(total), "total_pages": count((total + q.size - 1) / q.size), "offset": count(offset), "limit": count(q.size),
		},
	}))
	return nil
}

// ordersFound is what a query asks for, in its order.
func (s *Simulator) ordersFound(account int64, q orderQuery) []orderView {
	s.mu.RLock()
	orders := s.mercadoPagoOrders
	s.mu.RUnlock()
	var found []orderView
	for _, r := range orders {
		if r.payment.collectorID != account {
			continue
		}
		if v := s.viewOf(r); v.matches(q) {
			found = append(found, v)
		}
	}
	slices.SortFunc(found, func(a, b orderView) int {
		by := a.snap.state.DateLastUpdated.Compare(b.snap.state.DateLastUpdated)
		if q.byCreation {
			by = a.r.payment.createdAt.Compare(b.r.payment.createdAt)
		}
		by = cmp.Or(by, cmp.Compare(a.r.payment.id, b.r.payment.id))
		if !q.ascending {
			by = -by
		}
		return by
	})
	return found
}

// matches reports whether a search of orders shows this one.
func (v orderView) matches(q orderQuery) bool {
	created := v.r.payment.createdAt
	return !created.Before(q.begin) && !created.After(q.end) &&
		(q.reference == "" || q.reference == v.r.payment.reference) &&
		(q.kind == "" || q.kind == orderTypes[v.r.kind]) &&
		(q.status == "" || q.status == v.word.status) &&
		(q.detail == "" || q.detail == v.word.detail)
}
