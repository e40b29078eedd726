package store_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

func TestSequence_StaysAheadOfWhatIsStored(t *testing.T) {
	t.Parallel()
	for name, stored := range map[string]string{
		"an event":          `SELECT setval('webhook_queue_id_seq', 1, false)`,
		"an archived event": `INSERT INTO webhook_archive (id, source, topic, payload, completed_at, outcome) VALUES (5000, 'mercadopago', 'payment', '', now(), 'discarded')`,
		"a fetch's mark":    `UPDATE payments SET fetch_mark = 5000`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			in := b.inbox(t, store.InboxOptions{})
			b.register(t, "A-1", "100", "ARS")
			b.apply(t, in, 1, fetched("77", "A-1", order.PaymentApproved, "100", 1))
			b.apply(t, in, 2, fetched("78", "A-1", order.PaymentPending, "100", 1))
			gap, err := b.CloseSequenceGap(t.Context())
			require.NoError(t, err)
			require.Nil(t, gap)
			b.exec(t, stored)
			gap, err = b.SequenceGap(t.Context())
			require.NoError(t, err)
			require.NotNil(t, gap)
			require.Less(t, gap.Drawn, gap.Stored)
			report, err := b.Verify(t.Context(), verifyOptions)
			require.NoError(t, err)
			require.Len(t, report.Violations, 1)
			require.Equal(t, "sequence_ahead", report.Violations[0].Invariant)

			_, err = b.CloseSequenceGap(t.Context())

			require.NoError(t, err)
			gap, err = b.SequenceGap(t.Context())
			require.NoError(t, err)
			require.Nil(t, gap)
			b.accept(t, signed(3, "79"))
		})
	}
}

func TestSequence_KnowsEveryMark(t *testing.T) {
	t.Parallel()
	rows, err := setup(t).pool.Query(t.Context(), `
		SELECT table_name::text FROM information_schema.columns WHERE table_schema = current_schema() AND column_name = 'fetch_mark'`)
	require.NoError(t, err)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.NotEmpty(t, tables)
	for _, table := range tables {
		require.Contains(t, store.HighestID, "(SELECT max(fetch_mark) FROM "+table+")")
		require.Contains(t, store.BehindStored, "(SELECT FROM "+table+" WHERE fetch_mark > last_value)")
	}
}

// Each process asks at its start, however many payments there are.
func TestSequence_IsHeldToMarksByTheirIndex(t *testing.T) {
	t.Parallel()
	tx, err := setup(t).pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `SET LOCAL enable_seqscan = off`)
	require.NoError(t, err)
	rows, err := tx.Query(t.Context(), `EXPLAIN `+store.BehindStored)
	require.NoError(t, err)
	plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Contains(t, strings.Join(plan, "\n"), "payments_fetch_mark_idx")
	require.NoError(t, tx.Rollback(t.Context()))
}
