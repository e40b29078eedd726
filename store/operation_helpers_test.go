package store_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// ana is an operator.
var ana = store.Actor{Name: "a1b2c3d4", RemoteIP: netip.MustParseAddr("203.0.113.7"), RequestID: "call-1"}

// accept makes an event durable and returns its id.
func (b *bundle) accept(t *testing.T, ev store.NewEvent) int64 {
	t.Helper()
	return fixture.Accept(t, b.Store, ev)
}

func (b *bundle) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	_, err := b.pool.Exec(t.Context(), query, args...)
	require.NoError(t, err)
}

// die ends the event's job for good, as River does after the last attempt.
func (b *bundle) die(t *testing.T, queueID int64) {
	t.Helper()
	fixture.Die(t, b.pool, queueID, 2, "timeout: late", "JobCancelError: forbidden: barred")
}

// dead is a dead letter's id, of a new event about the payment.
func (b *bundle) deadLetter(t *testing.T, number int, paymentID string) (letter, queueID int64) {
	t.Helper()
	queueID = b.accept(t, signed(number, paymentID))
	b.die(t, queueID)
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT id FROM webhook_dead_letter WHERE queue_id = $1`, queueID).Scan(&letter))
	return letter, queueID
}

// actions returns the audit trail, oldest first.
func (b *bundle) actions(t *testing.T) []auditRow {
	t.Helper()
	rows, err := b.pool.Query(t.Context(), `
		SELECT actor, action, target_kind, coalesce(target_id, 0), queue_ids, count, coalesce(host(remote_ip), ''), request_id, note
		FROM operator_actions ORDER BY id`)
	require.NoError(t, err)
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[auditRow])
	require.NoError(t, err)
	return found
}

type auditRow struct {
	Actor, Action, Kind string
	Target              int64
	Events              []int64
	Count               int
	RemoteIP, RequestID string
	Note                string
}

// byAna is what ana leaves in the audit trail.
func byAna(action, kind string, target int64, count int, note string, events ...int64) auditRow {
	if events == nil {
		events = []int64{}
	}
	return auditRow{"a1b2c3d4", action, kind, target, events, count, "203.0.113.7", "call-1", note}
}

// pages reads a whole list in pages of two.
func pages[T any](t *testing.T, read func(page store.Page) (store.List[T], error)) []T {
	t.Helper()
	var all []T
	page := store.Page{Limit: 2}
	for {
		l, err := read(page)
		require.NoError(t, err)
		require.LessOrEqual(t, len(l.Items), page.Limit)
		all = append(all, l.Items...)
		if l.Next == 0 {
			return all
		}
		require.Len(t, l.Items, page.Limit, "only the last page may be short")
		page.Before = l.Next
	}
}

// race runs fn in several goroutines at once and returns their errors.
func race(t *testing.T, n int, fn func(ctx context.Context) error) []error {
	t.Helper()
	errs := make(chan error, n)
	begin := make(chan struct{})
	for range n {
		go func() {
			<-begin
			errs <- fn(t.Context())
		}()
	}
	close(begin)
	all := make([]error, n)
	for i := range all {
		select {
		case all[i] = <-errs:
		case <-time.After(30 * time.Second):
			require.FailNow(t, "the race never ended")
		}
	}
	return all
}

// note is the text as an operator's note.
func note(tb testing.TB, text string) store.Note {
	tb.Helper()
	n, err := store.ParseNote(text)
	require.NoError(tb, err)
	return n
}
