package simulator

import (
	"cmp"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
)

func TestAnswer_APaymentHasTheShapeOfTheAPI(t *testing.T) {
	t.Parallel()
	clock := newClock()
	s := setup(t, Config{Clock: clock.Now, LiveMode: true, CollectorID: 77})
	id := s.CreatePayment(PaymentSpec{
		Reference: "order-1", Amount: money("1234567.89"), Status: Approved, StatusDetail: "accredited",
	})
	rec := get(t, s, "/v1/payments/"+id)
	require.Equal(t, http.StatusOK, rec.Code)
	require.Equal(t, "application/json;charset=UTF-8", rec.Header().Get("Content-Type"))
	raw := rec.Body.String()
	for _, exact := range []string{
		`"id":` + id + `,`,
		`"date_created":"2026-03-01T11:00:00.123-04:00"`,
		`"date_approved":"2026-03-01T11:00:00.123-04:00"`,
		`"date_last_updated":"2026-03-01T11:00:00.123-04:00"`,
		`"transaction_amount":1234567.89,`,
		`"transaction_amount_refunded":0,`,
		`"status":"approved","status_detail":"accredited","currency_id":"ARS"`,
		`"external_reference":"order-1"`,
		`"live_mode":true`,
		`"collector_id":77`,
		`"operation_type":"regular_payment"`,
		`"refunds":[]`,
		`"captured":true`,
	} {
		require.Contains(t, raw, exact)
	}
	fields := decode(t, rec.Body)
	require.Len(t, fields, 39)
	require.IsType(t, "", fields["payer"].(map[string]any)["id"])
}

func TestAnswer_ARefundIsListedAndNumbersKeepTheirDigits(t *testing.T) {
	t.Parallel()
	s := setup(t, Config{})
	id := s.CreatePayment(PaymentSpec{Reference: "o", Amount: money("0.30"), Status: Approved})
	require.NoError(t, s.Move(id, Approved, "partially_refunded", money("0.10")))
	require.NoError(t, s.Move(id, Refunded, "refunded", money("0.30")))
	raw := get(t, s, "/v1/payments/"+id).Body.String()
	require.Contains(t, raw, `"transaction_amount":0.3,"transaction_amount_refunded":0.3,`)
	require.Contains(t, raw, `"amount":0.1,`)
	require.Contains(t, raw, `"amount":0.2,`)

	huge := s.CreatePayment(PaymentSpec{Amount: decimal.New(9_007_199_254_740_993, 0)})
	require.Contains(t, get(t, s, "/v1/payments/"+huge).Body.String(), `"transaction_amount":9007199254740993,`)
}

func TestAnswer_APaymentWithoutAReferenceSaysNull(t *testing.T) {
	t.Parallel()
	s := setup(t, Config{})
	id := s.CreatePayment(PaymentSpec{Amount: money("5")})
	raw := get(t, s, "/v1/payments/"+id).Body.String()
	require.Contains(t, raw, `"external_reference":null`)
	require.Contains(t, raw, `"date_approved":null`)
	require.Contains(t, raw, `"status":"pending","status_detail":"pending_waiting_payment"`)
	require.Contains(t, raw, `"payment_type_id":"ticket"`)
	require.Contains(t, raw, `"card":{}`)
	require.Empty(t, s.Truth())
}

func TestAnswer_ASpecIsPrintedAsItIs(t *testing.T) {
	t.Parallel()
	test := false
	s := setup(t, Config{LiveMode: true})
	id := s.CreatePayment(PaymentSpec{
		Amount: money("0"), Currency: "BRL", Status: "novel", StatusDetail: "", CollectorID: 9, LiveMode: &test,
		OperationType: "card_validation", CreatedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	})
	raw := get(t, s, "/v1/payments/"+id).Body.String()
	for _, exact := range []string{
		`"currency_id":"BRL"`, `"status":"novel","status_detail":""`, `"collector_id":9`, `"live_mode":false`,
		`"operation_type":"card_validation"`, `"transaction_amount":0,`, `"date_created":"2026-01-01T23:04:05.000-04:00"`,
	} {
		require.Contains(t, raw, exact)
	}
}

