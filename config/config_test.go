package config_test

import (
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/config"
)

// required is the least that Load accepts.
func required() map[string]string {
	return map[string]string{
		"DATABASE_URL":                "postgres://app:db-password@localhost:5432/conciliar",
		"MERCADOPAGO_ACCESS_TOKEN":    "APP_USR-1234-abcd",
		"MERCADOPAGO_WEBHOOK_SECRETS": "signing-secret-0001",
		"STATUS_TOKENS":               "status-token-0001",
		"PROCESS_QUEUE_TOKENS":        "process-token-0001",
		"RECONCILE_TOKENS":            "reconcile-token-01",
		"ORDERS_TOKENS":               "orders-token-00001",
		"OPERATOR_PASSWORD":           "correct horse battery",
	}
}

// environ is what is required, changed: an empty value takes a variable away.
func environ(changes map[string]string) []string {
	values := required()
	maps.Copy(values, changes)
	pairs := make([]string, 0, len(values))
	for name, value := range values {
		if value != "" {
			pairs = append(pairs, name+"="+value)
		}
	}
	return pairs
}

func TestConfig_TheDefaultsAreThoseOfTheInterface(t *testing.T) {
	t.Parallel()
	cfg, err := config.Load(environ(nil))
	require.NoError(t, err)

	require.Equal(t, config.DefaultSchema, cfg.DatabaseSchema)
	require.Equal(t, config.ListenAddr(":8080"), cfg.HTTPAddr)
	require.Equal(t, "https://api.mercadopago.com", cfg.BaseURL.String())
	require.Empty(t, cfg.CollectorID)
	require.Equal(t, config.LiveMode("any"), cfg.LiveMode)
	require.Equal(t, config.SourceIPMode("observe"), cfg.SourceIPMode)
	require.Empty(t, cfg.SourceIPCIDRs)
	require.Empty(t, cfg.TrustedProxies)
	require.False(t, cfg.AllowUnsigned)
	require.Zero(t, cfg.SignatureTolerance)
	require.Equal(t, minutes(1, 2, 4, 8, 16, 32), cfg.RetrySchedule)
	require.Equal(t, time.Minute, cfg.RetryBaseDelay)
	require.Equal(t, 7, cfg.RetryMaxAttempts)
	require.Equal(t, 30*time.Second, cfg.JobTimeout)
	require.Equal(t, 2*time.Minute, cfg.RescueAfter)
	require.Equal(t, 50, cfg.Workers)
	require.Equal(t, 20, cfg.ProviderRateLimit)
	require.Equal(t, 200, cfg.APIRateLimit)
	require.Equal(t, 20, cfg.UnverifiedRateLimit)
	require.Equal(t, config.UnknownOrder("wait"), cfg.UnknownOrder)
	require.Equal(t, "0 * * * *", cfg.ReconcileSchedule.String())
	require.Equal(t, 168*time.Hour, cfg.Retention)
	require.Equal(t, 90*24*time.Hour, cfg.PayloadRetention)
	require.Equal(t, time.UTC, cfg.TimeZone.Location)
	require.Empty(t, cfg.AlertWebhookURL.Reveal())
	require.Equal(t, slog.LevelInfo, cfg.LogLevel.Level)
	require.Equal(t, config.LogFormat("auto"), cfg.LogFormat)
}

