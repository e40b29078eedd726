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
)

// shelf is a provider's search over payments that may change between two pages.
type shelf struct {
	chance   *rand.Rand
	payments []provider.Payment
	// unreadable are the ids of payments that are shown but can't be read.
	unreadable map[string]bool
	// refuses is how many rows a window may hold before it is refused; 0 is any.
	refuses int
	asked   int
}

func (s *shelf) search(q provider.SearchQuery) (provider.SearchPage, error) {
	s.asked++
	var found []provider.Payment
	for _, p := range s.payments {
		if !p.UpdatedAt.Before(q.Begin) && !p.UpdatedAt.Truncate(instant).After(q.End) {
			found = append(found, p)
		}
	}
	if s.refuses > 0 && len(found) > s.refuses || q.Offset+q.Limit > walkRows {
		return provider.SearchPage{}, &provider.Error{Kind: provider.Unexpected, StatusCode: http.StatusBadRequest}
	}
	// Payments of one instant have no fixed order.
	s.chance.Shuffle(len(found), func(i, j int) { found[i], found[j] = found[j], found[i] })
	slices.SortStableFunc(found, func(a, b provider.Payment) int {
		return cmp.Compare(a.UpdatedAt.UnixMilli(), b.UpdatedAt.UnixMilli())
	})
	page := provider.SearchPage{Total: len(found), Limit: q.Limit, Offset: q.Offset}
	for _, p := range found[min(q.Offset, len(found)):min(q.Offset+q.Limit, len(found))] {
		if s.unreadable[p.ID] {
			page.Odd = append(page.Odd, provider.OddPayment{ID: p.ID, Problem: "odd"})
		} else {
			page.Payments = append(page.Payments, p)
		}
	}
	return page, nil
}

