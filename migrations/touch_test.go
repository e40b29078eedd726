package migrations_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store/storetest"
)

func TestUpdatedAt_IsKept(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t)
	for _, statement := range []string{
		insertion("orders", "", ""), insertion("payments", "", ""), insertion("anomalies", "", ""),
		insertion("webhook_queue", "", ""), insertion("webhook_reconciliation_logs", "", ""),
		insertion("webhook_bulk_replays", "", ""), insertion("alert_watches", "", ""),
		insertion("payment_aliases", "", ""),
		`INSERT INTO webhook_dead_letter (queue_id, reason) SELECT id, 'deleted' FROM webhook_queue`,
	} {
		exec(t, pool, statement)
	}
	for table, change := range map[string]string{
		"orders":                      "refunded_amount = 0",
		"payments":                    "status_detail = 'accredited'",
		"anomalies":                   "note = 'seen'",
		"webhook_queue":               "attempts = 1",
		"webhook_dead_letter":         "state = 'dismissed'",
		"webhook_reconciliation_logs": "archived = 1",
		"webhook_bulk_replays":        "cursor_id = 1",
		"alert_watches":               "evaluations = 2",
		"payment_aliases":             "looks = 1",
	} {
		inserted := scan[time.Time](t, pool, `SELECT updated_at FROM `+table)

		// The row's own words count for nothing.
		exec(t, pool, `UPDATE `+table+` SET updated_at = '2001-01-01', `+change)

		require.Equal(t, 1, scan[int](t, pool, `SELECT count(*) FROM `+table+` WHERE updated_at > $1 AND updated_at <= now()`, inserted), table)
	}
}

// A column that nobody keeps would tell lies.
func TestUpdatedAt_HasItsTriggerEverywhere(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t)
	var kept, all []string
	require.NoError(t, pool.QueryRow(t.Context(), `
		SELECT (SELECT array_agg(table_name::text ORDER BY table_name)
		        FROM information_schema.columns
		        WHERE table_schema = current_schema() AND column_name = 'updated_at' AND table_name <> 'webhook_archive' AND table_name NOT LIKE 'river%'),
		       (SELECT array_agg(tgrelid::regclass::text ORDER BY tgrelid::regclass::text)
		        FROM pg_trigger WHERE tgfoid = 'conciliar_touch'::regproc)`).Scan(&all, &kept))
	require.Equal(t, all, kept)
}
