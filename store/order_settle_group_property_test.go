package store_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

func (b *bundle) settler(t *testing.T, opts store.SettlerOptions) *store.Settler {
	t.Helper()
	s := store.NewSettler(b.Store, opts)
	t.Cleanup(s.Close)
	return s
}

// ledgerRows are what a database holds of payments, orders and events, without ids and
// times that the database gives. Rows of one payment, and of one order, are in their order.
var ledgerRows = map[string]string{
	"payments":     `SELECT to_jsonb(t) - '{created_at,updated_at}'::text[] FROM payments t ORDER BY source, payment_id`,
	"payment_logs": `SELECT to_jsonb(t) - '{id,applied_at}'::text[] FROM payment_logs t ORDER BY payment_id, id`,
	"orders":       `SELECT to_jsonb(t) - '{created_at,updated_at,settled_at,cancelled_at}'::text[] || jsonb_build_object('settled', settled_at IS NOT NULL) FROM orders t ORDER BY reference`,
	"order_logs":   `SELECT to_jsonb(t) - '{id,changed_at}'::text[] FROM order_logs t ORDER BY order_reference, id`,
	"order_events": `SELECT to_jsonb(t) - '{id,created_at,order_log_id,anomaly_id}'::text[]
		|| jsonb_build_object('log', (SELECT jsonb_build_array(l.status, l.queue_id, l.cause) FROM order_logs l WHERE l.id = t.order_log_id),
		                      'of', (SELECT a.kind FROM anomalies a WHERE a.id = t.anomaly_id)) FROM order_events t ORDER BY order_reference, id`,
	"anomalies": `SELECT to_jsonb(t) - '{id,opened_at,closed_at,updated_at}'::text[] || jsonb_build_object('closed', closed_at IS NOT NULL)
		FROM anomalies t ORDER BY kind, order_reference, payment_id, id`,
	"payment_aliases": `SELECT to_jsonb(t) - '{created_at,updated_at,next_look_at}'::text[] FROM payment_aliases t ORDER BY source, alias`,
	"webhook_queue": `SELECT jsonb_build_object('id', id, 'outcome', outcome, 'attempts', attempts, 'errors', attempt_errors, 'ended', completed_at IS NOT NULL,
		'origin', origin, 'resource', resource_id, 'work', work) FROM webhook_queue t ORDER BY id`,
	"river_job": `SELECT jsonb_build_object('id', id, 'state', state, 'attempt', attempt) FROM river_job t ORDER BY id`,
}

// read reads rows, and takes out of the documents in them what differs by database.
func (b *bundle) ledger(t require.TestingT, table string) []string {
	rows, _ := b.pool.Query(context.Background(), ledgerRows[table])
	found, err := pgx.CollectRows(rows, pgx.RowTo[map[string]any])
	require.NoError(t, err)
	texts := make([]string, len(found))
	for i, row := range found {
		text, err := json.Marshal(withoutTimes(row))
		require.NoError(t, err)
		texts[i] = string(text)
	}
	return texts
}

// withoutTimes is a document without the times at which something was written, and the
// numbers of anomalies. What a fetch says of itself is in it where it is of payments' rows.
func withoutTimes(v any) any {
	switch v := v.(type) {
	case map[string]any:
		if body, is := v["body"].(map[string]any); is {
			// Payments of one transaction came at the same time.
			payments := body["data"].(map[string]any)["order"].(map[string]any)["payments"].([]any)
			slices.SortFunc(payments, func(p, q any) int { return cmp.Compare(fmt.Sprint(p), fmt.Sprint(q)) })
			v["body"] = withoutKeys(body, "timestamp", "created_at", "updated_at", "at", "opened_at", "closed_at", "fetched_at", "id")
		}
	}
	return v
}

func withoutKeys(v any, keys ...string) any {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if _, isText := value.(string); slices.Contains(keys, key) && (key != "id" || !isText) {
				delete(v, key)
				continue
			}
			v[key] = withoutKeys(value, keys...)
		}
	case []any:
		for i := range v {
			v[i] = withoutKeys(v[i], keys...)
		}
	}
	return v
}

// A settledTwice is one history in two databases: one settles in groups, the other each
// event alone.
type settledTwice struct {
	groups, alone *bundle
	settler       *store.Settler
	inboxes       [2]*store.Inbox
	number        *int
	ended, left   int
}

func (s *settledTwice) both(do func(b *bundle, in *store.Inbox)) {
	do(s.groups, s.inboxes[0])
	do(s.alone, s.inboxes[1])
}

