//go:build chaos

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store/storetest"
)

// A mutant is the product without one of its guards. A scenario must fail over
// it, or the suite doesn't see what the guard is for.
type mutant struct {
	// guard is what is taken out.
	guard string
	// statement takes it out of the scenario's database.
	statement string
	// edits take it out of the program.
	edits []edit
	// scenario is played, and must fail saying complaint, a regular expression.
	scenario, complaint string
	// patience is how long the scenario waits for what never comes.
	patience string
}

// An edit replaces one piece of a file, which must be there exactly once.
type edit struct{ file, old, new string }

func mutants() []mutant {
	return []mutant{
		{
			guard: "webhook_queue_signature_key", statement: `DROP INDEX webhook_queue_signature_key`,
			scenario: "duplicates", complaint: "answer 503",
		},
		{
			// The index stands behind the program's own question, whether a state is new:
			// either alone is enough here.
			guard: "payment_logs_state_key", statement: `ALTER TABLE payment_logs DROP CONSTRAINT payment_logs_state_key`,
			edits:    []edit{{"store/payment_save.go", "f.Payment.Supersedes(known.Payment) ||", "true ||"}},
			scenario: "redeliveries", complaint: "state_logged_once",
		},
		{
			guard: "anomalies_open_key", statement: `DROP INDEX anomalies_open_key`,
			scenario: "stale-answer", complaint: "internal",
		},
		{
			guard: "webhook_reconciliation_logs_running_key", statement: `DROP INDEX webhook_reconciliation_logs_running_key`,
			scenario: "reconcile-at-once", complaint: "the run never came to its end", patience: "8s",
		},
		{
			guard: "webhook_dead_letter_event_key", statement: `ALTER TABLE webhook_dead_letter DROP CONSTRAINT webhook_dead_letter_event_key`,
			scenario: "unknown-status", complaint: "no dead letter tells of it", patience: "8s",
		},
		{
			guard: "the trigger on jobs that end", statement: `DROP TRIGGER conciliar_job_ended ON river_job`,
			scenario: "unknown-status", complaint: "no dead letter tells of it", patience: "8s",
		},
		{
			guard: "the trigger on jobs that are deleted", statement: `DROP TRIGGER conciliar_job_deleted ON river_job`,
			scenario: "job-deleted", complaint: "no dead letter tells of it", patience: "8s",
		},
		{
			guard: "the fence of attempts",
			edits: []edit{{"store/event_attempt.go", "if !j.running || j.attempt != a.Number || !deref(j.at).Equal(a.At) {", "if !j.running && j.attempt < 0 {"}},
			// It waits for a rescue.
			scenario: "zombie", complaint: "the zombie ended another's attempt",
		},
		{
			guard:    "the check of the amount",
			edits:    []edit{{"store/order/settle.go", "case b.covers(b.net):", "case b.net.IsPositive():"}},
			scenario: "disorder", complaint: "Mercado Pago says partially_paid",
		},
		{
			guard:    "the order of a payment's states",
			edits:    []edit{{"store/order/payment.go", "return !p.Repeats(q) && p.compare(q) > 0", "return p.ID == q.ID"}},
			scenario: "stale-answer", complaint: "Mercado Pago says refunded",
		},
		{
			guard:    "durable commits",
			edits:    []edit{{"store/db_transaction.go", "WHERE current_setting('synchronous_commit') IN ('off', 'local')", "WHERE false"}},
			scenario: "restart-asynchronous", complaint: "events stay without an end|Mercado Pago says|was acknowledged", patience: "8s",
		},
		{
			guard: "the mark of a fetch, which no clock makes",
			edits: []edit{{
				"store/event_attempt.go", "AND p.fetch_mark >= q.id AND p.fetch_mark <= drawn.last_value", "AND p.fetched_at > q.received_at AND drawn.last_value > 0",
			}},
			scenario: "clock-back-hour", complaint: "Mercado Pago says refunded",
		},
		{
			guard:    "the known payment in place of its order's word",
			edits:    []edit{{"store/order/alias.go", `return a.PaymentID == "" && !a.Elsewhere && a.Provisional`, `return !a.Elsewhere && a.Provisional`}},
			scenario: "kill-provisional", complaint: "Mercado Pago says paid, 150 paid",
		},
		{
			// Either alone is enough for an order that is there.
			guard: "the locks of an order",
			edits: []edit{
				{"store/order_settle.go", "ref, lockSeedOrder); err", "ref, time.Now().UnixNano()); err"},
				{"store/order.go", "FROM orders WHERE reference = $1 FOR UPDATE", "FROM orders WHERE reference = $1"},
				{"store/order_settle_group_read.go", "hashtextextended(x.name, x.seed)", "hashtextextended(x.name || clock_timestamp(), x.seed)"},
				{"store/order_settle_group_read.go", "ORDER BY reference FOR UPDATE SKIP LOCKED", "ORDER BY reference"},
			},
			scenario: "both-sides", complaint: "Mercado Pago says partially_refunded",
		},
		{
			guard:    "a synchronous standby's word for each commit",
			edits:    []edit{{"store/db_transaction.go", "IN ('off', 'local')", "= 'off'"}},
			scenario: "promote-synchronous", complaint: "events stay without an end|Mercado Pago says|was acknowledged", patience: "8s",
		},
		{
			guard:    "the ids that a restore skips",
			edits:    []edit{{"store/restored.go", "highest + max(highest, restoreSkip)", "highest + 1"}},
			scenario: "restore-base-backup", complaint: "an id is given twice",
		},
		answeredTooSoon("disk-full"), answeredTooSoon("locked-table"),
		{
			guard:    "settings after the session's begin, behind a pooler",
			edits:    []edit{{"cmd/conciliar/pooler.go", `answer.Code == "08P01"`, `answer.Code == ""`}},
			scenario: "pooler-session", complaint: "unsupported startup parameter",
		},
		{
			guard:    "the direct address of the lock that says a process lives",
			edits:    []edit{{"store/process_lock.go", "pool: s.direct.Config()", "pool: s.pool.Config()"}},
			scenario: "pooler-transaction", complaint: "a dead process's lock lives on", patience: "8s",
		},
		{
			guard:    "a call that never reached Mercado Pago is tried again",
			edits:    []edit{{"jobs/provider/mercadopago/answer.go", "&provider.Error{Kind: provider.Unavailable, StatusCode: statusCode,", "&provider.Error{Kind: provider.Forbidden, StatusCode: 403,"}},
			scenario: "few-descriptors", complaint: `lost: (order|event \d+ died \(forbidden)`,
		},
		{
			guard:    "the word of a pool that is too small",
			edits:    []edit{{"cmd/conciliar/database.go", "} else if o.measured && int(cfg.MaxConns) < connections {", "} else if o.measured && int(cfg.MaxConns) < 0 {"}},
			scenario: "small-pool", complaint: "nobody was told",
		},
		{
			guard:    "the second try where the tables were replaced",
			edits:    []edit{{"store/db_transaction.go", "if !isReadOnly(err) && !isStalePlan(err) {", "if !isReadOnly(err) {"}},
			scenario: "restore-dump", complaint: "an old plan outlived the restore", patience: "20s",
		},
		{
			guard:    "the ids that a promotion skips",
			edits:    []edit{{"store/restored.go", "highest + max(highest, restoreSkip)", "highest + 1"}},
			scenario: "promote-asynchronous", complaint: "an id is given twice",
		},
	}
}

