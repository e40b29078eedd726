package simulator

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// atOnce redelivers without a wait worth mentioning.
var atOnce = []time.Duration{time.Microsecond, time.Microsecond, time.Microsecond}

func TestRun_TellsOfEveryState(t *testing.T) {
	t.Parallel()
	rc := &receiver{}
	s := setup(t, Config{Seed: 11, TargetURL: serve(t, rc)})
	var told []int
	report, err := s.Run(t.Context(), Plan{Orders: 300, Progress: func(done, total int) {
		require.Equal(t, 300, total)
		told = append(told, done)
	}})
	require.NoError(t, err)
	require.Zero(t, rc.forged)
	require.Len(t, told, 300)
	require.True(t, slices.IsSorted(told))

	states, payments := map[string]int{}, 0
	for _, truth := range s.Truth() {
		payments += truth.Payments
		for _, state := range truth.States {
			states[state.ID]++
		}
	}
	notified := map[string]int{}
	for _, r := range rc.seen() {
		notified[r.id]++
	}
	require.Equal(t, states, notified)
	total := len(rc.seen())
	require.Equal(t, Report{
		Orders: 300, Payments: payments, Notifications: total, Sent: total, Acknowledged: total,
		Elapsed: report.Elapsed, QueueIDs: report.QueueIDs,
	}, report)
	require.Len(t, report.QueueIDs, total)
	require.Contains(t, report.String(), fmt.Sprintf("300 orders, %d payments, %d notifications", payments, total))
}

func TestRun_LivesTheOrdersThatWereAnnounced(t *testing.T) {
	t.Parallel()
	plan := Plan{Orders: 400, Concurrency: 3, ReferencePrefix: "shop-"}
	var runs [2][]Truth
	for i := range runs {
		s := setup(t, Config{Seed: 3, TargetURL: serve(t, &receiver{}), Clock: newClock().Now, RedeliveryDelays: atOnce,
			Faults: Faults{Duplicates: 1, Disorder: true, DropAnswer: 0.2, ExactReplays: 0.2}})
		specs := s.Orders(plan)
		_, err := s.Run(t.Context(), plan)
		require.NoError(t, err)
		runs[i] = s.Truth()
		require.Len(t, runs[i], len(specs))
		lives := map[string]bool{}
		for n, spec := range specs {
			truth := runs[i][n]
			require.Equal(t, fmt.Sprintf("shop-%06d", n+1), truth.Reference)
			require.Equal(t, OrderSpec{Reference: truth.Reference, Amount: truth.Amount, Currency: truth.Currency, Lifecycle: truth.Lifecycle}, spec)
			lives[spec.Lifecycle] = true
		}
		require.Greater(t, len(lives), 25, "too few kinds of lives")
	}
	require.Equal(t, runs[0], runs[1], "the seed does not decide")
	require.NotEqual(t, runs[0], setup(t, Config{Seed: 4}).Orders(plan))
}

func TestRun_TellsOfMercadoPagosOrdersInTheirOwnChannel(t *testing.T) {
	t.Parallel()
	rc := &receiver{}
	s := setup(t, Config{Seed: 11, TargetURL: serve(t, rc)})
	plan := Plan{Orders: 300, ThroughOrders: 0.5, BothChannels: 0.3}
	report, err := s.Run(t.Context(), plan)
	require.NoError(t, err)
	require.Zero(t, rc.forged)
	notified := map[string]int{}
	for _, r := range rc.seen() {
		notified[r.id]++
	}
	kinds, both, due := map[ResourceKind]int{}, 0, 0
	truths := s.Truth()
	for i, spec := range s.Orders(plan) {
		kinds[spec.Through]++
		states := map[string]int{}
		for _, state := range truths[i].States {
			states[state.ID]++
		}
		for id, n := range states {
			order, err := s.CreateResource(OnlineOrder, id)
			require.NoError(t, err)
			expected := []int{0, 0} // of the payment, of the order
			if spec.Through == 0 || spec.BothChannels {
				expected[0] = n
			}
			if spec.Through != 0 {
				expected[1] = n
			}
			require.Equal(t, expected, []int{notified[id], notified[order]})
			due += expected[0] + expected[1]
		}
		if spec.BothChannels {
			both++
		}
	}
	require.Equal(t, due, report.Notifications)
	require.InDelta(t, 150, kinds[0], 40)
	require.InDelta(t, 45, both, 25)
	for _, kind := range []ResourceKind{OnlineOrder, QROrder, PointOrder} {
		require.Greater(t, kinds[kind], 20)
	}
}

