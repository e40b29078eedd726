package jobs

import (
	"cmp"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
)

// shelf is a provider's search over payments that may change between two pages.
type shelf struct {
	chance   *rand.Rand
	payments []provider.Payment
	// unreadable are the ids of payments that are shown but can't be read.
	unreadable map[string]bool
	// refuses is how many rows a window may hold before it is refused; 0 is any.
	refuses int
	// reach is how far offsets reach; 0 is instantReach.
	reach int
	asked int
	// hides leaves a payment out, counts says how many there are when n are, and
	// overlap is how many rows a page shows again of the page before.
	hides   func(provider.Payment) bool
	counts  func(n int) int
	overlap int
}

func (s *shelf) search(q provider.SearchQuery) (provider.SearchPage, error) {
	s.asked++
	var found []provider.Payment
	n := 0
	for _, p := range s.payments {
		if p.UpdatedAt.Before(q.Begin) || p.UpdatedAt.Truncate(instant).After(q.End) || q.Status != "" && p.Status != q.Status {
			continue
		}
		n++
		if s.hides == nil || !s.hides(p) {
			found = append(found, p)
		}
	}
	if s.refuses > 0 && n > s.refuses || q.Offset+q.Limit > cmp.Or(s.reach, instantReach) {
		return provider.SearchPage{}, &provider.Error{Kind: provider.Unexpected, StatusCode: http.StatusBadRequest}
	}
	// Payments of one instant have no fixed order.
	s.chance.Shuffle(len(found), func(i, j int) { found[i], found[j] = found[j], found[i] })
	slices.SortStableFunc(found, func(a, b provider.Payment) int {
		by := cmp.Compare(a.UpdatedAt.UnixMilli(), b.UpdatedAt.UnixMilli())
		if q.Descending {
			by = -by
		}
		return by
	})
	page := provider.SearchPage{Total: n, Limit: q.Limit, Offset: q.Offset}
	if s.counts != nil {
		page.Total = s.counts(n)
	}
	from := min(q.Offset, len(found))
	if from > 0 && from < len(found) {
		from = max(0, from-s.overlap)
	}
	for _, p := range found[from:min(from+q.Limit, len(found))] {
		if s.unreadable[p.ID] {
			page.Odd = append(page.Odd, provider.OddPayment{ID: p.ID, Problem: "odd"})
		} else {
			page.Payments = append(page.Payments, p)
		}
	}
	return page, nil
}

// A walked is what a walk came to.
type walked struct {
	*searchWalk
	// states counts how often each state was fresh.
	states     map[string]int
	unreadable map[string]bool
}

// walkAll walks the shelf to the end, stored and read again between two pages.
// between is called after each page.
func walkAll(t require.TestingT, s *shelf, begin, end time.Time, between func()) walked {
	return walkOn(t, s, newSearchWalk(begin, end, regularCalls), map[string]int{}, between)
}

// walkOn is walkAll where some states are known.
func walkOn(t require.TestingT, s *shelf, walk *searchWalk, known map[string]int, between func()) walked {
	all := walked{states: known, unreadable: map[string]bool{}}
	stored, err := json.Marshal(walk)
	require.NoError(t, err)
	for {
		var w searchWalk
		require.NoError(t, json.Unmarshal(stored, &w))
		if w.over() {
			all.searchWalk = &w
			return all
		}
		page, err := s.search(w.query("", ""))
		if err != nil {
			require.True(t, w.refused(err), "refused for good")
		} else {
			for _, p := range w.take(page) {
				if all.states[stateKey(p)] == 0 {
					w.New++
				}
				all.states[stateKey(p)]++
			}
			for _, u := range page.Odd {
				all.unreadable[u.ID] = true
			}
		}
		if between != nil {
			between()
		}
		stored, err = json.Marshal(w)
		require.NoError(t, err)
	}
}

var walkBegin = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// crowd makes payments that changed at the given times after walkBegin.
func crowd(at ...time.Duration) []provider.Payment {
	payments := make([]provider.Payment, len(at))
	for i, d := range at {
		payments[i] = provider.Payment{ID: strconv.Itoa(i + 1), UpdatedAt: walkBegin.Add(d)}
	}
	return payments
}

func steady(n int, step time.Duration) []time.Duration {
	at := make([]time.Duration, n)
	for i := range at {
		at[i] = time.Duration(i) * step
	}
	return at
}

