package jobs_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

func TestAttempt_SettlesItsOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register(t, "A-1", "150.05")
	b.fake.isPaid("77", "A-1", "150.05")
	event := b.accept(t, "77")
	b.start(t)

	job := b.awaitJob(t, event, rivertype.JobStateCompleted)

	require.Equal(t, 1, job.Attempt)
	require.Equal(t, "completed", b.status(t, event))
	require.Equal(t, store.OutcomeSettled, scan[string](t, b, `SELECT outcome FROM webhook_queue WHERE id = $1 AND attempts = 1`, event))
	paid, err := b.Order(t.Context(), "A-1")
	require.NoError(t, err)
	require.Equal(t, order.StatusPaid, paid.Status)
	require.Equal(t, 1, scan[int](t, b, `SELECT count(*) FROM payment_logs WHERE queue_id = $1`, event))
	require.Nil(t, b.letter(t, event))
}

// Two events about one payment, both received before the fetch began: what the
// first one fetched tells all that the second could tell.
func TestAttempt_ACoveredEventIsCompletedWithoutAFetch(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *jobs.Config) { c.Workers = 1 })
	b.fake.isPaid("77", "A-1", "150.05")
	first, second := b.accept(t, "77"), b.accept(t, "77")
	b.start(t)

	b.awaitStatus(t, first, "completed")
	b.awaitStatus(t, second, "completed")

	require.Equal(t, 1, b.fake.calls("77"))
	require.Equal(t, store.OutcomeCovered, scan[string](t, b, `SELECT outcome FROM webhook_queue WHERE id = $1`, second))

	third := b.accept(t, "77")
	b.awaitStatus(t, third, "completed")
	require.Equal(t, 2, b.fake.calls("77"), "received after the fetch: it may tell more")
	require.Equal(t, store.OutcomeUnchanged, scan[string](t, b, `SELECT outcome FROM webhook_queue WHERE id = $1`, third))
	require.Equal(t, 1, scan[int](t, b, `SELECT count(*) FROM payment_logs`))
}

func TestAttempt_ACompletedEventKeepsItsFirstEnd(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fake.isPaid("77", "A-1", "150.05")
	event := b.accept(t, "77")
	b.start(t)
	b.awaitJob(t, event, rivertype.JobStateCompleted)
	const end = `SELECT completed_at::text || outcome || attempts FROM webhook_queue WHERE id = $1`
	before := scan[string](t, b, end, event)

	_, err := b.operator.JobRetry(t.Context(), b.jobID(t, event))
	require.NoError(t, err)

	fixture.Await(t, func() bool {
		job := b.job(t, event)
		return job.Attempt == 2 && job.State == rivertype.JobStateCompleted
	})
	require.Equal(t, before, scan[string](t, b, end, event))
	require.Equal(t, 1, b.fake.calls("77"))
	require.Nil(t, b.letter(t, event))
}

func TestAttempt_AnUnknownStatusIsPutAsideWithItsBody(t *testing.T) {
	t.Parallel()
	b := setup(t)
	odd := approved("77", "A-1", "150.05")
	odd.Status, odd.Raw = "levitating", []byte("{\"id\":77,\"status\":\"levitating\"}\x00\xff")
	b.fake.says("77", func(context.Context, int) (provider.Payment, error) { return odd, nil })
	event := b.accept(t, "77")
	b.start(t)

	b.awaitJob(t, event, rivertype.JobStateCancelled)

	letter := b.letter(t, event)
	require.NotNil(t, letter)
	require.Len(t, letter.Errors, 1)
	require.Contains(t, letter.Error, "levitating")
	require.Equal(t, &deadLetter{
		Reason: "permanent_failure", Class: "unknown_status", Error: letter.Error, State: "open", Attempts: 1, Deaths: 1, Errors: letter.Errors,
	}, letter)
	require.Equal(t, "dead_letter", b.status(t, event))
	require.Equal(t, odd.Raw, scan[[]byte](t, b, `SELECT resource FROM webhook_queue WHERE id = $1`, event))
	require.Zero(t, scan[int](t, b, `SELECT count(*) FROM payments`))
}

// Money in a currency that doesn't exist can't be booked; where there is no money
// the currency is passed over.
func TestUnknownCurrency_IsOddWhereThereIsMoney(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register(t, "A-1", "150.05")
	p := approved("77", "A-1", "150.05")
	p.Currency = "XXX"
	b.fake.says("77", func(context.Context, int) (provider.Payment, error) { return p, nil })
	event := b.accept(t, "77")
	b.start(t)

	b.awaitJob(t, event, rivertype.JobStateCancelled)

	require.Equal(t, "odd_payment", b.letter(t, event).Class)
	require.Equal(t, []string{"currency"}, scan[[]string](t, b, `SELECT fields FROM odd_payments WHERE queue_id = $1`, event))
}