func TestConfig_EveryVariableCanBeGiven(t *testing.T) {
	t.Parallel()
	cfg, err := config.Load(environ(map[string]string{
		"HTTP_ADDR":                   "127.0.0.1:0",
		"MERCADOPAGO_WEBHOOK_SECRETS": " first-secret-0001 , second-secret-001",
		"MERCADOPAGO_BASE_URL":        "http://127.0.0.1:9090/",
		"MERCADOPAGO_COLLECTOR_ID":    "190061234",
		"MERCADOPAGO_LIVE_MODE":       "live",
		"SOURCE_IP_MODE":              "enforce",
		"SOURCE_IP_CIDRS":             "203.0.113.0/24, 2001:db8::/32",
		"TRUSTED_PROXIES":             "10.0.0.0/8, 192.0.2.7,2001:db8::7",
		"ALLOW_UNSIGNED":              "true",
		"SIGNATURE_TOLERANCE":         "15m",
		"STATUS_TOKENS":               "status-token-0001,status-token-0002",
		"RETRY_BASE_DELAY":            "10s",
		"RETRY_MAX_ATTEMPTS":          "3",
		"JOB_TIMEOUT":                 "10s",
		"RESCUE_AFTER":                "11s",
		"WORKERS":                     "8",
		"PROVIDER_RATE_LIMIT":         "5",
		"API_RATE_LIMIT":              "6",
		"UNVERIFIED_RATE_LIMIT":       "7",
		"UNKNOWN_ORDER":               "create",
		"RECONCILE_SCHEDULE":          "*/15 * * * *",
		"RETENTION":                   "7d12h",
		"PAYLOAD_RETENTION":           "30d",
		"ALERT_WEBHOOK_URL":           "https://hooks.example.com/services/T0/B0/token",
		"TIME_ZONE":                   "America/Sao_Paulo",
		"LOG_LEVEL":                   "debug",
		"LOG_FORMAT":                  "json",
	}))
	require.NoError(t, err)

	require.Equal(t, "postgres://app:db-password@localhost:5432/conciliar", cfg.DatabaseURL.Reveal())
	require.Equal(t, config.ListenAddr("127.0.0.1:0"), cfg.HTTPAddr)
	require.Equal(t, "APP_USR-1234-abcd", cfg.AccessToken.Reveal())
	require.Equal(t, []string{"first-secret-0001", "second-secret-001"}, config.Reveal(cfg.WebhookSecrets))
	require.Equal(t, "http://127.0.0.1:9090", cfg.BaseURL.String())
	require.Equal(t, "190061234", cfg.CollectorID)
	require.Equal(t, config.LiveMode("live"), cfg.LiveMode)
	require.Equal(t, config.SourceIPMode("enforce"), cfg.SourceIPMode)
	require.Equal(t, []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("2001:db8::/32")}, cfg.SourceIPCIDRs)
	require.Equal(t, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.7/32"), netip.MustParsePrefix("2001:db8::7/128")}, cfg.TrustedProxies)
	require.True(t, cfg.AllowUnsigned)
	require.Equal(t, 15*time.Minute, cfg.SignatureTolerance)
	require.Equal(t, []string{"status-token-0001", "status-token-0002"}, config.Reveal(cfg.StatusTokens))
	require.Equal(t, []string{"process-token-0001"}, config.Reveal(cfg.ProcessQueueTokens))
	require.Equal(t, []string{"reconcile-token-01"}, config.Reveal(cfg.ReconcileTokens))
	require.Equal(t, []string{"orders-token-00001"}, config.Reveal(cfg.OrdersTokens))
	require.Equal(t, "correct horse battery", cfg.OperatorPassword.Reveal())
	require.Equal(t, []time.Duration{10 * time.Second, 20 * time.Second}, cfg.RetrySchedule)
	require.Equal(t, 10*time.Second, cfg.JobTimeout)
	require.Equal(t, 11*time.Second, cfg.RescueAfter)
	require.Equal(t, 8, cfg.Workers)
	require.Equal(t, []int{5, 6, 7}, []int{cfg.ProviderRateLimit, cfg.APIRateLimit, cfg.UnverifiedRateLimit})
	require.Equal(t, config.UnknownOrder("create"), cfg.UnknownOrder)
	require.Equal(t, "America/Sao_Paulo", cfg.TimeZone.String())
	quarter := cfg.ReconcileSchedule.Next(time.Date(2026, 3, 1, 10, 1, 0, 0, time.UTC))
	require.Equal(t, time.Date(2026, 3, 1, 10, 15, 0, 0, time.UTC), quarter.UTC())
	require.Equal(t, 180*time.Hour, cfg.Retention)
	require.Equal(t, 30*24*time.Hour, cfg.PayloadRetention)
	require.Equal(t, "https://hooks.example.com/services/T0/B0/token", cfg.AlertWebhookURL.Reveal())
	require.Equal(t, slog.LevelDebug, cfg.LogLevel.Level)
	require.Equal(t, config.LogFormat("json"), cfg.LogFormat)
}