func TestRun_DuplicatesAreRedeliveriesAndReplaysAreTheSame(t *testing.T) {
	t.Parallel()
	rc := &receiver{}
	s := setup(t, Config{TargetURL: serve(t, rc), Faults: Faults{Duplicates: 2, ExactReplays: 1}})
	report, err := s.Run(t.Context(), Plan{Orders: 20, Weights: map[string]int{"approved": 1}})
	require.NoError(t, err)
	require.Equal(t, 80, report.Sent)
	require.Equal(t, 20, report.Replayed)
	require.Equal(t, 20, report.Duplicates)
	require.Len(t, report.QueueIDs, 60)

	byID := map[string]map[received]int{}
	requestIDs := map[string]bool{}
	for _, r := range rc.seen() {
		if byID[r.id] == nil {
			byID[r.id] = map[received]int{}
		}
		byID[r.id][r]++
		requestIDs[r.requestID] = true
	}
	require.Len(t, requestIDs, 60)
	require.Len(t, byID, 20)
	for _, deliveries := range byID {
		require.Len(t, deliveries, 3)
		bodies, same := map[string]bool{}, 0
		for r, n := range deliveries {
			bodies[r.body] = true
			same = max(same, n)
		}
		require.Len(t, bodies, 3)
		require.Equal(t, 2, same)
	}
}

func TestRun_WhatIsNotAcknowledgedIsRedelivered(t *testing.T) {
	t.Parallel()
	tries := map[string]int{}
	rc := &receiver{answer: func(_ int, r received) int {
		tries[r.id]++
		return []int{500, 404, 429, 200}[tries[r.id]-1]
	}}
	s := setup(t, Config{TargetURL: serve(t, rc), RedeliveryDelays: atOnce})
	report, err := s.Run(t.Context(), Plan{Orders: 10, Weights: map[string]int{"approved": 1}})
	require.NoError(t, err)
	require.Equal(t, 40, report.Sent)
	require.Equal(t, 10, report.Failed)
	require.Equal(t, 20, report.Refused)
	require.Equal(t, 10, report.Acknowledged)
	require.Equal(t, 30, report.Redelivered)
	require.Zero(t, report.GivenUp)
	unique := map[string]bool{}
	retries := map[string]int{}
	for _, r := range rc.seen() {
		unique[r.signature] = true
		retries[r.retry]++
	}
	require.Len(t, unique, 40, "a redelivery has a signature of its own")
	require.Equal(t, map[string]int{"0": 10, "1": 10, "2": 10, "3": 10}, retries)
}

func TestRun_ANotificationIsGivenUpInTheEnd(t *testing.T) {
	t.Parallel()
	rc := &receiver{answer: func(int, received) int { return 503 }}
	s := setup(t, Config{TargetURL: serve(t, rc), RedeliveryDelays: atOnce})
	done := 0
	report, err := s.Run(t.Context(), Plan{
		Orders: 5, Weights: map[string]int{"approved": 1}, Progress: func(n, _ int) { done = n },
	})
	require.NoError(t, err)
	require.Equal(t, 20, report.Sent)
	require.Equal(t, 20, report.Failed)
	require.Equal(t, 5, report.GivenUp)
	require.Equal(t, 5, done)
	require.Empty(t, report.QueueIDs)
}

func TestRun_DroppedNotificationsAreNeverSent(t *testing.T) {
	t.Parallel()
	rc := &receiver{}
	s := setup(t, Config{TargetURL: serve(t, rc), Faults: Faults{Drop: 0.5, Duplicates: 1, ExactReplays: 1}})
	report, err := s.Run(t.Context(), Plan{Orders: 100, Weights: map[string]int{"approved": 1}})
	require.NoError(t, err)
	require.Equal(t, 100, report.Notifications)
	require.InDelta(t, 50, report.NeverSent, 20)
	require.Equal(t, 3*(100-report.NeverSent), report.Sent)
	for _, truth := range s.Truth() {
		require.Equal(t, "paid", truth.Status, "what is not told is true all the same")
	}
}

func TestRun_AnAnswerThatIsDroppedIsAskedForAgain(t *testing.T) {
	t.Parallel()
	rc := &receiver{}
	s := setup(t, Config{TargetURL: serve(t, rc), RedeliveryDelays: atOnce, Faults: Faults{DropAnswer: 1}})
	report, err := s.Run(t.Context(), Plan{Orders: 10, Weights: map[string]int{"approved": 1}})
	require.NoError(t, err)
	require.Equal(t, 40, report.Sent)
	require.Equal(t, 30, report.Cut, "all but the last try")
	require.Equal(t, 10, report.Acknowledged)
	require.Len(t, report.QueueIDs, 10)
	require.Zero(t, rc.forged)
}

func TestRun_DisorderIsDrawnAndLosesNothing(t *testing.T) {
	t.Parallel()
	order := func(disorder bool) (ids []string) {
		rc := &receiver{}
		s := setup(t, Config{TargetURL: serve(t, rc), Faults: Faults{Disorder: disorder}})
		_, err := s.Run(t.Context(), Plan{
			Orders: 60, Concurrency: 1, Window: 5, Weights: map[string]int{"approved": 1},
		})
		require.NoError(t, err)
		for _, r := range rc.seen() {
			ids = append(ids, r.id)
		}
		return ids
	}
	straight, shuffled := order(false), order(true)
	require.ElementsMatch(t, straight, shuffled)
	require.NotEqual(t, straight, shuffled)
	require.Equal(t, shuffled, order(true), "the seed does not decide")
}

