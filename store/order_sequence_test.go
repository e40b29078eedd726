package store_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// sequence brings everything that was committed into the feed.
func (b *bundle) sequence(t *testing.T) {
	t.Helper()
	for more := true; more; {
		done, err := b.SequenceOrderEvents(t.Context())
		require.NoError(t, err)
		more = done.More
	}
}

// feed is what the feed has, as reference and type by position.
func (b *bundle) feed(t *testing.T) []string {
	t.Helper()
	rows, _ := b.pool.Query(t.Context(), `
		SELECT position || ' ' || order_reference || ' ' || type FROM order_events WHERE position IS NOT NULL ORDER BY position`)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return lines
}

// writing begins a transaction that writes an order event and holds it open.
func (b *bundle) writing(t *testing.T, reference string) pgx.Tx {
	t.Helper()
	tx, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) })
	_, err = tx.Exec(t.Context(), `
		INSERT INTO order_events (type, order_reference, cause, body, created_at) VALUES ('order.pending', $1, 'payment', '{}', now())`, reference)
	require.NoError(t, err)
	return tx
}

// An event that is committed late has a lower id than one that was handed out, and comes after it.
func TestSequence_WhatIsCommittedLateComesLater(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register(t, "A-1", "100", "ARS")
	b.register(t, "A-2", "100", "ARS")
	b.sequence(t)
	late, early := b.writing(t, "A-1"), b.writing(t, "A-2")
	require.NoError(t, early.Commit(t.Context()))
	b.sequence(t)
	require.NoError(t, late.Commit(t.Context()))
	b.sequence(t)
	require.Equal(t, []string{"1 A-1 order.registered", "2 A-2 order.registered", "3 A-2 order.pending", "4 A-1 order.pending"}, b.feed(t))
	b.sound(t)
}

func TestSequence_ADeathInTheMiddleLeavesNothingHalfDone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register(t, "A-1", "100", "ARS")
	conn, err := b.pool.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	for _, step := range []string{
		`SELECT FROM order_feed FOR UPDATE`, `UPDATE order_events SET position = 1`, `UPDATE order_feed SET position = 1`,
	} {
		_, err = tx.Exec(t.Context(), step)
		require.NoError(t, err)
	}
	done, err := b.SequenceOrderEvents(t.Context())
	require.NoError(t, err)
	require.Equal(t, store.Sequenced{More: true}, done, "another is at it, and is not waited for")

	b.exec(t, `SELECT pg_terminate_backend($1)`, conn.Conn().PgConn().PID())
	fixture.Await(t, func() bool {
		done, err = b.SequenceOrderEvents(t.Context())
		require.NoError(t, err)
		return !done.More
	})
	require.Equal(t, []string{"1 A-1 order.registered"}, b.feed(t))
	b.sound(t)
}

// Two processes take turns while many write: each event gets one position, none is
// passed over, and each order's are in their order.
func TestSequence_TwoProcessesTakeTurns(t *testing.T) {
	t.Parallel()
	b := setup(t)
	second := onPool(t, b.pool)
	in := b.inbox(t, store.InboxOptions{})
	const writers, orders, payments = 20, 5, 4
	for i := range orders {
		b.register(t, "A-"+strconv.Itoa(i), "1000", "ARS")
	}
	var attempts []store.Attempt
	for n := range writers * payments {
		attempts = append(attempts, b.deliver(t, in, n, strconv.Itoa(1000+n)))
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	defer cancel()
	var sequencers, writing sync.WaitGroup
	failures := make(chan error, writers*payments+2)
	for _, s := range []*store.Store{b.Store, second.Store} {
		sequencers.Go(func() {
			for ctx.Err() == nil {
				if _, err := s.SequenceOrderEvents(ctx); err != nil && ctx.Err() == nil {
					failures <- err
					return
				}
			}
		})
	}
	for w := range writers {
		writing.Go(func() {
			for n := w * payments; n < (w+1)*payments; n++ {
				f := fetched(strconv.Itoa(1000+n), fmt.Sprintf("A-%d", n%orders), order.PaymentApproved, "10", 1)
				if _, err := b.Settle(ctx, attempts[n], f, complete(attempts[n])); err != nil {
					failures <- err
				}
			}
		})
	}
	writing.Wait()
	cancel()
	sequencers.Wait()
	close(failures)
	for err := range failures {
		require.NoError(t, err)
	}
	b.sequence(t)
	require.Zero(t, b.count(t, `SELECT count(*) FROM order_events WHERE position IS NULL`))
	require.Equal(t, orders+writers*payments, b.count(t, `SELECT count(*) FROM order_events WHERE type <> 'order.flagged'`))
	b.sound(t)
}

func TestSequence_TellsWhoeverListens(t *testing.T) {
	t.Parallel()
	b := setup(t)
	conn, err := b.pool.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	_, err = conn.Exec(t.Context(), `LISTEN `+store.OrderChannel)
	require.NoError(t, err)
	b.register(t, "Ñ-1", "100", "ARS")
	b.pay(t, 1, "Ñ-1", "50")
	select {
	case <-b.OrderEventsWritten():
	default:
		t.Fatal("the sequencer is not woken")
	}
	b.sequence(t)
	b.register(t, "A-2", "100", "ARS")
	b.sequence(t)
	for _, want := range []string{"Ñ-1", "A-2"} {
		told, err := conn.Conn().WaitForNotification(t.Context())
		require.NoError(t, err)
		require.Equal(t, []string{store.OrderChannel, want}, []string{told.Channel, told.Payload}, "once for each step")
	}
}
