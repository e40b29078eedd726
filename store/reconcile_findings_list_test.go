package store_test

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

func TestFindings_SayWhatBecameOfEach(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `INSERT INTO webhook_reconciliation_logs (trigger, status, phase) VALUES ('schedule', 'running', 'drift')`)
	const run = int64(1)
	accept := func(n int) int64 { return b.accept(t, signed(n, strconv.Itoa(n))) }
	done, archived, waiting, dead, replayed := accept(1), accept(2), accept(3), accept(4), accept(5)
	b.exec(t, `UPDATE webhook_queue SET completed_at = now(), outcome = 'settled' WHERE id = ANY ($1)`, []int64{done, archived})
	fixture.Archive(t, b.pool, archived)
	for _, id := range []int64{dead, replayed} {
		fixture.Die(t, b.pool, id, 7, "timeout: late")
	}
	replay, err := b.ReplayEvent(t.Context(), replayed, store.Actor{Name: "ana"})
	require.NoError(t, err)
	b.exec(t, `UPDATE webhook_queue SET completed_at = now(), outcome = 'unchanged' WHERE id = $1`, replay.QueueID)
	b.exec(t, `
		INSERT INTO webhook_reconciliation_findings (run_id, kind, source, payment_id, order_reference, queue_id, repaired_at, detail) VALUES
			($1, 'missing', 'mercadopago', '1', 'a-1', $2, NULL, '{"found_status":"approved"}'), ($1, 'missing', 'mercadopago', '2', NULL, $3, NULL, '{}'),
			($1, 'odd', 'mercadopago', '3', NULL, $4, NULL, '{}'), ($1, 'missing', 'mercadopago', '4', NULL, $5, NULL, '{}'),
			($1, 'missing', 'mercadopago', '5', NULL, $6, NULL, '{}'), ($1, 'drift', NULL, NULL, 'b-1', NULL, now(), '{}'),
			($1, 'drift', NULL, NULL, 'b-2', NULL, NULL, '{}'), ($1, 'unsettled', 'mercadopago', '6', NULL, NULL, NULL, '{}')`,
		run, done, archived, waiting, dead, replayed)

	states := func(filter store.FindingFilter) map[string]string {
		filter.RunID = run
		found := map[string]string{}
		list, err := b.Findings(t.Context(), filter, store.Page{Limit: 50})
		require.NoError(t, err)
		for _, f := range list.Items {
			of := f.OrderReference
			if f.PaymentID != nil {
				of = f.PaymentID
			}
			found[*of] = f.State
		}
		return found
	}
	require.Equal(t, map[string]string{
		"1": "repaired", "2": "repaired", "3": "waiting", "4": "failed", "5": "repaired", "b-1": "repaired", "b-2": "waiting", "6": "left",
	}, states(store.FindingFilter{}))
	require.Equal(t, map[string]string{"6": "left"}, states(store.FindingFilter{State: store.FindingLeft}))
	require.Equal(t, map[string]string{"b-1": "repaired"}, states(store.FindingFilter{Kind: store.FindingDrift, State: store.FindingRepaired}))
	b.exec(t, `UPDATE webhook_reconciliation_logs SET status = 'stopped_by_cap', finished_at = now() WHERE id = $1`, run)
	require.Equal(t, map[string]string{"6": "left", "b-2": "left"}, states(store.FindingFilter{State: store.FindingLeft}), "a run that stopped repairs nothing any more")

	list, err := b.Findings(t.Context(), store.FindingFilter{RunID: run, Kind: store.FindingMissing, State: store.FindingRepaired}, store.Page{Limit: 1})
	require.NoError(t, err)
	require.Equal(t, replay.QueueID, *list.Items[0].QueueID, "the newest replay stands for the event")
	list, err = b.Findings(t.Context(), store.FindingFilter{RunID: run}, store.Page{Limit: 1, Before: list.Items[0].ID})
	require.NoError(t, err)
	require.Equal(t, dead, *list.Items[0].QueueID)
	require.NotNil(t, list.Items[0].DeadLetterID)

	counts, all, err := b.CountFindings(t.Context(), run)
	require.NoError(t, err)
	require.True(t, all)
	require.Contains(t, counts, store.FindingCount{Kind: "missing", State: "repaired", Count: 3})
	require.Contains(t, counts, store.FindingCount{Kind: "drift", State: "left", Count: 1})
}