func TestConfig_TheScheduleIsInUTC(t *testing.T) {
	t.Parallel()
	cfg, err := config.Load(environ(map[string]string{"RECONCILE_SCHEDULE": "30 3 * * *"}))
	require.NoError(t, err)
	west := time.FixedZone("", -4*60*60)
	next := cfg.ReconcileSchedule.Next(time.Date(2026, 3, 1, 0, 0, 0, 0, west))
	require.Equal(t, time.Date(2026, 3, 2, 3, 30, 0, 0, time.UTC), next.UTC())
}

// Each case is one wrong value, which the problem must name and never show.
func TestConfig_AWrongValueIsAProblemOfItsVariable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, value, text string }{
		{"DATABASE_URL", "postgres://app:hunter2@host:notaport/x", "must be a PostgreSQL address"},
		{"DATABASE_URL", "", "is required"},
		{"DATABASE_URL", "postgres://app@localhost/shop?search_path=books", "name the schema in DATABASE_SCHEMA"},
		{"DATABASE_SCHEMA", "Books", "must be a name of small letters"},
		{"DATABASE_SCHEMA", "books, public", "must be a name of small letters"},
		{"DATABASE_SCHEMA", strings.Repeat("a", 41), "must be a name of small letters"},
		{"DATABASE_SCHEMA", "pg_books", "is a schema of PostgreSQL's own"},
		{"DATABASE_DIRECT_URL", "postgres://app:hunter2@host:notaport/x", "must be a PostgreSQL address"},
		{"HTTP_ADDR", "9191", "must be an address"},
		{"HTTP_ADDR", ":70000", "must be an address"},
		{"HTTP_ADDR", "127.0.0.1:http", "must be an address"},
		{"MERCADOPAGO_ACCESS_TOKEN", "", "is required"},
		{"MERCADOPAGO_ACCESS_TOKEN", "two words", "has characters that no token has"},
		{"MERCADOPAGO_WEBHOOK_SECRETS", "", "is required"},
		{"MERCADOPAGO_WEBHOOK_SECRETS", "hunter2,,hunter3", "has an empty item in its list"},
		{"MERCADOPAGO_WEBHOOK_SECRETS", "hunter2,", "has an empty item in its list"},
		{"MERCADOPAGO_WEBHOOK_SECRETS", "   ", "has an empty item in its list"},
		{"MERCADOPAGO_BASE_URL", "http://api.example.com", "must be https"},
		{"MERCADOPAGO_BASE_URL", "http://127.0.0.1.example.com", "must be https"},
		{"MERCADOPAGO_BASE_URL", "http://10.0.0.1:9090", "must be https"},
		{"MERCADOPAGO_BASE_URL", "ftp://127.0.0.1", "must be a URL such as"},
		{"MERCADOPAGO_BASE_URL", "pay.example.org", "must be a URL such as"},
		{"MERCADOPAGO_BASE_URL", "https://user:hunter2@api.example.com", "without credentials"},
		{"MERCADOPAGO_BASE_URL", "https://api.example.com?access_token=hunter2", "without credentials"},
		{"MERCADOPAGO_COLLECTOR_ID", "shop-42", "must be an account number"},
		{"MERCADOPAGO_COLLECTOR_ID", "0042", "must be an account number"},
		{"MERCADOPAGO_COLLECTOR_ID", "-42", "must be an account number"},
		{"MERCADOPAGO_LIVE_MODE", "production", "must be any, live or test"},
		{"SOURCE_IP_MODE", "block", "must be off, observe or enforce"},
		{"SOURCE_IP_CIDRS", "203.0.113.0/33", "must be addresses or ranges"},
		{"SOURCE_IP_CIDRS", "fe80::1%eth0", "must be addresses or ranges"},
		{"SOURCE_IP_CIDRS", "203.0.113.0/24,", "has an empty item in its list"},
		{"TRUSTED_PROXIES", "proxy.example.com", "must be addresses or ranges"},
		{"ALLOW_UNSIGNED", "perhaps", "must be true or false"},
		{"SIGNATURE_TOLERANCE", "900", "must be a duration"},
		{"SIGNATURE_TOLERANCE", "-1s", "must not be negative"},
		{"STATUS_TOKENS", "", "is required"},
		{"PROCESS_QUEUE_TOKENS", "", "is required"},
		{"RECONCILE_TOKENS", "", "is required"},
		{"ORDERS_TOKENS", "", "is required"},
		{"STATUS_TOKENS", "fifteen-long-15", "has fewer than 16 characters"},
		{"PROCESS_QUEUE_TOKENS", "long-enough-token,short", "has fewer than 16 characters"},
		{"ORDERS_TOKENS", "a token with blanks", "a header cannot carry"},
		{"ORDERS_TOKENS", "a b", "a header cannot carry"},
		{"ORDERS_TOKENS", "contraseña-larga-1", "a header cannot carry"},
		{"ORDERS_TOKENS", "status-token-0001", "has a token that STATUS_TOKENS has too"},
		{"OPERATOR_PASSWORD", "", "is required"},
		{"OPERATOR_PASSWORD", "quince-letras-ñ", "has fewer than 16 characters"},
		{"OPERATOR_PASSWORD", "aaaaaaaaaaaaaaaa", "has only a few different characters"},
		{"OPERATOR_PASSWORD", "Correct-Horse Battery-Staple 1", "is an example"},
		{"STATUS_TOKENS", "1111111111111111", "has only a few different characters"},
		{"STATUS_TOKENS", "change-me-change-me", "is an example"},
		{"STATUS_TOKENS", "01234567890123456789", "is an example"},
		{"MERCADOPAGO_WEBHOOK_SECRETS", "x", "has fewer than 16 characters"},
		{"MERCADOPAGO_WEBHOOK_SECRETS", "secret-of-the-simulator", "is an example"},
		{"OPERATORS_FILE", "/nowhere/operators", "names a file that cannot be read"},
		{"TLS_CERT", "hunter2", "is set without TLS_KEY"},
		{"TLS_KEY", "hunter2", "is set without TLS_CERT"},
		{"RETRY_BASE_DELAY", "0s", "must be longer than 0s"},
		{"RETRY_BASE_DELAY", "25h", "must be at most 24h"},
		{"RETRY_MAX_ATTEMPTS", "0", "must be at least 1"},
		{"RETRY_MAX_ATTEMPTS", "101", "must be at most 100"},
		{"RETRY_MAX_ATTEMPTS", "7.5", "must be a whole number"},
		{"RETRY_MAX_ATTEMPTS", "2000000000", "must be at most 100"},
		{"RETRY_SCHEDULE", "1m,soon", "must be durations such as 90s, 2m or 1d, separated by commas"},
		{"RETRY_SCHEDULE", "1m,,2m", "has an empty item in its list"},
		{"RETRY_SCHEDULE", "1m,-5m", "has a wait that is not longer than 0s"},
		{"RETRY_SCHEDULE", "1m,33d", "has a wait of more than 32d"},
		{"RETRY_SCHEDULE", strings.Repeat("90s,", 99) + "90s", "at most 99 waits"},
		{"JOB_TIMEOUT", "-5s", "must be longer than 0s"},
		{"RESCUE_AFTER", "30s", "must be longer than JOB_TIMEOUT"},
		{"WORKERS", "0", "must be at least 1"},
		{"WORKERS", "1001", "must be at most 1000"},
		{"WORKERS", "many", "must be a whole number"},
		{"PROVIDER_RATE_LIMIT", "-1", "must be at least 1"},
		{"API_RATE_LIMIT", "0", "must be at least 1"},
		{"UNVERIFIED_RATE_LIMIT", "0", "must be at least 1"},
		{"UNKNOWN_ORDER", "guess", "must be wait, create or ignore"},
		{"RECONCILE_SCHEDULE", "every hour", "must be a cron expression of five fields"},
		{"RECONCILE_SCHEDULE", "0 0 * * * *", "must be a cron expression of five fields"},
		{"RECONCILE_SCHEDULE", "0 0 31 2 *", "for a time that exists"},
		{"RETENTION", "7 days", "must be a duration such as 90s, 2m or 7d"},
		{"RETENTION", "200000d", "must be a duration"},
		{"RETENTION", "0s", "must be longer than 0s"},
		{"PAYLOAD_RETENTION", "0s", "must be longer than 0s"},
		{"LOG_LEVEL", "loud", "must be debug, info, warn or error"},
		{"LOG_FORMAT", "xml", "must be auto, tint or json"},
	} {
		t.Run(c.name+" "+c.value, func(t *testing.T) {
			t.Parallel()
			_, err := config.Load(environ(map[string]string{c.name: c.value}))
			require.Len(t, problemsOf(t, err), 1, "%v", err)
			require.Contains(t, err.Error(), c.name+": ")
			require.Contains(t, err.Error(), c.text)
			for item := range strings.SplitSeq(c.value, ",") {
				if item = strings.TrimSpace(item); len(item) > 3 {
					require.NotContains(t, err.Error(), item)
				}
			}
		})
	}
}

