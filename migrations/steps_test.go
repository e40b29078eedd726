package migrations_test

import (
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/migrations"
	"github.com/conciliar/conciliar/store/storetest"
)

// written are rows as each of our steps allows them first, by the step's
// version. Version 0 is River's schema alone.
var written = map[int64][]string{
	0: {
		`INSERT INTO river_job (id, kind, args, state, attempt, max_attempts, finalized_at, errors)
		 VALUES (900, 'webhook_payment', '{"queue_id": 1}', 'discarded', 7, 7, now(),
		         ARRAY['{"at": "2026-01-02T03:04:05Z", "attempt": 7, "error": "timeout: late", "trace": ""}'::jsonb]),
		        (901, 'webhook_payment', '{"queue_id": 2}', 'available', 0, 7, NULL, NULL)`,
	},
	1: {
		`INSERT INTO webhook_queue (id, job_id, source, topic, resource_id, payload, signed, signature, query, remote_ip)
		 VALUES (1, 900, 'mercadopago', 'payment', '77', '\x00ff7b', true, '\x01', 'data.id=77', '192.0.2.7')`,
		`INSERT INTO webhook_queue (id, job_id, source, topic, payload, completed_at, outcome, attempts)
		 VALUES (2, 901, 'mercadopago', 'payment', '', now(), 'settled', 1)`,
		`INSERT INTO webhook_archive SELECT * FROM webhook_queue WHERE id = 2`,
		`INSERT INTO webhook_refused (source, reason, method, body) VALUES ('mercadopago', 'signature_mismatch', 'POST', '\xff')`,
	},
	2: {
		`INSERT INTO orders (reference, amount, currency, status, paid_amount) VALUES ('A-1', 150.05, 'ARS', 'paid', 150.05)`,
		`INSERT INTO payments (source, payment_id, order_reference, status, amount, currency, live_mode, date_last_updated, fetched_at, raw)
		 VALUES ('mercadopago', '77', 'A-1', 'approved', 150.05, 'ARS', true, '2026-01-02T03:04:05.678901Z', now(), '\x7b7d')`,
		`INSERT INTO payment_logs (source, payment_id, order_reference, status, status_detail, amount, refunded_amount, currency, date_last_updated, queue_id)
		 VALUES ('mercadopago', '77', 'A-1', 'approved', 'accredited', 150.05, 0, 'ARS', '2026-01-02T03:04:05.678901Z', 2)`,
		`INSERT INTO order_logs (order_reference, cause, queue_id, status, paid_amount, refunded_amount) VALUES ('A-1', 'payment', 2, 'paid', 150.05, 0)`,
		`INSERT INTO anomalies (kind, order_reference, detail) VALUES ('overpaid', 'A-1', '{"by": "0.05"}')`,
	},
	3: {
		`INSERT INTO webhook_dead_letter (queue_id, reason, error_class, error, errors, attempts)
		 VALUES (1, 'retries_exhausted', 'timeout', 'timeout: late', '[{"attempt": 7}]', 7)`,
	},
	4: {
		`INSERT INTO webhook_reconciliation_logs (trigger, status, finished_at, payments_checked) VALUES ('schedule', 'succeeded', now(), 3)`,
	},
	5: {
		`INSERT INTO webhook_reconciliation_findings (run_id, kind, source, payment_id, detail)
		 SELECT id, 'missing', 'mercadopago', '77', '{"found_status": "approved"}' FROM webhook_reconciliation_logs`,
		`INSERT INTO webhook_reconciliation_inquiries (order_reference) VALUES ('A-1')`,
	},
	8: {
		`INSERT INTO webhook_queue (id, source, topic, payload) VALUES (3, 'mercadopago', 'payment', '')`,
		`INSERT INTO webhook_dead_letter (queue_id, reason, kind_reopened_at) VALUES (3, 'unknown_kind', now())`,
	},
	6: {
		`INSERT INTO operator_actions (actor, action, target_kind, target_id, queue_ids, remote_ip) VALUES ('cli:ana', 'replay', 'event', 2, '{2}', '192.0.2.7')`,
		`INSERT INTO webhook_bulk_replays (filter, total, upper_id, requested_by) VALUES ('{"reason": "deleted"}', 1, 1, 'cli:ana')`,
	},
	7: {
		`INSERT INTO provider_state (source, circuit, reason, next_probe_at) VALUES ('mercadopago', 'open', 'unavailable', now())`,
		`INSERT INTO provider_outages (source, reason, first_failure_at, opened_at) VALUES ('mercadopago', 'unavailable', now(), now())`,
	},
	9: {
		`UPDATE webhook_rollup SET covered_from = '2026-01-02T03:00:00Z', covered_until = '2026-01-02T04:00:00Z'`,
		`INSERT INTO webhook_activity_minutes (began_at, topic, origin, outcome, events) VALUES ('2026-01-02T03:04:00Z', 'payment', 'webhook', 'settled', 3)`,
		`INSERT INTO webhook_activity_hours SELECT date_trunc('hour', began_at), topic, origin, outcome, events FROM webhook_activity_minutes`,
		`INSERT INTO webhook_latency_minutes (began_at, step, events) VALUES ('2026-01-02T03:04:00Z', 12, 3)`,
		`INSERT INTO webhook_latency_hours SELECT date_trunc('hour', began_at), step, events FROM webhook_latency_minutes`,
		`INSERT INTO webhook_completed_slots (began_at, events) VALUES ('2026-01-02T03:00:00Z', 3)`,
		`INSERT INTO order_money_quarters (began_at, currency, paid, withdrawn, refunded) VALUES ('2026-01-02T03:00:00Z', 'ARS', 150.05, 0, 0)`,
	},
	10: {
		`INSERT INTO operator_actions (actor, action, target_kind, target_id, queue_ids, job_ids) VALUES ('operator', 'retry_jobs', 'job', 900, '{1}', '{900}')`,
		`INSERT INTO operator_sessions (token_hash, password_mac, expires_at) VALUES (sha256('token'), sha256('mac'), now())`,
	},
	40: {`INSERT INTO webhook_queue (id, source, topic, payload, work) VALUES (40, 'github', 'push', '{}', 'forward')`},
	25: {`INSERT INTO webhook_queue (id, source, topic, payload, work) VALUES (25, 'mercadopago', 'mp-connect', '', 'authorization')`},
	24: {
		`INSERT INTO sellers (source, collector_id, name, token_sha256) VALUES ('mercadopago', '2001', 'Ana', sha256('token'))`,
		`INSERT INTO orders (reference, amount, currency, collector_id) VALUES ('A-24', 150, 'ARS', '2001')`,
		`INSERT INTO provider_state (source, circuit, reason, next_probe_at) VALUES ('mercadopago/2001', 'open', 'unavailable', now())`,
		`INSERT INTO process_files (process_id, name, digest) VALUES ('a', 'MERCADOPAGO_SELLERS_FILE', 'a')`,
	},
	30: {`INSERT INTO processes (id, host, role, version, pool_max, pool_in_use, account_known) VALUES ('b', 'host-2', 'api', 'v2', 10, 1, false)`},
	23: {
		`INSERT INTO payment_aliases (source, alias, provider_order_id, provider_order_topic, order_reference, currency, amount, status, said,
		                              live_mode, provisional, awaited, fetched_at)
		 VALUES ('mercadopago', 'PAY01', 'ORD01', 'order', 'A-1', 'ARS', 150.05, 'approved', 'processed/accredited', true, true, true, now())`,
		`UPDATE payments SET date_created = '2026-01-02T03:04:05Z'`,
		`INSERT INTO anomalies (kind, order_reference, payment_id, detail) VALUES ('ambiguous_payment', 'A-1', 'PAY01', '{}')`,
	},
	22: {`UPDATE books SET collector_id = '190061234', collector_known_at = now()`},
	26: {
		`INSERT INTO chargebacks (source, chargeback_id, payment_ids, amount, currency, documentation_required, documentation_status,
			date_documentation_deadline, documents_wanted, fetched_at, fetch_mark)
		 VALUES ('mercadopago', '2170', '{77}', 150.05, 'ARS', true, 'pending', '2026-01-12T03:04:05Z', true, now(), 2)`,
		`INSERT INTO claims (source, claim_id, payment_id, status, type, stage, fetched_at, fetch_mark)
		 VALUES ('mercadopago', '52', '77', 'opened', 'mediations', 'claim', now(), 2)`,
		`INSERT INTO webhook_refused (source, reason, method, topic, channel) VALUES ('mercadopago', 'signature_mismatch', 'POST', 'order', 'webhooks')`,
		`INSERT INTO webhook_accepted_hours (began_at, source, signed, topic, events) VALUES ('2026-01-02T03:00:00Z', 'mercadopago', true, 'payment', 3)`,
	},
	27: {
		`INSERT INTO operator_devices (token_hash, operator, expires_at) VALUES (sha256('device'), 'ana', now())`,
		`INSERT INTO operator_sessions (token_hash, password_mac, expires_at, operator, device_id) VALUES (sha256('token-2'), sha256('mac'), now(), 'ana', 1)`,
		`INSERT INTO operator_login_lanes (lane, member, spent_until) VALUES ('device', 1, now())`,
		`INSERT INTO operator_actions (actor, action, target_kind) VALUES ('ana', 'login_failed', 'session')`,
	},
	18: {
		`INSERT INTO webhook_reconciliation_unseen (run_id, source, begin_at, end_at, reason, payments)
		 SELECT id, 'mercadopago', '2026-01-02T03:04:05Z', '2026-01-02T03:04:05Z', 'beyond_cap', 3 FROM webhook_reconciliation_logs`,
	},
	11: {
		`INSERT INTO webhook_learned_sources (source, network, deliveries) VALUES ('mercadopago', '192.0.2.0/24', 3)`,
	},
	17: {
		`INSERT INTO odd_payments (queue_id, source, payment_id, order_reference, fields, problem)
		 VALUES (1, 'mercadopago', '77', 'A-1', '{amount}', 'payment: transaction_amount is missing')`,
		`INSERT INTO webhook_reconciliation_findings (run_id, kind, source, payment_id, detail)
		 SELECT id, 'odd', 'mercadopago', '79', '{"unreadable": "odd"}' FROM webhook_reconciliation_logs`,
		`UPDATE webhook_queue SET notified_at = '2026-01-02T03:04:05Z', asked_again_at = now() WHERE id = 1`,
	},
	12: {
		`INSERT INTO alert_watches (code, holds, since) VALUES ('dead_letters_open', true, now())`,
		`INSERT INTO alerts (code, opened_at, detail) VALUES ('dead_letters_open', now(), '{"open": 1}')`,
		`INSERT INTO alert_messages (body) VALUES ('{"text": "1 alert began"}')`,
		`INSERT INTO processes (id, host, role, version, pool_max, pool_in_use) VALUES ('a', 'host-1', 'all', 'v1', 10, 1)`,
	},
	15: {
		`INSERT INTO payments (source, payment_id, order_reference, status, changed_at, live_mode, fetched_at, raw)
		 VALUES ('mercadopago', '78', 'A-1', 'rejected', '2026-01-02T03:04:05Z', true, now(), '\x7b7d')`,
		`INSERT INTO payment_logs (source, payment_id, order_reference, status, status_detail, refunded_amount, changed_at, queue_id)
		 VALUES ('mercadopago', '78', 'A-1', 'rejected', '', 0, '2026-01-02T03:04:05Z', 2)`,
		`INSERT INTO payments (source, payment_id, status, amount, refunded_amount, shipping, currency, live_mode, date_last_updated, fetched_at, raw, fold_version)
		 VALUES ('mercadopago', '79', 'refunded', 100, 110, 10, 'ARS', true, '2026-01-02T03:04:05Z', now(), '\x7b7d', 2)`,
		`INSERT INTO orders (reference, amount, currency, cancelled_at, reference_key, fold_version) VALUES ('A-2', 10, 'ARS', now(), 'a-2', 2)`,
		`INSERT INTO order_logs (order_reference, cause, status, paid_amount, refunded_amount) VALUES ('A-2', 'upgrade', 'cancelled', 0, 0)`,
		`INSERT INTO anomalies (kind, order_reference, detail) VALUES ('payment_moved', 'A-1', '{}')`,
	},
	47: {
		`INSERT INTO payment_logs (source, payment_id, order_reference, status, status_detail, amount, refunded_amount, currency, date_last_updated, queue_id)
		 VALUES ('mercadopago', '77', 'A-1', 'refunded', '', 150.05, 150.05, 'ARS', '2026-01-03T03:04:05Z', 2)`,
	},
	46: {
		`INSERT INTO refunds (id, source, payment_id, collector_id, order_reference, amount, currency, whole, requested_by, note)
		 VALUES ('9d1c3cf8-7a3d-4b29-9bd9-0e6b8a3d2a10', 'mercadopago', '77', '1', 'A-1', 40.5, 'ARS', false, 'ana', 'it broke')`,
		`INSERT INTO operator_actions (actor, action, target_kind, order_reference) VALUES ('ana', 'refund', 'order', 'A-1')`,
	},
	45: {`INSERT INTO operator_actions (actor, action, target_kind, target_id) VALUES ('ana', 'reopen', 'dead_letter', 1), ('ana', 'reopen', 'anomaly', 1)`},
	38: {`INSERT INTO operator_actions (actor, action, target_kind) VALUES ('cli:ana', 'restored', 'database')`},
	29: {
		`UPDATE webhook_archive SET payload = '', resource = NULL, remote_ip = NULL, emptied_at = now(), forgotten = true`,
		`UPDATE payments SET raw = '' WHERE payment_id = '77'`,
		`INSERT INTO forgotten_payers (hash) VALUES (sha256('a payer'))`,
		`INSERT INTO forgotten_payments (source, payment_id) VALUES ('mercadopago', '77')`,
		`INSERT INTO operator_actions (actor, action, target_kind, count) VALUES ('cli:ana', 'forget', 'payer', 1)`,
	},
	35: {
		`INSERT INTO order_events (position, type, order_reference, previous_status, cause, queue_id, order_log_id, body, created_at)
		 SELECT 1, 'order.paid', order_reference, 'pending', 'payment', queue_id, id, '{"type": "order.paid",  "data": {}}', changed_at
		 FROM order_logs WHERE cause = 'payment'`,
		`UPDATE order_feed SET position = 1`,
	},
	37: {
		`INSERT INTO delivery_receivers (name, position) VALUES ('order_events', 1)`,
		`INSERT INTO deliveries (receiver, stream, message_id, order_event_id, state, attempts, ended_at)
		 SELECT 'order_events', order_reference, id::text, id, 'delivered', 1, now() FROM order_events`,
		`INSERT INTO delivery_attempts (delivery_id, number, duration_ms, status, answer) SELECT id, 1, 12, 200, 'ok' FROM deliveries`,
		`INSERT INTO operator_actions (actor, action, target_kind, note) VALUES ('cli:ana', 'stop_receiver', 'receiver', 'order_events')`,
	},
	32: {`UPDATE processes SET not_accepted = 3`},
	34: {
		`INSERT INTO report_files (source, collector_id, name, sha256, bytes, imported_by, rows) VALUES ('mercadopago', '1', 'release.csv', sha256('a'), 1, 'cli:ana', 1)`,
		`INSERT INTO report_file_parts (file_id, content) SELECT id, 'a' FROM report_files`,
		`INSERT INTO account_movements (source, collector_id, currency, happened_at, source_id, record_type, description, credit, debit, ordinal, class, place, payout_id)
		 VALUES ('mercadopago', '1', 'ARS', '2026-01-02T03:04:05Z', '900', 'release', 'payout', 0, 150.05, 1, 'payout', 1, '900')`,
		`INSERT INTO report_rows (file_id, movement_id, row) SELECT f.id, m.id, 1 FROM report_files f, account_movements m`,
		`INSERT INTO account_balances (source, collector_id, currency, known_at, balance) VALUES ('mercadopago', '1', 'ARS', '2026-01-02', 150.05)`,
		`INSERT INTO account_chains (source, collector_id, currency) VALUES ('mercadopago', '1', 'ARS')`,
		`INSERT INTO payouts (id, movement_id, source, collector_id, currency, paid_at, amount, state, opening_balance, unexplained_amount, balance_kept)
		 SELECT '900', id, 'mercadopago', '1', 'ARS', happened_at, 150.05, 'explained', 150.05, 0, 0 FROM account_movements`,
	},
	41: {
		`INSERT INTO report_accounts (source, collector_id, mode) VALUES ('mercadopago', '', 'request')`,
		`INSERT INTO report_requests (source, collector_id, begin_at, end_at, asked_on) VALUES ('mercadopago', '', '2026-01-01', '2026-01-02', '2026-01-02')`,
		`INSERT INTO report_downloads (source, collector_id, name, file_id) SELECT 'mercadopago', '', 'release.csv', id FROM report_files`,
	},
	43: {
		`INSERT INTO account_movements (source, collector_id, currency, happened_at, source_id, record_type, description, credit, debit, ordinal, class, place)
		 VALUES ('mercadopago', '1', 'ARS', '2026-01-02T03:04:06Z', '901', 'release', 'withdrawal', 0, 1, 1, 'withdrawal', 1)`,
	},
	44: {`INSERT INTO river_job (id, args, kind, max_attempts, metadata) VALUES (944, '{"queue_id": 1}', 'webhook_payment', 7, '{"snoozes": 1}')`},
	48: {`UPDATE payments SET payer_email_hash = substr(sha256('ana@example.com'), 1, 16)`},
	51: {`UPDATE payments SET payment_method = 'visa', payment_type = 'credit_card'`},
	36: {`UPDATE payments SET fee_amount = 6.29, net_amount = 143.76, release_date = now(), release_status = 'pending', cost_read_at = fetched_at`},
	39: {`INSERT INTO anomalies (kind, payment_id) VALUES ('not_released', '77')`},
	19: {
		`INSERT INTO order_logs (order_reference, cause, status, paid_amount, refunded_amount, amount, currency, actor, reason)
		 VALUES ('A-1', 'amended', 'paid', 150.05, 0, 140, 'ARS', 'cli:ana', 'a discount')`,
		`INSERT INTO operator_actions (actor, action, target_kind, order_reference, note) VALUES ('cli:ana', 'amend_order', 'order', 'A-1', 'a discount')`,
	},
}

