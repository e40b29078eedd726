package store_test

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
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

// A bundle is a store on a database of its own.
type bundle struct {
	*store.Store
	pool *pgxpool.Pool
}

func setup(t testing.TB, change ...func(*store.Options)) *bundle {
	t.Helper()
	return onPool(t, storetest.Pool(t), change...)
}

// onPool returns another store on the same database, as a second process has.
func onPool(t testing.TB, pool *pgxpool.Pool, change ...func(*store.Options)) *bundle {
	t.Helper()
	opts := store.Options{
		Rules:        order.Rules{Mode: order.ModeAny},
		UnknownOrder: store.UnknownOrderWait,
		FormJob:      formJob,
		Logger:       slog.New(slog.DiscardHandler),
	}
	for _, c := range change {
		c(&opts)
	}
	s, err := store.New(pool, opts)
	require.NoError(t, err)
	return &bundle{Store: s, pool: pool}
}

func (b *bundle) inbox(t *testing.T, opts store.InboxOptions) *store.Inbox {
	t.Helper()
	in, err := store.NewInbox(b.Store, opts)
	require.NoError(t, err)
	t.Cleanup(in.Close)
	return in
}

// formJob is an event job as the store sees one: what stands behind the kind is none
// of its business.
func formJob(store.Job) (store.JobForm, error) {
	return store.JobForm{Kind: "webhook_payment", Queue: "webhooks", MaxAttempts: 7, Priority: 1}, nil
}

// signed is a signed event about a payment; events with the same number are
// one delivery.
func signed(number int, paymentID string) store.NewEvent {
	return store.NewEvent{
		Source: "mercadopago", Topic: "payment", Action: "payment.updated", ResourceID: paymentID, Work: store.WorkPayment,
		Origin: store.OriginWebhook, Payload: []byte(`{"data":{"id":"` + paymentID + `"}}`),
		Signed: true, Signature: fmt.Appendf(nil, "signature-%08d", number),
	}
}

// jobOfEvent selects the job of an event.
const jobOfEvent = `SELECT job_id FROM webhook_queue WHERE id = $1`

// startAttempt makes the event's job run, as River's fetch does.
func (b *bundle) startAttempt(t *testing.T, queueID int64) store.Attempt {
	t.Helper()
	a, err := fixture.Fetch(t.Context(), b.pool, jobOfEvent, queueID)
	require.NoError(t, err)
	a.QueueID = queueID
	return a
}

// complete completes the attempt's job as River does.
func complete(a store.Attempt) store.CompleteJob {
	return func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE river_job SET state = 'completed', finalized_at = now() WHERE id = $1 AND state = 'running'`, a.JobID)
		return err
	}
}

// deliver accepts one signed event about the payment and starts its attempt.
func (b *bundle) deliver(t *testing.T, in *store.Inbox, number int, paymentID string) store.Attempt {
	t.Helper()
	receipt, err := in.Accept(t.Context(), signed(number, paymentID))
	require.NoError(t, err)
	require.False(t, receipt.Duplicate)
	return b.startAttempt(t, receipt.QueueID)
}

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// fetched is a payment of an order, changed at the given minute.
func fetched(id, reference string, status order.PaymentStatus, amount string, minute int) store.FetchedPayment {
	return store.FetchedPayment{
		Source: "mercadopago", Reference: reference, Raw: []byte(`{"id":` + strconv.Quote(id) + `}`),
		Payment: order.Payment{
			ID: id, Status: status, Amount: decimal.NewNullDecimal(decimal.RequireFromString(amount)), Currency: "ARS",
			CollectorID: "1", LiveMode: true, UpdatedAt: epoch.Add(time.Duration(minute) * time.Minute), FetchedAt: time.Now(),
		},
	}
}

func terms(amount string) order.Terms {
	return order.Terms{Amount: decimal.RequireFromString(amount), Currency: "ARS"}
}

// count runs a query that counts.
func (b *bundle) count(t *testing.T, query string, args ...any) int {
	t.Helper()
	return fixture.Count(t, b.pool, query, args...)
}

// requireOrder asserts an order's status and money.
func (b *bundle) requireOrder(t *testing.T, reference string, status order.Status, paid, refunded string) store.Order {
	t.Helper()
	o, err := b.Order(t.Context(), reference)
	require.NoError(t, err)
	require.Equal(t, status, o.Status)
	require.True(t, o.Paid.Equal(decimal.RequireFromString(paid)), "paid %s, want %s", o.Paid, paid)
	require.True(t, o.Refunded.Equal(decimal.RequireFromString(refunded)), "refunded %s, want %s", o.Refunded, refunded)
	return o
}

// openAnomalies returns the kinds of the open anomalies, sorted.
func (b *bundle) openAnomalies(t *testing.T) []string {
	t.Helper()
	rows, err := b.pool.Query(t.Context(), `SELECT kind FROM anomalies WHERE closed_at IS NULL ORDER BY kind`)
	require.NoError(t, err)
	kinds, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return kinds
}