func TestConfig_EnforcingNeedsRanges(t *testing.T) {
	t.Parallel()
	_, err := config.Load(environ(map[string]string{"SOURCE_IP_MODE": "enforce"}))
	require.Equal(t, config.Problems{{Variable: "SOURCE_IP_CIDRS", Text: "is required when SOURCE_IP_MODE is enforce"}}, problemsOf(t, err))
}

func TestConfig_ThePasswordIsNotAToken(t *testing.T) {
	t.Parallel()
	_, err := config.Load(environ(map[string]string{"OPERATOR_PASSWORD": "status-token-0001"}))
	require.Equal(t, config.Problems{{Variable: "STATUS_TOKENS", Text: "has a token that OPERATOR_PASSWORD has too"}}, problemsOf(t, err))
}

func TestConfig_ATokenMayStandTwiceInOneList(t *testing.T) {
	t.Parallel()
	_, err := config.Load(environ(map[string]string{"STATUS_TOKENS": "status-token-0001,status-token-0001"}))
	require.NoError(t, err)
}

func TestConfig_HTTPIsFineOnLoopbackAddresses(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"http://127.0.0.1:9090", "http://localhost:9090", "http://[::1]:9090", "http://127.9.9.9"} {
		cfg, err := config.Load(environ(map[string]string{"MERCADOPAGO_BASE_URL": url}))
		require.NoError(t, err, url)
		require.Equal(t, url, cfg.BaseURL.String())
	}
}

