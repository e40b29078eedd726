package store_test

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// soon is when all that happened by now is counted for good.
const soon = 10 * time.Minute

// A past event has its times from the test.
type past struct {
	received, completed time.Duration // ago; completed 0 means no end
	topic, origin       string
	outcome             string
}

// happened writes an event into the table as if it had been there at its time.
func (b *bundle) happened(t *testing.T, table string, p past) (queueID int64) {
	t.Helper()
	if p.topic == "" {
		p.topic = "payment"
	}
	if p.origin == "" {
		p.origin = store.OriginWebhook
	}
	var outcome *string
	if p.completed != 0 {
		if p.outcome == "" {
			p.outcome = store.OutcomeSettled
		}
		outcome = &p.outcome
	}
	err := b.pool.QueryRow(t.Context(), `
		INSERT INTO `+table+` (id, source, topic, origin, payload, received_at, completed_at, outcome)
		VALUES (nextval(pg_get_serial_sequence('webhook_queue', 'id')), 'mercadopago', $1, $2, '', now() - make_interval(secs => $3),
		        CASE WHEN $5::text IS NOT NULL THEN now() - make_interval(secs => $4) END, $5)
		RETURNING id`, p.topic, p.origin, p.received.Seconds(), p.completed.Seconds(), outcome).Scan(&queueID)
	require.NoError(t, err)
	return queueID
}

// rollUp counts all that happened until now, for good. Nothing more may happen.
func (b *bundle) rollUp(t *testing.T) store.RollUp {
	t.Helper()
	// The first one begins with its hour, which must not be the next one.
	_, err := b.RollUp(t.Context(), 1000*time.Hour)
	require.NoError(t, err)
	done, err := b.RollUpAhead(t.Context(), 1000*time.Hour, soon)
	require.NoError(t, err)
	require.False(t, done.Behind)
	return done
}

// rollUpAll counts the history as well.
func (b *bundle) rollUpAll(t *testing.T, span time.Duration) store.RollUp {
	t.Helper()
	done := b.rollUp(t)
	for range 10_000 {
		if done.Complete {
			return done
		}
		var err error
		done, err = b.RollUpHistory(t.Context(), span)
		require.NoError(t, err)
	}
	require.FailNow(t, "the history has no end")
	return done
}

// total adds up what the activity of all time says, by the minute and the hour.
func (b *bundle) total(t *testing.T) (received, completed int64) {
	t.Helper()
	for _, table := range []string{"minutes", "hours"} {
		var r, c int64
		require.NoError(t, b.pool.QueryRow(t.Context(), `
			SELECT coalesce(sum(events) FILTER (WHERE outcome = ''), 0)::bigint, coalesce(sum(events) FILTER (WHERE outcome <> ''), 0)::bigint
			FROM webhook_activity_`+table).Scan(&r, &c))
		if table == "hours" {
			require.Equal(t, [2]int64{received, completed}, [2]int64{r, c}, "minutes and hours disagree")
		}
		received, completed = r, c
	}
	return received, completed
}

// requireCompleted asserts how many completed events the status sees in the
// queue, and that there are as many.
func (b *bundle) requireCompleted(t *testing.T, want int64) {
	t.Helper()
	st, err := b.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, want, st.Queue.Completed)
	require.EqualValues(t, want, b.count(t, `SELECT count(*) FROM webhook_queue WHERE completed_at IS NOT NULL`))
}

