package jobs

import (
	"slices"

	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
)

const (
	// instantReach is how far offsets reach (the payments reference).
	instantReach = 10_000
	// instantIdle is how many passes in a row may show nothing new before it is
	// given up to find what is counted. Rows of one instant have no fixed order,
	// so each pass through a few pages misses about a third of them: 0.36¹² is
	// one in 200,000.
	instantIdle = 12
	// instantRestarts bounds how often a count that falls is believed.
	instantRestarts = 10
)

// instantStatuses are the filters by which an instant is read that holds more
// payments than offsets reach.
var instantStatuses = []string{
	"pending", "approved", "authorized", "in_process", "in_mediation", "rejected", "cancelled", "refunded", "charged_back",
}

// An instantWalk pages by offset through payments that all changed at the same
// instant: forwards; where that reaches a cap also backwards, and then by status.
type instantWalk struct {
	Offset int `json:"offset"`
	// Way is how the instant is read: 0 forwards, 1 backwards, from 2 on by one
	// status after the other.
	Way int `json:"way,omitempty"`
	// Narrow is true when the instant that follows was too much.
	Narrow bool `json:"narrow,omitempty"`
	// Refused is true when not even the first page by some status was shown.
	Refused bool `json:"refused,omitempty"`
	// Capped is true when offsets did not reach the end of this way, and
	// BeyondCap when that was so of the last hope for some payments.
	Capped    bool `json:"capped,omitempty"`
	BeyondCap bool `json:"beyond_cap,omitempty"`
	// Total is how many the forward reading counted last, and Seen which were
	// shown; Grew is true when this pass showed a new one, and Idle counts the
	// passes in a row that did not.
	Total int      `json:"total"`
	Seen  []string `json:"seen"`
	Grew  bool     `json:"grew,omitempty"`
	Idle  int      `json:"idle,omitempty"`
	// Rounds counts how often the instant was read in every way, and RoundGrew is
	// true when this round showed a new one.
	Rounds    int  `json:"rounds,omitempty"`
	RoundGrew bool `json:"round_grew,omitempty"`
	// Restarts counts how often the payments of the instant became fewer.
	Restarts int `json:"restarts,omitempty"`
	// Next are the states at the next instant, which searches may include.
	Next []string `json:"next,omitempty"`
}

// narrow makes a search one for this page of the instant.
func (in *instantWalk) narrow(q *provider.SearchQuery) {
	// Whether searches include the end of what they are asked for is not
	// documented, so it is asked for a little more where that is not refused.
	q.End, q.Offset, q.Descending = q.Begin.Add(instant), in.Offset, in.Way == 1
	if in.Narrow {
		q.End = q.Begin
	}
	if in.Way > 1 {
		q.Status = instantStatuses[in.Way-2]
	}
}

// takeInstant takes a page of the payments of one instant in.
func (w *searchWalk) takeInstant(page provider.SearchPage, full bool) {
	in := w.Instant
	known := len(in.Seen)
	for _, p := range page.Payments {
		w.Seen = appendNew(w.Seen, stateKey(p))
		if p.UpdatedAt.After(w.At.Add(instant - 1)) {
			in.Next = appendNew(in.Next, stateKey(p))
		}
		in.Seen = appendNew(in.Seen, p.ID)
	}
	for _, u := range page.Odd {
		in.Seen = appendNew(in.Seen, u.ID)
	}
	in.Grew = in.Grew || len(in.Seen) > known
	if in.Way == 0 {
		fewer := page.Total < in.Total
		w.Doubt = w.Doubt || fewer && in.Restarts >= instantRestarts
		if fewer && in.Restarts < instantRestarts {
			// Some have moved on, shown or not; those that are left are counted
			// from the beginning.
			*in = instantWalk{Narrow: in.Narrow, Total: page.Total, Next: in.Next, Restarts: in.Restarts + 1}
			return
		}
		in.Total = max(in.Total, page.Total)
	}
	rows := len(page.Payments) + len(page.Odd)
	in.Offset += rows
	switch {
	case in.Offset+walkPage > instantReach && full:
		in.Capped = true
		w.endPass()
	case rows == 0, !full && in.Offset >= page.Total:
		w.endPass()
	}
}

// endPass decides what follows on a pass through the instant.
func (w *searchWalk) endPass() {
	in := w.Instant
	capped, grew := in.Capped, in.Grew
	in.Offset, in.Capped, in.Grew = 0, false, false
	in.RoundGrew = in.RoundGrew || grew
	shown, counted := len(in.Seen), in.Way == 0 && !capped || in.Total > 0
	switch {
	case counted && (shown == in.Total || shown > in.Total && !capped):
		w.Doubt = w.Doubt || shown > in.Total
		w.leaveInstant()
	case in.Way == 0 && !capped:
		if in.Idle++; grew {
			in.Idle = 0
		}
		if in.Idle >= instantIdle {
			w.Doubt = true
			w.miss(w.At, w.At, store.UnseenCounted, in.Total-shown)
			w.leaveInstant()
		}
	default:
		in.BeyondCap = in.BeyondCap || capped && in.Way > 1
		if in.Way++; in.Way-2 == len(instantStatuses) {
			w.endRound()
		}
	}
}

// endRound decides what follows when an instant was read in every way.
func (w *searchWalk) endRound() {
	in := w.Instant
	left := in.Total - len(in.Seen)
	switch {
	case left <= 0 && !in.BeyondCap && !in.Refused:
	case in.RoundGrew && in.Rounds < instantIdle:
		// Its rows have no fixed order: the next round may show the others.
		in.Way, in.Rounds, in.RoundGrew, in.BeyondCap, in.Refused = 0, in.Rounds+1, false, false, false
		return
	case in.Refused:
		w.miss(w.At, w.At, store.UnseenRefused, max(left, 1))
	default:
		w.miss(w.At, w.At, store.UnseenBeyondCap, max(left, 1))
	}
	w.leaveInstant()
}

// leaveInstant goes on with the instant that follows.
func (w *searchWalk) leaveInstant() {
	w.Seen, w.Instant, w.Left = slices.Clone(w.Instant.Next), nil, nil
	w.At = w.At.Add(instant)
	if w.At.After(w.Until) {
		w.endWindow(nil)
	}
}
