package jobs

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/conciliar/conciliar/jobs/provider"
)

const (
	// walkPage is how many payments are asked for at a time.
	walkPage = 50
	// walkRows is how many payments a window may hold; beyond it searches refuse
	// to page, or page unreliably. Windows are halved before.
	walkRows = 1000
	// walkPasses is how often the payments of one instant are paged through
	// before it is given up that all of them were seen.
	walkPasses = 100
	// instant is the precision of a search's dates.
	instant = time.Millisecond
)

// A searchWalk goes through all payments that changed between two times, by the
// time of their change. The next page begins where the last one ended and not at
// an offset, so that no payment is passed over while others change: one that
// changes moves to the end. Only where more payments than a page holds changed in
// one instant are they paged through by offset, until as many were seen as there
// are.
//
// It is stored between two pages as it is.
type searchWalk struct {
	// At is the time of the next page's first payment, and Until that of its
	// last, both included and whole instants. End is where the walk ends.
	At    time.Time `json:"at"`
	Until time.Time `json:"until"`
	End   time.Time `json:"end"`
	// Span is how long a window was taken without having to be halved.
	Span time.Duration `json:"span"`
	// Seen are the states that were seen at this place, see stateKey.
	Seen []string `json:"seen,omitempty"`
	// Instant is set while the payments of one instant are paged through.
	Instant *instantWalk `json:"instant,omitempty"`
	Ended   bool         `json:"ended"`
}

// An instantWalk pages through payments that all changed at the same instant.
type instantWalk struct {
	Offset int `json:"offset"`
	Pass   int `json:"pass"`
	// Total is how many there were on the last page, and Seen which of them were
	// seen while there were no fewer.
	Total int      `json:"total"`
	Seen  []string `json:"seen"`
	// Next are those that changed at the next instant.
	Next []string `json:"next"`
}

func newSearchWalk(begin, end time.Time) *searchWalk {
	begin, end = begin.UTC().Truncate(instant), end.UTC().Add(instant-1).Truncate(instant)
	return &searchWalk{At: begin, Until: end, End: end, Span: end.Sub(begin)}
}

// query is the search for the next page.
func (w *searchWalk) query(reference, collectorID string) provider.SearchQuery {
	q := provider.SearchQuery{Begin: w.At, End: w.Until, Reference: reference, CollectorID: collectorID, Limit: walkPage}
	if w.Instant != nil {
		// Whether searches include the end of what they are asked for is not
		// documented.
		q.End, q.Offset = w.At.Add(instant), w.Instant.Offset
	}
	return q
}

// refused narrows the window after a search that was not answered with a page,
// and reports whether there is a point in going on: too many rows in the window
// are refused as any wrong question is (error 1000 of the payments reference).
func (w *searchWalk) refused(err error) bool {
	return isRefused(err) && w.Instant == nil && w.halve()
}

// isRefused reports an answer that takes the question for wrong.
func isRefused(err error) bool {
	var asked *provider.Error
	return errors.As(err, &asked) && asked.StatusCode == http.StatusBadRequest
}

// halve makes the window half as long, unless it is one instant.
func (w *searchWalk) halve() bool {
	span := (w.Until.Sub(w.At) / 2).Truncate(instant)
	if w.Until.Equal(w.At) {
		return false
	}
	w.Until, w.Span = w.At.Add(span), span
	return true
}

// take takes a page in and returns which of its payments were not seen before.
func (w *searchWalk) take(page provider.SearchPage) ([]provider.Payment, error) {
	rows := len(page.Payments) + len(page.Odd)
	switch {
	case w.Instant != nil:
		return w.takeInstant(page, rows)
	case page.Total > walkRows && w.halve():
		return nil, nil
	case page.Total > walkRows:
		return nil, w.tooMany(page.Total)
	case rows == 0 && page.Total > 0:
		return nil, fmt.Errorf("the search shows none of the %d payments that it counts", page.Total)
	}
	fresh := w.fresh(page.Payments)
	if rows >= page.Total {
		w.nextWindow(page.Payments, page.Total)
		return fresh, nil
	}
	last := w.At
	for _, p := range page.Payments {
		if at := p.UpdatedAt.Truncate(instant); at.After(last) && !at.After(w.Until) {
			last = at
		}
	}
	switch {
	case last.After(w.At):
		w.moveTo(last, page.Payments)
	case len(page.Odd) > 0 && w.halve():
		// They may have changed at any time: a narrower window holds fewer.
	default:
		w.remember(page.Payments)
		w.Instant = &instantWalk{}
	}
	return fresh, nil
}

