package jobs

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
)

const (
	// walkPage is how many payments are asked for at a time.
	walkPage = 50
	// walkReadings is how often a range is read whose readings do not agree.
	walkReadings = 3
	// walkRefusals in a row are no wide window any more but a wrong question.
	walkRefusals = 60
	// instant is the precision of a search's dates.
	instant = time.Millisecond

	// These bound the searches of one walk, so that a search that lies keeps no
	// run for ever: through a regular run's window, a backfill's, a range that is
	// read again, and the payments of one order.
	regularCalls  = 10_000
	backfillCalls = 200_000
	rereadCalls   = 1_000
	orderCalls    = 200
)

// A searchWalk reads all payments that changed between two times, by the time of
// their change. It believes the rows that it is shown and no count: the next page
// begins where the last one ended and not at an offset, so that no payment is
// passed over while others change; a page that is not full is the end only where
// the count says the same, and otherwise the walk goes on until a page is empty.
//
// A reading in which counts and rows disagree is made once more, and the range
// counts as seen when the second found nothing that the first had not. What could
// not be seen is named and counted, and the walk goes on behind it: each page
// brings it forward, or ends it with a word.
//
// It is stored between two pages as it is.
type searchWalk struct {
	// Begin and End are the range, both included and whole instants.
	Begin time.Time `json:"begin"`
	End   time.Time `json:"end"`
	// At and Until are the first and the last instant of the next page.
	At    time.Time `json:"at"`
	Until time.Time `json:"until"`
	// Span is how long a window was taken without being refused.
	Span time.Duration `json:"span"`
	// Offset is how many rows of this place were shown on pages that were not
	// full although more were counted.
	Offset int `json:"offset,omitempty"`
	// Seen are the states that were shown at this place, see stateKey.
	Seen []string `json:"seen,omitempty"`
	// Left is how many payments the last page counted at this place and behind.
	Left *int `json:"left,omitempty"`
	// Instant is set while the payments of one instant are paged through.
	Instant *instantWalk `json:"instant,omitempty"`

	// Reading numbers the readings from 1. Doubt is true when counts and rows of
	// this one disagree, and New is how many differences it found that the run
	// did not know.
	Reading int   `json:"reading"`
	Doubt   bool  `json:"doubt,omitempty"`
	New     int64 `json:"new,omitempty"`
	// Read is true when the reading has come to the range's end.
	Read bool `json:"read,omitempty"`

	// Calls counts the searches, Most bounds them, and Refusals counts those
	// refused in a row.
	Calls    int `json:"calls"`
	Most     int `json:"most"`
	Refusals int `json:"refusals,omitempty"`
	// Unseen is what could not be seen.
	Unseen []store.UnseenRange `json:"unseen,omitempty"`
	Ended  bool                `json:"ended"`
}

// newSearchWalk returns a walk from begin to end that asks most times at most.
func newSearchWalk(begin, end time.Time, most int) *searchWalk {
	w := &searchWalk{Begin: begin.UTC().Truncate(instant), End: end.UTC().Add(instant - 1).Truncate(instant), Most: most}
	w.rewind()
	return w
}

// rewind begins the next reading.
func (w *searchWalk) rewind() {
	w.At, w.Until, w.Span = w.Begin, w.End, w.End.Sub(w.Begin)
	w.Offset, w.Seen, w.Left, w.Instant = 0, nil, nil, nil
	w.Reading++
	w.Doubt, w.New, w.Read, w.Unseen = false, 0, false, nil
}

// over decides what follows after a page, and reports whether the walk is over.
func (w *searchWalk) over() bool {
	switch {
	case w.Ended:
	case w.Read && (!w.Doubt || w.Reading > 1 && w.New == 0):
		w.Ended = true
	case w.Read && w.Reading == walkReadings:
		w.miss(w.Begin, w.End, store.UnseenUnstable, 1)
		w.Ended = true
	case w.Calls >= w.Most:
		from, left := w.At, 1
		if w.Read {
			from = w.Begin
		} else if w.Left != nil {
			left = max(left, *w.Left)
		}
		w.miss(from, w.End, store.UnseenBound, left)
		w.Ended = true
	case w.Read:
		w.rewind()
	}
	return w.Ended
}

// query is the search for the next page.
func (w *searchWalk) query(reference, collectorID string) provider.SearchQuery {
	w.Calls++
	q := provider.SearchQuery{Begin: w.At, End: w.Until, Reference: reference, CollectorID: collectorID, Limit: walkPage, Offset: w.Offset}
	if w.Instant != nil {
		w.Instant.narrow(&q)
	}
	return q
}

// refused takes in that a search was answered with a refusal (HTTP 400), as one
// of a window with too many rows is (error 1000 of the payments reference). It
// reports whether there is a point in going on.
func (w *searchWalk) refused(err error) bool {
	if !isRefused(err) {
		return false
	}
	w.Refusals++
	switch in := w.Instant; {
	case w.Refusals > walkRefusals:
		return false
	case in != nil && in.Offset == 0 && !in.Narrow:
		in.Narrow = true
	case in != nil:
		// That is as far as offsets reach, or this way does not lead anywhere.
		in.Capped, in.Refused = true, in.Refused || in.Offset == 0 && in.Way > 1
		w.endPass()
	case w.Offset > 0:
		w.Doubt = true
		w.miss(w.At, w.Until, store.UnseenRefused, max(1, *w.Left-w.Offset))
		w.endWindow(nil)
	case !w.halve() || w.Until.Equal(w.At):
		w.Instant = &instantWalk{}
	}
	return true
}

