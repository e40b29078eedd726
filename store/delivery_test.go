package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/storetest"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// insertDeliveries inserts jobs of deliveries as River does.
func insertDeliveries(ctx context.Context, tx pgx.Tx, deliveries []store.DeliveryJob) ([]int64, error) {
	ids := make([]int64, len(deliveries))
	for i, d := range deliveries {
		state := "available"
		if d.Later {
			state = "scheduled"
		}
		err := tx.QueryRow(ctx, `
			INSERT INTO river_job (kind, args, queue, state, max_attempts, scheduled_at)
			VALUES ('delivery', jsonb_build_object('delivery_id', $1::bigint), $2, $3::river_job_state, 10, $4) RETURNING id`,
			d.DeliveryID, "deliveries_"+d.Receiver, state, d.At).Scan(&ids[i])
		if err != nil {
			return nil, err
		}
	}
	return ids, nil
}

func delivers(opts *store.Options) { opts.InsertDeliveries = insertDeliveries }

// telling is a store that delivers order events.
func telling(t *testing.T, pool *pgxpool.Pool) *bundle {
	t.Helper()
	b := onPool(t, pool, delivers)
	require.NoError(t, b.DeliverOrderEvents(t.Context()))
	return b
}

// happen registers orders and puts their events into the feed.
func (b *bundle) happen(t *testing.T, references ...string) {
	t.Helper()
	for _, reference := range references {
		fixture.Register(t, b.Store, reference, "10")
	}
	for more := true; more; {
		done, err := b.SequenceOrderEvents(t.Context())
		require.NoError(t, err)
		more = done.More
	}
}

// fanOut makes deliveries of all that is in the feed.
func (b *bundle) fanOut(t *testing.T) {
	t.Helper()
	for more := true; more; {
		var err error
		more, err = b.QueueOrderEvents(t.Context())
		require.NoError(t, err)
	}
}

// fetchDelivery takes a job of a delivery, as River does, and reads the delivery; false
// when there is none.
func (b *bundle) fetchDelivery(t *testing.T) (d store.DeliveryStart, a store.Attempt, found bool) {
	t.Helper()
	a, err := fixture.Fetch(t.Context(), b.pool, `
		SELECT id FROM river_job WHERE kind = 'delivery' AND state IN ('available', 'scheduled') ORDER BY random() LIMIT 1 FOR UPDATE SKIP LOCKED`)
	if errors.Is(err, pgx.ErrNoRows) {
		return d, a, false
	}
	require.NoError(t, err)
	id := b.count(t, `SELECT (args ->> 'delivery_id')::bigint FROM river_job WHERE id = $1`, a.JobID)
	d, err = b.StartDelivery(t.Context(), int64(id), a.JobID)
	require.NoError(t, err)
	return d, a, true
}

func (b *bundle) verify(t *testing.T) []store.Violation {
	t.Helper()
	report, err := b.Verify(t.Context(), store.VerifyOptions{RescueAfter: time.Hour, Limit: 5})
	require.NoError(t, err)
	return report.Violations
}

func TestDeliveries_NothingFromBeforeTheReceiverIsDelivered(t *testing.T) {
	t.Parallel()
	b := setup(t, delivers)
	b.happen(t, "before")
	fixture.Register(t, b.Store, "before, and not in the feed yet", "10")
	require.NoError(t, b.DeliverOrderEvents(t.Context()))
	b.happen(t, "after")
	b.fanOut(t)
	list, err := b.Deliveries(t.Context(), store.DeliveryFilter{}, store.Page{Limit: 10})
	require.NoError(t, err)
	require.Len(t, list.Items, 1)
	require.Equal(t, "after", list.Items[0].Reference)
	require.Equal(t, "order.registered", list.Items[0].Type)
	require.Empty(t, b.verify(t))

	// On purpose they are, once, and what is on its way is not sent twice.
	n, err := b.CountReplayableOrderEvents(t.Context(), store.OrderEventReplay{})
	require.NoError(t, err)
	require.EqualValues(t, 2, n)
	for _, want := range []int64{2, 0} {
		sent, err := b.ReplayOrderEvents(t.Context(), store.OrderEventReplay{}, ana, nil)
		require.NoError(t, err)
		require.Equal(t, want, sent)
	}
	require.Equal(t, 3, fixture.Count(t, b.pool, `SELECT count(*) FROM deliveries WHERE job_id IS NOT NULL`))
	require.Equal(t, 2, fixture.Count(t, b.pool, `SELECT sum(count) FROM operator_actions WHERE action = 'replay' AND target_kind = 'delivery'`))
}