// filled are the empty tables that a step fills from others.
var filled = map[int64][]string{56: {"webhook_completed", "webhook_open"}}

func TestSteps_EachStepKeepsWhatIsThere(t *testing.T) {
	t.Parallel()
	pool := empty(t)
	migrateRiver(t, pool)
	steps, err := migrations.Status(t.Context(), pool)
	require.NoError(t, err)
	provider, closeProvider, err := migrations.OurProvider(pool)
	require.NoError(t, err)
	t.Cleanup(closeProvider)

	write := func(version int64) {
		for _, statement := range written[version] {
			exec(t, pool, statement)
		}
	}
	write(0)
	known := rows(t, pool)
	require.Len(t, known["river_job"], 2)
	for _, step := range steps {
		if step.Line != "conciliar" {
			continue
		}
		results, err := provider.UpTo(t.Context(), step.Version)
		require.NoError(t, err)
		require.Len(t, results, 1)

		after := rows(t, pool)
		for table, before := range known {
			if slices.Contains(filled[step.Version], table) {
				require.Empty(t, before)
				require.NotEmpty(t, after[table], "step %d and the rows of %s", step.Version, table)
				continue
			}
			require.Len(t, after[table], len(before), "step %d and the rows of %s", step.Version, table)
			for i := range before {
				require.Subset(t, after[table][i], before[i], "step %d and the rows of %s", step.Version, table)
			}
		}
		write(step.Version)
		known = rows(t, pool)
	}
	require.NoError(t, migrations.Up(t.Context(), pool, silent))
	requireCurrent(t, pool)
	require.Equal(t, known, rows(t, pool))

	for table, present := range known {
		require.NotEmpty(t, present, "every table has a row to lose; %s has none", table)
	}
}