// A transaction gives its events the time at which it began. A minute must not be
// closed over one that commits late.
func TestRollUp_WaitsForLateCommits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.happened(t, "webhook_queue", past{received: 3 * time.Minute, completed: time.Minute})
	late, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = late.Rollback(t.Context()) }()
	var began time.Time
	require.NoError(t, late.QueryRow(t.Context(), `
		INSERT INTO webhook_queue (source, topic, payload, completed_at, outcome) VALUES ('mercadopago', 'payment', '', now(), 'settled')
		RETURNING received_at`).Scan(&began))

	done := b.rollUpAll(t, time.Hour)
	require.False(t, done.Until.After(began), "counted for good until %s, and an event of %s is to come", done.Until, began)
	received, completed := b.total(t)
	require.Equal(t, [2]int64{1, 1}, [2]int64{received, completed})
	b.requireCompleted(t, 1)

	require.NoError(t, late.Commit(t.Context()))
	b.requireCompleted(t, 2)
	done = b.rollUp(t)
	require.True(t, done.Until.After(began))
	received, completed = b.total(t)
	require.Equal(t, [2]int64{2, 2}, [2]int64{received, completed})
	b.requireCompleted(t, 2)
}

// A session that somebody forgot must not have ever more counted each minute.
func TestRollUp_DoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	forgotten, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = forgotten.Rollback(t.Context()) }()
	_, err = forgotten.Exec(t.Context(), `SELECT 1`)
	require.NoError(t, err)
	b.rollUp(t)
	done, err := b.RollUpAhead(t.Context(), 1000*time.Hour, 24*time.Hour)
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(23*time.Hour), done.Until, 2*time.Minute)
}

// What is counted twice, by two processes at once, counts once.
func TestRollUp_CountsOnceWhoeverCounts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i := 39; i >= 0; i-- {
		b.happened(t, "webhook_queue", past{received: time.Duration(i) * 7 * time.Minute, completed: time.Duration(i) * 5 * time.Minute})
	}
	others := onPool(t, b.pool)
	for _, err := range race(t, 6, func(ctx context.Context) error {
		if _, err := b.RollUpAhead(ctx, 1000*time.Hour, soon); err != nil {
			return err
		}
		_, err := others.RollUpHistory(ctx, time.Hour)
		return err
	}) {
		require.NoError(t, err)
	}
	b.rollUpAll(t, time.Hour)
	received, completed := b.total(t)
	require.Equal(t, [2]int64{40, 39}, [2]int64{received, completed}, "one has no end")
	b.requireCompleted(t, 39)
}

// While everything moves, the status is exact whenever it is asked.
func TestRollUp_StaysExactWhileEventsMove(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.inbox(t, store.InboxOptions{})
	const events = 60
	stop := make(chan struct{})
	var rolling sync.WaitGroup
	var failed error
	rolling.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if _, failed = b.RollUp(t.Context(), 24*time.Hour); failed != nil {
					return
				}
			}
		}
	})
	for i := range events {
		a := b.deliver(t, in, i, strconv.Itoa(i))
		require.NoError(t, b.Complete(t.Context(), a, store.OutcomeUnchanged, complete(a)))
		if i%10 == 9 {
			b.requireCompleted(t, int64(i+1))
		}
	}
	close(stop)
	rolling.Wait()
	require.NoError(t, failed)
	b.rollUpAll(t, time.Hour)
	received, completed := b.total(t)
	require.Equal(t, [2]int64{events, events}, [2]int64{received, completed})
	st, err := b.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, store.Throughput{Received1h: events, Completed1h: events}, st.Throughput)
}

// Retention takes events out of the queue while it is being counted, with either
// of the two coming first, and by hand.
func TestRollUp_FollowsTheArchive(t *testing.T) {
	t.Parallel()
	b := setupRuns(t)
	for i := range 30 {
		b.happened(t, "webhook_queue", past{received: 31 * time.Hour, completed: 30*time.Hour + time.Duration(i)*11*time.Minute})
		b.happened(t, "webhook_queue", past{received: 2 * time.Hour, completed: time.Hour})
	}
	b.rollUpAll(t, time.Hour)
	b.requireCompleted(t, 60)
	before, completed := b.total(t)
	require.Equal(t, [2]int64{60, 60}, [2]int64{before, completed})

	run, _ := b.startRun(t, regular)
	step, _ := b.openStep(t, run)
	var rolls sync.WaitGroup
	rolls.Go(func() { _, _ = b.RollUpAhead(t.Context(), time.Hour, soon) })
	moved, err := step.RetentionBatch(t.Context(), store.Keep{Events: 33 * time.Hour, Payloads: 90 * 24 * time.Hour})
	rolls.Wait()
	require.NoError(t, err)
	require.False(t, moved, "there is more to remove than events")
	require.Positive(t, step.Run.Archived)
	b.requireCompleted(t, 60-step.Run.Archived)
	require.EqualValues(t, 60-step.Run.Archived, b.count(t, `SELECT sum(events) FROM webhook_completed_slots`))

	// By hand, and so past the slots: recounted within some roll-ups.
	b.exec(t, `DELETE FROM webhook_queue WHERE completed_at < now() - interval '20 hours'`)
	for range 10 {
		b.rollUp(t)
	}
	b.requireCompleted(t, 30)
	after, completed := b.total(t)
	require.Equal(t, [2]int64{60, 60}, [2]int64{after, completed}, "what was counted stays counted")
}