// answeredTooSoon is the product that answers 200 for what it could not write. Where
// something that it needs is taken away, nothing else keeps the promise.
func answeredTooSoon(scenario string) mutant {
	return mutant{
		guard:    "200 for what is written alone, " + scenario,
		edits:    []edit{{"store/event_inbox.go", `sub.err = fmt.Errorf("event not accepted: %w", err)`, `_ = fmt.Errorf("event not accepted: %w", err)`}},
		scenario: scenario, complaint: "Mercado Pago says|was acknowledged", patience: "8s",
	}
}

// TestChaos_MissesEveryGuard plays scenarios on the product without each of its
// guards, and is content when they fail.
func TestChaos_MissesEveryGuard(t *testing.T) {
	t.Parallel()
	if os.Getenv(spoilEnv) != "" || os.Getenv(binaryEnv) != "" {
		t.Fatal("a spoilt product cannot be spoilt once more")
	}
	for _, m := range mutants() {
		t.Run(m.guard, func(t *testing.T) {
			t.Parallel()
			self, err := os.Executable()
			require.NoError(t, err)
			cmd := exec.CommandContext(t.Context(), self, "-test.run", "^TestChaos_LosesNothing/^once$/^"+m.scenario+"$")
			cmd.Env = append(os.Environ(), longEnv+"=", writeEnv+"=", spoilEnv+"="+m.statement)
			if m.patience != "" {
				cmd.Env = append(cmd.Env, patienceEnv+"="+m.patience)
			}
			if m.edits != nil {
				cmd.Env = append(cmd.Env, binaryEnv+"="+spoiltBinary(t, m.edits))
			}
			out, err := cmd.CombinedOutput()
			require.Error(t, err, "without %s the scenario %s passes:\n%s", m.guard, m.scenario, out)
			require.Regexp(t, m.complaint, string(out), "the scenario fails, and not over its guard")
		})
	}
}

