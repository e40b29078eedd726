package migrations_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store/storetest"
)

// Every column of these rows can be replaced, one at a time, and what stands
// here is accepted.
var rightRows = map[string][][2]string{
	"orders": {
		{"reference", `'A-1'`}, {"status", `'paid'`}, {"amount", `100`}, {"currency", `'ARS'`},
		{"paid_amount", `100`}, {"refunded_amount", `40.5`}, {"origin", `'merchant'`},
	},
	"payments": {
		{"source", `'mercadopago'`}, {"payment_id", `'77'`}, {"order_reference", `'A-1'`}, {"status", `'approved'`},
		{"amount", `100`}, {"refunded_amount", `140.5`}, {"currency", `'ARS'`}, {"live_mode", `true`}, {"shipping", `10`},
		{"date_last_updated", `now()`}, {"fetched_at", `now()`}, {"raw", `''`},
	},
	"payment_aliases": {
		{"source", `'mercadopago'`}, {"alias", `'PAY01'`}, {"payment_id", `'77'`}, {"provider_order_id", `'ORD01'`}, {"provider_order_topic", `'order'`},
		{"order_reference", `'A-1'`}, {"currency", `'ARS'`}, {"amount", `100`}, {"refunded_amount", `40.5`}, {"status", `'approved'`},
		{"live_mode", `true`}, {"provisional", `true`}, {"awaited", `true`}, {"fetched_at", `now()`}, {"looks", `0`},
	},
	"payment_logs": {
		{"source", `'mercadopago'`}, {"payment_id", `'logged'`}, {"order_reference", `'A-1'`}, {"status", `'approved'`},
		{"status_detail", `''`}, {"amount", `100`}, {"refunded_amount", `40.5`}, {"currency", `'ARS'`},
		{"date_last_updated", `now()`}, {"queue_id", `1`},
	},
	"order_logs": {
		{"order_reference", `'logged'`}, {"cause", `'payment'`}, {"status", `'paid'`}, {"paid_amount", `100`}, {"refunded_amount", `40.5`},
	},
	"anomalies": {
		{"kind", `'underpaid'`}, {"order_reference", `'A-1'`}, {"closed_at", `NULL`}, {"closed_by", `NULL`},
	},
	"webhook_queue": {
		{"source", `'mercadopago'`}, {"topic", `'payment'`}, {"payload", `''`}, {"origin", `'follow'`}, {"work", `'follow'`}, {"attempts", `0`},
		{"signed", `true`}, {"signature", `'\x01'`}, {"completed_at", `NULL`}, {"outcome", `NULL`},
	},
	"webhook_refused": {
		{"source", `'mercadopago'`}, {"reason", `'malformed'`}, {"method", `'POST'`}, {"body", `convert_to(repeat('x', 65536), 'UTF8')`},
	},
	"webhook_learned_sources": {
		{"source", `'mercadopago'`}, {"network", `'192.0.2.0/24'`}, {"deliveries", `1`}, {"last_seen_at", `now()`},
	},
	"webhook_dead_letter": {
		{"queue_id", `-1`}, {"reason", `'deleted'`}, {"state", `'open'`}, {"deaths", `1`},
	},
	"webhook_reconciliation_logs": {
		{"trigger", `'schedule'`}, {"status", `'succeeded'`}, {"finished_at", `now()`},
		{"window_start", `'2026-01-02'`}, {"window_end", `'2026-01-02'`}, {"scope", `'regular'`},
	},
	"webhook_reconciliation_findings": {
		{"run_id", `-1`}, {"kind", `'missing'`}, {"source", `'mercadopago'`}, {"payment_id", `'77'`},
	},
	"odd_payments": {
		{"queue_id", `-1`}, {"source", `'mercadopago'`}, {"payment_id", `'77'`}, {"order_reference", `'A-1'`}, {"fields", `'{amount}'`}, {"problem", `''`},
	},
	"chargebacks": {
		{"source", `'mercadopago'`}, {"chargeback_id", `'2170'`}, {"payment_ids", `'{77}'`}, {"amount", `10`}, {"fetched_at", `now()`}, {"fetch_mark", `1`},
	},
	"claims": {
		{"source", `'mercadopago'`}, {"claim_id", `'52'`}, {"payment_id", `'77'`}, {"provider_order_id", `NULL`}, {"order_reference", `'A-1'`},
		{"fetched_at", `now()`}, {"fetch_mark", `1`},
	},
	"report_files": {
		{"source", `'mercadopago'`}, {"collector_id", `'1'`}, {"name", `'release.csv'`}, {"sha256", `sha256('a')`}, {"bytes", `1`},
		{"imported_by", `'cli:ana'`}, {"begin_at", `'2026-01-02'`}, {"end_at", `'2026-01-02'`}, {"rows", `2`}, {"rows_booked", `2`}, {"new_movements", `1`},
	},
	"account_movements": {
		{"source", `'mercadopago'`}, {"collector_id", `'1'`}, {"currency", `'ARS'`}, {"happened_at", `'2026-01-02'`}, {"source_id", `'77'`},
		{"record_type", `'release'`}, {"description", `'payout'`}, {"credit", `10`}, {"debit", `12.5`}, {"ordinal", `1`}, {"class", `'payout'`},
		{"place", `1`}, {"payment_id", `'77'`}, {"order_reference", `'A-1'`},
	},
	"account_balances": {
		{"source", `'mercadopago'`}, {"collector_id", `'1'`}, {"currency", `'ARS'`}, {"known_at", `'2026-01-02'`}, {"balance", `-10.5`},
	},
	"account_chains": {
		{"source", `'mercadopago'`}, {"collector_id", `'1'`}, {"currency", `'ARS'`}, {"stale_from", `now()`}, {"stale_until", `now()`},
	},
	"payouts": {
		{"id", `'900'`}, {"movement_id", `-1`}, {"source", `'mercadopago'`}, {"collector_id", `'1'`}, {"currency", `'ARS'`}, {"paid_at", `now()`},
		{"amount", `10`}, {"state", `'explained'`}, {"opening_balance", `10`}, {"unexplained_amount", `0`}, {"balance_kept", `0`},
	},
	"webhook_accepted_hours": {
		{"began_at", `'2026-01-02'`}, {"source", `'mercadopago'`}, {"signed", `true`}, {"topic", `'payment'`}, {"events", `1`},
	},
	"operator_actions": {
		{"actor", `'cli:ana'`}, {"action", `'replay'`}, {"target_kind", `'event'`}, {"count", `0`},
	},
	"operator_sessions": {
		{"token_hash", `sha256('token')`}, {"password_mac", `sha256('mac')`}, {"expires_at", `now()`},
	},
	"webhook_bulk_replays": {
		{"state", `'done'`}, {"finished_at", `now()`}, {"filter", `'{}'`}, {"total", `2`}, {"replayed", `2`}, {"upper_id", `9`},
		{"requested_by", `'cli:ana'`},
	},
	"alert_watches": {
		{"code", `'dead_letters_open'`}, {"holds", `true`}, {"since", `now()`}, {"evaluations", `1`},
	},
	"alerts": {
		{"code", `'dead_letters_open'`}, {"opened_at", `'2026-01-02'`}, {"closed_at", `NULL`}, {"reminders", `0`},
	},
	"alert_messages": {
		{"body", `'{}'`}, {"attempts", `0`}, {"delivered_at", `now()`}, {"failed_at", `NULL`},
	},
	"refunds": {
		{"id", `'9d1c3cf8-7a3d-4b29-9bd9-0e6b8a3d2a10'`}, {"source", `'mercadopago'`}, {"payment_id", `'77'`}, {"collector_id", `'1'`},
		{"order_reference", `'A-1'`}, {"amount", `40.5`}, {"currency", `'ARS'`}, {"whole", `false`}, {"state", `'done'`}, {"requested_by", `'ana'`},
		{"note", `'it broke'`}, {"tries", `1`}, {"sent_at", `now()`}, {"ended_at", `now()`}, {"provider_id", `'1'`}, {"confirmed_amount", `40.5`}, {"reason", `''`},
	},
	"processes": {
		{"id", `'a'`}, {"host", `'host-1'`}, {"role", `'all'`}, {"version", `'v1'`}, {"pool_max", `10`}, {"pool_in_use", `1`},
	},
}

