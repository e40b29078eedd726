package config_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/config"
)

// fromFile reads a file of variables as its readers do.
func fromFile(content []byte) (environ []string) {
	for line := range strings.Lines(string(content)) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, _ := strings.Cut(line, "=")
		environ = append(environ, name+"="+strings.Trim(value, "'"))
	}
	return environ
}

func TestEnvFile_IsAConfiguration(t *testing.T) {
	t.Parallel()
	values := map[string]string{
		"DATABASE_URL":                "postgres://conciliar:a&b$c@db:5432/conciliar?sslmode=require",
		"MERCADOPAGO_ACCESS_TOKEN":    "APP_USR-8f1e0d3c5b7a9642",
		"MERCADOPAGO_WEBHOOK_SECRETS": "3f0c9a7e5d1b8642,7e5d1b86423f0c9a",
		"STATUS_TOKENS":               "a1b2c3d4e5f60718",
		"PROCESS_QUEUE_TOKENS":        "b1b2c3d4e5f60718",
		"RECONCILE_TOKENS":            "c1b2c3d4e5f60718",
		"ORDERS_TOKENS":               "d1b2c3d4e5f60718,e1b2c3d4e5f60718",
		"OPERATOR_PASSWORD":           "f1b2c3d4e5f60718",
	}
	content, err := config.EnvFile(values)
	require.NoError(t, err)
	environ := fromFile(content)
	cfg, err := config.Load(environ)
	require.NoError(t, err)
	require.Equal(t, values["DATABASE_URL"], cfg.DatabaseURL.Reveal())
	require.Len(t, cfg.OrdersTokens, 2)
	require.Contains(t, environ, "ORDERS_TOKEN=d1b2c3d4e5f60718", "a client sends one token")
	for _, v := range config.Variables() {
		require.Contains(t, string(content), v.Name+"=")
		require.Contains(t, string(content), "# "+v.Meaning+"\n")
	}
}

func TestEnvFile_RefusesWhatItsReadersWouldReadInDifferentWays(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"postgres://it's/db", "two\nlines"} {
		_, err := config.EnvFile(map[string]string{"DATABASE_URL": value})
		require.ErrorContains(t, err, "DATABASE_URL")
		require.NotContains(t, err.Error(), value)
	}
}