// attempt accepts an event in both and starts its attempt.
func (s *settledTwice) attempt(t require.TestingT, paymentID string) (attempts [2]store.Attempt, events [2]store.AttemptStart) {
	*s.number++
	i := 0
	s.both(func(b *bundle, in *store.Inbox) {
		receipt, err := in.Accept(context.Background(), signed(*s.number, paymentID))
		require.NoError(t, err)
		a, err := fixture.Fetch(context.Background(), b.pool, jobOfEvent, receipt.QueueID)
		require.NoError(t, err)
		a.QueueID = receipt.QueueID
		attempts[i] = a
		events[i], err = b.StartAttempt(context.Background(), a.QueueID)
		require.NoError(t, err)
		i++
	})
	return attempts, events
}

// draw draws what one event of a history fetched.
func (s *settledTwice) draw(t *rapid.T, prefix string) (groups, alone store.Waiting) {
	id := prefix + strconv.Itoa(rapid.IntRange(1, 4).Draw(t, "payment"))
	attempts, events := s.attempt(t, id)
	kind := rapid.SampledFrom([]string{"payment", "payment", "payment", "payment", "payment", "payment", "payment", "payment", "payment", "payment", "alert", "follow", "complete", "stale", "chargeback"}).Draw(t, "kind")
	if kind == "complete" {
		return store.Waiting{Attempt: attempts[0], Outcome: store.OutcomeCovered}, store.Waiting{Attempt: attempts[1], Outcome: store.OutcomeCovered}
	}
	reference := map[int]string{0: "", 1: prefix + "unknown"}[rapid.IntRange(0, 19).Draw(t, "named")]
	if reference == "" {
		// A payment names the same order but for one time in ten.
		reference = prefix + map[bool]string{true: "A", false: "B"}[strings.HasSuffix(id, "1") || strings.HasSuffix(id, "2")]
		if rapid.IntRange(0, 9).Draw(t, "moved") == 0 {
			reference = prefix + "C"
		}
	}
	f := fetched(id, reference, rapid.SampledFrom([]order.PaymentStatus{
		order.PaymentApproved, order.PaymentApproved, order.PaymentApproved, order.PaymentPending, order.PaymentRejected,
		order.PaymentRefunded, order.PaymentChargedBack, order.PaymentAuthorized, order.PaymentInMediation,
	}).Draw(t, "status"), rapid.SampledFrom([]string{"100", "100", "100", "100", "100", "60"}).Draw(t, "amount"), rapid.IntRange(0, 5).Draw(t, "minute"))
	f.Payment.FetchedAt = epoch.Add(time.Duration(*s.number) * time.Minute)
	f.Payment.FetchMark = events[0].Mark
	f.Payment.Refunded = decimal.NewFromInt(rapid.SampledFrom([]int64{0, 0, 0, 0, 0, 20}).Draw(t, "refunded"))
	f.Cost.Fee = decimal.NewNullDecimal(decimal.NewFromInt(5))
	switch rapid.IntRange(0, 19).Draw(t, "dated") {
	case 0:
		f.Payment.UpdatedAt = time.Time{}
	case 1:
		f.Payment.UpdatedAt = f.Payment.FetchedAt.Add(time.Hour)
	case 2:
		f.NotBefore = epoch.Add(4 * time.Minute)
	}
	both := [2]store.Waiting{}
	for i := range both {
		of := store.Fetched{Event: events[i], Payment: &f}
		switch kind {
		case "alert":
			of.Event.Work = store.WorkFraudAlert
		case "follow":
			of.Payment = nil
		case "stale":
			attempts[i].Number++
		case "chargeback":
			of.Chargeback = &store.Chargeback{ID: id, PaymentIDs: []string{id}, Currency: "ARS"}
		}
		both[i] = store.Waiting{Attempt: attempts[i], Fetched: &of}
	}
	return both[0], both[1]
}

func (s *settledTwice) register(t require.TestingT, reference string) {
	s.both(func(b *bundle, _ *store.Inbox) {
		_, err := b.RegisterOrder(context.Background(), reference, terms("100"))
		var conflict *store.OrderConflictError
		if !errors.As(err, &conflict) {
			require.NoError(t, err)
		}
	})
}