// Archiving that began before a roll-up and commits after it is not counted as
// still there.
func TestRollUp_TakesTurnsWithTheArchive(t *testing.T) {
	t.Parallel()
	b := setupRuns(t)
	for range 5 {
		b.happened(t, "webhook_queue", past{received: 31 * time.Hour, completed: 30 * time.Hour})
	}
	b.rollUpAll(t, time.Hour)
	run, _ := b.startRun(t, regular)
	step, _ := b.openStep(t, run)

	// Somebody holds the counting: the archive's transaction is all done but for
	// the slots, and a roll-up that waits behind it must see what it did.
	holder, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = holder.Exec(t.Context(), `SELECT FROM webhook_rollup FOR UPDATE`)
	require.NoError(t, err)
	ends := make(chan error, 2)
	go func() {
		_, err := step.RetentionBatch(t.Context(), store.Keep{Events: time.Hour, Payloads: time.Hour})
		ends <- err
	}()
	b.awaitWaiters(t, 1)
	go func() {
		_, err := b.RollUpAhead(t.Context(), time.Hour, soon)
		ends <- err
	}()
	b.awaitWaiters(t, 2)
	require.NoError(t, holder.Rollback(t.Context()))
	require.NoError(t, <-ends)
	require.NoError(t, <-ends)
	b.requireCompleted(t, 0)
	require.Zero(t, b.count(t, `SELECT coalesce(sum(events), 0) FROM webhook_completed_slots`))
}

// awaitWaiters waits until so many sessions wait for a lock.
func (b *bundle) awaitWaiters(t *testing.T, n int) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for b.count(t, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) != n {
		select {
		case <-look.C:
		case <-deadline:
			require.FailNow(t, "nobody waits")
		}
	}
}

// Years of history are counted in steps, from the latest back; the status is exact
// before, between and after them.
func TestRollUpHistory_CountsWhatWasThere(t *testing.T) {
	t.Parallel()
	b := setup(t)
	year := 365 * 24 * time.Hour
	for _, ago := range []time.Duration{5 * year, 2 * year, 300 * 24 * time.Hour, 9 * 24 * time.Hour} {
		b.happened(t, "webhook_archive", past{received: ago, completed: ago - time.Minute})
	}
	stays := b.happened(t, "webhook_queue", past{received: 100 * 24 * time.Hour, completed: 99 * 24 * time.Hour})
	for _, ago := range []time.Duration{7 * 24 * time.Hour, 50 * time.Hour, 3 * time.Hour} {
		b.happened(t, "webhook_queue", past{received: ago, completed: ago - time.Minute})
	}
	b.requireCompleted(t, 4)
	done := b.rollUp(t)
	require.False(t, done.Complete)
	b.requireCompleted(t, 4)
	for !done.Complete {
		var err error
		done, err = b.RollUpHistory(t.Context(), 40*24*time.Hour)
		require.NoError(t, err)
		b.requireCompleted(t, 4)
	}
	require.Equal(t, 7, b.count(t, `SELECT sum(events) FROM webhook_activity_hours WHERE outcome = ''`), "five years are more than three")
	require.Equal(t, 3, b.count(t, `SELECT sum(events) FROM webhook_activity_minutes WHERE outcome = ''`), "minutes are kept for days")

	// Once complete it is done, and stays so.
	again, err := b.RollUpHistory(t.Context(), time.Hour)
	require.NoError(t, err)
	require.Equal(t, done, again)
	b.exec(t, `DELETE FROM webhook_queue WHERE id = $1`, stays)
	for range 3 {
		b.rollUp(t)
	}
	b.requireCompleted(t, 3)
}