// walkAll walks the shelf to the end, stored and read again between two pages.
// between is called after each page.
func walkAll(t require.TestingT, s *shelf, begin, end time.Time, between func()) (states map[string]int, unreadable map[string]bool) {
	states, unreadable = map[string]int{}, map[string]bool{}
	stored, err := json.Marshal(newSearchWalk(begin, end))
	require.NoError(t, err)
	for {
		var w searchWalk
		require.NoError(t, json.Unmarshal(stored, &w))
		if w.Ended {
			return states, unreadable
		}
		page, err := s.search(w.query("", ""))
		if err != nil {
			require.True(t, w.refused(err), "refused for good")
		} else {
			fresh, err := w.take(page)
			require.NoError(t, err)
			for _, p := range fresh {
				states[stateKey(p)]++
			}
			for _, u := range page.Odd {
				unreadable[u.ID] = true
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

func requireAllOnce(t *testing.T, s *shelf, states map[string]int) {
	t.Helper()
	require.Len(t, states, len(s.payments))
	for _, p := range s.payments {
		require.Equal(t, 1, states[stateKey(p)], "payment %s", p.ID)
	}
}

func TestWalkSeesEveryPaymentOnce(t *testing.T) {
	t.Parallel()
	for name, at := range map[string][]time.Duration{
		"none":                               nil,
		"one at the very begin":              {0},
		"one at the very end":                {time.Hour},
		"a page":                             steady(50, time.Second),
		"a page and one":                     steady(51, time.Second),
		"more than a window may hold":        steady(2500, time.Second),
		"all at one instant":                 steady(120, 0),
		"as many at one instant as possible": steady(walkRows-walkPage, 0),
		"two instants side by side":          append(steady(80, 0), slices.Repeat([]time.Duration{instant}, 80)...),
		"an instant amid others":             append(steady(300, time.Second), slices.Repeat([]time.Duration{90 * time.Second}, 130)...),
		"microseconds of one instant":        steady(130, time.Microsecond),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &shelf{chance: rand.New(rand.NewPCG(1, 2)), payments: crowd(at...)}
			states, _ := walkAll(t, s, walkBegin, walkBegin.Add(time.Hour), nil)
			requireAllOnce(t, s, states)
		})
	}
}

func TestWalkNarrowsAWindowThatIsRefused(t *testing.T) {
	t.Parallel()
	s := &shelf{chance: rand.New(rand.NewPCG(1, 2)), payments: crowd(steady(700, time.Second)...), refuses: 60}
	states, _ := walkAll(t, s, walkBegin, walkBegin.Add(time.Hour), nil)
	requireAllOnce(t, s, states)
}

func TestWalkAsksLittleMoreThanThereArePages(t *testing.T) {
	t.Parallel()
	s := &shelf{chance: rand.New(rand.NewPCG(1, 2)), payments: crowd(steady(20_000, 8*time.Second)...)}
	states, _ := walkAll(t, s, walkBegin, walkBegin.Add(48*time.Hour), nil)
	requireAllOnce(t, s, states)
	require.LessOrEqual(t, s.asked, 20_000/walkPage*5/4)
}

func TestWalkIsNotHeldUpByWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	s := &shelf{chance: rand.New(rand.NewPCG(1, 2)), payments: crowd(steady(200, time.Second)...), unreadable: map[string]bool{}}
	for i := 20; i < 140; i++ {
		s.unreadable[strconv.Itoa(i+1)] = true
	}
	states, unreadable := walkAll(t, s, walkBegin, walkBegin.Add(time.Hour), nil)
	require.Equal(t, s.unreadable, unreadable)
	require.Len(t, states, 80)
}

func TestWalkGivesUpWhereItCannotKnow(t *testing.T) {
	t.Parallel()
	begin, end := walkBegin, walkBegin.Add(time.Hour)

	t.Run("too many at one instant", func(t *testing.T) {
		t.Parallel()
		w := newSearchWalk(begin, begin)
		_, err := w.take(provider.SearchPage{Total: walkRows + 1, Payments: crowd(steady(50, 0)...)})
		require.ErrorContains(t, err, "1001 payments")
	})
	t.Run("an empty page that is not the end", func(t *testing.T) {
		t.Parallel()
		_, err := newSearchWalk(begin, end).take(provider.SearchPage{Total: 3})
		require.ErrorContains(t, err, "none of the 3")
	})
	t.Run("an instant that is never shown whole", func(t *testing.T) {
		t.Parallel()
		w := newSearchWalk(begin, end)
		var err error
		for i := 0; err == nil && i < 10*walkPasses; i++ {
			_, err = w.take(provider.SearchPage{Total: 60, Payments: crowd(steady(50, 0)...)})
		}
		require.ErrorContains(t, err, "only 50 of the 60")
	})
	t.Run("a question that is wrong however narrow", func(t *testing.T) {
		t.Parallel()
		w := newSearchWalk(begin, end)
		n := 0
		for w.refused(&provider.Error{StatusCode: http.StatusBadRequest}) {
			n++
		}
		require.Less(t, n, 30)
		require.False(t, newSearchWalk(begin, end).refused(&provider.Error{StatusCode: http.StatusTooManyRequests}))
		require.False(t, newSearchWalk(begin, end).refused(errors.New("another")))
	})
}

// Whatever changes while the walk goes on: each payment is seen in a state that
// it had when the walk began or later, unless it moved out of the window.
func TestWalkLosesNothingWhilePaymentsChange(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		window := time.Duration(rapid.IntRange(1, 400).Draw(t, "window")) * instant
		n := rapid.IntRange(0, 300).Draw(t, "payments")
		s := &shelf{chance: rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))}
		if window > 200*instant {
			s.refuses = rapid.SampledFrom([]int{0, 100}).Draw(t, "refuses")
		}
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
		states, _ := walkAll(t, s, walkBegin, end, func() {
			if n == 0 || s.asked > 200 {
				return
			}
			now = now.Add(instant)
			p := &s.payments[s.chance.IntN(n)]
			p.UpdatedAt = now
			changed[p.ID] = true
		})
		for _, p := range first {
			if !changed[p.ID] {
				require.Equal(t, 1, states[stateKey(p)], "payment %s at %s", p.ID, p.UpdatedAt.Sub(walkBegin))
			}
		}
	})
}