// insertion is the right row with one column, or none, replaced.
func insertion(table, column, value string) string {
	var names, values []string
	for _, c := range rightRows[table] {
		if c[0] == column {
			c[1] = value
		}
		names, values = append(names, c[0]), append(values, c[1])
	}
	return fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)", table, strings.Join(names, ", "), strings.Join(values, ", "))
}

func TestConstraints_RefuseWhatCannotBe(t *testing.T) {
	t.Parallel()
	const (
		checkViolation      = "23514"
		uniqueViolation     = "23505"
		foreignKeyViolation = "23503"
	)
	cases := map[string]struct {
		code   string
		values []string
	}{
		"orders.reference orders_reference_length":                {checkViolation, []string{`''`, `repeat('x', 65)`}},
		"orders.status orders_status_known":                       {checkViolation, []string{`'approved'`, `'Paid'`, `''`}},
		"orders.amount orders_amount_positive":                    {checkViolation, []string{`0`, `-0.01`, `'NaN'`, `'Infinity'`, `'-Infinity'`, `1e15`}},
		"orders.currency orders_currency_code":                    {checkViolation, []string{`'ars'`, `'AR'`, `'ARSS'`, `'AR1'`, `''`, `E'ARS\n'`, `' ARS'`}},
		"orders.paid_amount orders_paid_not_negative":             {checkViolation, []string{`-100`, `'NaN'`, `'Infinity'`, `1e15`}},
		"orders.refunded_amount orders_refunded_within_paid":      {checkViolation, []string{`100.01`, `-0.01`, `'NaN'`, `'Infinity'`}},
		"orders.origin orders_origin_known":                       {checkViolation, []string{`'webhook'`}},
		"payments.payment_id payments_id_present":                 {checkViolation, []string{`''`}},
		"payments.order_reference payments_reference_present":     {checkViolation, []string{`''`}},
		"payments.status payments_status_known":                   {checkViolation, []string{`'paid'`, `'Approved'`, `''`}},
		"payments.amount payments_amount_not_negative":            {checkViolation, []string{`-100`, `'NaN'`, `'Infinity'`, `1e15`}},
		"payments.refunded_amount payments_refunded_not_negative": {checkViolation, []string{`1e15`, `-0.01`, `'NaN'`, `'Infinity'`}},
		"payments.currency payments_currency_code":                {checkViolation, []string{`'ars'`, `'AR'`, `''`}},

		"payment_logs.status payment_logs_status_known":                   {checkViolation, []string{`'paid'`, `''`}},
		"payments.shipping payments_shipping_not_negative":                {checkViolation, []string{`-0.01`, `'NaN'`, `1e15`}},
		"payments.amount payments_money_has_amount":                       {checkViolation, []string{`NULL`}},
		"payments.currency payments_money_has_amount":                     {checkViolation, []string{`NULL`}},
		"payments.date_last_updated payments_dated":                       {checkViolation, []string{`NULL`}},
		"payment_logs.date_last_updated payment_logs_dated":               {checkViolation, []string{`NULL`}},
		"payment_logs.amount payment_logs_amount_not_negative":            {checkViolation, []string{`-100`, `'NaN'`, `1e15`}},
		"payment_logs.refunded_amount payment_logs_refunded_not_negative": {checkViolation, []string{`1e15`, `-0.01`, `'NaN'`}},
		"payment_logs.currency payment_logs_currency_code":                {checkViolation, []string{`'ars'`, `''`}},
		"payment_logs.payment_id payment_logs_payment_fkey":               {foreignKeyViolation, []string{`'nobody fetched this'`}},
		"order_logs.cause order_logs_cause_known":                         {checkViolation, []string{`'magic'`}},
		"order_logs.status order_logs_status_known":                       {checkViolation, []string{`'approved'`, `''`}},
		"order_logs.paid_amount order_logs_paid_not_negative":             {checkViolation, []string{`-100`, `'NaN'`, `1e15`}},
		"order_logs.refunded_amount order_logs_refunded_within_paid":      {checkViolation, []string{`100.01`, `-0.01`, `'NaN'`}},
		"order_logs.order_reference order_logs_order_reference_fkey":      {foreignKeyViolation, []string{`'nobody registered this'`}},

		"anomalies.kind anomalies_kind_known":                                                        {checkViolation, []string{`'odd'`}},
		"anomalies.order_reference anomalies_about_something":                                        {checkViolation, []string{`NULL`}},
		"anomalies.closed_at anomalies_closed_by_someone":                                            {checkViolation, []string{`now()`}},
		"anomalies.closed_by anomalies_closed_by_someone":                                            {checkViolation, []string{`'settlement'`}},
		"anomalies.kind anomalies_open_key":                                                          {uniqueViolation, []string{`'overpaid'`}},
		"webhook_queue.origin webhook_queue_origin_known":                                            {checkViolation, []string{`'elsewhere'`}},
		"webhook_queue.work webhook_queue_work_known":                                                {checkViolation, []string{`''`, `'settle'`}},
		"webhook_queue.attempts webhook_queue_attempts_not_negative":                                 {checkViolation, []string{`-1`}},
		"webhook_queue.signed webhook_queue_signature_when_signed":                                   {checkViolation, []string{`false`}},
		"webhook_queue.signature webhook_queue_signature_key":                                        {uniqueViolation, []string{`'\xff'`}},
		"webhook_queue.completed_at webhook_queue_ends_with_outcome":                                 {checkViolation, []string{`now()`}},
		"webhook_queue.outcome webhook_queue_ends_with_outcome":                                      {checkViolation, []string{`'settled'`}},
		"webhook_refused.body webhook_refused_body_bounded":                                          {checkViolation, []string{`convert_to(repeat('x', 65537), 'UTF8')`}},
		"webhook_learned_sources.deliveries webhook_learned_sources_deliveries_positive":             {checkViolation, []string{`0`, `-1`}},
		"webhook_learned_sources.last_seen_at webhook_learned_sources_seen_in_order":                 {checkViolation, []string{`'-infinity'`}},
		"webhook_dead_letter.reason webhook_dead_letter_reason_known":                                {checkViolation, []string{`'bored'`}},
		"webhook_dead_letter.state webhook_dead_letter_state_known":                                  {checkViolation, []string{`'ajar'`}},
		"webhook_dead_letter.deaths webhook_dead_letter_deaths_positive":                             {checkViolation, []string{`0`}},
		"webhook_dead_letter.queue_id webhook_dead_letter_event_key":                                 {uniqueViolation, []string{`-2`}},
		"webhook_dead_letter.queue_id webhook_dead_letter_queue_id_fkey":                             {foreignKeyViolation, []string{`404`}},
		"webhook_reconciliation_logs.trigger webhook_reconciliation_logs_trigger_known":              {checkViolation, []string{`'whim'`}},
		"webhook_reconciliation_logs.scope webhook_reconciliation_logs_scope_known":                  {checkViolation, []string{`'whole'`}},
		"webhook_reconciliation_findings.run_id webhook_reconciliation_findings_run_id_fkey":         {foreignKeyViolation, []string{`0`}},
		"webhook_reconciliation_findings.payment_id webhook_reconciliation_findings_payment_key":     {uniqueViolation, []string{`'found'`}},
		"webhook_reconciliation_findings.kind webhook_reconciliation_findings_kind_known":            {checkViolation, []string{`'lost'`}},
		"webhook_reconciliation_findings.source webhook_reconciliation_findings_payment_has_source":  {checkViolation, []string{`NULL`}},
		"webhook_reconciliation_findings.payment_id webhook_reconciliation_findings_about_something": {checkViolation, []string{`NULL`}},
		"webhook_reconciliation_logs.status webhook_reconciliation_logs_status_known":                {checkViolation, []string{`'lost'`}},
		"webhook_reconciliation_logs.status webhook_reconciliation_logs_ends":                        {checkViolation, []string{`'running'`}},
		"webhook_reconciliation_logs.finished_at webhook_reconciliation_logs_ends":                   {checkViolation, []string{`NULL`}},
		"odd_payments.order_reference odd_payments_reference_present":                                {checkViolation, []string{`''`}},
		"odd_payments.fields odd_payments_fields_named":                                              {checkViolation, []string{`'{}'`}},
		"odd_payments.queue_id odd_payments_queue_id_fkey":                                           {foreignKeyViolation, []string{`404`}},
		"operator_actions.actor operator_actions_actor_named":                                        {checkViolation, []string{`''`}},
		"operator_actions.action operator_actions_action_known":                                      {checkViolation, []string{`'ponder'`}},
		"operator_actions.target_kind operator_actions_target_known":                                 {checkViolation, []string{`'shop'`}},
		"operator_actions.target_kind operator_actions_order_named":                                  {checkViolation, []string{`'order'`}},
		"operator_actions.count operator_actions_count_not_negative":                                 {checkViolation, []string{`-1`}},
		"refunds.id refunds_key":                                                              {uniqueViolation, []string{`'11111111-1111-4111-8111-111111111111'`}},
		"refunds.payment_id refunds_payment_named":                                            {checkViolation, []string{`''`}},
		"refunds.order_reference refunds_payment_named":                                       {checkViolation, []string{`''`}},
		"refunds.amount refunds_amount_positive":                                              {checkViolation, []string{`0`, `-1`, `'NaN'`, `'Infinity'`}},
		"refunds.confirmed_amount refunds_confirmed_not_negative":                             {checkViolation, []string{`-1`, `'NaN'`, `'Infinity'`}},
		"refunds.state refunds_state_known":                                                   {checkViolation, []string{`'lost'`}},
		"refunds.ended_at refunds_end_whole":                                                  {checkViolation, []string{`NULL`}},
		"refunds.sent_at refunds_sent_whole":                                                  {checkViolation, []string{`NULL`}},
		"refunds.provider_id refunds_done_named":                                              {checkViolation, []string{`NULL`}},
		"refunds.state refunds_failed_reasoned":                                               {checkViolation, []string{`'failed'`}},
		"refunds.requested_by refunds_asked_for":                                              {checkViolation, []string{`''`}},
		"refunds.note refunds_asked_for":                                                      {checkViolation, []string{`''`}},
		"refunds.tries refunds_tries_not_negative":                                            {checkViolation, []string{`-1`}},
		"refunds.provider_id refunds_provider_key":                                            {uniqueViolation, []string{`'taken'`}},
		"operator_sessions.token_hash operator_sessions_token_key":                            {uniqueViolation, []string{`sha256('taken')`}},
		"operator_sessions.token_hash operator_sessions_hashes_whole":                         {checkViolation, []string{`'\xff'`, `''`}},
		"operator_sessions.password_mac operator_sessions_hashes_whole":                       {checkViolation, []string{`'\xff'`}},
		"webhook_bulk_replays.state webhook_bulk_replays_state_known":                         {checkViolation, []string{`'lost'`}},
		"webhook_bulk_replays.state webhook_bulk_replays_ends":                                {checkViolation, []string{`'running'`}},
		"chargebacks.amount chargebacks_amount_not_negative":                                  {checkViolation, []string{`-1`, `'NaN'`, `'Infinity'`, `1e15`}},
		"report_files.collector_id report_files_account_present":                              {checkViolation, []string{`''`}},
		"report_files.sha256 report_files_hash_whole":                                         {checkViolation, []string{`''`}},
		"report_files.sha256 report_files_content_key":                                        {uniqueViolation, []string{`sha256('taken')`}},
		"report_files.rows_booked report_files_within_rows":                                   {checkViolation, []string{`-1`, `3`, `0`}},
		"report_files.end_at report_files_period_forward":                                     {checkViolation, []string{`'2026-01-01'`}},
		"account_movements.class account_movements_class_known":                               {checkViolation, []string{`'gift'`}},
		"account_movements.credit account_movements_credit_not_negative":                      {checkViolation, []string{`-1`}},
		"account_movements.credit account_movements_payout_pays":                              {checkViolation, []string{`12.5`, `13`}},
		"account_movements.debit account_movements_debit_not_negative":                        {checkViolation, []string{`'NaN'`, `'Infinity'`, `1e15`}},
		"account_movements.currency account_movements_currency_code":                          {checkViolation, []string{`'ars'`, `''`}},
		"account_movements.ordinal account_movements_ordinal_positive":                        {checkViolation, []string{`0`}},
		"account_movements.place account_movements_ordinal_positive":                          {checkViolation, []string{`0`}},
		"account_movements.payment_id account_movements_payment_present":                      {checkViolation, []string{`''`}},
		"account_movements.order_reference account_movements_reference_present":               {checkViolation, []string{`''`}},
		"account_movements.source_id account_movements_row_key":                               {uniqueViolation, []string{`'taken'`}},
		"account_balances.balance account_balances_bounded":                                   {checkViolation, []string{`1e15`, `'NaN'`}},
		"account_chains.stale_from account_chains_stale_whole":                                {checkViolation, []string{`NULL`}},
		"payouts.id payouts_id_present":                                                       {checkViolation, []string{`''`}},
		"payouts.movement_id payouts_movement_id_fkey":                                        {foreignKeyViolation, []string{`404`}},
		"payouts.amount payouts_amount_positive":                                              {checkViolation, []string{`0`, `-1`, `'NaN'`}},
		"payouts.state payouts_state_known":                                                   {checkViolation, []string{`'lost'`}},
		"payouts.state payouts_explained_whole":                                               {checkViolation, []string{`'open'`}},
		"payouts.unexplained_amount payouts_explained_whole":                                  {checkViolation, []string{`1`}},
		"payouts.opening_balance payouts_balances_together":                                   {checkViolation, []string{`NULL`}},
		"claims.payment_id claims_about_one":                                                  {checkViolation, []string{`NULL`}},
		"claims.provider_order_id claims_about_one":                                           {checkViolation, []string{`'31'`}},
		"claims.order_reference claims_reference_present":                                     {checkViolation, []string{`''`}},
		"webhook_accepted_hours.events webhook_accepted_hours_positive":                       {checkViolation, []string{`0`}},
		"webhook_bulk_replays.finished_at webhook_bulk_replays_ends":                          {checkViolation, []string{`NULL`}},
		"webhook_bulk_replays.replayed webhook_bulk_replays_within_total":                     {checkViolation, []string{`-1`, `3`}},
		"alert_watches.code alert_watches_code_present":                                       {checkViolation, []string{`''`}},
		"alert_watches.evaluations alert_watches_evaluations_positive":                        {checkViolation, []string{`0`}},
		"alerts.code alerts_code_present":                                                     {checkViolation, []string{`''`}},
		"alerts.code alerts_open_key":                                                         {uniqueViolation, []string{`'db_pool_saturated'`}},
		"alerts.closed_at alerts_forward":                                                     {checkViolation, []string{`'2026-01-01'`}},
		"alerts.reminders alerts_reminders_not_negative":                                      {checkViolation, []string{`-1`}},
		"alert_messages.failed_at alert_messages_one_end":                                     {checkViolation, []string{`now()`}},
		"alert_messages.attempts alert_messages_attempts_not_negative":                        {checkViolation, []string{`-1`}},
		"processes.role processes_role_known":                                                 {checkViolation, []string{`'both'`}},
		"webhook_reconciliation_logs.window_start webhook_reconciliation_logs_window_forward": {checkViolation, []string{`'2026-01-03'`}},
	}
	tx := storetest.Tx(t)
	for _, statement := range []string{
		`INSERT INTO orders (reference, amount, currency) VALUES ('logged', 1, 'ARS')`,
		`INSERT INTO payments (source, payment_id, status, amount, currency, live_mode, date_last_updated, fetched_at, raw)
		 VALUES ('mercadopago', 'logged', 'approved', 1, 'ARS', true, now(), now(), '')`,
		`INSERT INTO webhook_queue (id, source, topic, payload, signed, signature) VALUES
		 (-1, 'mercadopago', 'payment', '', false, NULL), (-2, 'mercadopago', 'payment', '', true, '\xff')`,
		`INSERT INTO webhook_dead_letter (queue_id, reason) VALUES (-2, 'deleted')`,
		`INSERT INTO anomalies (kind, order_reference) VALUES ('overpaid', 'A-1')`,
		`INSERT INTO alerts (code, opened_at) VALUES ('db_pool_saturated', now())`,
		`INSERT INTO webhook_reconciliation_logs (id, trigger) OVERRIDING SYSTEM VALUE VALUES (-1, 'manual')`,
		`INSERT INTO webhook_reconciliation_findings (run_id, kind, source, payment_id) VALUES (-1, 'drift', 'mercadopago', 'found')`,
		`INSERT INTO operator_sessions (token_hash, password_mac, expires_at) VALUES (sha256('taken'), sha256('mac'), now())`,
		`INSERT INTO report_files (source, collector_id, name, sha256, bytes, imported_by, rows) VALUES ('mercadopago', '1', '', sha256('taken'), 1, '', 1)`,
		`INSERT INTO refunds (id, source, payment_id, collector_id, order_reference, amount, currency, whole, requested_by, note, provider_id)
		 VALUES ('11111111-1111-4111-8111-111111111111', 'mercadopago', '77', '1', 'A-1', 1, 'ARS', false, 'ana', 'why', 'taken')`,
		`INSERT INTO account_movements (id, source, collector_id, currency, happened_at, source_id, record_type, description, credit, debit, ordinal, class, place)
		 OVERRIDING SYSTEM VALUE VALUES (-1, 'mercadopago', '1', 'ARS', '2026-01-02', 'taken', 'release', 'payout', 10, 12.5, 1, 'payout', 1)`,
	} {
		_, err := tx.Exec(t.Context(), statement)
		require.NoError(t, err)
	}
	// insert undoes what it does.
	insert := func(statement string) error {
		savepoint, err := tx.Begin(t.Context())
		require.NoError(t, err)
		_, refusal := savepoint.Exec(t.Context(), statement)
		require.NoError(t, savepoint.Rollback(t.Context()))
		return refusal
	}
	for table := range rightRows {
		require.NoError(t, insert(insertion(table, "", "")), "the row of %s that is right", table)
	}
	for name, c := range cases {
		where, constraint, _ := strings.Cut(name, " ")
		table, column, _ := strings.Cut(where, ".")
		for _, value := range c.values {
			err := insert(insertion(table, column, value))

			var refused *pgconn.PgError
			require.ErrorAs(t, err, &refused, "%s: %s", name, value)
			require.Equal(t, constraint, refused.ConstraintName, "%s: %s: %s", name, value, refused.Message)
			require.Equal(t, c.code, refused.Code, "%s: %s", name, value)
		}
	}
}

// A delivery of another source may have the same signature, and a payment of
// another source the same id.
func TestConstraints_KeysAreBySource(t *testing.T) {
	t.Parallel()
	tx := storetest.Tx(t)
	for _, table := range []string{"webhook_queue", "payments"} {
		for _, source := range []string{`'mercadopago'`, `'another'`} {
			_, err := tx.Exec(t.Context(), insertion(table, "source", source))
			require.NoError(t, err)
		}
	}
}
