package store_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
)

func TestInbox_AnEventAndItsJobAreOne(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.inbox(t, store.InboxOptions{})
	live := true
	ev := signed(1, "42")
	ev.RemoteIP, ev.LiveMode, ev.Query, ev.RequestID = netip.MustParseAddr("203.0.113.9"), &live, "data.id=42", "r-1"

	receipt, err := in.Accept(t.Context(), ev)

	require.NoError(t, err)
	require.False(t, receipt.Duplicate)
	var topic, resource, remote, args, state string
	var gotLive bool
	var skew float64
	err = b.pool.QueryRow(t.Context(), `
		SELECT q.topic, q.resource_id, host(q.remote_ip), q.live_mode, j.args->>'queue_id', j.state,
		       extract(epoch FROM j.scheduled_at - q.received_at)
		FROM webhook_queue q JOIN river_job j ON j.id = q.job_id WHERE q.id = $1`, receipt.QueueID).
		Scan(&topic, &resource, &remote, &gotLive, &args, &state, &skew)
	require.NoError(t, err)
	require.Equal(t, "payment", topic)
	require.Equal(t, "42", resource)
	require.Equal(t, "203.0.113.9", remote)
	require.True(t, gotLive)
	require.Equal(t, fmt.Sprint(receipt.QueueID), args)
	require.Equal(t, "available", state)
}

func TestInbox_ASignedDeliveryIsOneEvent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	// Two inboxes stand for two processes; each has several writers.
	inboxes := []*store.Inbox{b.inbox(t, store.InboxOptions{Writers: 3}), onPool(t, b.pool).inbox(t, store.InboxOptions{Writers: 3})}
	const deliveries, copies = 40, 10
	var mu sync.Mutex
	receipts := map[int][]store.Receipt{}
	var wg sync.WaitGroup
	for i := range deliveries * copies {
		wg.Go(func() {
			r, err := inboxes[i%2].Accept(context.WithoutCancel(t.Context()), signed(i%deliveries, "7"))
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			receipts[i%deliveries] = append(receipts[i%deliveries], r)
		})
	}
	wg.Wait()

	require.Len(t, receipts, deliveries)
	for number, got := range receipts {
		fresh := 0
		for _, r := range got {
			require.Equal(t, got[0].QueueID, r.QueueID, "delivery %d", number)
			if !r.Duplicate {
				fresh++
			}
		}
		require.Equal(t, 1, fresh, "delivery %d was new to one caller only", number)
	}
	require.Equal(t, deliveries, b.count(t, `SELECT count(*) FROM webhook_queue`))
	require.Equal(t, deliveries, b.count(t, `SELECT count(*) FROM river_job j JOIN webhook_queue q ON q.job_id = j.id`))
	require.Equal(t, deliveries, b.count(t, `SELECT count(*) FROM river_job`))
}

func TestInbox_AnUnsignedDeliveryIsNeverADuplicate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.inbox(t, store.InboxOptions{})
	ev := signed(1, "42")
	ev.Signed, ev.Signature = false, nil
	for range 3 {
		receipt, err := in.Accept(t.Context(), ev)
		require.NoError(t, err)
		require.False(t, receipt.Duplicate)
	}
	require.Equal(t, 3, b.count(t, `SELECT count(*) FROM webhook_queue`))
}

func TestInbox_AnEventWithoutWorkHasNoJob(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.inbox(t, store.InboxOptions{})
	for i, outcome := range []string{store.OutcomeKept, store.OutcomeUnhandled, store.OutcomeTest} {
		ev := signed(i, "1")
		ev.Work = map[string]string{store.OutcomeKept: store.WorkKeep, store.OutcomeUnhandled: store.WorkUnhandled, store.OutcomeTest: store.WorkTest}[outcome]
		receipt, err := in.Accept(t.Context(), ev)
		require.NoError(t, err)
		require.Equal(t, 1, b.count(t, `SELECT count(*) FROM webhook_queue_status
			WHERE id = $1 AND status = 'completed' AND outcome = $2 AND job_id IS NULL`, receipt.QueueID, outcome))
	}
	require.Zero(t, b.count(t, `SELECT count(*) FROM river_job`))
}