func TestAnswer_AnErrorHasTheShapeOfTheAPI(t *testing.T) {
	t.Parallel()
	s := setup(t, Config{Clock: newClock().Now})
	id := s.CreatePayment(PaymentSpec{Amount: money("1")})

	for _, header := range []string{"", "Bearer wrong", testToken, "bearer " + testToken} {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/payments/"+id, nil)
		req.Header.Set("Authorization", header)
		rec := httptest.NewRecorder()
		s.Handler().ServeHTTP(rec, req)
		require.Equal(t, http.StatusUnauthorized, rec.Code, header)
		require.JSONEq(t, `{"message":"invalid access token","error":"unauthorized","status":401,"cause":[]}`, rec.Body.String())
	}
	for _, unknown := range []string{"1", "abc", "99999999999999999999999"} {
		rec := get(t, s, "/v1/payments/"+unknown)
		require.Equal(t, http.StatusNotFound, rec.Code, unknown)
		fields := decode(t, rec.Body)
		require.Equal(t, "Payment not found", fields["message"])
		require.Equal(t, "not_found", fields["error"])
		cause := fields["cause"].([]any)[0].(map[string]any)
		require.Equal(t, "2000", fmt.Sprint(cause["code"]))
		require.Regexp(t, `^01-03-2026T15:00:00UTC;[0-9a-f-]{36}$`, cause["data"])
	}
	require.Equal(t, http.StatusNotFound, get(t, s, "/v1/elsewhere").Code)
	stats := s.Stats()
	require.EqualValues(t, 4, stats.Unauthorized)
	require.EqualValues(t, 3, stats.NotFound)
}

func TestAnswer_TheAccountIsTheCollector(t *testing.T) {
	t.Parallel()
	rec := get(t, setup(t, Config{CollectorID: 4242}), "/users/me")
	require.Equal(t, http.StatusOK, rec.Code)
	require.Equal(t, "4242", fmt.Sprint(decode(t, rec.Body)["id"]))
}

func TestOutage_RefusesEverythingUntilItEnds(t *testing.T) {
	t.Parallel()
	s := setup(t, Config{})
	id := s.CreatePayment(PaymentSpec{Amount: money("1")})
	server := httptest.NewServer(s.Handler())
	t.Cleanup(server.Close)
	call := func() (status int, kind string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/v1/payments/"+id, nil)
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+testToken)
		// A connection of its own, so that the client does not hide a lost
		// one by trying again.
		req.Close = true
		resp, err := server.Client().Do(req)
		if err != nil {
			return 0, ""
		}
		require.NoError(t, resp.Body.Close())
		return resp.StatusCode, resp.Header.Get("Content-Type")
	}
	s.SetOutage(true)
	for _, want := range []struct {
		status int
		kind   string
	}{{503, "application/json;charset=UTF-8"}, {503, "application/json;charset=UTF-8"}, {503, "text/html"}, {0, ""}} {
		status, kind := call()
		require.Equal(t, want.status, status)
		require.Equal(t, want.kind, kind)
	}
	require.EqualValues(t, 4, s.Stats().Outages)
	require.Zero(t, s.Stats().Gets)
	s.SetOutage(false)
	status, _ := call()
	require.Equal(t, http.StatusOK, status)
}

func TestAnswer_TakesTheLatency(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := setup(t, Config{Faults: Faults{Latency: 3 * time.Second}})
		begun := time.Now()
		require.Equal(t, http.StatusOK, get(t, s, "/users/me").Code)
		require.Equal(t, 3*time.Second, time.Since(begun))
	})
}

// verdicts GETs each of n payments some times and returns the statuses.
func verdicts(t *testing.T, s *Simulator, n, times int) [][]int {
	t.Helper()
	var all [][]int
	for range n {
		id := s.CreatePayment(PaymentSpec{Amount: money("1")})
		var statuses []int
		for range times {
			statuses = append(statuses, get(t, s, "/v1/payments/"+id).Code)
		}
		all = append(all, statuses)
	}
	return all
}

func TestFaults_FollowTheSeed(t *testing.T) {
	t.Parallel()
	faults := Faults{NotFoundFirst: 0.3, RateLimited: 0.2, Errors5xx: 0.1}
	one := verdicts(t, setup(t, Config{Seed: 5, Faults: faults}), 200, 5)
	require.Equal(t, one, verdicts(t, setup(t, Config{Seed: 5, Faults: faults}), 200, 5))
	require.NotEqual(t, one, verdicts(t, setup(t, Config{Seed: 6, Faults: faults}), 200, 5))

	counts := map[int]int{}
	for _, statuses := range one {
		for _, status := range statuses {
			counts[status]++
		}
	}
	// Of 1000 calls; the seed fixes the exact numbers.
	require.InDelta(t, 200, counts[http.StatusTooManyRequests], 40)
	require.InDelta(t, 100, counts[http.StatusInternalServerError], 30)
	require.InDelta(t, 60, counts[http.StatusNotFound], 20)
}

