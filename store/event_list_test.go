package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

func (b *bundle) event(t *testing.T, queueID int64) store.EventDetail {
	t.Helper()
	d, err := b.Event(t.Context(), queueID)
	require.NoError(t, err)
	return d
}

func TestEvents_AreListedByWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	pending := b.accept(t, signed(1, "77"))
	_, dead := b.deadLetter(t, 2, "78")
	other := signed(3, "79")
	other.Topic, other.RequestID, other.Work = "merchant_order", "delivery-3", store.WorkUnhandled
	unhandled := b.accept(t, other)
	settled := b.accept(t, signed(4, "77"))
	a := b.startAttempt(t, settled)
	_, err := b.Settle(t.Context(), a, fetched("77", "A-1", order.PaymentApproved, "10", 1), complete(a))
	require.NoError(t, err)
	// The payment moves to another order, by an edit that changes nothing else.
	moved := signed(40, "77")
	moved.Topic = "moved"
	a = b.startAttempt(t, b.accept(t, moved))
	_, err = b.Settle(t.Context(), a, fetched("77", "A-9", order.PaymentApproved, "10", 1), complete(a))
	require.NoError(t, err)
	fixture.Archive(t, b.pool, a.QueueID)
	b.exec(t, `DELETE FROM webhook_archive WHERE topic = 'moved'`)
	replay, err := b.ReplayEvent(t.Context(), settled, ana)
	require.NoError(t, err)
	running := b.startAttempt(t, b.accept(t, signed(5, "80"))).QueueID
	failed := b.accept(t, signed(6, "81"))
	b.exec(t, `UPDATE river_job SET state = 'retryable', attempt = 1, scheduled_at = now() + interval '1 hour'
		WHERE id = (SELECT job_id FROM webhook_queue WHERE id = $1)`, failed)
	held := b.accept(t, signed(7, "82"))
	b.exec(t, `UPDATE river_job SET state = 'scheduled', metadata = '{"snoozes": 1}', scheduled_at = now() + interval '1 hour'
		WHERE id = (SELECT job_id FROM webhook_queue WHERE id = $1)`, held)
	fixture.Archive(t, b.pool, settled)
	received := func(hour int) time.Time { return time.Date(2026, 1, 2, hour, 0, 0, 0, time.UTC) }
	for hour, id := range []int64{pending, dead, unhandled, settled, replay.QueueID, running, failed, held} {
		b.exec(t, `WITH live AS (UPDATE webhook_queue SET received_at = $2 WHERE id = $1)
			UPDATE webhook_archive SET received_at = $2 WHERE id = $1`, id, received(hour))
	}

	for name, c := range map[string]struct {
		filter store.EventFilter
		want   []int64
	}{
		"all":               {store.EventFilter{}, []int64{held, failed, running, replay.QueueID, settled, unhandled, dead, pending}},
		"pending":           {store.EventFilter{Status: store.StatusPending}, []int64{replay.QueueID, pending}},
		"processing":        {store.EventFilter{Status: store.StatusProcessing}, []int64{running}},
		"failed":            {store.EventFilter{Status: store.StatusFailed}, []int64{failed}},
		"held":              {store.EventFilter{Status: store.StatusHeld}, []int64{held}},
		"dead":              {store.EventFilter{Status: store.StatusDeadLetter}, []int64{dead}},
		"completed":         {store.EventFilter{Status: store.StatusCompleted}, []int64{settled, unhandled}},
		"topic":             {store.EventFilter{Topic: "merchant_order"}, []int64{unhandled}},
		"origin":            {store.EventFilter{Origin: store.OriginReplay}, []int64{replay.QueueID}},
		"payment":           {store.EventFilter{ResourceID: "77"}, []int64{replay.QueueID, settled, pending}},
		"payment and state": {store.EventFilter{ResourceID: "77", Status: store.StatusCompleted}, []int64{settled}},
		"order once":        {store.EventFilter{Order: "A-1"}, []int64{replay.QueueID, settled, pending}},
		"order now":         {store.EventFilter{Order: "A-9"}, []int64{replay.QueueID, settled, pending}},
		"order unknown":     {store.EventFilter{Order: "A-2"}, nil},
		"request":           {store.EventFilter{RequestID: "delivery-3"}, []int64{unhandled}},
		"since":             {store.EventFilter{Since: received(5).Add(time.Second)}, []int64{held, failed}},
		"since includes":    {store.EventFilter{Since: received(6)}, []int64{held, failed}},
		"until":             {store.EventFilter{Until: received(1).Add(time.Second)}, []int64{dead, pending}},
		"until excludes":    {store.EventFilter{Until: received(1)}, []int64{pending}},
		"a window":          {store.EventFilter{Since: received(3), Until: received(5)}, []int64{replay.QueueID, settled}},
		"archived only":     {store.EventFilter{Since: received(3), Until: received(4)}, []int64{settled}},
		"before all":        {store.EventFilter{Until: received(0)}, nil},
		"after all":         {store.EventFilter{Since: received(8)}, nil},
		"a dead window":     {store.EventFilter{Status: store.StatusDeadLetter, Since: received(1), Until: received(2)}, []int64{dead}},
		"what text can't":   {store.EventFilter{Topic: "pay\x00ment\xff"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var ids []int64
			for _, e := range pages(t, func(p store.Page) (store.List[store.Event], error) { return b.Events(t.Context(), c.filter, p) }) {
				ids = append(ids, e.QueueID)
				require.Equal(t, e.QueueID == settled, e.Archived)
				require.Equal(t, time.UTC, e.ReceivedAt.Location())
			}
			require.Equal(t, c.want, ids)
		})
	}
}