// After a time without workers it catches up in steps, also over minutes that are
// not kept any more by then.
func TestRollUp_CatchesUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `UPDATE webhook_rollup SET complete = true,
		covered_from = date_trunc('hour', now()) - interval '20 days', covered_until = date_trunc('hour', now()) - interval '19 days 23 hours 13 minutes'`)
	for i := range 100 {
		b.happened(t, "webhook_queue", past{received: time.Duration(i+1) * 283 * time.Minute, completed: time.Duration(i+1) * 282 * time.Minute})
	}
	b.requireCompleted(t, 100)
	behind := true
	for n := 0; behind; n++ {
		require.Less(t, n, 200)
		done, err := b.RollUpAhead(t.Context(), 3*time.Hour+17*time.Minute, soon)
		require.NoError(t, err)
		behind = done.Behind
		if n%20 == 0 {
			b.requireCompleted(t, 100)
		}
	}
	b.requireCompleted(t, 100)
	require.Equal(t, 100, b.count(t, `SELECT sum(events) FROM webhook_activity_hours WHERE outcome = ''`))
	require.Equal(t, 100, b.count(t, `SELECT sum(events) FROM webhook_activity_hours WHERE outcome <> ''`))
	require.Zero(t, b.count(t, `SELECT count(*) FROM webhook_activity_minutes WHERE began_at < now() - interval '8 days 1 hour'`))
}

// The hour of the status reaches over what is counted and what is not.
func TestStatus_TheLastHourIsWhole(t *testing.T) {
	t.Parallel()
	b := setup(t)
	requireHour := func(want int64) {
		t.Helper()
		st, err := b.Status(t.Context())
		require.NoError(t, err)
		require.Equal(t, store.Throughput{Received1h: want, Completed1h: want}, st.Throughput)
	}
	for _, ago := range []time.Duration{62 * time.Minute, 59 * time.Minute, 30 * time.Minute, 110 * time.Second, time.Second} {
		b.happened(t, "webhook_queue", past{received: ago, completed: ago})
	}
	fixture.Archive(t, b.pool, b.happened(t, "webhook_queue", past{received: 20 * time.Minute, completed: 20 * time.Minute}))
	requireHour(5)
	_, err := b.RollUp(t.Context(), 24*time.Hour)
	require.NoError(t, err)
	requireHour(5)
	b.requireCompleted(t, 5) // what is not counted for good is in no slot
	_, err = b.RollUpHistory(t.Context(), 24*time.Hour)
	require.NoError(t, err)
	requireHour(5)
	b.exec(t, `DELETE FROM webhook_queue WHERE received_at < now() - interval '10 minutes'`)
	requireHour(5) // counted for good
}

// A sender of unsigned events chooses its topics, and not how much is kept.
func TestRollUp_KeepsFewTopicsApart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i := range 30 {
		b.exec(t, `INSERT INTO webhook_queue (source, topic, payload, received_at)
			SELECT 'mercadopago', $1, '', date_bin('1 minute', now(), 'epoch') FROM generate_series(1, $2)`, "topic-"+strconv.Itoa(i), 1+i%3)
	}
	b.rollUp(t)
	require.Equal(t, 21, b.count(t, `SELECT count(DISTINCT topic) FROM webhook_activity_minutes`))
	require.Equal(t, 60, b.count(t, `SELECT sum(events) FROM webhook_activity_minutes`))
	require.Equal(t, 10, b.count(t, `SELECT sum(events) FROM webhook_activity_minutes WHERE topic = 'other'`))
}
