package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// claim is an event about a claim, whose number may be a payment's too.
func claim(number int, id string) store.NewEvent {
	ev := signed(number, id)
	ev.Topic, ev.Work = "claim", store.WorkFollow
	return ev
}

func TestStartAttempt_AClaimWithAPaymentsNumberIsNotCovered(t *testing.T) {
	t.Parallel()
	b := setup(t)
	aboutClaim, aboutPayment := b.accept(t, claim(1, "77")), b.accept(t, signed(2, "77"))
	a := b.startAttempt(t, b.accept(t, signed(3, "77")))
	_, err := b.Settle(t.Context(), a, b.fetchedNow(t, "77", "A-1"), complete(a))
	require.NoError(t, err)

	start, err := b.StartAttempt(t.Context(), aboutPayment)
	require.NoError(t, err)
	require.True(t, start.Covered)
	start, err = b.StartAttempt(t.Context(), aboutClaim)
	require.NoError(t, err)
	require.False(t, start.Covered, "nobody has read the claim")
	require.Equal(t, store.WorkFollow, start.Work)
}

// fetchedNow is a payment whose fetch began now.
func (b *bundle) fetchedNow(t *testing.T, paymentID, reference string) store.FetchedPayment {
	t.Helper()
	f := fetched(paymentID, reference, order.PaymentApproved, "10", 1)
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT clock_timestamp(), last_value FROM webhook_queue_id_seq`).
		Scan(&f.Payment.FetchedAt, &f.Payment.FetchMark))
	return f
}

func TestVerify_WhatFollowedAClaimIsNoPayment(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.startAttempt(t, b.accept(t, claim(1, "5200000001")))
	require.NoError(t, b.Complete(t.Context(), a, store.OutcomeSettled, complete(a)))

	report, err := b.Verify(t.Context(), store.VerifyOptions{RescueAfter: time.Hour, Limit: 10})

	require.NoError(t, err)
	require.Empty(t, report.Violations)
}

func TestEvents_OfAnOrderAreThoseAboutItsPayments(t *testing.T) {
	t.Parallel()
	b := setup(t)
	paid := b.accept(t, signed(1, "77"))
	a := b.startAttempt(t, paid)
	_, err := b.Settle(t.Context(), a, fetched("77", "A-1", order.PaymentApproved, "10", 1), complete(a))
	require.NoError(t, err)
	b.accept(t, claim(2, "77"))

	found, err := b.Events(t.Context(), store.EventFilter{Order: "A-1"}, store.Page{Limit: 10})

	require.NoError(t, err)
	require.Len(t, found.Items, 1)
	require.Equal(t, paid, found.Items[0].QueueID)
}

func TestWaitingResources_AreThoseThatAProbeCanAskFor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.hold(t, b.accept(t, signed(1, "77")))
	b.hold(t, b.accept(t, claim(2, "5200000001")))

	waiting, err := b.WaitingResources(t.Context(), mainAccount, 3)

	require.NoError(t, err)
	require.Equal(t, []string{"77"}, waiting)
}

func TestReplay_AsksAgainWhatThereIsToDo(t *testing.T) {
	t.Parallel()
	works := map[string]string{"claim": store.WorkFollow, "payment": store.WorkPayment}
	b := setup(t, func(o *store.Options) {
		o.WorkOf = func(source, topic, _ string) (string, bool) { return works[topic], source == mp }
	})
	unhandled := func(number int, change ...func(*store.NewEvent)) int64 {
		ev := claim(number, "5200000001")
		ev.Work = store.WorkUnhandled
		for _, c := range change {
			c(&ev)
		}
		return b.accept(t, ev)
	}
	workOfReplay := func(queueID int64) (work string) {
		replay, err := b.ReplayEvent(t.Context(), queueID, ana)
		require.NoError(t, err)
		require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT work FROM webhook_queue WHERE id = $1`, replay.QueueID).Scan(&work))
		return work
	}

	require.Equal(t, store.WorkFollow, workOfReplay(unhandled(1)))
	archived := unhandled(2)
	fixture.Archive(t, b.pool, archived)
	require.Equal(t, store.WorkFollow, workOfReplay(archived))
	require.Equal(t, store.WorkTest, workOfReplay(unhandled(3, func(ev *store.NewEvent) { ev.Work = store.WorkTest })), "a test stays one")
	require.Equal(t, store.WorkUnhandled, workOfReplay(unhandled(4, func(ev *store.NewEvent) { ev.Source = "elsewhere" })), "a source that nobody knows")
	require.Equal(t, 2, b.count(t, `SELECT count(*) FROM webhook_queue q JOIN river_job j ON j.id = q.job_id WHERE q.replay_of IS NOT NULL`))

	// What an older release took for something else and lost is asked for as
	// what it is, also when many are replayed at once.
	wrong := claim(5, "5200000002")
	wrong.Work = store.WorkPayment
	b.die(t, b.accept(t, wrong))
	bulk, err := b.StartBulkReplay(t.Context(), store.BulkReplayRequest{By: ana, AtOnce: 10})
	require.NoError(t, err)
	require.Equal(t, int64(1), bulk.Replayed)
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM webhook_queue WHERE resource_id = '5200000002' AND work = 'follow' AND origin = 'replay'`))
}

func TestInbox_RefusesAnEventThatAsksForNoWork(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.inbox(t, store.InboxOptions{})
	for _, work := range []string{"", "of a later release"} {
		ev := signed(1, "77")
		ev.Work = work
		_, err := in.Accept(t.Context(), ev)
		require.ErrorContains(t, err, `which is not a work`)
	}
	require.Zero(t, b.count(t, `SELECT count(*) FROM webhook_queue`))
}
