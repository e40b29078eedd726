package config_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/config"
)

func TestMisspelt_IsRefusedAndNamesTheLikelyVariable(t *testing.T) {
	t.Parallel()
	for given, likely := range map[string]string{
		"MERCADOPAGO_COLECTOR_ID":           "MERCADOPAGO_COLLECTOR_ID",
		"MERCADOPAGO_LIVEMODE":              "MERCADOPAGO_LIVE_MODE",
		"MERCADOPAGO_LIVE":                  "",
		"mercadopago_live_mode":             "MERCADOPAGO_LIVE_MODE",
		"MERCADOPAGO_WEBHOOK_SECRET":        "MERCADOPAGO_WEBHOOK_SECRETS",
		"MERCADOPAGO_ACCESS_TOKEN_FLIE":     "MERCADOPAGO_ACCESS_TOKEN_FILE",
		"MERCADOPAGO_PUBLIC_KEY":            "",
		"MERCADOPAGO_":                      "",
		"WORKER":                            "WORKERS",
		"WORKRES":                           "WORKERS",
		"RETENTIONS":                        "RETENTION",
		"RETRY_SCHEDULES":                   "RETRY_SCHEDULE",
		"UNKNOWN_ORDERS":                    "UNKNOWN_ORDER",
		"DATABASE_ULR":                      "DATABASE_URL",
		"RECONCILE_TOKEN_FILE":              "RECONCILE_TOKENS_FILE",
		"STATUS_T0KENS":                     "STATUS_TOKENS",
		"OTEL_EXPORTER_OTLP_ENDPOINTS":      "OTEL_EXPORTER_OTLP_ENDPOINT",
		"OTEL_EXPORTER_OTLP_ENDPOINT_FILES": "OTEL_EXPORTER_OTLP_ENDPOINT_FILE",
	} {
		_, err := config.Load(append(environ(nil), given+"=hunter2"))
		problems := problemsOf(t, err)
		require.Len(t, problems, 1, given)
		require.Equal(t, given, problems[0].Variable)
		want := "is not a variable of Conciliar; did you mean " + likely + "? If not, unset it"
		if likely == "" {
			want = "is not a variable of Conciliar, and what begins with MERCADOPAGO_ has to be; unset it"
		}
		require.Equal(t, want, problems[0].Text, given)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func TestMisspelt_LeavesWhatBelongsToTheMachineAlone(t *testing.T) {
	t.Parallel()
	_, err := config.Load(append(environ(nil),
		"HOME=/root", "HOST=a", "HOSTNAME=a", "LANG=C", "LANGUAGE=es", "LC_ALL=C", "LOGNAME=root", "MAIL=x", "OLDPWD=/", "PATH=/usr/bin", "PORT=80",
		"PWD=/", "SHELL=/bin/sh", "SHLVL=1", "TERM=xterm", "TZ=UTC", "USER=root", "_=/usr/bin/env", "CI=true", "DEBUG=1", "EDITOR=vi", "NO_COLOR=1",
		"GODEBUG=x", "GOMAXPROCS=2", "GOMEMLIMIT=1GiB", "HTTP_PROXY=x", "HTTPS_PROXY=x", "NO_PROXY=x", "http_proxy=x", "SSL_CERT_FILE=/x", "SSL_CERT_DIR=/x",
		"PGHOST=x", "PGUSER=x", "PGPASSWORD=x", "DATABASE_HOST=x", "DB_URL=x", "ADDR=x", "LOG_FILE=x", "LOG_PATH=x", "WEB_CONCURRENCY=2",
		"INVOCATION_ID=x", "JOURNAL_STREAM=x", "NOTIFY_SOCKET=x", "LISTEN_FDS=1", "KUBERNETES_SERVICE_HOST=x", "KUBERNETES_PORT=x", "DOCKER_HOST=x",
		"OTEL_EXPORTER_OTLP_HEADERS=x", "OTEL_EXPORTER_OTLP_PROTOCOL=x", "OTEL_SERVICE_NAME=x", "OTEL_TRACES_SAMPLER=x", "AWS_REGION=x",
		// One that is empty counts as unset, whatever its name.
		"MERCADOPAGO_LIVEMODE=", "no equals sign", "=",
	))
	require.NoError(t, err)
}

// What the documentation calls the token that a client sends is one letter away
// from the list of those that the service takes.
func TestMisspelt_LetsTheTokenOfAClientStandBesideTheList(t *testing.T) {
	t.Parallel()
	one := []string{"ORDERS_TOKEN=orders-token-00001", "STATUS_TOKEN=status-token-0001"}
	_, err := config.Load(append(environ(nil), one...))
	require.NoError(t, err)

	_, err = config.Load(append(environ(map[string]string{"ORDERS_TOKENS": ""}), one...))
	require.Equal(t, config.Problems{
		{Variable: "ORDERS_TOKEN", Text: "is not a variable of Conciliar; did you mean ORDERS_TOKENS? If not, unset it"},
		{Variable: "ORDERS_TOKENS", Text: "is required"},
	}, problemsOf(t, err))
}

func TestMisspelt_IsToldByEveryCommandThatReadsTheEnvironment(t *testing.T) {
	t.Parallel()
	given := append(environ(nil), "MERCADOPAGO_LIVEMODE=live", "WORKER=9")
	for name, load := range map[string]func([]string) error{
		"all":      func(e []string) error { _, err := config.Load(e); return err },
		"database": func(e []string) error { _, err := config.LoadDatabase(e); return err },
		"verify":   func(e []string) error { _, err := config.LoadVerify(e); return err },
		"alerts":   func(e []string) error { _, err := config.LoadAlerts(e); return err },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var names []string
			for _, p := range problemsOf(t, load(slices.Clone(given))) {
				names = append(names, p.Variable)
			}
			require.Equal(t, []string{"MERCADOPAGO_LIVEMODE", "WORKER"}, names)
		})
	}
}