func TestFaults_OnlyTheFirstGetOfAHiddenPaymentFails(t *testing.T) {
	t.Parallel()
	s := setup(t, Config{Faults: Faults{NotFoundFirst: 1}})
	for _, statuses := range verdicts(t, s, 3, 3) {
		require.Equal(t, []int{404, 200, 200}, statuses)
	}
	stats := s.Stats()
	require.EqualValues(t, 9, stats.Gets)
	require.EqualValues(t, 6, stats.Answered)
	require.EqualValues(t, 3, stats.NotFound)
	require.EqualValues(t, 3, stats.MaxGets)
	require.NotEmpty(t, stats.MaxGetsPayment)
	require.Equal(t, 3, stats.Payments)
}

func TestFaults_RetryAfterIsSecondsAndADateByTurns(t *testing.T) {
	t.Parallel()
	clock := newClock()
	s := setup(t, Config{Clock: clock.Now, Faults: Faults{RateLimited: 1}})
	id := s.CreatePayment(PaymentSpec{Amount: money("1")})
	for range 3 {
		first := get(t, s, "/v1/payments/"+id)
		require.Equal(t, http.StatusTooManyRequests, first.Code)
		require.JSONEq(t, `{"message":"too_many_requests","error":"too_many_requests","status":429,"cause":[]}`, first.Body.String())
		seconds, err := strconv.Atoi(first.Header().Get("Retry-After"))
		require.NoError(t, err)
		require.Positive(t, seconds)
		at, err := http.ParseTime(get(t, s, "/v1/payments/search").Header().Get("Retry-After"))
		require.NoError(t, err)
		require.True(t, at.After(clock.Now().Add(time.Second)))
	}
}

func TestSimulator_CallsAndChangesMayCoincide(t *testing.T) {
	t.Parallel()
	s := setup(t, Config{})
	id := s.CreatePayment(PaymentSpec{Reference: "shared", Amount: money("1000"), Status: Approved})
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for i := range 20 {
				own := s.CreatePayment(PaymentSpec{Reference: fmt.Sprintf("o-%d-%d", worker, i), Amount: money("10")})
				if err := s.Move(own, Approved, "accredited", decimal.Zero); err != nil {
					t.Error(err)
				}
				if err := s.Move(id, Approved, "partially_refunded", decimal.NewFromInt(int64(i))); err != nil {
					t.Error(err)
				}
				get(t, s, "/v1/payments/"+own)
				get(t, s, "/v1/payments/"+id)
				get(t, s, "/v1/payments/search?range=date_last_updated&limit=5")
				s.Truth()
				s.Stats()
			}
		})
	}
	group.Wait()
	require.Equal(t, 161, s.Stats().Payments)
	truths := s.Truth()
	require.Len(t, truths, 161)
	states := truths[0].States
	require.Len(t, states, 161)
	for i := 1; i < len(states); i++ {
		require.True(t, states[i].DateLastUpdated.After(states[i-1].DateLastUpdated), "state %d is not later", i)
	}
	for _, truth := range truths[1:] {
		require.Equal(t, "paid", truth.Status)
	}
}

func TestSimulator_APaymentThatIsRenderedAheadMovesOn(t *testing.T) {
	t.Parallel()
	s := setup(t, Config{})
	id := s.CreatePayment(PaymentSpec{Amount: money("10")})
	require.NoError(t, s.Render(id))
	require.NoError(t, s.Move(id, Approved, "accredited", decimal.Zero))
	require.Contains(t, get(t, s, "/v1/payments/"+id).Body.String(), `"status":"approved"`)
	require.ErrorIs(t, s.Render("1"), ErrUnknownPayment)
}

func BenchmarkGetPayment(b *testing.B) { benchmarkGet(b, "") }

func BenchmarkSearch(b *testing.B) {
	benchmarkGet(b, "search?range=date_last_updated&sort=date_last_updated&limit=50")
}

// benchmarkGet GETs a path below the payments, or else a payment, among 10,000
// payments. The recorder's own cost is in it.
func benchmarkGet(b *testing.B, path string) {
	b.Helper()
	s, err := New(Config{AccessToken: testToken, Secret: testSecret})
	require.NoError(b, err)
	id := ""
	for range 10_000 {
		id = s.CreatePayment(PaymentSpec{Reference: "order", Amount: money("1.50")})
	}
	handler := s.Handler()
	req := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/v1/payments/"+cmp.Or(path, id), nil)
	req.Header.Set("Authorization", "Bearer "+testToken)
	for b.Loop() {
		rec := httptest.NewRecorder()
		handler.ServeHTTP(rec, req)
		if rec.Code != http.StatusOK {
			b.Fatal("not answered")
		}
	}
}