// A payment made at a counter names its merchant order alone, and that one knows
// the order.
func TestReference_IsTheMerchantOrdersWhereThePaymentHasNone(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *jobs.Config) { c.Backoff = jobs.Backoff{Waits: []time.Duration{time.Millisecond}, Attempts: 3} })
	b.start(t)
	says := func(id, reference, merchantOrder string, minute int) {
		p := approved(id, reference, "10")
		p.MerchantOrderID, p.UpdatedAt = merchantOrder, p.UpdatedAt.Add(time.Duration(minute)*time.Minute)
		b.fake.says(id, func(context.Context, int) (provider.Payment, error) { return p, nil })
	}
	settle := func(id string) (reference string, attempts int) {
		event := b.accept(t, id)
		b.awaitStatus(t, event, "completed")
		return scan[string](t, b, `SELECT coalesce(order_reference, '') FROM payments WHERE payment_id = $1`, id),
			scan[int](t, b, `SELECT attempts FROM webhook_queue WHERE id = $1`, event)
	}
	requireSettled := func(id, reference string, attempts int) {
		t.Helper()
		gotReference, gotAttempts := settle(id)
		require.Equal(t, reference, gotReference)
		require.Equal(t, attempts, gotAttempts)
	}
	b.register(t, "A-1", "10")
	b.fake.merchantOrders(map[string]string{"9": "A-1"}, nil)
	says("1", "", "9", 0)
	requireSettled("1", "A-1", 1)
	paid, err := b.Order(t.Context(), "A-1")
	require.NoError(t, err)
	require.Equal(t, order.StatusPaid, paid.Status)

	says("2", "own", "9", 0)
	requireSettled("2", "own", 1)
	says("3", "", "8", 0)
	requireSettled("3", "", 1)
	says("4", "", "", 0)
	requireSettled("4", "", 1)
	require.Equal(t, 1, b.fake.calls("merchant order 9"), "a reference of its own needs no other")

	b.fake.merchantOrders(nil, &provider.Error{Kind: provider.Forbidden, StatusCode: 403})
	says("5", "", "9", 0)
	requireSettled("5", "", 1)
	says("1", "", "9", 1)
	requireSettled("1", "A-1", 1)

	b.fake.merchantOrders(nil, &provider.Error{Kind: provider.ResourceNotFound, StatusCode: 404})
	says("6", "", "9", 0)
	requireSettled("6", "", 3)
	says("1", "", "9", 2)
	requireSettled("1", "A-1", 3)
	require.Zero(t, scan[int](t, b, `SELECT count(*) FROM webhook_dead_letter`))
}

// The copy that answers may lag behind the notification. It is asked once more,
// and then believed.
func TestAnswerOlderThanItsNotification_IsAskedForOnceMore(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *jobs.Config) { c.Backoff.Waits = []time.Duration{100 * time.Millisecond} })
	b.register(t, "A-1", "150.05")
	state := approved("77", "A-1", "150.05")
	state.Status, state.StatusDetail = "pending", ""
	b.fake.says("77", func(_ context.Context, call int) (provider.Payment, error) {
		if call < 3 {
			return state, nil
		}
		paid := approved("77", "A-1", "150.05")
		paid.UpdatedAt = state.UpdatedAt.Add(time.Minute)
		return paid, nil
	})
	lagging := approved("78", "A-2", "10")
	b.fake.says("78", func(context.Context, int) (provider.Payment, error) { return lagging, nil })
	b.start(t)
	signed := func(after time.Duration, key string) func(*store.NewEvent) {
		return func(e *store.NewEvent) {
			e.Signed, e.Signature, e.NotifiedAt = true, []byte(key), state.UpdatedAt.Add(after)
		}
	}
	b.awaitStatus(t, b.accept(t, "77"), "completed")
	b.awaitStatus(t, b.accept(t, "78"), "completed")

	late := b.accept(t, "77", signed(time.Minute, "late"))
	b.awaitStatus(t, late, "completed")
	require.Equal(t, 3, b.fake.calls("77"))
	require.Equal(t, "settled/1/0", scan[string](t, b,
		`SELECT outcome || '/' || attempts || '/' || jsonb_array_length(attempt_errors) FROM webhook_queue WHERE id = $1`, late), "no attempt was spent")
	paid, err := b.Order(t.Context(), "A-1")
	require.NoError(t, err)
	require.Equal(t, order.StatusPaid, paid.Status)

	for name, c := range map[string]struct {
		change func(*store.NewEvent)
		calls  int
	}{
		"it lags for good":        {signed(11*time.Second, "lags"), 2},
		"near enough":             {signed(10*time.Second, "near"), 1},
		"of before":               {signed(-time.Hour, "before"), 1},
		"anybody may have sent":   {func(e *store.NewEvent) { e.Signed, e.NotifiedAt = false, state.UpdatedAt.Add(time.Hour) }, 1},
		"it says nothing of when": {func(*store.NewEvent) {}, 1},
	} {
		before := b.fake.calls("78")
		event := b.accept(t, "78", c.change)
		b.awaitStatus(t, event, "completed")
		require.Equal(t, c.calls, b.fake.calls("78")-before, name)
		require.Equal(t, store.OutcomeUnchanged, scan[string](t, b, `SELECT outcome FROM webhook_queue WHERE id = $1`, event), name)
	}
}