// A roundTripper answers requests in memory, so that a test can run in a time
// of its own.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// acknowledge is the answer of a receiver that says nothing.
func acknowledge(req *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader("")), Request: req}, nil
}

func TestRun_KeepsItsRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := setup(t, Config{
			TargetURL:  "http://shop.example/",
			HTTPClient: &http.Client{Transport: roundTripper(acknowledge)},
		})
		report, err := s.Run(t.Context(), Plan{Orders: 21, Rate: 2, Weights: map[string]int{"approved": 1}})
		require.NoError(t, err)
		require.Equal(t, 10*time.Second, report.Elapsed)
	})
}

func TestRun_LateNotificationsComeLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		arrived := map[time.Duration]int{}
		begun := time.Now()
		s := setup(t, Config{
			TargetURL: "http://shop.example/",
			HTTPClient: &http.Client{Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
				mu.Lock()
				defer mu.Unlock()
				arrived[time.Since(begun)]++
				return acknowledge(req)
			})},
			Faults: Faults{LateShare: 0.5, LateBy: time.Hour},
		})
		_, err := s.Run(t.Context(), Plan{Orders: 100, Weights: map[string]int{"approved": 1}})
		require.NoError(t, err)
		require.Len(t, arrived, 2)
		require.InDelta(t, 50, arrived[time.Hour], 20)
		require.Equal(t, 100, arrived[0]+arrived[time.Hour])
	})
}

func TestRun_RedeliveriesKeepTheirDelays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var tries []time.Duration
		begun := time.Now()
		s := setup(t, Config{
			TargetURL: "http://shop.example/",
			HTTPClient: &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
				tries = append(tries, time.Since(begun))
				return nil, io.ErrUnexpectedEOF
			})},
		})
		report, err := s.Run(t.Context(), Plan{Orders: 1, Weights: map[string]int{"approved": 1}})
		require.NoError(t, err)
		require.Equal(t, 1, report.GivenUp)
		ms := time.Millisecond
		require.Equal(t, []time.Duration{0, 100 * ms, 300 * ms, 700 * ms, 1500 * ms, 3100 * ms, 6300 * ms, 12700 * ms}, tries)
	})
}

func TestRun_StopsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	rc := &receiver{answer: func(call int, _ received) int {
		if call == 50 {
			cancel()
		}
		if call%2 == 0 {
			return 503 // leaves redeliveries waiting
		}
		return 200
	}}
	s := setup(t, Config{
		TargetURL: serve(t, rc), RedeliveryDelays: []time.Duration{time.Hour},
		Faults: Faults{Disorder: true, LateShare: 0.2, LateBy: time.Hour},
	})
	report, err := s.Run(ctx, Plan{Orders: 1000})
	require.ErrorIs(t, err, context.Canceled)
	require.Less(t, report.Orders, 1000)
	require.Positive(t, report.Acknowledged)
	require.Len(t, s.Truth(), 1000)
}

func TestRun_RefusesAWrongPlan(t *testing.T) {
	t.Parallel()
	s := setup(t, Config{TargetURL: serve(t, &receiver{})})
	for name, plan := range map[string]Plan{
		"no orders":            {},
		"an unknown lifecycle": {Orders: 1, Weights: map[string]int{"approvd": 1}},
		"a negative weight":    {Orders: 1, Weights: map[string]int{"approved": -1, "refunded": 2}},
		"no weight":            {Orders: 1, Weights: map[string]int{"approved": 0}},
		"a negative rate":      {Orders: 1, Rate: -1},
		"negative concurrency": {Orders: 1, Concurrency: -1},
		"more than all":        {Orders: 1, ThroughOrders: 1.5},
		"less than none":       {Orders: 1, BothChannels: -0.5},
		"a long prefix":        {Orders: 1, ReferencePrefix: strings.Repeat("x", 51)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := s.Run(t.Context(), plan)
			require.Error(t, err)
			require.Empty(t, s.Orders(plan))
		})
	}
	_, err := setup(t, Config{}).Run(t.Context(), Plan{Orders: 1})
	require.ErrorContains(t, err, "no target")
}

func TestRun_EachRunNeedsReferencesOfItsOwn(t *testing.T) {
	t.Parallel()
	s := setup(t, Config{TargetURL: serve(t, &receiver{})})
	_, err := s.Run(t.Context(), Plan{Orders: 2})
	require.NoError(t, err)
	_, err = s.Run(t.Context(), Plan{Orders: 3})
	require.ErrorContains(t, err, "order-000001")
	require.Len(t, s.Truth(), 2)
	_, err = s.Run(t.Context(), Plan{Orders: 3, ReferencePrefix: "next-"})
	require.NoError(t, err)
	require.Len(t, s.Truth(), 5)
}