// Several processes make deliveries of the feed, and some know no receiver.
func TestDeliveries_EachEventIsDeliveredOnceByWhicheverProcess(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t)
	first, second, deaf := telling(t, pool), telling(t, pool), onPool(t, pool)
	const orders = 60
	var all sync.WaitGroup
	for _, b := range []*bundle{first, second, deaf} {
		all.Go(func() {
			for range 20 {
				if _, err := b.SequenceOrderEvents(t.Context()); err != nil {
					t.Error(err)
				}
				if _, err := b.QueueOrderEvents(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for n := range orders {
		fixture.Register(t, first.Store, "A-"+strconv.Itoa(n%20)+"-"+strconv.Itoa(n), "10")
	}
	all.Wait()
	deaf.happen(t)
	second.fanOut(t)
	require.Equal(t, orders, fixture.Count(t, pool, `SELECT count(*) FROM deliveries`))
	require.Equal(t, orders, fixture.Count(t, pool, `SELECT count(DISTINCT order_event_id) FROM deliveries`))
	require.Empty(t, first.verify(t))
}

// Who adds to a stream and who ends its last delivery meet: none is left without a job.
func TestDeliveries_AStreamNeverStandsStill(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t)
	b := telling(t, pool)
	fixture.Register(t, b.Store, "A-1", "10")
	const changes = 40
	var all sync.WaitGroup
	all.Go(func() {
		for n := range changes {
			reason, err := store.ParseReason("again")
			if err != nil {
				t.Error(err)
			}
			if _, err := b.AmendOrder(t.Context(), store.OrderAct{Reference: "A-1", Reason: reason, By: ana}, order.Terms{Amount: decimal.NewFromInt(int64(20 + n)), Currency: "ARS"}); err != nil {
				t.Error(err)
			}
			b.happen(t)
			b.fanOut(t)
		}
	})
	var sent []int64
	for len(sent) < changes+1 {
		d, a, found := b.fetchDelivery(t)
		if !found {
			continue
		}
		_, err := b.EndDeliveryAttempt(t.Context(), d, a, store.DeliveryResult{Accepted: true, Status: 200}, complete(a))
		require.NoError(t, err)
		sent = append(sent, d.ID)
	}
	all.Wait()
	require.IsIncreasing(t, sent)
	require.Empty(t, b.verify(t))
}

func TestDeliveries_AStaleAttemptBooksNothing(t *testing.T) {
	t.Parallel()
	b := telling(t, storetest.Pool(t))
	b.happen(t, "A-1")
	b.fanOut(t)
	d, a, found := b.fetchDelivery(t)
	require.True(t, found)
	_, err := b.pool.Exec(t.Context(), `UPDATE river_job SET attempt = attempt + 1 WHERE id = $1`, a.JobID)
	require.NoError(t, err)
	_, err = b.EndDeliveryAttempt(t.Context(), d, a, store.DeliveryResult{Accepted: true}, complete(a))
	require.ErrorIs(t, err, store.ErrStaleAttempt)
	require.ErrorIs(t, b.ParkDelivery(t.Context(), d, a, complete(a)), store.ErrStaleAttempt)
	// One whose delivery was given to another job meanwhile neither.
	a.Number++
	_, err = b.pool.Exec(t.Context(), `UPDATE deliveries SET job_id = NULL`)
	require.NoError(t, err)
	_, err = b.EndDeliveryAttempt(t.Context(), d, a, store.DeliveryResult{Accepted: true}, complete(a))
	require.ErrorIs(t, err, store.ErrDeliverySuperseded)
	_, err = b.StartDelivery(t.Context(), d.ID, a.JobID)
	require.ErrorIs(t, err, store.ErrDeliverySuperseded)
	require.Equal(t, 1, fixture.Count(t, b.pool, `SELECT count(*) FROM deliveries WHERE state = 'pending' AND attempts = 0`))
}

// The end of a delivery looks for the next of its stream, and not through all that is
// pending, of which a backlog makes thousands.
func TestDeliveries_AStreamsNextIsFoundHoweverManyArePending(t *testing.T) {
	t.Parallel()
	b := telling(t, storetest.Pool(t))
	_, err := b.pool.Exec(t.Context(), `
		INSERT INTO deliveries (receiver, stream, message_id, body) SELECT 'order_events', 'S-' || n, 'M-' || n, 'x' FROM generate_series(1, 5000) n`)
	require.NoError(t, err)
	_, err = b.pool.Exec(t.Context(), `ANALYZE deliveries`)
	require.NoError(t, err)
	b.happen(t, "A-1")
	b.fanOut(t)
	d, a, found := b.fetchDelivery(t)
	require.True(t, found)
	logged, log := (&crowd{bundle: b}).logged(t)
	_, err = logged.EndDeliveryAttempt(t.Context(), d, a, store.DeliveryResult{Accepted: true}, complete(a))
	require.NoError(t, err)

	statements, _ := log.take()
	i := slices.IndexFunc(statements, func(s string) bool { return strings.Contains(s, "h.next_attempt_at") })
	require.GreaterOrEqual(t, i, 0)
	var plans []struct{ Plan planNode }
	var text []byte
	streams := make([]string, 200)
	for n := range streams {
		streams[n] = "S-" + strconv.Itoa(n)
	}
	require.NoError(t, b.pool.QueryRow(t.Context(), `EXPLAIN (FORMAT JSON) `+statements[i], "order_events", streams).Scan(&text))
	require.NoError(t, json.Unmarshal(text, &plans))
	looked := 0
	plans[0].Plan.each(func(n planNode) {
		if n.Table == "deliveries" {
			looked++
			require.Equal(t, "deliveries_pending_idx", n.Index, n.Type)
			require.Contains(t, n.Condition, "stream = ")
		}
	})
	require.Equal(t, 1, looked)
}

func TestDeliveries_AReplayIsRefusedForWhatItCannotDo(t *testing.T) {
	t.Parallel()
	b := telling(t, storetest.Pool(t))
	b.happen(t, "A-1")
	b.fanOut(t)
	d, a, _ := b.fetchDelivery(t)
	var state *store.StateError
	_, err := b.ReplayDelivery(t.Context(), d.ID, ana)
	require.ErrorAs(t, err, &state)
	event := int64(fixture.Count(t, b.pool, `SELECT id FROM order_events`))
	_, err = b.ReplayOrderEvents(t.Context(), store.OrderEventReplay{ID: event}, ana, nil)
	require.ErrorAs(t, err, &state)
	end, err := b.EndDeliveryAttempt(t.Context(), d, a, store.DeliveryResult{Status: 500, Class: "refused"}, complete(a))
	require.NoError(t, err)
	require.Equal(t, store.DeliveryDead, end.State)

	note, err := store.ParseNote("told them by telephone")
	require.NoError(t, err)
	require.NoError(t, b.DismissDelivery(t.Context(), d.ID, note, ana))
	require.ErrorAs(t, b.DismissDelivery(t.Context(), d.ID, note, ana), &state)
	require.ErrorIs(t, b.DismissDelivery(t.Context(), 999, note, ana), store.ErrDeliveryNotFound)
	_, err = b.ReplayDelivery(t.Context(), 999, ana)
	require.ErrorIs(t, err, store.ErrDeliveryNotFound)
	_, err = b.ReplayOrderEvents(t.Context(), store.OrderEventReplay{ID: 999}, ana, nil)
	require.ErrorIs(t, err, store.ErrOrderEventNotFound)
	require.ErrorIs(t, b.StopReceiver(t.Context(), "source:nobody", ana), store.ErrReceiverNotFound)

	var expired *store.MessageExpiredError
	_, err = b.pool.Exec(t.Context(), `UPDATE order_events SET body = NULL`)
	require.NoError(t, err)
	_, err = b.ReplayDelivery(t.Context(), d.ID, ana)
	require.ErrorAs(t, err, &expired)
	_, err = b.ReplayOrderEvents(t.Context(), store.OrderEventReplay{ID: event}, ana, nil)
	require.ErrorAs(t, err, &expired)
}

func TestDeliveries_DeadOnesAreReplayedTogether(t *testing.T) {
	t.Parallel()
	b := telling(t, storetest.Pool(t))
	b.happen(t, "A-1", "A-2", "A-3")
	b.fanOut(t)
	for n := range 3 {
		d, a, _ := b.fetchDelivery(t)
		_, err := b.EndDeliveryAttempt(t.Context(), d, a, store.DeliveryResult{Accepted: n == 0, Class: "refused"}, complete(a))
		require.NoError(t, err)
	}
	receivers, err := b.Receivers(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 2, receivers[0].Dead)
	var totals []int64
	sent, err := b.ReplayOrderEvents(t.Context(), store.OrderEventReplay{Dead: true}, ana, func(total int64) { totals = append(totals, total) })
	require.NoError(t, err)
	require.EqualValues(t, 2, sent)
	require.Equal(t, []int64{2}, totals)
	require.Equal(t, 2, fixture.Count(t, b.pool, `SELECT count(*) FROM deliveries WHERE state = 'replayed'`))
	require.Equal(t, 2, fixture.Count(t, b.pool, `SELECT count(*) FROM deliveries d JOIN deliveries o ON o.id = d.replay_of AND o.message_id = d.message_id WHERE d.state = 'pending'`))
}

func TestDeliveries_VerifyNoticesWhatStandsStill(t *testing.T) {
	t.Parallel()
	for broken, statement := range map[string]string{
		"delivery_goes_on":      `UPDATE deliveries SET job_id = NULL`,
		"delivered_in_order":    `UPDATE deliveries SET job_id = 1, stream = 'A-1'`,
		"order_event_delivered": `DELETE FROM deliveries`,
	} {
		b := telling(t, storetest.Pool(t))
		b.happen(t, "A-1", "A-2")
		b.fanOut(t)
		require.Empty(t, b.verify(t))
		for _, sql := range []string{`ALTER TABLE deliveries DISABLE TRIGGER USER`, `UPDATE deliveries SET updated_at = now() - interval '1 hour'`, statement} {
			_, err := b.pool.Exec(t.Context(), sql)
			require.NoError(t, err)
		}
		var names []string
		for _, v := range b.verify(t) {
			names = append(names, v.Invariant)
		}
		require.Contains(t, names, broken)
	}
}