// isRefused reports an answer that takes the question for wrong.
func isRefused(err error) bool {
	var asked *provider.Error
	return errors.As(err, &asked) && asked.StatusCode == http.StatusBadRequest
}

// halve makes the window half as long, unless it is one instant.
func (w *searchWalk) halve() bool {
	if w.Until.Equal(w.At) {
		return false
	}
	span := (w.Until.Sub(w.At) / 2).Truncate(instant)
	w.Until, w.Span, w.Left = w.At.Add(span), span, nil
	return true
}

// take takes a page in and returns which of its payments were not shown before.
func (w *searchWalk) take(page provider.SearchPage) []provider.Payment {
	w.Refusals = 0
	rows := len(page.Payments) + len(page.Odd)
	full := rows >= walkPage || page.Limit > 0 && rows >= page.Limit
	fresh := w.fresh(page.Payments)
	if w.Instant != nil {
		w.takeInstant(page, full)
		return fresh
	}
	// What the page before counted here and behind, and this one does not: it
	// has changed since, or it was counted and never shown.
	if w.Offset == 0 && w.Left != nil && page.Total < *w.Left {
		w.Doubt = true
	}
	last := w.At
	for _, p := range page.Payments {
		if at := p.UpdatedAt.Truncate(instant); at.After(last) && !at.After(w.Until) {
			last = at
		}
	}
	left := page.Total - w.Offset - rows
	switch {
	case rows == 0 || !full && left == 0:
		if left != 0 {
			w.doubtAbout(left)
		}
		w.endWindow(page.Payments)
		return fresh
	case last.After(w.At):
		before := w.Offset + rows
		w.Offset = 0
		w.moveTo(last, page.Payments)
		left = page.Total - (before - len(w.Seen))
	case full && len(page.Odd) > 0 && w.halve():
		// They may have changed at any time: a narrower window holds fewer.
		return fresh
	case full:
		w.remember(page.Payments)
		// What was shown here before does not count: it may have moved on since, and
		// another be taken for it.
		w.Offset, w.Instant = 0, &instantWalk{}
	default:
		// Not full, and yet not the end by the count.
		w.remember(page.Payments)
		w.Doubt = true
		w.Offset += rows
		left = page.Total
	}
	w.Left = &left
	return fresh
}

// doubtAbout notes that rows and count disagree at the end of a window. Payments
// that were counted and not shown are unseen.
func (w *searchWalk) doubtAbout(left int) {
	w.Doubt = true
	if left > 0 {
		w.miss(w.At, w.Until, store.UnseenCounted, left)
	}
}

// endWindow goes on behind a window that was read to its end. The new one begins
// with the old one's last instant: whether searches include the end of what they
// are asked for is not documented.
func (w *searchWalk) endWindow(shown []provider.Payment) {
	w.Offset, w.Left = 0, nil
	if !w.Until.Before(w.End) {
		w.At, w.Read, w.Seen = w.End, true, nil
		return
	}
	w.Span = max(2*w.Span, instant)
	switch w.Until.Compare(w.At) {
	case 1:
		w.moveTo(w.Until, shown)
	case 0:
		w.At, w.Seen = w.At.Add(instant), nil
	}
	w.Until = w.At.Add(w.Span)
	if w.Until.After(w.End) {
		w.Until = w.End
	}
}

// moveTo goes on at a later time, and remembers what was shown there.
func (w *searchWalk) moveTo(at time.Time, shown []provider.Payment) {
	w.At, w.Seen = at, nil
	w.remember(shown)
}

// remember keeps what was shown at the place where the walk is.
func (w *searchWalk) remember(shown []provider.Payment) {
	for _, p := range shown {
		if w.isHere(p) {
			w.Seen = appendNew(w.Seen, stateKey(p))
		}
	}
}

func (w *searchWalk) isHere(p provider.Payment) bool {
	return p.UpdatedAt.Truncate(instant).Equal(w.At)
}

// unseenRanges bounds how many ranges one walk names; what comes later is added
// to the last one.
const unseenRanges = 50

// miss names payments that could not be seen.
func (w *searchWalk) miss(from, to time.Time, reason string, payments int) {
	if n := len(w.Unseen); n == unseenRanges {
		w.Unseen[n-1].End = to
		w.Unseen[n-1].Payments += payments
		return
	}
	w.Unseen = append(w.Unseen, store.UnseenRange{Begin: from, End: to, Reason: reason, Payments: payments})
}

// stateKey names a state of a payment: one that changed since it was seen is to
// be looked at again.
func stateKey(p provider.Payment) string {
	return p.ID + "@" + strconv.FormatInt(p.UpdatedAt.UnixMilli(), 10)
}

// fresh are the states that were not shown at this place before.
func (w *searchWalk) fresh(shown []provider.Payment) []provider.Payment {
	fresh := make([]provider.Payment, 0, len(shown))
	for _, p := range shown {
		if !slices.Contains(w.Seen, stateKey(p)) {
			fresh = append(fresh, p)
		}
	}
	return fresh
}

func appendNew(seen []string, ids ...string) []string {
	for _, id := range ids {
		if !slices.Contains(seen, id) {
			seen = append(seen, id)
		}
	}
	return seen
}

// describeUnseen says what was not seen, for a log line.
func describeUnseen(unseen []store.UnseenRange) string {
	var text string
	for i, u := range unseen {
		if i > 0 {
			text += "; "
		}
		text += fmt.Sprintf("%s: %d from %s to %s", u.Reason, u.Payments, u.Begin.Format(time.RFC3339Nano), u.End.Format(time.RFC3339Nano))
	}
	return text
}
