package simulator

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// A page is what a search answered.
type page struct {
	total, limit, offset string
	ids                  []string
	statuses             []string
}

// search asks for a page; query is its parameters, name=value.
func search(t *testing.T, s *Simulator, query ...string) page {
	t.Helper()
	rec := searchRaw(t, s, query...)
	require.Equal(t, http.StatusOK, rec.Code, rec.Body.String())
	fields := decode(t, rec.Body)
	paging := fields["paging"].(map[string]any)
	p := page{total: fmt.Sprint(paging["total"]), limit: fmt.Sprint(paging["limit"]), offset: fmt.Sprint(paging["offset"])}
	for _, result := range fields["results"].([]any) {
		payment := result.(map[string]any)
		p.ids = append(p.ids, fmt.Sprint(payment["id"]))
		p.statuses = append(p.statuses, fmt.Sprint(payment["status"]))
	}
	return p
}

func searchRaw(t *testing.T, s *Simulator, query ...string) *httptest.ResponseRecorder {
	t.Helper()
	values := url.Values{}
	for i := 0; i+1 < len(query); i += 2 {
		values.Set(query[i], query[i+1])
	}
	return get(t, s, "/v1/payments/search?"+values.Encode())
}

// manyPayments creates n pending payments, a second apart, and returns their
// ids.
func manyPayments(s *Simulator, clock *fixture.Clock, n int) []string {
	var ids []string
	for range n {
		ids = append(ids, s.CreatePayment(PaymentSpec{Reference: "o", Amount: money("1")}))
		clock.Add(time.Second)
	}
	return ids
}

func TestSearch_ShowsAnUnlistedPaymentOnceItWasAskedFor(t *testing.T) {
	t.Parallel()
	s := setup(t, Config{})
	id := s.CreatePayment(PaymentSpec{Reference: "o", Amount: money("1"), Unlisted: true})
	require.Empty(t, search(t, s, "external_reference", "o").ids)

	require.Equal(t, http.StatusOK, get(t, s, "/v1/payments/"+id).Code)
	require.Equal(t, []string{id}, search(t, s, "external_reference", "o").ids)
}

func TestSearch_IsPaged(t *testing.T) {
	t.Parallel()
	clock := newClock()
	s := setup(t, Config{Clock: clock.Now})
	ids := manyPayments(s, clock, 70)

	first := search(t, s)
	require.Equal(t, page{total: "70", limit: "30", offset: "0", ids: ids[:30], statuses: first.statuses}, first)
	require.Equal(t, ids[30:60], search(t, s, "offset", "30").ids)
	require.Equal(t, ids[60:], search(t, s, "offset", "60").ids)
	require.Empty(t, search(t, s, "offset", "90").ids)
	require.Equal(t, ids[:50], search(t, s, "limit", "50").ids)

	backwards := slices.Clone(ids)
	slices.Reverse(backwards)
	require.Equal(t, backwards[:50], search(t, s, "limit", "50", "criteria", "desc").ids)
	require.Equal(t, backwards[:50], search(t, s, "limit", "50", "criteria", "desc", "sort", "id").ids)
}

func TestSearch_AnEmptySearchHasAnEmptyList(t *testing.T) {
	t.Parallel()
	rec := searchRaw(t, setup(t, Config{}))
	require.JSONEq(t, `{"paging":{"total":0,"limit":30,"offset":0},"results":[]}`, rec.Body.String())
}

func TestSearch_KeepsItsBoundsAndFilters(t *testing.T) {
	t.Parallel()
	clock := newClock()
	s := setup(t, Config{Clock: clock.Now, CollectorID: 50})
	pending := s.CreatePayment(PaymentSpec{Reference: "a", Amount: money("1")})
	clock.Add(time.Minute)
	approved := s.CreatePayment(PaymentSpec{Reference: "b", Amount: money("1"), Status: Approved})
	clock.Add(time.Minute)
	foreign := s.CreatePayment(PaymentSpec{Reference: "b", Amount: money("1"), CollectorID: 51})
	clock.Add(time.Minute)
	require.NoError(t, s.Move(pending, Approved, "accredited", money("0")))
	clock.Add(time.Minute)
	old := s.CreatePayment(PaymentSpec{Reference: "old", Amount: money("1"), CreatedAt: clock.Now().AddDate(0, -5, 0)})
	ancient := s.CreatePayment(PaymentSpec{Reference: "ancient", Amount: money("1"), CreatedAt: clock.Now().AddDate(-1, -1, 0)})

	for _, tt := range []struct {
		name  string
		query []string
		want  []string
	}{
		{"three months of creation are the default", nil, []string{pending, approved, foreign}},
		{"relative dates reach further", []string{"begin_date", "NOW-200DAYS"}, []string{old, pending, approved, foreign}},
		{"a year is the furthest", []string{"begin_date", "2025-01-15T00:00:00.000Z", "end_date", "2025-12-01T00:00:00.000Z"}, []string{old}},
		{"an end before now", []string{"end_date", "NOW-3MINUTES"}, []string{pending, approved}},
		{
			"the bounds belong to the range, offsets count",
			[]string{"begin_date", "2026-03-01T11:01:00.123-04:00", "end_date", "2026-03-01T12:02:00.123-0300"},
			[]string{approved, foreign},
		},
		{
			"by change",
			[]string{"range", "date_last_updated", "sort", "date_last_updated"},
			[]string{approved, foreign, pending},
		},
		{"by approval, only what was approved", []string{"range", "date_approved", "sort", "date_approved"}, []string{approved, pending}},
		{"by release, nothing is released yet", []string{"range", "money_release_date"}, nil},
		{"by reference", []string{"external_reference", "b"}, []string{approved, foreign}},
		{"by collector", []string{"collector.id", "50"}, []string{pending, approved}},
		{"by status", []string{"status", "approved"}, []string{pending, approved}},
		{"by another payer", []string{"payer.id", "1"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, search(t, s, tt.query...).ids)
		})
	}
	require.Equal(t, http.StatusOK, get(t, s, "/v1/payments/"+ancient).Code)
}