func requireAllOnce(t *testing.T, s *shelf, w walked) {
	t.Helper()
	require.Empty(t, w.Unseen)
	require.Len(t, w.states, len(s.payments))
	for _, p := range s.payments {
		require.Equal(t, 1, w.states[stateKey(p)], "payment %s", p.ID)
	}
}

func newShelf(at ...time.Duration) *shelf {
	return &shelf{chance: rand.New(rand.NewPCG(1, 2)), payments: crowd(at...)}
}

func TestSearchWalk_SeesEveryPaymentOnce(t *testing.T) {
	t.Parallel()
	for name, at := range map[string][]time.Duration{
		"none":                         nil,
		"one at the very begin":        {0},
		"one at the very end":          {time.Hour},
		"a page":                       steady(50, time.Second),
		"a page and one":               steady(51, time.Second),
		"2,500 in a row":               steady(2500, time.Second),
		"all at one instant":           steady(120, 0),
		"950 at one instant":           steady(950, 0),
		"1,200 at one instant":         steady(1200, 0),
		"two instants side by side":    append(steady(80, 0), slices.Repeat([]time.Duration{instant}, 80)...),
		"an instant amid others":       append(steady(300, time.Second), slices.Repeat([]time.Duration{90 * time.Second}, 130)...),
		"a crowded instant at the end": append(steady(70, time.Second), slices.Repeat([]time.Duration{time.Hour}, 130)...),
		"microseconds of one instant":  steady(130, time.Microsecond),
		"two pages with equal borders": append(steady(50, time.Second), slices.Repeat([]time.Duration{49 * time.Second}, 50)...),
		"crowded instants, one by one": append(steady(60, 0), append(slices.Repeat([]time.Duration{instant}, 60), slices.Repeat([]time.Duration{2 * instant}, 60)...)...),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShelf(at...)
			requireAllOnce(t, s, walkAll(t, s, walkBegin, walkBegin.Add(time.Hour), nil))
		})
	}
}

func TestSearchWalk_NarrowsAWindowThatIsRefused(t *testing.T) {
	t.Parallel()
	s := newShelf(steady(700, time.Second)...)
	s.refuses = 60
	requireAllOnce(t, s, walkAll(t, s, walkBegin, walkBegin.Add(time.Hour), nil))
}

func TestSearchWalk_AsksLittleMoreThanThereArePages(t *testing.T) {
	t.Parallel()
	s := newShelf(steady(5_000, 30*time.Second)...)
	requireAllOnce(t, s, walkAll(t, s, walkBegin, walkBegin.Add(48*time.Hour), nil))
	require.LessOrEqual(t, s.asked, 5_000/walkPage*5/4)
}

func TestSearchWalk_IsNotHeldUpByWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	s := newShelf(steady(200, time.Second)...)
	s.unreadable = map[string]bool{}
	for i := 20; i < 140; i++ {
		s.unreadable[strconv.Itoa(i+1)] = true
	}
	w := walkAll(t, s, walkBegin, walkBegin.Add(time.Hour), nil)
	require.Equal(t, s.unreadable, w.unreadable)
	require.Len(t, w.states, 80)
}

func TestSearchWalk_BelievesRowsAndNoCount(t *testing.T) {
	t.Parallel()
	end := walkBegin.Add(time.Hour)
	for name, counts := range map[string]func(int) int{
		"20 however many":  func(int) int { return 20 },
		"50 however many":  func(int) int { return 50 },
		"none":             func(int) int { return 0 },
		"half":             func(n int) int { return n / 2 },
		"one page too few": func(n int) int { return max(0, n-walkPage) },
	} {
		t.Run("fewer: "+name, func(t *testing.T) {
			t.Parallel()
			s := newShelf(steady(180, time.Second)...)
			s.counts = counts
			w := walkAll(t, s, walkBegin, end, nil)
			require.Len(t, w.states, 180)
		})
	}
	t.Run("more", func(t *testing.T) {
		t.Parallel()
		s := newShelf(steady(180, time.Second)...)
		s.counts = func(n int) int { return n + 3 }
		w := walkAll(t, s, walkBegin, end, nil)
		require.Len(t, w.states, 180)
		require.Equal(t, 2, w.Reading, "two readings agree")
		require.Len(t, w.Unseen, 1)
		require.Equal(t, store.UnseenCounted, w.Unseen[0].Reason)
		require.Equal(t, 3, w.Unseen[0].Payments)
		require.Less(t, s.asked, 20)
	})
	t.Run("more, and none is shown", func(t *testing.T) {
		t.Parallel()
		s := newShelf()
		s.counts = func(int) int { return 3 }
		w := walkAll(t, s, walkBegin, end, nil)
		require.Len(t, w.Unseen, 1)
		require.Equal(t, 3, w.Unseen[0].Payments)
	})
}

