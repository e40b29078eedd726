package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider/mercadopago"
)

// What signs reads its secret as the service does: directly, from a file, the first of a
// list; a flag goes first, and then the file is not looked at.
func TestSimulate_ReadsSecretsAsTheServiceDoes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "secrets")
	require.NoError(t, os.WriteFile(file, []byte("first-secret-in-file, second\n"), 0o600))
	signs := func(secret string, environ []string, flags ...string) {
		t.Helper()
		got := execute(t, environ, append([]string{"simulate", "sign", "--id", "123", "--header-only"}, flags...)...)
		require.Zero(t, got.code, got.err)
		headers := map[string]string{}
		for line := range strings.Lines(got.out) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
			headers[name] = value
		}
		ts, _, _ := strings.Cut(strings.TrimPrefix(headers["x-signature"], "ts="), ",")
		require.Equal(t, mercadopago.Sign(secret, "123", headers["x-request-id"], ts), headers["x-signature"])
	}
	signs("direct-secret", []string{"MERCADOPAGO_WEBHOOK_SECRETS=direct-secret,another"})
	signs("first-secret-in-file", []string{"MERCADOPAGO_WEBHOOK_SECRETS_FILE=" + file})
	// What dev prints for pasting: a client's variables alone.
	signs("by-flag", []string{"ORDERS_TOKEN=a", "STATUS_TOKEN=b", "PROCESS_QUEUE_TOKEN=c", "RECONCILE_TOKEN=d"}, "--secret", "by-flag")
	signs("by-flag", []string{"MERCADOPAGO_WEBHOOK_SECRETS_FILE=" + filepath.Join(dir, "none")}, "--secret", "by-flag")

	for _, environ := range [][]string{
		{"MERCADOPAGO_WEBHOOK_SECRETS_FILE=" + filepath.Join(dir, "none")},
		{"MERCADOPAGO_WEBHOOK_SECRETS_FILE=" + file, "MERCADOPAGO_WEBHOOK_SECRETS=direct-secret"},
	} {
		for _, args := range [][]string{{"simulate", "sign", "--id", "123"}, {"simulate", "--count", "0", "--exit"}} {
			got := execute(t, environ, args...)
			require.Equal(t, exitUsage, got.code)
			require.Contains(t, got.err, "MERCADOPAGO_WEBHOOK_SECRETS: ")
		}
	}
	// A client's variable is one of its own here.
	got := execute(t, []string{"ORDERS_TOKEN=a-shops-token", "ORDERS_TOKEN_FILE=" + filepath.Join(dir, "none"), "MERCADOPAGO_WEBHOOK_SECRETS=direct-secret"}, "simulate", "--count", "0", "--exit")
	require.Equal(t, exitUsage, got.code)
	require.Contains(t, got.err, "ORDERS_TOKEN: is given twice")
}
