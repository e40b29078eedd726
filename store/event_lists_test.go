package store_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// Whoever looks for open events, or for those about a payment or an order of the
// provider's, reads no event that is about something else: each statement has an index
// or a list to find them by.
func TestEvents_AreFoundByListsOrByWhatTheyAreAbout(t *testing.T) {
	t.Parallel()
	seeded := setupRuns(t)
	pool, log := loggedPool(t, seeded.pool)
	b := onPool(t, pool, func(o *store.Options) { o.InsertStep = stepInserter(t, seeded.pool) })
	b.exec(t, `INSERT INTO webhook_queue (source, topic, resource_id, payload, completed_at, outcome)
		SELECT 'mercadopago', 'payment', 1000 + n, '', now(), 'settled' FROM generate_series(1, 2000) n`)
	b.exec(t, `INSERT INTO webhook_queue (source, topic, resource_id, payload) SELECT 'mercadopago', 'payment', n, '' FROM generate_series(1, 20) n`)
	b.exec(t, `ANALYZE`)
	run, _ := b.startRun(t, regular)
	step, _ := b.openStep(t, run)
	payment := store.FoundPayment{FetchedPayment: fetched("77", "A-1", order.PaymentApproved, "10", 1)}
	log.take()

	require.NoError(t, step.Found(t.Context(), mainAccount, []store.FoundPayment{payment}, nil, nil, time.Time{}, nil))
	_, err := b.CheckFound(t.Context(), mainAccount, []store.FoundPayment{payment})
	require.NoError(t, err)
	require.NoError(t, step.FoundOrders(t.Context(), []store.FoundOrder{{Account: mainAccount, Order: store.Ref{Topic: "merchant_order", ID: "9"}}}, nil))
	_, err = b.LookAgain(t.Context(), []time.Duration{time.Minute}, 10)
	require.NoError(t, err)
	_, err = b.KnownPayments(t.Context(), mainAccount, 2)
	require.NoError(t, err)
	_, err = b.WaitingResources(t.Context(), mainAccount, 2)
	require.NoError(t, err)
	_, err = b.CheckStuck(t.Context())
	require.NoError(t, err)
	_, err = b.WakeEvents(t.Context(), 10, ana, nil)
	require.NoError(t, err)
	statements, _ := log.take()

	b.exec(t, `SET plan_cache_mode = force_generic_plan`)
	b.exec(t, `SET enable_seqscan = off`)    // which leaves what has nothing else
	b.exec(t, `SET enable_bitmapscan = off`) // whose condition stands in another node
	b.exec(t, `DISCARD PLANS`)
	looked := 0
	for _, s := range statements {
		if !strings.Contains(s, "webhook_queue") || strings.Contains(s, "INSERT INTO webhook_queue ") {
			continue
		}
		var name string
		var parameters int
		err := b.pool.QueryRow(t.Context(), `SELECT name, cardinality(parameter_types) FROM pg_prepared_statements WHERE statement = $1`, s).Scan(&name, &parameters)
		require.NoError(t, err, s)
		execute := fmt.Sprintf("EXECUTE %q", name)
		if parameters > 0 {
			execute += " (" + strings.TrimSuffix(strings.Repeat("NULL,", parameters), ",") + ")"
		}
		var text []byte
		require.NoError(t, b.pool.QueryRow(t.Context(), `EXPLAIN (FORMAT JSON) `+execute, pgx.QueryExecModeSimpleProtocol).Scan(&text), s)
		var plans []struct{ Plan planNode }
		require.NoError(t, json.Unmarshal(text, &plans))
		plans[0].Plan.each(func(n planNode) {
			if n.Table == "webhook_queue" {
				looked++
				require.NotEmpty(t, n.Index, "%s:\n%s", n.Type, s)
				require.NotEmpty(t, n.Condition, "by all of %s:\n%s", n.Index, s)
			}
		})
	}
	require.Greater(t, looked, 8)
}