func TestEvent_ShowsWhatItChanged(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.RegisterOrder(t.Context(), "A-1", terms("10.50"))
	require.NoError(t, err)
	ev := signed(1, "77")
	ev.Query, ev.Payload, ev.RemoteIP = "data.id=77", []byte("{\"a\":\"\x00\"}"), ana.RemoteIP
	id := b.accept(t, ev)
	a := b.startAttempt(t, id)
	b.exec(t, `UPDATE river_job SET errors = ARRAY['{"at": "2026-01-02T03:04:05-03:00", "attempt": 1, "error": "timeout: late", "trace": ""}']::jsonb[] WHERE id = $1`, a.JobID)
	_, err = b.Settle(t.Context(), a, fetched("77", "A-1", order.PaymentApproved, "10.50", 1), complete(a))
	require.NoError(t, err)

	check := func(archived bool) {
		d := b.event(t, id)
		require.Equal(t, archived, d.Archived)
		require.Equal(t, store.StatusCompleted, d.Status)
		require.Equal(t, store.OutcomeSettled, *d.Outcome)
		require.Equal(t, 1, d.Attempts)
		require.Equal(t, "timeout: late", *d.LastError)
		require.Equal(t, []store.AttemptFailure{
			{Attempt: 1, At: time.Date(2026, 1, 2, 6, 4, 5, 0, time.UTC), ErrorClass: "timeout", Error: "timeout: late"},
		}, d.AttemptErrors)
		require.Equal(t, store.Content{Encoding: store.EncodingText, Data: "{\"a\":\"\x00\"}", Bytes: 9}, *d.Payload)
		require.Nil(t, d.Resource)
		require.Equal(t, "data.id=77", d.Query)
		require.Equal(t, "203.0.113.7", *d.RemoteIP)
		require.True(t, d.Signed)
		require.Nil(t, d.DeadLetter)
		require.Len(t, d.PaymentLogs, 1)
		require.Equal(t, "10.50", *d.PaymentLogs[0].Amount)
		require.Equal(t, "A-1", *d.PaymentLogs[0].OrderReference)
		require.Len(t, d.OrderChanges, 1)
		require.Equal(t, "A-1", d.OrderChanges[0].OrderReference)
		require.Equal(t, "paid", d.OrderChanges[0].Status)
		require.Equal(t, "10.50", d.OrderChanges[0].PaidAmount)
	}
	check(false)
	b.exec(t, `DELETE FROM river_job`)
	fixture.Archive(t, b.pool, id)
	check(true)

	_, err = b.Event(t.Context(), 404)
	require.ErrorIs(t, err, store.ErrEventNotFound)
}

func TestEvent_ShowsItsAttemptsBeforeItEnds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ev := signed(1, "77")
	ev.Payload = []byte{0xff, 0x00}
	id := b.accept(t, ev)
	a := b.startAttempt(t, id)
	require.NoError(t, b.KeepOdd(t.Context(), a, store.OddAnswer{Fields: []string{"status"}, Raw: []byte(`{"status":"new"}`)}))
	b.die(t, id)

	want := []store.AttemptFailure{
		{Attempt: 1, At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), ErrorClass: "timeout", Error: "timeout: late"},
		{Attempt: 2, At: time.Date(2026, 1, 2, 3, 5, 5, 0, time.UTC), ErrorClass: "forbidden", Error: "forbidden: barred"},
	}
	check := func() {
		d := b.event(t, id)
		require.Equal(t, store.StatusDeadLetter, d.Status)
		require.Equal(t, want, d.AttemptErrors)
		require.Equal(t, "forbidden: barred", *d.LastError)
		require.Equal(t, store.Content{Encoding: store.EncodingBase64, Data: "/wA=", Bytes: 2}, *d.Payload)
		require.JSONEq(t, `{"status":"new"}`, d.Resource.Data)
		require.Equal(t, store.DeadLetterOpen, d.DeadLetter.State)
		require.Equal(t, "retries_exhausted", d.DeadLetter.Reason)
	}
	check()
	b.exec(t, `DELETE FROM river_job`)
	check()
}

func TestEvent_TellsAPanicFromAnError(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.accept(t, signed(1, "77"))
	b.exec(t, `UPDATE river_job SET errors = ARRAY['{"at": "2026-01-02T03:04:05Z", "attempt": 1, "error": "boom: no", "trace": "goroutine 1"}']::jsonb[]`)

	failures := b.event(t, id).AttemptErrors

	require.Len(t, failures, 1)
	require.True(t, failures[0].Panicked)
	require.Empty(t, failures[0].ErrorClass)
}

func TestEvents_NeedALimit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.Events(t.Context(), store.EventFilter{}, store.Page{})
	require.ErrorContains(t, err, "a page of 0 rows")
	_, err = b.DeadLetters(t.Context(), store.DeadLetterFilter{}, store.Page{})
	require.ErrorContains(t, err, "a page of 0 rows")
}
