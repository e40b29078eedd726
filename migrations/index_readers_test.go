package migrations_test

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/migrations"
)

// indexReaders says of each index that guards no key which file of store finds rows by it.
// Every insert pays for an index: one that nobody reads goes.
var indexReaders = map[string]string{
	"account_movements_payment_idx":               "payout_release",
	"account_movements_payouts_idx":               "payout_chain",
	"alert_messages_delivered_idx":                "status_signals",
	"alert_messages_undelivered_idx":              "status_signals",
	"anomalies_flagged_idx":                       "order_event",
	"anomalies_key_idx":                           "order_settle_group_read",
	"anomalies_open_idx":                          "anomaly",
	"anomalies_order_idx":                         "order_event",
	"anomalies_payment_idx":                       "order_settle_group_read",
	"chargebacks_deadline_idx":                    "dispute",
	"chargebacks_payments_idx":                    "dispute",
	"claims_order_idx":                            "dispute",
	"claims_payment_idx":                          "dispute",
	"deliveries_body_idx":                         "delivery_retention",
	"deliveries_created_idx":                      "delivery_retention",
	"deliveries_dead_idx":                         "delivery_receiver",
	"deliveries_event_idx":                        "delivery_list",
	"deliveries_pending_idx":                      "delivery_sweep",
	"deliveries_queue_idx":                        "delivery_list",
	"delivery_attempts_delivery_idx":              "delivery_list",
	"delivery_attempts_ended_idx":                 "delivery_retention",
	"odd_payments_order_idx":                      "order_settle_group_write",
	"operator_actions_events_idx":                 "operator_actions",
	"operator_actions_login_failed_idx":           "status_signals",
	"operator_actions_order_idx":                  "operator_actions",
	"operator_actions_sessions_idx":               "operator_actions",
	"operator_actions_target_idx":                 "operator_actions",
	"operator_devices_expires_idx":                "operator_sessions",
	"operator_login_lanes_spent_idx":              "operator_tries",
	"operator_sessions_expires_idx":               "operator_sessions",
	"order_events_body_idx":                       "order_event_retention",
	"order_events_order_idx":                      "order_event_list",
	"order_events_waiting_idx":                    "order_feed",
	"order_logs_changed_idx":                      "event_detail",
	"order_logs_order_idx":                        "order_read",
	"orders_before_fold_3_idx":                    "fold_upgrade",
	"orders_key_idx":                              "order_search",
	"orders_unpaid_idx":                           "reconcile_unpaid",
	"orders_unsettled_idx":                        "order_sweep",
	"orders_updated_idx":                          "reconcile_ledger",
	"payment_aliases_awaited_idx":                 "status_signals",
	"payment_aliases_changed_idx":                 "payment_alias_check",
	"payment_aliases_look_idx":                    "payment_alias_look",
	"payment_aliases_order_idx":                   "event_attempt",
	"payment_aliases_reference_idx":               "order_settle_group_read",
	"payment_logs_applied_idx":                    "event_detail",
	"payment_logs_order_idx":                      "payment",
	"payments_before_fold_3_idx":                  "fold_upgrade",
	"payments_fetch_mark_idx":                     "event_sequence",
	"payments_kept_idx":                           "reconcile_retention",
	"payments_made_idx":                           "payment_list",
	"payments_order_idx":                          "order_settle_group_read",
	"payments_payer_idx":                          "payment_list",
	"payments_payer_unread_idx":                   "payer_email",
	"payments_release_idx":                        "payout_release",
	"payments_unread_idx":                         "payment_cost",
	"payments_updated_idx":                        "reconcile_ledger",
	"payouts_account_idx":                         "payout_chain",
	"payouts_open_idx":                            "status_signals",
	"payouts_paid_idx":                            "payout_list",
	"provider_outages_opened_idx":                 "provider_outages",
	"provider_outages_unreleased_idx":             "provider_release",
	"refunds_open_idx":                            "refund_attempt",
	"refunds_order_idx":                           "refund",
	"refunds_payment_idx":                         "refund",
	"report_downloads_open_idx":                   "report_fetch",
	"report_file_parts_file_idx":                  "payout_file",
	"report_files_kept_idx":                       "payout_file",
	"report_requests_unasked_idx":                 "report_fetch",
	"webhook_archive_completed_idx":               "stats_rollup_count",
	"webhook_archive_kept_idx":                    "reconcile_retention",
	"webhook_archive_labels_idx":                  "event_list",
	"webhook_archive_received_idx":                "stats_rollup_count",
	"webhook_archive_replay_idx":                  "event_list",
	"webhook_archive_resource_idx":                "event_list",
	"webhook_archive_unhandled_idx":               "event_unhandled",
	"webhook_completed_slots_counted_idx":         "stats_rollup_count",
	"webhook_completed_unhandled_idx":             "event_unhandled",
	"webhook_dead_letter_died_idx":                "deadletter",
	"webhook_dead_letter_open_idx":                "deadletter",
	"webhook_learned_sources_seen_idx":            "source_networks",
	"webhook_queue_forgotten_idx":                 "reconcile_retention",
	"webhook_queue_labels_idx":                    "event_list",
	"webhook_queue_received_idx":                  "stats_rollup_count",
	"webhook_queue_replay_idx":                    "event_list",
	"webhook_queue_resource_idx":                  "event_list",
	"webhook_reconciliation_findings_history_idx": "reconcile_findings_list",
	"webhook_reconciliation_findings_queue_idx":   "reconcile_wait",
	"webhook_reconciliation_findings_run_idx":     "reconcile_findings_list",
	"webhook_reconciliation_logs_started_idx":     "stats_causes",
	"webhook_reconciliation_logs_success_idx":     "reconcile_runs",
	"webhook_reconciliation_logs_window_idx":      "reconcile",
	"webhook_reconciliation_unseen_open_idx":      "reconcile_unseen",
	"webhook_reconciliation_unseen_run_idx":       "reconcile_findings_list",
	"webhook_refused_time_idx":                    "refused",
}