// takeInstant takes a page of the payments of one instant in. They have no fixed
// order, so a pass through them may show some twice and others not.
func (w *searchWalk) takeInstant(page provider.SearchPage, rows int) ([]provider.Payment, error) {
	in := w.Instant
	if page.Total > walkRows {
		return nil, w.tooMany(page.Total)
	}
	fresh := w.fresh(page.Payments)
	for _, p := range page.Payments {
		w.Seen = appendNew(w.Seen, stateKey(p))
	}
	fewer := page.Total < in.Total
	if fewer {
		// Some have moved on, seen or not; those that are left are counted anew.
		in.Seen, in.Offset, in.Pass, rows = nil, 0, 0, 0
	}
	for _, p := range page.Payments {
		if p.UpdatedAt.After(w.At.Add(instant - 1)) {
			in.Next = appendNew(in.Next, stateKey(p))
		}
	}
	in.Total = page.Total
	in.Seen = appendNew(in.Seen, ids(page)...)
	in.Offset += rows
	switch {
	case len(in.Seen) >= page.Total:
		w.Instant, w.Seen = nil, in.Next
		w.At = w.At.Add(instant)
		if w.At.After(w.Until) {
			w.nextWindow(nil, page.Total)
		}
	case !fewer && (rows == 0 || in.Offset >= page.Total):
		in.Offset, in.Pass = 0, in.Pass+1
		if in.Pass > walkPasses {
			return nil, fmt.Errorf("only %d of the %d payments that changed at %s are shown", len(in.Seen), page.Total, w.At.Format(time.RFC3339Nano))
		}
	}
	return fresh, nil
}

// nextWindow goes on behind a window of which everything was seen. The new one
// begins with the old one's last instant, see query.
func (w *searchWalk) nextWindow(shown []provider.Payment, total int) {
	if !w.Until.Before(w.End) {
		w.At, w.Ended, w.Seen = w.End, true, nil
		return
	}
	if total < walkRows/2 {
		w.Span = max(2*w.Span, instant)
	}
	if w.Until.After(w.At) {
		w.moveTo(w.Until, shown)
	} else {
		w.remember(shown)
	}
	w.Until = w.At.Add(max(w.Span, instant))
	if w.Until.After(w.End) {
		w.Until = w.End
	}
}

// moveTo goes on at a later time, and remembers who was shown there.
func (w *searchWalk) moveTo(at time.Time, shown []provider.Payment) {
	w.At, w.Seen = at, nil
	w.remember(shown)
}

// remember keeps who was shown at the place where the walk is.
func (w *searchWalk) remember(shown []provider.Payment) {
	for _, p := range shown {
		if p.UpdatedAt.Truncate(instant).Equal(w.At) {
			w.Seen = appendNew(w.Seen, stateKey(p))
		}
	}
}

func (w *searchWalk) tooMany(total int) error {
	return fmt.Errorf("%d payments changed at %s: more than a search pages through", total, w.At.Format(time.RFC3339Nano))
}

// stateKey names a state of a payment: one that changed since it was seen is to
// be looked at again.
func stateKey(p provider.Payment) string {
	return p.ID + "@" + strconv.FormatInt(p.UpdatedAt.UnixMilli(), 10)
}

// fresh are the states that were not seen at this place before.
func (w *searchWalk) fresh(shown []provider.Payment) []provider.Payment {
	fresh := make([]provider.Payment, 0, len(shown))
	for _, p := range shown {
		if !slices.Contains(w.Seen, stateKey(p)) {
			fresh = append(fresh, p)
		}
	}
	return fresh
}

func ids(page provider.SearchPage) []string {
	all := make([]string, 0, len(page.Payments)+len(page.Odd))
	for _, p := range page.Payments {
		all = append(all, p.ID)
	}
	for _, u := range page.Odd {
		all = append(all, u.ID)
	}
	return all
}

func appendNew(seen []string, ids ...string) []string {
	for _, id := range ids {
		if !slices.Contains(seen, id) {
			seen = append(seen, id)
		}
	}
	return seen
}
