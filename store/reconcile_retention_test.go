package store_test

import (
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

const day = 24 * time.Hour

// retain does a run's whole retention.
func (b *bundle) retain(t *testing.T, keep store.Keep) {
	t.Helper()
	run, _ := b.startRun(t, regular)
	step, _ := b.openStep(t, run)
	for done := false; !done; {
		var err error
		done, err = step.RetentionBatch(t.Context(), keep)
		require.NoError(t, err)
	}
	b.finish(t, run, store.RunSucceeded, 0)
}

// kept returns the ids of the events that still have a body, and those that were
// emptied.
func (b *bundle) kept(t *testing.T) (whole, emptied []int64) {
	t.Helper()
	err := b.pool.QueryRow(t.Context(), `
		WITH events AS (
			SELECT id, payload, resource, remote_ip, emptied_at FROM webhook_queue
			UNION ALL SELECT id, payload, resource, remote_ip, emptied_at FROM webhook_archive)
		SELECT array_agg(id ORDER BY id) FILTER (WHERE payload <> '' AND remote_ip IS NOT NULL AND emptied_at IS NULL),
		       array_agg(id ORDER BY id) FILTER (WHERE payload = '' AND resource IS NULL AND remote_ip IS NULL AND emptied_at IS NOT NULL)
		FROM events`).Scan(&whole, &emptied)
	require.NoError(t, err)
	return whole, emptied
}

func TestRetention_EmptiesWhatEndedLongAgo(t *testing.T) {
	t.Parallel()
	b := setupRuns(t)
	in := b.inbox(t, store.InboxOptions{})
	accept := func(number int) int64 {
		receipt, err := in.Accept(t.Context(), signed(number, "77"))
		require.NoError(t, err)
		return receipt.QueueID
	}
	open, recent, old, archived := accept(1), accept(2), accept(3), accept(4)
	var letters [4]int64
	for i := range letters {
		letters[i] = accept(5 + i)
		b.die(t, letters[i])
	}
	b.exec(t, `UPDATE webhook_queue SET remote_ip = '198.51.100.23', resource = '{}', received_at = now() - interval '100 days'`)
	for id, days := range map[int64]int{recent: 89, old: 91, archived: 91} {
		b.exec(t, `UPDATE webhook_queue SET completed_at = now() - make_interval(days => $2), outcome = 'settled' WHERE id = $1`, id, days)
	}
	fixture.Archive(t, b.pool, archived)
	b.exec(t, `ALTER TABLE webhook_dead_letter DISABLE TRIGGER webhook_dead_letter_touch`)
	for i, state := range []string{"open", "dismissed", "replayed", "dismissed"} {
		b.exec(t, `UPDATE webhook_dead_letter SET state = $2, died_at = now() - interval '100 days', updated_at = now() - make_interval(days => $3) WHERE queue_id = $1`,
			letters[i], state, []int{100, 91, 91, 89}[i])
	}

	b.retain(t, store.Keep{Events: 90 * day, Payloads: 90 * day})

	whole, emptied := b.kept(t)
	require.Equal(t, []int64{open, recent, letters[0], letters[3]}, whole, "what is open, and what ended lately")
	require.Equal(t, []int64{old, archived, letters[1], letters[2]}, emptied)
	require.Equal(t, 2, b.count(t, `SELECT count(*) FROM webhook_archive`), "the rows stay")
	detail, err := b.Event(t.Context(), old)
	require.NoError(t, err)
	require.NotNil(t, detail.EmptiedAt)
	require.Zero(t, detail.PayloadBytes)

	before := b.count(t, `SELECT sum(xmin::text::bigint) FROM webhook_archive`)
	b.retain(t, store.Keep{Events: 90 * day, Payloads: 90 * day})
	require.Equal(t, before, b.count(t, `SELECT sum(xmin::text::bigint) FROM webhook_archive`), "nothing is emptied twice")
}

func TestRetention_EmptiesAnswersAndLeavesTheLedger(t *testing.T) {
	t.Parallel()
	b := setupRuns(t)
	in := b.inbox(t, store.InboxOptions{})
	fixture.Register(t, b.Store, "A-1", "150")
	for i, id := range []string{"77", "78", "79"} {
		payment := fetched(id, "A-1", order.PaymentApproved, "50", i)
		payment.Payment.Shipping = decimal.NewFromInt(5)
		receipt, err := in.Accept(t.Context(), signed(i, id))
		require.NoError(t, err)
		fixture.Settle(t, b.Store, b.pool, receipt.QueueID, payment)
	}
	b.exec(t, `UPDATE payments SET fetched_at = now() - interval '91 days' WHERE payment_id <> '78'`)
	b.exec(t, `UPDATE payments SET fold_version = 1 WHERE payment_id = '79'`)
	ledger := `SELECT md5(string_agg(to_jsonb(p)::text, ',' ORDER BY payment_id))::text = $1 FROM (SELECT (to_jsonb(payments) - 'raw') AS p, payment_id FROM payments) p`
	var sum string
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT md5(string_agg(to_jsonb(p)::text, ',' ORDER BY payment_id)) FROM (SELECT (to_jsonb(payments) - 'raw') AS p, payment_id FROM payments) p`).Scan(&sum))

	b.retain(t, store.Keep{Events: 7 * day, Payloads: 90 * day})

	for id, empty := range map[string]bool{"77": true, "78": false, "79": false} {
		known, err := b.Payment(t.Context(), "mercadopago", id)
		require.NoError(t, err)
		require.Equal(t, empty, known.Raw.Bytes == 0, id)
	}
	var same bool
	require.NoError(t, b.pool.QueryRow(t.Context(), ledger, sum).Scan(&same))
	require.True(t, same, "not even when a payment changed is another")
	b.requireOrder(t, "A-1", order.StatusPaid, "150", "0")
}

// What was read of an answer while it was there outlives it.
func TestFold_KeepsWhatWasReadOfAnEmptiedAnswer(t *testing.T) {
	t.Parallel()
	b := setupRuns(t)
	in := b.inbox(t, store.InboxOptions{})
	payment := fetched("77", "", order.PaymentApproved, "50", 1)
	payment.Payment.Shipping, payment.Payment.SubscriptionID, payment.Payment.SubscriptionNumber = decimal.NewFromInt(5), "plan", 3
	receipt, err := in.Accept(t.Context(), signed(1, "77"))
	require.NoError(t, err)
	fixture.Settle(t, b.Store, b.pool, receipt.QueueID, payment)
	b.exec(t, `UPDATE payments SET raw = ''`)
	b.exec(t, `UPDATE payments SET fold_version = 1`)

	b.foldAll(t, func(_ string, raw []byte) (store.PaymentExtra, bool) { return store.PaymentExtra{}, len(raw) > 0 })

	known, err := b.Payment(t.Context(), "mercadopago", "77")
	require.NoError(t, err)
	require.Equal(t, "5", known.Shipping.String())
	require.Equal(t, "plan", known.SubscriptionID)
	require.EqualValues(t, 3, known.SubscriptionNumber)
}

func TestRetention_RemovesHintsAndLoginsInTime(t *testing.T) {
	t.Parallel()
	b := setupRuns(t)
	in := b.inbox(t, store.InboxOptions{})
	var ids []int64
	for i := range 4 {
		ev := signed(i, "77")
		if i < 3 {
			ev.Signed, ev.Signature = false, nil
		}
		receipt, err := in.Accept(t.Context(), ev)
		require.NoError(t, err)
		ids = append(ids, receipt.QueueID)
	}
	for i, outcome := range []string{"discarded", "discarded", "settled", "settled"} {
		b.exec(t, `UPDATE webhook_queue SET completed_at = now() - make_interval(days => $2), outcome = $3 WHERE id = $1`, ids[i], []int{8, 6, 8, 8}[i], outcome)
	}
	b.exec(t, `INSERT INTO operator_sessions (token_hash, password_mac, expires_at)
		SELECT sha256(n::text::bytea), sha256('mac'), now() + make_interval(hours => n) FROM unnest(ARRAY[-1, 1]) n`)
	b.exec(t, `INSERT INTO operator_devices (token_hash, operator, expires_at)
		SELECT sha256(n::text::bytea), 'ana', now() + make_interval(hours => n) FROM unnest(ARRAY[-1, 1]) n`)
	b.exec(t, `INSERT INTO webhook_refused (source, reason, method, refused_at)
		SELECT 'mercadopago', 'malformed', 'POST', now() - make_interval(days => n) FROM unnest(ARRAY[8, 6]) n`)

	b.retain(t, store.Keep{Events: 30 * day, Payloads: 90 * day})

	require.Equal(t, 3, b.count(t, `SELECT count(*) FROM webhook_queue`))
	require.Zero(t, b.count(t, `SELECT count(*) FROM webhook_queue WHERE id = $1`, ids[0]), "a hint that led nowhere, after seven days")
	require.Zero(t, b.count(t, `SELECT count(*) FROM webhook_archive`))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM operator_sessions`))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM operator_devices`))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM webhook_refused`))
}

