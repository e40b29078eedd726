package simulator

import (
	"bytes"
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"
)

// searchPayments answers GET /v1/payments/search.
func (s *Simulator) searchPayments(w http.ResponseWriter, r *http.Request) error {
	n := uint64(s.counters.searches.Add(1)) //nolint:gosec // counts up from 1
	if fault := s.fault(forSearch, n); fault != nil {
		return fault
	}
	values := r.URL.Query()
	q, bad := parseSearch(values, s.now())
	if bad != nil {
		return bad
	}
	q.account = s.accountOf(r.Context())
	values.Set("account", strconv.FormatInt(q.account, 10))
	var found []*snapshot
	if s.cfg.Faults.UnstablePages {
		found = s.search(q, n)
	} else {
		found = s.searchMemo.results(values, q.offset, func() []*snapshot { return s.search(q, 0) })
	}
	writeJSON(w, http.StatusOK, searchPage(q, found, max(0, len(found)+s.cfg.Faults.SearchCountOff)))
	return nil
}

// searchPage is a search's answer, total being the count that it names.
func searchPage(q searchQuery, found []*snapshot, total int) []byte {
	var page bytes.Buffer
	page.WriteString(`{"paging":{"total":` + strconv.Itoa(total) +
		`,"limit":` + strconv.Itoa(q.limit) + `,"offset":` + strconv.Itoa(q.offset) + `},"results":[`)
	begin := min(q.offset, len(found))
	for i, snap := range found[begin:min(begin+q.limit, len(found))] {
		if i > 0 {
			page.WriteByte(',')
		}
		snap.served.Add(1)
		page.Write(snap.body())
	}
	page.WriteString("]}")
	return page.Bytes()
}

// search finds what a query asks for, in its order. Payments that the order
// leaves equal follow each other by id, or, when ties is not 0, in an order
// drawn from it.
func (s *Simulator) search(q searchQuery, ties uint64) []*snapshot {
	asOf := s.now().Add(-s.cfg.Faults.SearchLag)
	var found []*snapshot
	for _, p := range s.paymentsOf(q.reference) {
		if snap := p.shownAt(asOf); snap != nil && !p.unlisted.Load() && s.shows(q.account, p.collectorID) && snap.matches(q) {
			found = append(found, snap)
		}
	}
	slices.SortFunc(found, func(a, b *snapshot) int {
		var order int
		if q.sort != "id" {
			order = a.date(q.sort).Compare(b.date(q.sort))
		} else {
			order = cmp.Compare(a.payment.id, b.payment.id)
		}
		if q.descending {
			order = -order
		}
		if order != 0 {
			return order
		}
		if ties == 0 {
			return cmp.Compare(a.payment.id, b.payment.id)
		}
		return cmp.Compare(mix(ties^mix(a.payment.seq)), mix(ties^mix(b.payment.seq)))
	})
	return found
}

// paymentsOf is the payments so far of a reference, or all of them when it is empty.
func (s *Simulator) paymentsOf(reference string) []*payment {
	if reference == "" {
		return s.paymentsSoFar()
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if o := s.orders[reference]; o != nil {
		return o.payments
	}
	return nil
}

// matches reports whether a search shows this state.
func (snap *snapshot) matches(q searchQuery) bool {
	at := snap.date(q.by)
	if at.IsZero() || at.Before(q.begin) || at.After(q.end) {
		return false
	}
	p := snap.payment
	return (q.reference == "" || q.reference == p.reference) &&
		(q.collectorID == "" || q.collectorID == strconv.FormatInt(p.collectorID, 10)) &&
		(q.payerID == "" || q.payerID == strconv.FormatInt(p.looks.payerID, 10)) &&
		(q.status == "" || q.status == snap.state.Status)
}

// date is one of the dates that a search knows; zero when the payment has none.
func (snap *snapshot) date(name string) time.Time {
	switch name {
	case "date_created":
		return snap.payment.createdAt
	case "date_last_updated":
		return snap.state.DateLastUpdated
	case "date_approved":
		return snap.approvedAt
	case "money_release_date":
		if !snap.approvedAt.IsZero() {
			return snap.approvedAt.AddDate(0, 0, moneyReleaseDays)
		}
	}
	return time.Time{}
}

// memoSize is how many searches are remembered for their further pages.
const memoSize = 16

// searchMemo keeps what searches found on their first page for their further
// pages, so that these fit together while payments change.
type searchMemo struct {
	mu     sync.Mutex
	recent []string // the keys of found, oldest first
	found  map[string][]*snapshot
}

// results returns what the search found on its first page; it searches on a
// first page, and when the first page is forgotten.
func (m *searchMemo) results(values url.Values, offset int, search func() []*snapshot) []*snapshot {
	same := url.Values{}
	for name, value := range values {
		if name != "offset" && name != "limit" {
			same[name] = value
		}
	}
	key := same.Encode()
	m.mu.Lock()
	defer m.mu.Unlock()
	if found, ok := m.found[key]; ok && offset > 0 {
		return found
	}
	found := search()
	if m.found == nil {
		m.found = make(map[string][]*snapshot)
	}
	if i := slices.Index(m.recent, key); i >= 0 {
		m.recent = slices.Delete(m.recent, i, i+1)
	} else if len(m.recent) == memoSize {
		delete(m.found, m.recent[0])
		m.recent = slices.Delete(m.recent, 0, 1)
	}
	m.recent = append(m.recent, key)
	m.found[key] = found
	return found
}