// migrateRiver brings River's schema up.
func migrateRiver(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	migrateRiverIn(t, pool, storetest.Schema)
}

func migrateRiverIn(t *testing.T, pool *pgxpool.Pool, schema string) {
	t.Helper()
	exec(t, pool, `CREATE SCHEMA IF NOT EXISTS `+schema)
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: silent, Schema: schema})
	require.NoError(t, err)
	_, err = migrator.Migrate(t.Context(), rivermigrate.DirectionUp, nil)
	require.NoError(t, err)
}

// rows returns every row of every table but those that belong to the machinery,
// by column: a step may add columns.
func rows(t *testing.T, pool *pgxpool.Pool) map[string][]map[string]any {
	t.Helper()
	found, err := pool.Query(t.Context(), `SELECT tablename FROM pg_tables WHERE schemaname = current_schema()`)
	require.NoError(t, err)
	tables, err := pgx.CollectRows(found, pgx.RowTo[string])
	require.NoError(t, err)
	all := map[string][]map[string]any{}
	for _, table := range tables {
		if slices.Contains([]string{"conciliar_migrations", "river_migration", "river_leader", "river_notification", "river_queue"}, table) {
			continue
		}
		found, err := pool.Query(t.Context(), `SELECT to_jsonb(r) FROM `+pgx.Identifier{table}.Sanitize()+` r ORDER BY ctid`)
		require.NoError(t, err)
		all[table], err = pgx.CollectRows(found, pgx.RowTo[map[string]any])
		require.NoError(t, err)
	}
	return all
}
