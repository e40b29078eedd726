package e2e

import (
	"context"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
)

// serverWithRoles starts a server of its own, since roles are for all databases, with
// the roles of deploy/postgresql/roles.sql. It returns its programs, and its database as
// who may do everything, and as a role.
func serverWithRoles(t *testing.T) (binaries, owner string, as func(role string) string) {
	t.Helper()
	server := ownPostgres(t)
	require.NoError(t, server.CreateDatabase(t.Context(), "shop"))
	owner = server.URL("shop")
	execSQL(t, owner, readDoc(t, "deploy/postgresql/roles.sql"))
	for _, role := range []string{"conciliar_migrate", "conciliar_serve", "conciliar_read", "conciliar_backup"} {
		execSQL(t, owner, `ALTER ROLE `+role+` PASSWORD '`+role+`-password'`)
	}
	return server.Binaries(), owner, func(role string) string {
		address, err := url.Parse(owner)
		require.NoError(t, err)
		address.User = url.UserPassword(role, role+"-password")
		return address.String()
	}
}

// The roles of deploy/postgresql/roles.sql have all that their work needs, and no more.
func TestRoles_AreEnoughAndNoMore(t *testing.T) {
	t.Parallel()
	binaries, owner, as := serverWithRoles(t)
	sim, provider := newProvider(t)
	environ := func(role string) []string { return environment(as(role), provider, nil) }
	run := func(role string, args ...string) {
		t.Helper()
		got := execute(t, environ(role), args...)
		require.Equal(t, exitDone, got.code, "%v: %s%s", args, got.out, got.err)
	}

	got := execute(t, environ("conciliar_serve"), "migrate")
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.err, "may not create anything in the schema conciliar")
	run("conciliar_migrate", "migrate")
	execSQL(t, owner, readDoc(t, "deploy/postgresql/roles.sql"))
	run("conciliar_migrate", "migrate", "--check")
	run("conciliar_serve", "migrate")

	p, service := serve(t, environ("conciliar_serve"))
	reader, err := pgx.Connect(t.Context(), as("conciliar_read"))
	require.NoError(t, err)
	defer func() { _ = reader.Close(context.WithoutCancel(t.Context())) }()
	_, err = reader.Exec(t.Context(), `LISTEN `+store.OrderChannel)
	require.NoError(t, err)
	buy(t, sim, service, "order-1")
	awaitBody(t, service+"/api/orders/order-1", ordersToken, `"status":"paid"`)
	heard, err := reader.WaitForNotification(t.Context())
	require.NoError(t, err)
	require.Equal(t, "order-1", heard.Payload)
	awaitBody(t, service+"/readyz", "", `"ready"`)
	for _, args := range [][]string{
		{"status"}, {"verify"}, {"reconcile"}, {"process-queue"}, {"events", "list"}, {"events", "replay", "1"},
		{"orders", "amend", "order-1", "--amount", "140", "--currency", "ARS", "--reason", "a discount"}, {"forget", "--email", "ana@example.com"},
	} {
		run("conciliar_serve", args...)
	}
	require.Equal(t, exitDone, p.stop())
	require.NotContains(t, p.err.String(), "permission denied")
	require.NotContains(t, p.err.String(), "must be owner")
	require.Zero(t, sessions(t, owner))
	run("conciliar_serve", "restored")

	var status string
	require.NoError(t, reader.QueryRow(t.Context(), `SELECT status FROM conciliar.orders WHERE reference = 'order-1'`).Scan(&status))
	require.Equal(t, "paid", status)
	for _, forbidden := range []string{
		`SELECT raw FROM conciliar.payments`, `SELECT token_hash FROM conciliar.operator_sessions`, `SELECT payload FROM conciliar.webhook_queue`,
		`UPDATE conciliar.orders SET status = 'paid'`, `INSERT INTO conciliar.orders (reference, amount, currency) VALUES ('x', 1, 'ARS')`,
		`CREATE TABLE conciliar.mine ()`,
	} {
		requireForbidden(t, as("conciliar_read"), forbidden)
	}
	execSQL(t, as("conciliar_serve"), `SELECT conciliar_summarize_anew('webhook_archive_received_idx', 0)`)
	requireBackup(t, binaries, as("conciliar_backup"))
	for _, forbidden := range []string{`UPDATE conciliar.orders SET status = 'paid'`, `SELECT nextval('conciliar.webhook_queue_id_seq')`} {
		requireForbidden(t, as("conciliar_backup"), forbidden)
	}
	for _, forbidden := range []string{
		`ALTER TABLE orders ADD COLUMN mine int`, `CREATE TABLE mine ()`, `ALTER TABLE payment_logs DISABLE TRIGGER ALL`, `DELETE FROM conciliar_migrations`,
		`TRUNCATE payments`, `DROP SCHEMA conciliar`, `SELECT brin_summarize_range('webhook_archive_received_idx', 0)`,
	} {
		requireForbidden(t, as("conciliar_serve"), forbidden)
	}
}

// requireBackup requires that the timer's unit makes a whole dump as a role.
func requireBackup(t *testing.T, binaries, address string) {
	t.Helper()
	withoutPassword, err := url.Parse(address)
	require.NoError(t, err)
	password, _ := withoutPassword.User.Password()
	withoutPassword.User = url.User(withoutPassword.User.Username())
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "sh", repositoryPath("deploy/backup/backup.sh"))
	cmd.Env = []string{"PATH=" + binaries + string(os.PathListSeparator) + os.Getenv("PATH"), "DATABASE_URL=" + withoutPassword.String(), "PGPASSWORD=" + password, "BACKUP_DIR=" + dir}
	got := outcomeOf(t, cmd)
	require.Equal(t, exitDone, got.code, got.err)
	require.Regexp(t, `^`+regexp.QuoteMeta(dir)+`/conciliar-\d{8}T\d{6}Z\.dump\n$`, got.out)
}

// requireForbidden requires that a role lacks the right to a statement.
func requireForbidden(t *testing.T, address, statement string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	_, err = conn.Exec(t.Context(), statement)
	var refused *pgconn.PgError
	require.ErrorAs(t, err, &refused, statement)
	require.Equal(t, "42501", refused.Code, "%s: %s", statement, refused.Message)
}