// The first failure of each kind, and whether another attempt follows.
func TestAttempt_ItsFailureHasAClass(t *testing.T) {
	t.Parallel()
	const permanent, retried = rivertype.JobStateCancelled, rivertype.JobStateRetryable
	cases := map[string]struct {
		err   error
		panic any
		event func(*store.NewEvent)
		state rivertype.JobState
		class string
	}{
		"payment not found":      {err: &provider.Error{Kind: provider.NotFound, StatusCode: 404}, state: retried, class: "payment_not_found"},
		"too many calls":         {err: &provider.Error{Kind: provider.RateLimited, StatusCode: 429}, state: retried, class: "rate_limited"},
		"credential not taken":   {err: &provider.Error{Kind: provider.Unauthorized, StatusCode: 401}, state: retried, class: "unauthorized"},
		"only this one barred":   {err: &provider.Error{Kind: provider.Forbidden, StatusCode: 403}, state: permanent, class: "forbidden"},
		"no answer":              {err: &provider.Error{Kind: provider.Unavailable, Err: errors.New("connection refused")}, state: retried, class: "provider_unavailable"},
		"its own deadline":       {err: &provider.Error{Kind: provider.Unavailable, Err: context.DeadlineExceeded}, state: retried, class: "provider_unavailable"},
		"its own cancellation":   {err: &provider.Error{Kind: provider.Unavailable, Err: context.Canceled}, state: retried, class: "provider_unavailable"},
		"nonsense":               {err: &provider.Error{Kind: provider.Unreadable, StatusCode: 200}, state: retried, class: "unreadable_answer"},
		"odd":                    {err: &provider.Error{Kind: provider.Odd, StatusCode: 200, Err: &provider.OddPayment{Problem: "odd", Fields: provider.Fields()}}, state: permanent, class: "odd_payment"},
		"locked":                 {err: &provider.Error{Kind: provider.Locked, StatusCode: 423}, state: retried, class: "resource_locked"},
		"an answer of its own":   {err: &provider.Error{Kind: provider.Unexpected, StatusCode: 418}, state: retried, class: "unexpected_answer"},
		"an error of no kind":    {err: errors.New("odd"), state: retried, class: "internal"},
		"a deadline of no kind":  {err: context.DeadlineExceeded, state: retried, class: "timeout"},
		"a panic":                {panic: "boom", state: retried},
		"a source we don't know": {event: func(e *store.NewEvent) { e.Source = "elsewhere" }, state: retried, class: "unknown_source"},
		"a text with NUL":        {err: errors.New("odd\x00\xff text"), state: retried, class: "internal"},
		"a text without end":     {err: errors.New(strings.Repeat("ñ", 1<<20)), state: retried, class: "internal"},
	}
	b := setup(t)
	events := map[string]int64{}
	for name, c := range cases {
		b.fake.says(name, func(context.Context, int) (provider.Payment, error) {
			if c.panic != nil {
				panic(c.panic)
			}
			return provider.Payment{}, c.err
		})
		change := func(*store.NewEvent) {}
		if c.event != nil {
			change = c.event
		}
		events[name] = b.accept(t, name, change)
	}
	b.start(t)
	for name, c := range cases {
		job := b.awaitJob(t, events[name], c.state)
		require.Len(t, job.Errors, 1, name)
		require.Equal(t, 1, job.Attempt, name)
		failure := job.Errors[0]
		require.LessOrEqual(t, len(failure.Error), 2100, name)
		if c.panic != nil {
			require.Equal(t, "boom", failure.Error, name)
			require.NotEmpty(t, failure.Trace, name)
		}
		if c.state == permanent {
			require.Equal(t, c.class, b.letter(t, events[name]).Class, name)
			continue
		}
		if c.class != "" {
			require.True(t, strings.HasPrefix(failure.Error, c.class+": "), "%s: %s", name, failure.Error)
		}
		require.Nil(t, b.letter(t, events[name]), name)
		require.Equal(t, "failed", b.status(t, events[name]), name)
		require.False(t, job.ScheduledAt.Before(failure.At.Add(b.config.Backoff.Waits[0])), name)
	}
}