func TestSearchWalk_NamesWhatItCannotSee(t *testing.T) {
	t.Parallel()
	end := walkBegin.Add(time.Hour)

	t.Run("an instant beyond the reach of offsets, seen from both sides", func(t *testing.T) {
		t.Parallel()
		s := newShelf(append(steady(180, time.Minute/4), slices.Repeat([]time.Duration{time.Minute}, 150)...)...)
		s.reach = 100
		w := walkAll(t, s, walkBegin, end, nil)
		unseen := 0
		for _, u := range w.Unseen {
			unseen += u.Payments
		}
		require.Equal(t, 330-len(w.states), unseen, "what is not shown is counted")
		for i := range 180 {
			require.Equal(t, 1, w.states[stateKey(s.payments[i])], "what lies around it is seen")
		}
	})
	t.Run("an instant that only its statuses show whole", func(t *testing.T) {
		t.Parallel()
		s := newShelf(steady(450, 0)...)
		s.reach = 100
		for i := range s.payments {
			s.payments[i].Status = instantStatuses[i%len(instantStatuses)]
		}
		w := walkAll(t, s, walkBegin, end, nil)
		require.Len(t, w.states, 450)
		require.Empty(t, w.Unseen)
	})
	t.Run("an instant that is never shown whole", func(t *testing.T) {
		t.Parallel()
		s := newShelf(steady(60, 0)...)
		s.hides = func(p provider.Payment) bool { return p.ID == "7" || p.ID == "8" }
		w := walkAll(t, s, walkBegin, end, nil)
		require.Len(t, w.states, 58)
		require.Len(t, w.Unseen, 1)
		require.Equal(t, 2, w.Unseen[0].Payments)
		require.Equal(t, walkBegin, w.Unseen[0].Begin)
	})
	t.Run("a search that shows the same page for ever", func(t *testing.T) {
		t.Parallel()
		w := newSearchWalk(walkBegin, end, 500)
		for page := 0; !w.over(); page++ {
			require.Less(t, page, 501)
			w.query("", "")
			w.take(provider.SearchPage{Total: 1_000_000, Payments: crowd(steady(50, 0)...)})
			w.New++
		}
		require.Equal(t, store.UnseenBound, w.Unseen[len(w.Unseen)-1].Reason)
	})
	t.Run("an instant that is refused amid others", func(t *testing.T) {
		t.Parallel()
		s := newShelf(append(steady(100, time.Second), slices.Repeat([]time.Duration{30 * time.Second}, 80)...)...)
		s.refuses = 60
		for i := range s.payments {
			s.payments[i].Status = "approved"
		}
		w := walkAll(t, s, walkBegin, end, nil)
		require.Len(t, w.Unseen, 1)
		require.Equal(t, store.UnseenRefused, w.Unseen[0].Reason)
		require.Equal(t, walkBegin.Add(30*time.Second), w.Unseen[0].Begin)
		require.Len(t, w.states, 99, "all but those at that instant, one of them among the hundred")
	})
	t.Run("a question that is wrong however narrow", func(t *testing.T) {
		t.Parallel()
		w := newSearchWalk(walkBegin, end, regularCalls)
		n := 0
		for w.refused(&provider.Error{StatusCode: http.StatusBadRequest}) {
			n++
		}
		require.Equal(t, walkRefusals, n)
		require.False(t, newSearchWalk(walkBegin, end, 1).refused(&provider.Error{StatusCode: http.StatusTooManyRequests}))
		require.False(t, newSearchWalk(walkBegin, end, 1).refused(errors.New("another")))
	})
}

