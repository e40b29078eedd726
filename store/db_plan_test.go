package store_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/storetest"
)

// heaps fill the tables that have partial indexes with rows $1 to $2: open ones where $3,
// else such as were dealt with.
var heaps = map[string]string{
	"orders": `
		INSERT INTO orders (reference, reference_key, status, amount, currency, paid_amount, settled_at, fold_version)
		SELECT 'h-' || n, 'h' || n, CASE WHEN $3::boolean THEN 'pending' ELSE 'paid' END, 10, 'ARS', CASE WHEN $3::boolean THEN 0 ELSE 10 END, now(), ` + strconv.Itoa(order.FoldVersion) + `
		FROM generate_series($1::int, $2::int) n`,
	"anomalies": `
		INSERT INTO anomalies (kind, source, order_reference, payment_id, reference_key, closed_at, closed_by)
		SELECT 'unknown_order', 'mercadopago', 'h-' || n, '9' || n, 'h' || n, CASE WHEN NOT $3::boolean THEN now() END, CASE WHEN NOT $3::boolean THEN 'settlement' END
		FROM generate_series($1::int, $2::int) n`,
	"webhook_queue": `
		INSERT INTO webhook_queue (id, source, topic, resource_id, payload, work, completed_at, outcome)
		OVERRIDING SYSTEM VALUE SELECT -n, 'mercadopago', 'payment', '9' || n, '{}', 'payment', now(), 'settled'
		FROM generate_series($1::int, $2::int) n WHERE $3::boolean IS NOT NULL`,
	"webhook_dead_letter": `
		INSERT INTO webhook_dead_letter (queue_id, reason, state)
		SELECT -n, 'retries_exhausted', CASE WHEN $3::boolean THEN 'open' ELSE 'replayed' END FROM generate_series($1::int, $2::int) n`,
	"deliveries": `
		INSERT INTO deliveries (receiver, stream, message_id, body, state, ended_at)
		SELECT 'order_events', 'h-' || n, n, 'x', CASE WHEN $3::boolean THEN 'pending' ELSE 'delivered' END, CASE WHEN NOT $3::boolean THEN now() END
		FROM generate_series($1::int, $2::int) n`,
	"refunds": `
		INSERT INTO refunds (id, source, payment_id, collector_id, order_reference, amount, currency, whole, requested_by, note, state, ended_at, reason)
		SELECT gen_random_uuid(), 'mercadopago', '9' || n, '1', 'h-' || n, 1, 'ARS', false, 'ana', 'why', CASE WHEN $3::boolean THEN 'requested' ELSE 'failed' END,
		       CASE WHEN NOT $3::boolean THEN now() END, CASE WHEN $3::boolean THEN '' ELSE 'refused' END
		FROM generate_series($1::int, $2::int) n`,
}

func (b *bundle) heap(t *testing.T, from, to int, open bool) {
	t.Helper()
	for _, table := range []string{"orders", "anomalies", "webhook_queue", "webhook_dead_letter", "deliveries", "refunds"} {
		b.exec(t, heaps[table], from, to, open)
	}
}