// The class of the last failure is the dead letter's.
func TestDeadLetter_HasTheErrorsClass(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *jobs.Config) { c.Backoff.Attempts = 1 })
	classes := map[string]error{
		"payment_not_found":    &provider.Error{Kind: provider.NotFound, StatusCode: 404},
		"rate_limited":         &provider.Error{Kind: provider.RateLimited, StatusCode: 429},
		"unauthorized":         &provider.Error{Kind: provider.Unauthorized, StatusCode: 401},
		"provider_unavailable": &provider.Error{Kind: provider.Unavailable, StatusCode: 503},
		"unreadable_answer":    &provider.Error{Kind: provider.Unreadable, StatusCode: 200},
		"unexpected_answer":    &provider.Error{Kind: provider.Unexpected, StatusCode: 418},
		"internal":             errors.New("odd"),
		"timeout":              context.DeadlineExceeded,
	}
	events := map[string]int64{}
	for class, err := range classes {
		b.fake.fails(class, err)
		events[class] = b.accept(t, class)
	}
	b.fake.says("panic", func(context.Context, int) (provider.Payment, error) { panic("boom") })
	events["panic"] = b.accept(t, "panic")
	b.start(t)
	for class, event := range events {
		b.awaitStatus(t, event, "dead_letter")
		letter := b.letter(t, event)
		require.Equal(t, class, letter.Class)
		require.Equal(t, "retries_exhausted", letter.Reason, class)
		require.Equal(t, []string{letter.Error}, letter.Errors, class)
	}
}

func TestAttempt_APaymentThatIsNotThereYetIsFetchedAgain(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *jobs.Config) { c.Backoff.Waits = []time.Duration{time.Millisecond} })
	b.fake.says("77", func(_ context.Context, call int) (provider.Payment, error) {
		if call < 3 {
			return provider.Payment{}, &provider.Error{Kind: provider.NotFound, StatusCode: 404}
		}
		return approved("77", "A-1", "150.05"), nil
	})
	event := b.accept(t, "77")
	b.start(t)

	b.awaitStatus(t, event, "completed")

	require.Equal(t, 3, scan[int](t, b, `SELECT attempts FROM webhook_queue WHERE id = $1`, event))
	require.Equal(t, 2, scan[int](t, b, `SELECT jsonb_array_length(attempt_errors) FROM webhook_queue WHERE id = $1`, event))
	require.Contains(t, scan[string](t, b, `SELECT last_error FROM webhook_queue_status WHERE id = $1`, event), "payment_not_found: ")
}

func TestAttempt_APaymentThatNeverComesUsesUpTheBackoff(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *jobs.Config) { c.Backoff.Waits = []time.Duration{time.Millisecond} })
	event := b.accept(t, "77")
	b.start(t)

	job := b.awaitJob(t, event, rivertype.JobStateDiscarded)

	require.Equal(t, 7, job.Attempt)
	require.Equal(t, 7, b.fake.calls("77"))
	letter := b.letter(t, event)
	const failure = "payment_not_found: HTTP 404"
	require.Equal(t, &deadLetter{
		Reason: "retries_exhausted", Class: "payment_not_found", Error: failure, State: "open", Attempts: 7, Deaths: 1,
		Errors: []string{failure, failure, failure, failure, failure, failure, failure},
	}, letter)
}

func TestAttempt_TheProviderMayPutItOff(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fake.fails("long", &provider.Error{Kind: provider.RateLimited, StatusCode: 429, RetryAfter: time.Hour})
	b.fake.fails("short", &provider.Error{Kind: provider.RateLimited, StatusCode: 429, RetryAfter: time.Second})
	long, short := b.accept(t, "long"), b.accept(t, "short")
	b.start(t)

	job := b.awaitJob(t, long, rivertype.JobStateRetryable)
	require.False(t, job.ScheduledAt.Before(job.Errors[0].At.Add(time.Hour)))
	job = b.awaitJob(t, short, rivertype.JobStateRetryable)
	require.False(t, job.ScheduledAt.Before(job.Errors[0].At.Add(time.Minute)))
	require.True(t, job.ScheduledAt.Before(job.Errors[0].At.Add(time.Hour)), "the other one's delay is not this one's")
}

// A job whose event is nowhere ends and leaves nothing.
func TestAttempt_OfAnEventThatIsGoneIsCancelled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	event := b.accept(t, "77")
	jobID := b.jobID(t, event)
	b.exec(t, `DELETE FROM webhook_queue WHERE id = $1`, event)
	b.start(t)

	fixture.Await(t, func() bool {
		job, err := b.operator.JobGet(t.Context(), jobID)
		require.NoError(t, err)
		return job.State == rivertype.JobStateCancelled
	})
	require.Zero(t, scan[int](t, b, `SELECT count(*) FROM webhook_dead_letter`))
	require.Zero(t, b.fake.calls("77"))
}