func TestInbox_KeepsAnyBytesAsReceived(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.inbox(t, store.InboxOptions{})
	bodies := map[string][]byte{
		"empty":             {},
		"a NUL":             []byte("{\"a\":\"\x00\"}"),
		"an escaped NUL":    []byte(`{"a":"\u0000"}`),
		"invalid UTF-8":     {0xff, 0xfe, '{', 0xc3, 0x28},
		"a lone surrogate":  []byte(`"\ud800"`),
		"not JSON at all":   []byte("hello"),
		"no bytes, not nil": nil,
	}
	number := 0
	for name, body := range bodies {
		number++
		ev := signed(number, "1")
		ev.Payload = body
		ev.Topic, ev.Query, ev.RequestID = "to\x00pic\xff", "q\x00=\xff", "\x00"
		receipt, err := in.Accept(t.Context(), ev)
		require.NoError(t, err, name)
		var kept []byte
		require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT payload FROM webhook_queue WHERE id = $1`, receipt.QueueID).Scan(&kept))
		require.Equal(t, string(body), string(kept), name)
	}
}

func TestInbox_ABadEventDoesNotFailItsNeighbours(t *testing.T) {
	t.Parallel()
	pool := setup(t).pool
	gate := make(chan struct{})
	b := onPool(t, pool, func(o *store.Options) {
		o.FormJob = func(job store.Job) (store.JobForm, error) {
			<-gate // hold the first transaction until the others wait together
			form, err := formJob(job)
			if job.Trace == "poison" {
				form.MaxAttempts = -1 // which River's table refuses
			}
			return form, err
		}
	})
	in := b.inbox(t, store.InboxOptions{Writers: 1})
	const n = 8
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			event := signed(i, "42")
			if i == 3 {
				event.Trace = "poison"
			}
			_, errs[i] = in.Accept(context.WithoutCancel(t.Context()), event)
		})
	}
	close(gate)
	wg.Wait()
	for i, err := range errs {
		if i == 3 {
			require.Error(t, err)
		} else {
			require.NoError(t, err, i)
		}
	}
	require.Equal(t, n-1, b.count(t, `SELECT count(*) FROM webhook_queue`))
	require.Equal(t, n-1, b.count(t, `SELECT count(*) FROM river_job`))
}

// A transaction that hangs, as on a dead connection, keeps no other event.
func TestInbox_WhatComesWaitsForNoTransactionThatHangs(t *testing.T) {
	t.Parallel()
	pool := setup(t).pool
	entered, release := make(chan struct{}), make(chan struct{})
	b := onPool(t, pool, func(o *store.Options) {
		o.FormJob = func(job store.Job) (store.JobForm, error) {
			if job.Trace == "hangs" {
				close(entered)
				<-release
			}
			return formJob(job)
		}
	})
	in := b.inbox(t, store.InboxOptions{})
	hanging := make(chan error, 1)
	go func() {
		event := signed(1, "1")
		event.Trace = "hangs"
		_, err := in.Accept(context.WithoutCancel(t.Context()), event)
		hanging <- err
	}()
	<-entered
	for i := range 3 {
		_, err := in.Accept(t.Context(), signed(2+i, "2"))
		require.NoError(t, err)
	}
	require.Equal(t, 3, b.count(t, `SELECT count(*) FROM webhook_queue`))
	close(release)
	require.NoError(t, <-hanging)
}

func TestInbox_SaysWhenItIsFullOrClosed(t *testing.T) {
	t.Parallel()
	pool := setup(t).pool
	entered, release := make(chan struct{}, 1), make(chan struct{})
	b := onPool(t, pool, func(o *store.Options) {
		o.FormJob = func(job store.Job) (store.JobForm, error) {
			select {
			case entered <- struct{}{}:
			default:
			}
			<-release
			return formJob(job)
		}
	})
	in := b.inbox(t, store.InboxOptions{Writers: 1, MaxBatch: 1, MaxWaiting: 1})
	ctx := context.WithoutCancel(t.Context())
	result := make(chan error, 1)
	go func() { _, err := in.Accept(ctx, signed(1, "1")); result <- err }()
	<-entered // the writer is busy with the first; the next takes the only place
	require.Eventually(t, func() bool {
		short, cancel := context.WithCancel(ctx)
		cancel()
		_, err := in.Accept(short, signed(2, "2"))
		return errors.Is(err, store.ErrInboxFull)
	}, storeWait, storeTick)

	close(release)
	require.NoError(t, <-result)
	in.Close()
	_, err := in.Accept(ctx, signed(3, "3"))
	require.ErrorIs(t, err, store.ErrInboxClosed)
	require.Equal(t, 2, b.count(t, `SELECT count(*) FROM webhook_queue`), "what waited is written before Close returns, its caller gone or not")
}