func TestReplay_AfterTheBodyIsEmptied(t *testing.T) {
	t.Parallel()
	b := setupRuns(t)
	in := b.inbox(t, store.InboxOptions{})
	informs := signed(2, "")
	informs.Topic, informs.Work = "delivery", store.WorkKeep
	var ids []int64
	for _, ev := range []store.NewEvent{signed(1, "77"), informs} {
		receipt, err := in.Accept(t.Context(), ev)
		require.NoError(t, err)
		ids = append(ids, receipt.QueueID)
	}
	b.exec(t, `UPDATE webhook_queue SET completed_at = now() - interval '91 days', outcome = coalesce(outcome, 'settled')`)
	b.retain(t, store.Keep{Events: 7 * day, Payloads: 90 * day})

	replay, err := b.ReplayEvent(t.Context(), ids[0], ana)
	require.NoError(t, err, "it is fetched by its payment's id")
	detail, err := b.Event(t.Context(), replay.QueueID)
	require.NoError(t, err)
	require.Equal(t, "77", detail.ResourceID)
	_, err = b.ReplayEvent(t.Context(), ids[1], ana)
	var expired *store.PayloadExpiredError
	require.ErrorAs(t, err, &expired)
	require.Equal(t, ids[1], expired.QueueID)
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM operator_actions`), "what was refused was not done")
}
