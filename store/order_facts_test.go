package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

func TestOrderFacts_AreAllThatIsKnownUnderTheReference(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *store.Options) { o.Rules.CollectorID = "1" })
	fixture.Register(t, b.Store, "A-1", "10")
	settle := func(n int, p store.FetchedPayment) {
		fixture.Settle(t, b.Store, b.pool, b.accept(t, signed(n, p.Payment.ID)), p)
	}
	settle(1, fetched("77", "A-1", order.PaymentPending, "10", 1))
	settle(2, fetched("78", "a-1", order.PaymentApproved, "10", 1))

	// One that was dismissed, and one whose order nobody knows.
	given := b.accept(t, signed(3, "77"))
	fixture.Die(t, b.pool, given, 7, "forbidden: 403")
	letter := one[int64](t, b, `SELECT id FROM webhook_dead_letter`)
	note, err := store.ParseNote("a stranger's")
	require.NoError(t, err)
	require.NoError(t, b.DismissDeadLetter(t.Context(), letter, note, store.Actor{Name: "ana"}))
	fixture.Die(t, b.pool, b.accept(t, signed(4, "90")), 7, "forbidden: 403")
	b.accept(t, signed(5, "91"))
	old := b.accept(t, signed(6, "92"))
	b.exec(t, `UPDATE webhook_queue SET received_at = now() - interval '40 seconds' WHERE id = $1`, old)
	before := b.accept(t, signed(7, "93"))
	b.exec(t, `UPDATE webhook_queue SET received_at = now() - interval '2 hours' WHERE id = $1`, before)
	b.exec(t, `INSERT INTO webhook_refused (source, reason, method, query, x_signature, x_request_id, body_bytes, body) VALUES
		('mercadopago', 'signature_mismatch', 'POST', 'data.id=77&type=payment', 'v1=x', '', 0, ''),
		('mercadopago', 'signature_mismatch', 'POST', 'data.id=177&type=payment', 'v1=x', '', 0, '')`)
	b.exec(t, `UPDATE payments SET fetched_at = now() - interval '1 minute'`)

	f, err := b.OrderFacts(t.Context(), "A-1")
	require.NoError(t, err)
	require.Equal(t, "1", f.Rules.CollectorID)
	require.Len(t, f.Payments, 1)
	require.Equal(t, store.Dismissal{By: "ana", At: f.Dismissals[letter].At, Note: "a stranger's"}, f.Dismissals[letter])
	require.WithinDuration(t, f.At, f.Dismissals[letter].At, time.Minute)
	require.Len(t, f.Events, 2)
	require.Equal(t, given, f.Events[0].QueueID, "the newest first")
	require.Equal(t, []any{"78", "a-1", "10"}, []any{f.Near[0].PaymentID, f.Near[0].Reference, f.Near[0].Amount.Decimal.String()})
	require.EqualValues(t, 1, f.Unread.Waiting, "one has only just come, and one came before the order")
	require.EqualValues(t, 1, f.Unread.Failed)
	require.Len(t, f.Refused, 1)
	require.Equal(t, "77", f.Refused[0].PaymentID)
	require.Equal(t, store.CircuitClosed, f.Provider.Circuit)
	require.True(t, f.Machine.NoWorker)

	b.exec(t, `INSERT INTO river_queue (name, paused_at, updated_at) SELECT DISTINCT queue, now(), now() FROM river_job`)
	f, err = b.OrderFacts(t.Context(), "A-1")
	require.NoError(t, err)
	require.EqualValues(t, 2, f.Unread.Waiting, "what has only just come stays while the queue is paused")

	b.exec(t, `UPDATE webhook_dead_letter SET state = 'open' WHERE id = $1`, letter)
	open, err := b.Events(t.Context(), store.EventFilter{Order: "A-1", Open: true}, store.Page{Limit: 10})
	require.NoError(t, err)
	require.Len(t, open.Items, 1)

	f, err = b.OrderFacts(t.Context(), "a-1")
	require.NoError(t, err)
	require.Nil(t, f.Order)
	require.Equal(t, "78", f.Payments[0].ID)
	require.Equal(t, []string{"A-1"}, f.NearOrders)
}

func TestOrderFacts_AskForTheOrdersOwnAccount(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *store.Options) { o.Rules.CollectorID = "1" })
	b.exec(t, `INSERT INTO orders (reference, amount, currency, collector_id) VALUES ('main', 10, 'ARS', ''), ('sold', 10, 'ARS', '2001')`)
	_, _, err := b.OpenCircuit(t.Context(), store.Account{Source: "mercadopago", CollectorID: "2001"}, store.ReasonCredentialsRejected, 0, time.Minute)
	require.NoError(t, err)
	for reference, want := range map[string]store.CircuitState{"main": store.CircuitClosed, "sold": store.CircuitOpen} {
		f, err := b.OrderFacts(t.Context(), reference)
		require.NoError(t, err)
		require.Equal(t, want, f.Provider.Circuit, reference)
	}
}
