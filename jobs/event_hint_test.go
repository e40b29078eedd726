package jobs_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

func unsigned(e *store.NewEvent) { e.Signed = false }

func quick(c *jobs.Config) { c.Backoff.Waits = []time.Duration{10 * time.Millisecond} }

// ends requires the event's end, and that nobody is asked to look at it.
func (b *bundle) ends(t *testing.T, event int64, outcome string, attempts int) {
	t.Helper()
	b.awaitStatus(t, event, store.StatusCompleted)
	require.Equal(t, outcome, scan[string](t, b, `SELECT outcome FROM webhook_queue WHERE id = $1`, event))
	require.Equal(t, attempts, scan[int](t, b, `SELECT attempts FROM webhook_queue WHERE id = $1`, event))
	require.Equal(t, rivertype.JobStateCompleted, b.job(t, event).State)
	require.Zero(t, scan[int](t, b, `SELECT count(*) FROM webhook_dead_letter WHERE queue_id = $1`, event))
}

var notFound = &provider.Error{Kind: provider.NotFound, StatusCode: http.StatusNotFound}

func TestHint_ForNothingCostsOneCallAndNoDeadLetter(t *testing.T) {
	t.Parallel()
	b := setup(t, quick)
	b.start(t)
	b.fake.fails("900", notFound)
	b.ends(t, b.accept(t, "900", unsigned), store.OutcomeDiscarded, 1)
	require.Equal(t, 1, b.fake.calls("900"))
}

func TestHint_ItsSecondFailureEndsIt(t *testing.T) {
	t.Parallel()
	b := setup(t, quick)
	b.start(t)
	b.fake.fails("901", &provider.Error{Kind: provider.Unexpected, StatusCode: http.StatusTeapot})
	b.ends(t, b.accept(t, "901", unsigned), store.OutcomeDiscarded, 2)
	b.fake.fails("902", &provider.Error{Kind: provider.Forbidden, StatusCode: http.StatusForbidden})
	event := b.accept(t, "902", unsigned)
	b.awaitStatus(t, event, store.StatusCompleted)
	require.LessOrEqual(t, b.fake.calls("902"), 2)
	require.Zero(t, scan[int](t, b, `SELECT count(*) FROM webhook_dead_letter`))
}

func TestHint_AnOddPaymentIsAPersonsMatterWhoeverNamedIt(t *testing.T) {
	t.Parallel()
	b := setup(t, quick)
	b.start(t)
	odd := &provider.OddPayment{ID: "903", Fields: []provider.Field{provider.FieldCurrency}, Problem: "payment: its currency is missing", Raw: []byte(`{"id":903}`)}
	b.fake.fails("903", &provider.Error{Kind: provider.Odd, StatusCode: http.StatusOK, Err: odd})
	event := b.accept(t, "903", unsigned)
	b.awaitStatus(t, event, store.StatusDeadLetter)
}

func TestHint_PassesNobody(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hint, live := b.job(t, b.accept(t, "904", unsigned)), b.job(t, b.accept(t, "905"))
	require.Greater(t, hint.Priority, live.Priority)
	require.Equal(t, 2, hint.MaxAttempts)
	require.Equal(t, 7, live.MaxAttempts)
}

// Each hint that is not yet let through is put off, and signed payments go on.
func TestHint_HasAShareOfTheCallsOnly(t *testing.T) {
	t.Parallel()
	b := setup(t, quick, func(c *jobs.Config) { c.ProviderRate = 0.0001 })
	b.start(t)
	b.fake.says("906", always(approved("906", "order-906", "100")))
	first := b.accept(t, "906", unsigned)
	b.ends(t, first, store.OutcomeSettled, 1)
	b.fake.says("907", always(approved("907", "order-907", "100")))
	second := b.accept(t, "907", unsigned)
	fixture.Await(t, func() bool {
		return scan[int](t, b, `SELECT coalesce((metadata ->> 'snoozes')::int, 0) FROM river_job WHERE id = $1`, b.jobID(t, second)) > 0
	})
	b.fake.says("908", always(approved("908", "order-908", "100")))
	b.ends(t, b.accept(t, "908"), store.OutcomeSettled, 1)
	require.Zero(t, b.fake.calls("907"))
}

func always(p provider.Payment) answer {
	return func(context.Context, int) (provider.Payment, error) { return p, nil }
}

func TestTest_ABodysWordIsBelievedWhereNothingIsBehindTheID(t *testing.T) {
	t.Parallel()
	b := setup(t, quick)
	b.start(t)
	says := func(body string) func(*store.NewEvent) {
		return func(e *store.NewEvent) { e.Payload = []byte(body) }
	}
	b.fake.fails("910", notFound)
	b.ends(t, b.accept(t, "910", says(`{"test":true}`)), store.OutcomeTest, 1)
	b.fake.says("911", always(approved("911", "order-911", "100")))
	b.ends(t, b.accept(t, "911", says(`{"test":true}`)), store.OutcomeSettled, 1)
}

// A signature covers no topic: where it came under two, the one that nothing is
// behind is not a dead letter, and yet has all its attempts.
func TestSignature_UnderTwoTopicsLeavesNoDeadLetter(t *testing.T) {
	t.Parallel()
	b := setup(t, quick, func(c *jobs.Config) { c.Backoff.Attempts = 3 })
	b.start(t)
	as := func(topic string) func(*store.NewEvent) {
		return func(e *store.NewEvent) { e.Topic, e.RequestID, e.Signature = topic, "call-1", []byte(topic) }
	}
	b.fake.fails("920", notFound)
	kept := b.accept(t, "920", as("claims"), func(e *store.NewEvent) { e.Work = store.WorkKeep })
	b.ends(t, b.accept(t, "920", as("payment")), store.OutcomeDiscarded, 3)
	require.NotZero(t, kept)
	b.fake.fails("921", notFound)
	b.awaitStatus(t, b.accept(t, "921", as("payment"), func(e *store.NewEvent) { e.RequestID, e.Signature = "call-2", []byte("2") }), store.StatusDeadLetter)
}

func TestHint_WhatLedToNothingIsNotArchived(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldSpec{})
	w.start(t)
	w.exec(t, `
		INSERT INTO webhook_queue (source, topic, resource_id, payload, signed, completed_at, outcome, work)
		SELECT 'mercadopago', 'payment', n::text, '', n > 3, now() - interval '30 days', (ARRAY['discarded', 'unchanged', 'settled', 'discarded'])[n], 'payment'
		FROM generate_series(1, 4) AS n`)
	w.reconcile(t)
	require.Zero(t, look[int](t, w, `SELECT count(*) FROM webhook_queue`))
	require.Equal(t, "3,4", look[string](t, w, `SELECT string_agg(resource_id, ',' ORDER BY resource_id) FROM webhook_archive`))
}