// Each index is a key's, River's, or has a reader, whose file has the names of the table,
// and of what the index begins with or leaves rows out by.
func TestIndexes_EachHasAReader(t *testing.T) {
	t.Parallel()
	pool := empty(t)
	require.NoError(t, migrations.Up(t.Context(), pool, silent))
	rows, err := pool.Query(t.Context(), `
		SELECT i.indexrelid::regclass::text, i.indrelid::regclass::text, pg_get_indexdef(i.indexrelid, 1, true) || ' ' || coalesce(pg_get_expr(i.indpred, i.indrelid, true), '')
		FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
		WHERE c.relnamespace = current_schema()::regnamespace AND NOT i.indisunique AND c.relname NOT LIKE 'river\_%' AND c.relname NOT LIKE 'goose%'`)
	require.NoError(t, err)
	defer rows.Close()
	word := regexp.MustCompile(`[a-z_]{2,}`)
	seen := map[string]bool{}
	var problems []string
	for rows.Next() {
		var index, table, terms string
		require.NoError(t, rows.Scan(&index, &table, &terms))
		seen[index] = true
		source, err := os.ReadFile("../store/" + indexReaders[index] + ".go")
		if err != nil {
			problems = append(problems, index+" of "+table+" has no reader: name it, or drop the index")
			continue
		}
		named := word.FindAllString(string(source), -1)
		if !slices.Contains(named, table) || !slices.ContainsFunc(word.FindAllString(terms, -1), func(term string) bool { return slices.Contains(named, term) }) {
			problems = append(problems, indexReaders[index]+".go does not read "+table+" by "+index)
		}
	}
	require.NoError(t, rows.Err())
	require.Empty(t, problems)
	for index := range indexReaders {
		require.True(t, seen[index], "%s is not there", index)
	}
}