// spoiltBinary builds the program from edited copies of some of its files.
func spoiltBinary(t *testing.T, edits []edit) string {
	t.Helper()
	root, err := filepath.Abs("../../..")
	require.NoError(t, err)
	dir := t.TempDir()
	replaced := map[string]string{}
	for i, e := range edits {
		path := filepath.Join(root, filepath.FromSlash(e.file))
		source, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, 1, strings.Count(string(source), e.old), "%s has changed: the guard is not where it was", e.file)
		copied := filepath.Join(dir, fmt.Sprintf("%d.go", i))
		require.NoError(t, os.WriteFile(copied, []byte(strings.Replace(string(source), e.old, e.new, 1)), 0o600))
		replaced[path] = copied
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replaced})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600))
	binary := filepath.Join(dir, "conciliar")
	out, err := buildCommand(binary, "-overlay", filepath.Join(dir, "overlay.json")).CombinedOutput()
	require.NoError(t, err, string(out))
	return binary
}

// A wrongRow is one that a check must refuse.
type wrongRow struct{ check, statement string }

// right are rows that the database takes; a wrong one differs in one column.
func wrongRows() []wrongRow {
	order := func(check, column, value string) wrongRow {
		row := map[string]string{"reference": "'r'", "amount": "10", "currency": "'ARS'", "paid_amount": "0", "refunded_amount": "0", "status": "'pending'"}
		row[column] = value
		return wrongRow{check, insertOf("orders", row)}
	}
	payment := func(check, column, value string) wrongRow {
		row := map[string]string{
			"source": "'s'", "payment_id": "'1'", "status": "'approved'", "amount": "10", "refunded_amount": "0", "currency": "'ARS'",
			"live_mode": "true", "date_last_updated": "now()", "fetched_at": "now()", "raw": "''",
		}
		row[column] = value
		return wrongRow{check, insertOf("payments", row)}
	}
	event := func(check string, more map[string]string) wrongRow {
		row := map[string]string{"source": "'s'", "topic": "'payment'", "payload": "''"}
		for column, value := range more {
			row[column] = value
		}
		return wrongRow{check, insertOf("webhook_queue", row)}
	}
	return []wrongRow{
		order("orders_amount_positive", "amount", "'NaN'"),
		order("orders_amount_positive", "amount", "0"),
		order("orders_paid_not_negative", "paid_amount", "'Infinity'"),
		order("orders_refunded_within_paid", "refunded_amount", "1"),
		order("orders_status_known", "status", "'paid?'"),
		order("orders_currency_code", "currency", "'pesos'"),
		order("orders_reference_length", "reference", "''"),
		payment("payments_amount_not_negative", "amount", "-1"),
		payment("payments_refunded_not_negative", "refunded_amount", "-1"),
		payment("payments_status_known", "status", "'expropriated'"),
		payment("payments_currency_code", "currency", "''"),
		payment("payments_id_present", "payment_id", "''"),
		event("webhook_queue_ends_with_outcome", map[string]string{"completed_at": "now()"}),
		event("webhook_queue_origin_known", map[string]string{"origin": "'thin air'"}),
		event("webhook_queue_signature_when_signed", map[string]string{"signature": "'x'"}),
		event("webhook_queue_attempts_not_negative", map[string]string{"attempts": "-1"}),
		{"webhook_reconciliation_logs_ends", `INSERT INTO webhook_reconciliation_logs (trigger, status) VALUES ('manual', 'succeeded')`},
		{"webhook_reconciliation_logs_window_forward", `INSERT INTO webhook_reconciliation_logs (trigger, window_start, window_end) VALUES ('manual', now(), now() - interval '1 s')`},
		{"anomalies_closed_by_someone", `INSERT INTO anomalies (kind, order_reference, closed_at) VALUES ('underpaid', 'r', now())`},
		{"anomalies_about_something", `INSERT INTO anomalies (kind) VALUES ('underpaid')`},
	}
}

func insertOf(table string, row map[string]string) string {
	var columns, values []string
	for column, value := range row {
		columns, values = append(columns, column), append(values, value)
	}
	return "INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ") VALUES (" + strings.Join(values, ", ") + ")"
}

// The database refuses what cannot be, by the check that is there for it; and
// without the check nothing else does.
func TestChaos_NeedsItsChecks(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t)
	for _, wrong := range wrongRows() {
		refusedBy := func(prepare string) string {
			tx, err := pool.Begin(t.Context())
			require.NoError(t, err)
			defer func() { require.NoError(t, tx.Rollback(t.Context())) }()
			_, err = tx.Exec(t.Context(), prepare)
			require.NoError(t, err)
			_, err = tx.Exec(t.Context(), wrong.statement)
			if err == nil {
				return ""
			}
			var refused *pgconn.PgError
			require.ErrorAs(t, err, &refused)
			return refused.ConstraintName
		}
		require.Equal(t, wrong.check, refusedBy(""), wrong.statement)
		table := strings.Fields(strings.TrimPrefix(wrong.statement, "INSERT INTO "))[0]
		require.NotEqual(t, wrong.check, refusedBy("ALTER TABLE "+table+" DROP CONSTRAINT "+wrong.check), wrong.statement)
	}
}