func TestSearch_RefusesWhatTheAPIRefuses(t *testing.T) {
	t.Parallel()
	s := setup(t, Config{})
	for _, tt := range []struct {
		name  string
		query []string
		code  string
	}{
		{"a page of more than fifty", []string{"limit", "51"}, "1000"},
		{"a page of none", []string{"limit", "0"}, "1"},
		{"a page of words", []string{"limit", "ten"}, "1"},
		{"to start before the start", []string{"offset", "-1"}, "1"},
		{"to reach row 1001", []string{"limit", "50", "offset", "951"}, "1000"},
		{"to reach beyond numbers", []string{"limit", "50", "offset", "9223372036854775807"}, "1000"},
		{"a date without milliseconds", []string{"begin_date", "2026-01-01T00:00:00Z"}, "1001"},
		{"a date without a zone", []string{"end_date", "2026-01-01T00:00:00.000"}, "1001"},
		{"a plus that was not encoded", []string{"begin_date", "2026-01-01T00:00:00.000 03:00"}, "1001"},
		{"another sort", []string{"sort", "status"}, "1003"},
		{"another criteria", []string{"criteria", "up"}, "1004"},
		{"another range", []string{"range", "date"}, "9062"},
		{"a year or more", []string{"begin_date", "NOW-1YEAR"}, "9062"},
		{"an end before the beginning", []string{"begin_date", "NOW", "end_date", "NOW-1DAY"}, "9062"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			rec := searchRaw(t, s, tt.query...)
			require.Equal(t, http.StatusBadRequest, rec.Code)
			fields := decode(t, rec.Body)
			require.Equal(t, "bad_request", fields["error"])
			require.Equal(t, "400", fmt.Sprint(fields["status"]))
			cause := fields["cause"].([]any)[0].(map[string]any)
			require.Equal(t, tt.code, fmt.Sprint(cause["code"]))
			require.Nil(t, cause["data"])
		})
	}
	require.Equal(t, http.StatusOK, searchRaw(t, s, "limit", "50", "offset", "950").Code)
}

func TestSearch_LagsBehindAGet(t *testing.T) {
	t.Parallel()
	clock := newClock()
	s := setup(t, Config{Clock: clock.Now, Faults: Faults{SearchLag: time.Minute}})
	id := s.CreatePayment(PaymentSpec{Reference: "o", Amount: money("1")})
	clock.Add(59 * time.Second)
	require.Empty(t, search(t, s).ids)
	require.NoError(t, s.Move(id, Approved, "accredited", money("0")))
	clock.Add(time.Second)
	require.Equal(t, []string{Pending}, search(t, s).statuses)
	require.Contains(t, get(t, s, "/v1/payments/"+id).Body.String(), `"status":"approved"`)
	clock.Add(59 * time.Second)
	require.Equal(t, []string{Approved}, search(t, s).statuses)
}

func TestSearch_PagesFitTogetherUnlessTheyAreUnstable(t *testing.T) {
	t.Parallel()
	query := []string{"range", "date_last_updated", "sort", "date_last_updated", "limit", "10"}
	for _, unstable := range []bool{false, true} {
		clock := newClock()
		s := setup(t, Config{Clock: clock.Now, Faults: Faults{UnstablePages: unstable}})
		ids := manyPayments(s, clock, 20)
		first := search(t, s, query...)
		require.Equal(t, ids[:10], first.ids)
		// A payment of the first page changes: all that follow move up.
		require.NoError(t, s.Move(ids[3], Approved, "accredited", money("0")))
		second := search(t, s, append(query, "offset", "10")...)
		if unstable {
			require.NotContains(t, second.ids, ids[10], "not missed")
			require.Contains(t, second.ids, ids[3], "not repeated")
		} else {
			require.Equal(t, ids[10:], second.ids)
		}
		require.Equal(t, ids[3], search(t, s, append(query, "criteria", "desc")...).ids[0], "a new search")
	}
}

func TestSearch_PaymentsOfTheSameMillisecondHaveNoOrderOnUnstablePages(t *testing.T) {
	t.Parallel()
	clock := newClock()
	s := setup(t, Config{Clock: clock.Now, Faults: Faults{UnstablePages: true}})
	for range 20 {
		s.CreatePayment(PaymentSpec{Amount: money("1")})
	}
	one, other := search(t, s).ids, search(t, s).ids
	require.NotEqual(t, one, other)
	require.ElementsMatch(t, one, other)
}

func TestSearch_IsForgottenInTime(t *testing.T) {
	t.Parallel()
	clock := newClock()
	s := setup(t, Config{Clock: clock.Now})
	ids := manyPayments(s, clock, 12)
	search(t, s, "limit", "10")
	for i := range memoSize {
		search(t, s, "external_reference", fmt.Sprint(i))
	}
	require.Len(t, s.searchMemo.found, memoSize)
	require.Len(t, s.searchMemo.recent, memoSize)
	require.Equal(t, ids[10:], search(t, s, "limit", "10", "offset", "10").ids, "found again")
}

func TestSearch_ServesWhatItShows(t *testing.T) {
	t.Parallel()
	s := setup(t, Config{})
	s.CreatePayment(PaymentSpec{Reference: "o", Amount: money("1")})
	require.Zero(t, s.Truth()[0].States[0].Served)
	search(t, s)
	require.EqualValues(t, 1, s.Truth()[0].States[0].Served)
}