// step settles some events in both, and does to both what else happens to orders.
func (s *settledTwice) step(t *rapid.T, prefix string) {
	ctx := context.Background()
	reference := prefix + rapid.SampledFrom([]string{"A", "B", "C"}).Draw(t, "of order")
	switch rapid.IntRange(0, 15).Draw(t, "what happens") {
	case 0, 1:
		s.register(t, reference)
	case 2:
		s.both(func(b *bundle, _ *store.Inbox) {
			_, err := b.pool.Exec(ctx, `INSERT INTO orders (reference, amount, currency) VALUES ($1, 100, 'ARS') ON CONFLICT DO NOTHING`, reference)
			require.NoError(t, err)
		})
	case 3:
		s.both(func(b *bundle, _ *store.Inbox) {
			_, err := b.pool.Exec(ctx, `UPDATE orders SET cancelled_at = epoch FROM (SELECT timestamptz '2026-01-01') x (epoch) WHERE reference = $1`, reference)
			require.NoError(t, err)
		})
	case 4:
		s.both(func(b *bundle, _ *store.Inbox) {
			_, err := b.pool.Exec(ctx, `UPDATE anomalies SET closed_at = now(), closed_by = 'operator' WHERE order_reference = $1 AND closed_at IS NULL`, reference)
			require.NoError(t, err)
		})
	case 5:
		id := prefix + strconv.Itoa(rapid.IntRange(1, 4).Draw(t, "released"))
		s.both(func(b *bundle, _ *store.Inbox) {
			_, err := b.pool.Exec(ctx, `
				INSERT INTO account_movements (source, collector_id, currency, happened_at, source_id, record_type, description, credit, debit, ordinal, class, place, payment_id)
				VALUES ('mercadopago', '1', 'ARS', '2026-01-02T03:04:05Z', $1, 'release', 'payment', 100, 0, 1, 'payment', 1, $1) ON CONFLICT DO NOTHING`, id)
			require.NoError(t, err)
		})
	default:
		groups, alone := make([]store.Waiting, rapid.IntRange(1, 8).Draw(t, "events")), []store.Waiting(nil)
		for i := range groups {
			var other store.Waiting
			groups[i], other = s.draw(t, prefix)
			alone = append(alone, other)
		}
		ended := s.settler.EndTogether(ctx, groups)
		for i, w := range alone {
			want := s.alone.EndAlone(ctx, w, complete(w.Attempt))
			require.Equal(t, want.Result, ended[i].Result, "event %d: %+v", i, groups[i].Fetched)
			for _, err := range []error{nil, store.ErrStaleAttempt, store.ErrAnswerOlder} {
				require.Equal(t, errors.Is(want.Err, err), errors.Is(ended[i].Err, err), "%v and not %v", ended[i].Err, want.Err)
			}
			if ended[i].Alone {
				s.left++
			} else {
				s.ended++
			}
		}
	}
}

// Histories of payments, orders, repeats, old states, disputes, alerts and what a person
// does end the same in groups as each event alone: the same rows in every table, without
// ids and times.
func TestGroup_EndsAsEachEventAlone(t *testing.T) {
	t.Parallel()
	in, other := setup(t), setup(t)
	number := 0
	policies := map[store.UnknownOrder]*settledTwice{}
	for _, policy := range []store.UnknownOrder{store.UnknownOrderWait, store.UnknownOrderCreate, store.UnknownOrderIgnore} {
		create := func(o *store.Options) { o.UnknownOrder = policy }
		s := &settledTwice{groups: onPool(t, in.pool, create), alone: onPool(t, other.pool, create), number: &number}
		s.settler = s.groups.settler(t, store.SettlerOptions{})
		s.inboxes = [2]*store.Inbox{s.groups.inbox(t, store.InboxOptions{}), s.alone.inbox(t, store.InboxOptions{})}
		policies[policy] = s
	}
	histories := 0
	rapid.Check(t, func(rt *rapid.T) {
		histories++
		prefix := fmt.Sprintf("%d-", histories)
		s := policies[rapid.SampledFrom(slices.Sorted(maps.Keys(policies))).Draw(rt, "policy")]
		s.both(func(b *bundle, _ *store.Inbox) {
			_, err := b.pool.Exec(context.Background(), `TRUNCATE payments, payment_logs, orders, order_logs, order_events, anomalies, chargebacks, payment_aliases, account_movements, webhook_queue, river_job CASCADE`)
			require.NoError(rt, err)
		})
		if rapid.Bool().Draw(rt, "registered first") {
			s.register(rt, prefix+"A")
			s.register(rt, prefix+"B")
		}
		for range rapid.IntRange(1, 6).Draw(rt, "steps") {
			s.step(rt, prefix)
		}
		s.both(func(b *bundle, _ *store.Inbox) {
			_, _, err := b.SettleUnsettled(context.Background(), 10)
			require.NoError(rt, err)
		})
		for table := range ledgerRows {
			require.Equal(rt, s.alone.ledger(rt, table), s.groups.ledger(rt, table), table)
		}
	})
	for policy, s := range policies {
		t.Logf("%s: %d events ended in groups, %d alone", policy, s.ended, s.left)
	}
}