// A search that lies for a while: counts are off, rows are left out, pages
// overlap, and payments are shown late. Three runs with the windows of regular
// ones, and what they did not see read again, find every payment.
func TestSearchWalk_FindsEveryPaymentOfALyingSearchWithinThreeRuns(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		chance := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 3))
		s := &shelf{chance: chance, overlap: rapid.IntRange(0, 5).Draw(t, "overlap")}
		n := rapid.IntRange(0, 300).Draw(t, "payments")
		for i := range n {
			at := time.Duration(chance.Int64N(int64(time.Hour)))
			if chance.IntN(4) == 0 {
				at = 20 * time.Minute
			}
			s.payments = append(s.payments, provider.Payment{
				ID: strconv.Itoa(i + 1), Status: instantStatuses[chance.IntN(len(instantStatuses))], UpdatedAt: walkBegin.Add(at).Truncate(instant),
			})
		}
		off := rapid.SampledFrom([]int{-1000, -3, 0, 3}).Draw(t, "count is off by")
		s.counts = func(n int) int { return max(0, n+off) }
		// Until the third run a third of the payments is left out at any time,
		// counted all the same, and each of them is shown within the lag.
		run := 0
		s.hides = func(p provider.Payment) bool {
			return run < 2 && (chance.IntN(3) == 0 || p.UpdatedAt.After(walkBegin.Add(50*time.Minute)))
		}
		known := map[string]int{}
		var again []store.UnseenRange
		for end := walkBegin.Add(time.Hour); run < 3; run++ {
			w := walkOn(t, s, newSearchWalk(end.Add(-3*time.Hour), end, regularCalls), known, nil)
			var left []store.UnseenRange
			for _, r := range again {
				left = append(left, walkOn(t, s, newSearchWalk(r.Begin, r.End, rereadCalls), known, nil).Unseen...)
			}
			again = append(left, w.Unseen...)
			end = end.Add(time.Hour)
		}
		for _, p := range s.payments {
			require.NotZero(t, known[stateKey(p)], "payment %s at %s", p.ID, p.UpdatedAt.Sub(walkBegin))
		}
	})
}

// Whatever changes while the walk goes on: each payment is seen in a state that
// it had when the walk began or later, unless it moved out of the window.
func TestSearchWalk_LosesNothingWhilePaymentsChange(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		window := rapid.IntRange(1, 400).Draw(t, "window")
		refuses := 0
		n, seed := rapid.IntRange(0, 300).Draw(t, "payments"), rapid.Uint64().Draw(t, "seed")
		if window > 200 {
			refuses = rapid.SampledFrom([]int{0, 100}).Draw(t, "refuses")
		}
		requireNothingLost(t, time.Duration(window)*instant, n, refuses, seed)
	})
}

// More than a page changed at one instant, and one that was shown moves on before the
// instant is paged through: it must not be counted for one that was not shown.
func TestSearchWalk_OneThatMovedOnIsNotCountedForAnother(t *testing.T) {
	t.Parallel()
	requireNothingLost(t, 2*instant, 87, 0, 0x1a9fff7)
}

// requireNothingLost walks through a window while payments leave it.
func requireNothingLost(t require.TestingT, window time.Duration, n, refuses int, seed uint64) {
	s := &shelf{chance: rand.New(rand.NewPCG(seed, 1)), refuses: refuses}
	end := walkBegin.Add(window)
	for i := range n {
		at := time.Duration(s.chance.Int64N(int64(window) + 1))
		if s.refuses == 0 && s.chance.IntN(3) == 0 {
			at = window / 2
		}
		s.payments = append(s.payments, provider.Payment{ID: strconv.Itoa(i + 1), UpdatedAt: walkBegin.Add(at).Truncate(time.Microsecond)})
	}
	first := slices.Clone(s.payments)
	now := end // the window ends now, so what changes leaves it
	changed := map[string]bool{}
	states := walkAll(t, s, walkBegin, end, func() {
		if n == 0 || s.asked > 200 {
			return
		}
		now = now.Add(instant)
		p := &s.payments[s.chance.IntN(n)]
		p.UpdatedAt = now
		changed[p.ID] = true
	}).states
	for _, p := range first {
		if !changed[p.ID] {
			require.NotZero(t, states[stateKey(p)], "payment %s at %s", p.ID, p.UpdatedAt.Sub(walkBegin))
		}
	}
}
