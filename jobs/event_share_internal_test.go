package jobs

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
)

// A slowFetcher answers when it is told to, each call with its number.
type slowFetcher struct {
	Fetcher

	calls  int
	answer chan struct{}
	ended  error
}

func (f *slowFetcher) Fetch(ctx context.Context, _ provider.Ref, _ []byte) (provider.Found, error) {
	f.calls++
	call := f.calls
	select {
	case <-f.answer:
		return provider.Found{Payment: &provider.Payment{SubscriptionNumber: int64(call)}}, nil
	case <-ctx.Done():
		f.ended = ctx.Err()
		return provider.Found{}, ctx.Err()
	}
}

// A limitedFetcher makes a call wait for its turn.
type limitedFetcher struct {
	*slowFetcher

	turn chan struct{}
}

func (f *limitedFetcher) Admit(ctx context.Context) (context.Context, error) {
	select {
	case <-f.turn:
		return ctx, nil
	case <-ctx.Done():
		return ctx, ctx.Err()
	}
}

// A fetching is one event's fetch.
type fetching struct {
	found provider.Found
	event store.AttemptStart
	err   error
	over  bool
}

func (s *sharedFetch) begin(ctx context.Context, asks Fetcher, mark int64) *fetching {
	f := &fetching{}
	event := store.AttemptStart{Source: "mercadopago", Topic: "payment", ResourceID: "77", Work: store.WorkPayment, Mark: mark, Now: time.Now()}
	go func() {
		f.found, f.event, f.err = s.fetch(ctx, asks, store.Account{Source: "mercadopago"}, event)
		f.over = true
	}()
	synctest.Wait()
	return f
}

func (f *fetching) requireAnswer(t *testing.T, call, mark int64) {
	t.Helper()
	require.True(t, f.over)
	require.NoError(t, f.err)
	require.Equal(t, call, f.found.Payment.SubscriptionNumber)
	require.Equal(t, mark, f.event.Mark)
}

// Whoever asks while fetches wait for their turn shares one; whoever asks while it is
// under way neither shares nor waits for it: it may be older than the event, and may hang.
func TestSharedFetch_IsOneForAllWhoWaitForIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asks := &limitedFetcher{&slowFetcher{answer: make(chan struct{})}, make(chan struct{})}
		s := &sharedFetch{}
		waiting := []*fetching{s.begin(t.Context(), asks, 2), s.begin(t.Context(), asks, 4), s.begin(t.Context(), asks, 3)}
		require.Zero(t, asks.calls)
		asks.turn <- struct{}{}
		synctest.Wait()
		require.Equal(t, 1, asks.calls)
		late := s.begin(t.Context(), asks, 5)
		asks.turn <- struct{}{}
		synctest.Wait()
		require.Equal(t, 2, asks.calls)

		asks.answer <- struct{}{}
		asks.answer <- struct{}{}
		synctest.Wait()
		for _, shared := range waiting {
			shared.requireAnswer(t, 1, 4)
		}
		late.requireAnswer(t, 2, 5)
		require.Empty(t, s.rounds)
	})
}

// A fetch begins when it is its turn: until then every event joins it, and its mark is
// drawn then.
func TestSharedFetch_BeginsWhenItIsItsTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asks := &limitedFetcher{&slowFetcher{answer: make(chan struct{})}, make(chan struct{})}
		began := time.Now()
		s := &sharedFetch{drawn: func(context.Context) (time.Time, int64, error) { return time.Now(), 9, nil }}
		first := s.begin(t.Context(), asks, 1)
		second := s.begin(t.Context(), asks, 2)
		require.Zero(t, asks.calls)

		<-time.After(time.Second)
		asks.turn <- struct{}{}
		synctest.Wait()
		third := s.begin(t.Context(), asks, 10)
		asks.answer <- struct{}{}
		synctest.Wait()
		first.requireAnswer(t, 1, 9)
		second.requireAnswer(t, 1, 9)
		require.Equal(t, began.Add(time.Second), second.event.Now)

		asks.turn <- struct{}{}
		asks.answer <- struct{}{}
		synctest.Wait()
		third.requireAnswer(t, 2, 10)
	})
}

// A fetch goes on while anybody waits for it, and ends with the last who does.
func TestSharedFetch_EndsWithTheLastWhoWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asks := &limitedFetcher{&slowFetcher{answer: make(chan struct{})}, make(chan struct{}, 9)}
		s := &sharedFetch{}
		leaving, leave := context.WithCancel(t.Context())
		first := s.begin(leaving, asks, 1)
		second := s.begin(t.Context(), asks, 1)
		asks.turn <- struct{}{}
		synctest.Wait()
		leave()
		synctest.Wait()
		require.ErrorIs(t, first.err, context.Canceled)
		asks.answer <- struct{}{}
		synctest.Wait()
		second.requireAnswer(t, 1, 1)

		asks.turn <- struct{}{}
		alone := s.begin(leaving, asks, 1)
		require.ErrorIs(t, alone.err, context.Canceled)
		synctest.Wait()
		require.Empty(t, s.rounds)
		asks.turn <- struct{}{}
		next := s.begin(t.Context(), asks, 1)
		asks.answer <- struct{}{}
		synctest.Wait()
		require.NoError(t, next.err)
	})
}

// Whose time is over is told what became of the call: a provider that hangs is one that
// fails.
func TestSharedFetch_EndsInTheTimeOfWhoAskedFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asks := &slowFetcher{answer: make(chan struct{})}
		s := &sharedFetch{}
		limited, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		first := s.begin(limited, asks, 1)
		<-time.After(time.Second)
		synctest.Wait()
		require.True(t, first.over)
		require.ErrorIs(t, first.err, context.DeadlineExceeded)
		require.ErrorIs(t, asks.ended, context.DeadlineExceeded)
	})
}

// Whoever waits for a fetch that panics panics, too: a worker's queue makes a failed
// attempt of it.
func TestSharedFetch_APanicIsEachWaitersOwn(t *testing.T) {
	t.Parallel()
	s := &sharedFetch{}
	require.Panics(t, func() {
		_, _, _ = s.fetch(t.Context(), Fetcher(nil), store.Account{}, store.AttemptStart{})
	})
	require.Empty(t, s.rounds)
}