func TestConfig_ReportsAllProblemsOneLineForEach(t *testing.T) {
	t.Parallel()
	_, err := config.Load([]string{
		"STATUS_TOKENS=short", "ORDERS_TOKENS=,", "WORKERS=many", "JOB_TIMEOUT=soon", "LOG_LEVEL=loud", "SOURCE_IP_MODE=enforce",
	})
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, len(problemsOf(t, err)))
	var names []string
	for _, line := range lines {
		name, text, found := strings.Cut(line, ": ")
		require.True(t, found, line)
		require.NotEmpty(t, text)
		names = append(names, name)
	}
	require.Equal(t, []string{
		"DATABASE_URL", "JOB_TIMEOUT", "LOG_LEVEL", "MERCADOPAGO_ACCESS_TOKEN", "MERCADOPAGO_WEBHOOK_SECRETS", "OPERATOR_PASSWORD", "ORDERS_TOKENS",
		"PROCESS_QUEUE_TOKENS", "RECONCILE_TOKENS", "SOURCE_IP_CIDRS", "STATUS_TOKENS", "WORKERS",
	}, names)
}

func TestConfig_EveryVariableCanComeFromAFile(t *testing.T) {
	t.Parallel()
	file := func(content string) string {
		path := filepath.Join(t.TempDir(), "value")
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	values := required()
	values["WORKERS"], values["LOG_LEVEL"], values["TRUSTED_PROXIES"] = "8", "warn", "10.0.0.0/8"
	var pairs []string
	for name, value := range values {
		pairs = append(pairs, name+"_FILE="+file(value+"\r\n"))
	}
	cfg, err := config.Load(pairs)
	require.NoError(t, err)
	require.Equal(t, "signing-secret-0001", cfg.WebhookSecrets[0].Reveal())
	require.Equal(t, "APP_USR-1234-abcd", cfg.AccessToken.Reveal())
	require.Equal(t, 8, cfg.Workers)
	require.Equal(t, slog.LevelWarn, cfg.LogLevel.Level)

	t.Run("not together with the value", func(t *testing.T) {
		t.Parallel()
		_, err := config.Load(environ(map[string]string{"STATUS_TOKENS_FILE": file("status-token-0002")}))
		require.Equal(t, config.Problems{{Variable: "STATUS_TOKENS", Text: "is given twice, directly and by STATUS_TOKENS_FILE"}}, problemsOf(t, err))
	})
	t.Run("not from a file that cannot be read, whose name may be the secret", func(t *testing.T) {
		t.Parallel()
		_, err := config.Load(environ(map[string]string{"MERCADOPAGO_ACCESS_TOKEN": "", "MERCADOPAGO_ACCESS_TOKEN_FILE": "APP_USR-1234-abcd"}))
		require.Len(t, problemsOf(t, err), 1)
		require.Contains(t, err.Error(), "MERCADOPAGO_ACCESS_TOKEN: MERCADOPAGO_ACCESS_TOKEN_FILE names a file that cannot be read")
		require.NotContains(t, err.Error(), "APP_USR")
	})
	t.Run("not from an empty file", func(t *testing.T) {
		t.Parallel()
		_, err := config.Load(environ(map[string]string{"MERCADOPAGO_ACCESS_TOKEN": "", "MERCADOPAGO_ACCESS_TOKEN_FILE": file("\n")}))
		require.Equal(t, config.Problems{{Variable: "MERCADOPAGO_ACCESS_TOKEN", Text: "is required"}}, problemsOf(t, err))
	})
}

func problemsOf(t *testing.T, err error) config.Problems {
	t.Helper()
	var problems config.Problems
	require.ErrorAs(t, err, &problems)
	return problems
}

func TestConfig_OrderEventsNeedASecretAndHTTPS(t *testing.T) {
	t.Parallel()
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	cfg, err := config.Load(environ(map[string]string{
		"ORDER_EVENTS_URL": "https://shop.example.com/hooks?key=hidden", "ORDER_EVENTS_SECRETS": secret + "," + secret,
	}))
	require.NoError(t, err)
	require.Equal(t, "https://shop.example.com/hooks?key=hidden", cfg.OrderEventsURL.Reveal())
	require.Len(t, cfg.OrderEventsSecrets, 2)
	_, err = config.Load(environ(map[string]string{
		"ORDER_EVENTS_URL": "http://127.0.0.1:9000/", "ORDER_EVENTS_SECRETS": secret, "ORDER_EVENTS_ALLOW_PRIVATE": "true",
	}))
	require.NoError(t, err)
	for _, c := range []struct{ url, secrets, variable string }{
		{"https://shop.example.com", "", "ORDER_EVENTS_SECRETS"},
		{"https://shop.example.com", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "ORDER_EVENTS_SECRETS"},
		{"https://shop.example.com", "whsec_%%%hidden", "ORDER_EVENTS_SECRETS"},
		{"https://shop.example.com", "whsec_aGlkZGVu", "ORDER_EVENTS_SECRETS"},
		{"http://shop.example.com/hidden", secret, "ORDER_EVENTS_URL"},
		{"https://user:hidden@shop.example.com", secret, "ORDER_EVENTS_URL"},
		{"https://shop.example.com/#hidden", secret, "ORDER_EVENTS_URL"},
		{"shop.example.com/hidden", secret, "ORDER_EVENTS_URL"},
		{"https:///hidden", secret, "ORDER_EVENTS_URL"},
	} {
		_, err := config.Load(environ(map[string]string{"ORDER_EVENTS_URL": c.url, "ORDER_EVENTS_SECRETS": c.secrets}))
		require.ErrorContains(t, err, c.variable, "%v", c)
		require.NotContains(t, err.Error(), "hidden")
	}
}
