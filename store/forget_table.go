package store

// An erasure says what forgetting a payer does to a table. docs/privacy.md has a row
// for every column that could hold a word of a payer's, and a test holds both to the
// database's catalogue.
type erasure struct {
	table string
	// key are the columns of the primary key, a number when there is one without text.
	key     []string
	numeric bool
	// payment are the columns that name the payment a row is about: its source and its
	// id. Nil where a row is about none.
	payment []string
	// documents are whole foreign documents: they are emptied when the row is about a
	// payment of the payer's, or one of them names the payer. empty is how.
	// With address, remote_ip goes with them.
	documents []string
	address   bool
	empty     string
	// open is the condition on a row t that is not to be emptied yet, and defer what is
	// done instead; both empty where there is none.
	open, later string
	// words are texts and JSON in which what names the payer is replaced.
	words []string
	// named are texts that people wrote, or that the service goes by: they are told of and
	// not changed.
	named []string
}

// Emptied, Replaced and Named are what forgetting a payer does to a column.
const (
	Emptied  = "emptied"
	Replaced = "replaced"
	Named    = "named"
)

// openEvent is the condition on a row t of webhook_queue that has no end yet, or a
// dead letter that nobody closed.
const openEvent = `t.completed_at IS NULL AND NOT EXISTS (
	SELECT FROM webhook_dead_letter d WHERE d.queue_id = t.id AND d.state IN ('` + DeadLetterReplayed + `', '` + DeadLetterDismissed + `'))`

// erasures are all tables in which a payer may be named. An event is looked at in the
// queue before it is in the archive, so that none is missed that is being moved.
// payments come last: who the payer is, is found in them, also when it is done again
// after it was interrupted.
var erasures = []erasure{
	{
		table: "webhook_queue", key: []string{"id"}, numeric: true, payment: []string{"source", "resource_id"},
		documents: []string{"payload", "resource"}, address: true, empty: emptyEvent + `, forgotten = true`, open: openEvent, later: `forgotten = true`,
		words: []string{"query", "attempt_errors"},
	},
	{
		table: "webhook_archive", key: []string{"id"}, numeric: true, payment: []string{"source", "resource_id"},
		documents: []string{"payload", "resource"}, address: true, empty: emptyEvent + `, forgotten = true`, words: []string{"query", "attempt_errors"},
	},
	{
		table: "webhook_refused", key: []string{"id"}, numeric: true,
		documents: []string{"body"}, address: true, empty: `body = '', remote_ip = NULL`, words: []string{"query"},
	},
	{table: "report_file_parts", key: []string{"id"}, numeric: true, documents: []string{"content"}, empty: `content = ''`},
	{table: "account_movements", key: []string{"id"}, numeric: true, named: []string{"order_reference"}},
	{table: "webhook_dead_letter", key: []string{"id"}, numeric: true, words: []string{"error", "errors"}, named: []string{"note"}},
	{table: "odd_payments", key: []string{"queue_id"}, numeric: true, words: []string{"problem"}, named: []string{"order_reference"}},
	{table: "anomalies", key: []string{"id"}, numeric: true, words: []string{"detail"}, named: []string{"order_reference", "note"}},
	{table: "webhook_reconciliation_findings", key: []string{"id"}, numeric: true, words: []string{"detail"}, named: []string{"order_reference"}},
	{table: "webhook_reconciliation_logs", key: []string{"id"}, numeric: true, words: []string{"error"}, named: []string{"note"}},
	{table: "webhook_bulk_replays", key: []string{"id"}, numeric: true, words: []string{"filter"}},
	{table: "alerts", key: []string{"id"}, numeric: true, words: []string{"detail"}},
	{table: "alert_messages", key: []string{"id"}, numeric: true, words: []string{"body", "error"}},
	{table: "river_job", key: []string{"id"}, numeric: true, words: []string{"errors", "metadata"}},
	{table: "orders", key: []string{"reference"}, named: []string{"reference"}},
	{table: "order_logs", key: []string{"id"}, numeric: true, named: []string{"reason"}},
	{table: "order_events", key: []string{"id"}, numeric: true, words: []string{"body"}},
	{table: "deliveries", key: []string{"id"}, numeric: true, documents: []string{"body"}, empty: `body = NULL`, words: []string{"headers"}},
	{table: "delivery_attempts", key: []string{"id"}, numeric: true, words: []string{"error", "answer"}},
	{table: "payment_logs", key: []string{"id"}, numeric: true, named: []string{"order_reference"}},
	{table: "operator_actions", key: []string{"id"}, numeric: true, named: []string{"note"}},
	{table: "refunds", key: []string{"number"}, numeric: true, named: []string{"order_reference", "note"}},
	{
		table: "payments", key: []string{"source", "payment_id"}, payment: []string{"source", "payment_id"},
		documents: []string{"raw", "payer_email_hash"}, empty: `raw = '', payer_email_hash = NULL`, named: []string{"order_reference"},
	},
}