// Where PostgreSQL believes that nothing is open, because it was analyzed at a quiet moment,
// the index of what is open looks like the cheapest way to any row. No statement about one
// order, payment, event or message may take it, nor read the table: thousands may be open by
// then.
func TestPlans_WhatIsAboutOneIsFoundByItWhateverIsOpen(t *testing.T) {
	t.Parallel()
	const heap = 4000
	b := telling(t, storetest.Pool(t))
	b.heap(t, 1, heap, false)
	b.exec(t, `VACUUM ANALYZE`)
	in := b.inbox(t, store.InboxOptions{})
	var waiting []store.Waiting
	for i := range 4 {
		reference := fmt.Sprintf("g-%d", i)
		b.register(t, reference, "10", "ARS")
		waiting = append(waiting, b.waits(t, in, i, fetched(strconv.Itoa(100+i), reference, order.PaymentApproved, "10", 1)))
	}
	b.register(t, "short", "10", "ARS")
	short := b.waits(t, in, 10, fetched("110", "short", order.PaymentApproved, "9", 1))
	near := b.odd(t, 11, "111", "B-7 ")
	resolved := b.odd(t, 12, "112", "C-8")
	letter, _ := b.deadLetter(t, 13, "113")
	_, dead := b.deadLetter(t, 14, "114")
	b.happen(t)
	b.fanOut(t)
	delivery, sending, found := b.fetchDelivery(t)
	require.True(t, found)
	refunding := b.startAttempt(t, b.accept(t, signed(15, "115")))
	const refund = "00000000-0000-0000-0000-000000000001"
	b.exec(t, `
		INSERT INTO refunds (id, source, payment_id, collector_id, order_reference, amount, currency, whole, requested_by, note, job_id)
		VALUES ('`+refund+`', 'mercadopago', '100', '1', 'g-0', 1, 'ARS', false, 'ana', 'why', $1)`, refunding.JobID)
	ran := map[string][]string{}
	logged, log := (&crowd{bundle: b}).logged(t)
	ctx := t.Context()
	for name, path := range map[string]func() error{
		"a group of events": func() error {
			for _, e := range logged.settler(t, store.SettlerOptions{}).EndTogether(ctx, waiting) {
				require.False(t, e.Alone)
				require.NoError(t, e.Err)
			}
			return nil
		},
		"an event with an anomaly": func() error { return logged.EndAlone(ctx, short, complete(short.Attempt)).Err },
		"an order that an anomaly may have meant": func() error {
			_, err := logged.RegisterOrder(ctx, "b-7", terms("10"))
			require.Equal(t, 1, b.count(t, `SELECT count(*) FROM anomalies WHERE id = $1 AND detail ->> 'near_orders' = 'b-7'`, near.ID))
			return err
		},
		"an anomaly that is resolved": func() error {
			_, err := logged.ResolveAnomaly(ctx, resolved.ID, note(t, "sold by phone"), ana)
			return err
		},
		"a dead letter that is replayed": func() error { _, err := logged.ReplayDeadLetter(ctx, letter, ana); return err },
		"an event that is replayed":      func() error { _, err := logged.ReplayEvent(ctx, dead, ana); return err },
		"an attempt of a delivery": func() error {
			started, err := logged.StartDelivery(ctx, delivery.ID, sending.JobID)
			require.NoError(t, err)
			_, err = logged.EndDeliveryAttempt(ctx, started, sending, store.DeliveryResult{Accepted: true}, complete(sending))
			return err
		},
		"a try of a refund": func() error {
			_, err := logged.StartRefund(ctx, refunding, refund)
			require.NoError(t, err)
			_, err = logged.EndRefundTry(ctx, refunding, refund, store.RefundResult{State: store.RefundRequested}, complete(refunding))
			return err
		},
		"an order that is read": func() error {
			for _, read := range []func() error{
				func() error { _, err := logged.Order(ctx, "g-1"); return err },
				func() error { _, err := logged.OrderFacts(ctx, "g-1"); return err },
				func() error { _, err := logged.OrderVersions(ctx, []string{"g-1"}); return err },
				func() error { _, err := logged.OrderStandings(ctx, []string{"g-1"}); return err },
			} {
				require.NoError(t, read())
			}
			return nil
		},
	} {
		log.take()
		require.NoError(t, path(), name)
		ran[name], _ = log.take()
	}
	check := func(when string) {
		for name, statements := range ran {
			plain := slices.ContainsFunc(statements, func(s string) bool { return strings.Contains(s, "enable_seqscan") })
			looked := 0
			for _, s := range statements {
				n, wholes := b.readsWhole(t, s, plain)
				looked += n
				for _, whole := range wholes {
					t.Errorf("%s, planned %s, reads all of %s:\n%s", name, when, whole, s)
				}
			}
			require.Positive(t, looked, name)
		}
	}
	check("at the quiet moment")
	b.heap(t, heap+1, 2*heap, true)
	check("in a backlog")
}

var planned = regexp.MustCompile(`(?i)^\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b`)

// readsWhole returns what of the tables of heaps, and of their indexes, a statement's plan
// for any parameters reads to its end, not by the beginning of the index and not until it has
// some rows, and how often it looks there by an index.
func (b *bundle) readsWhole(t *testing.T, statement string, plain bool) (looked int, wholes []string) {
	t.Helper()
	if !planned.MatchString(statement) {
		return 0, nil
	}
	tx, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(t.Context())) }()
	settings := []string{"SET LOCAL plan_cache_mode = force_generic_plan"}
	if plain {
		settings = append(settings, "SET LOCAL enable_seqscan = off", "SET LOCAL enable_hashjoin = off", "SET LOCAL enable_mergejoin = off", "SET LOCAL enable_material = off")
	}
	for _, s := range settings {
		_, err := tx.Exec(t.Context(), s)
		require.NoError(t, err)
	}
	prepared, err := tx.Conn().Prepare(t.Context(), "looked_at", statement)
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Conn().Deallocate(t.Context(), "looked_at")) }()
	arguments := ""
	if n := len(prepared.ParamOIDs); n > 0 {
		arguments = "(" + strings.TrimSuffix(strings.Repeat("NULL,", n), ",") + ")"
	}
	var plans []struct{ Plan planNode }
	var text []byte
	require.NoError(t, tx.QueryRow(t.Context(), `EXPLAIN (FORMAT JSON) EXECUTE looked_at`+arguments, pgx.QueryExecModeSimpleProtocol).Scan(&text), statement)
	require.NoError(t, json.Unmarshal(text, &plans))
	firsts := map[string]string{}
	rows, _ := tx.Query(t.Context(), `
		SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid, 1, true) FROM pg_index WHERE indrelid = ANY ($1::text[]::regclass[])`, heapTables())
	var index, first string
	_, err = pgx.ForEachRow(rows, []any{&index, &first}, func() error {
		firsts[index] = first
		return nil
	})
	require.NoError(t, err)
	var look func(n planNode, stops bool)
	look = func(n planNode, stops bool) {
		if n.OneTime != "" {
			return // hardly ever run
		}
		switch n.Type {
		case "Limit":
			stops = true
		case "Sort", "Aggregate", "Hash":
			stops = false
		case "Seq Scan":
			if slices.Contains(heapTables(), n.Table) {
				wholes = append(wholes, n.Table)
			}
		}
		if first, ours := firsts[n.Index]; ours {
			looked++
			if (!stops || n.Filter != "") && !strings.Contains(n.Condition, first) {
				wholes = append(wholes, n.Index)
			}
		}
		for _, child := range n.Plans {
			look(child, stops)
		}
	}
	look(plans[0].Plan, false)
	return looked, wholes
}

func heapTables() (tables []string) {
	for table := range heaps {
		if table != "webhook_queue" {
			tables = append(tables, table)
		}
	}
	return tables
}
