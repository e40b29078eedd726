package config_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/config"
)

func effective(t *testing.T, set map[string]string) map[string]string {
	t.Helper()
	cfg, err := config.Load(environ(set))
	require.NoError(t, err)
	settings := map[string]string{}
	for _, attr := range config.Effective(cfg) {
		settings[attr.Key] = attr.Value.String()
	}
	require.Len(t, settings, len(config.Variables()))
	return settings
}

func TestEffective_SaysWhatHoldsAndOfSecretsOnlyWhetherTheyAreSet(t *testing.T) {
	t.Parallel()
	got := effective(t, map[string]string{
		"STATUS_TOKENS": hidden, "ALERT_WEBHOOK_URL": "https://hooks.example.com/" + hidden, "RETENTION": "7d",
		"TRUSTED_PROXIES": "127.0.0.1,10.0.0.0/8", "MERCADOPAGO_LIVE_MODE": "live", "RETRY_SCHEDULE": "1m,1h",
	})
	for name, want := range map[string]string{
		"STATUS_TOKENS": "set", "ALERT_WEBHOOK_URL": "set", "DATABASE_URL": "set", "DATABASE_DIRECT_URL": "unset", "ORDER_EVENTS_SECRETS": "unset",
		"SOURCES_FILE": "unset", "MERCADOPAGO_COLLECTOR_ID": "unset", "MERCADOPAGO_LIVE_MODE": "live", "OTEL_EXPORTER_OTLP_ENDPOINT": "unset",
		"RETENTION": "168h0m0s", "RETRY_SCHEDULE": "1m0s,1h0m0s", "TRUSTED_PROXIES": "127.0.0.1/32,10.0.0.0/8", "SOURCE_IP_CIDRS": "unset",
		"MERCADOPAGO_BASE_URL": "https://api.mercadopago.com", "RECONCILE_SCHEDULE": "0 * * * *", "TIME_ZONE": "UTC", "LOG_LEVEL": "INFO",
		"ALLOW_UNSIGNED": "false", "WORKERS": "50", "REFUNDS": "disabled",
	} {
		require.Equal(t, want, got[name], name)
	}
	for name, value := range got {
		require.NotContains(t, value, hidden, name)
		require.NotContains(t, value, "db-password", name)
	}
}
