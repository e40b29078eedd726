package main

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/config"
)

var updateExample = flag.Bool("update-example", false, "write deploy/conciliar.env.example")

// sourced is what a shell makes of a file of settings.
func sourced(t *testing.T, path string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-ec", `set -a; . "$0"; set +a; env -0`, path)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	out, err := cmd.Output()
	require.NoError(t, err)
	return slices.DeleteFunc(strings.Split(string(out), "\x00"), func(entry string) bool { return !strings.Contains(entry, "=") })
}

func TestInit_WritesWhatTheServiceStartsWith(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "conciliar.env")
	got := execute(t, nil, "init", "--simulator", "--file", path)
	require.Zero(t, got.code, got.err)
	require.Contains(t, got.out, "conciliar migrate")
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	cfg, err := config.Load(sourced(t, path))
	require.NoError(t, err)
	require.Equal(t, simulatorURL, cfg.BaseURL.String())

	got = execute(t, nil, "init", "--simulator", "--file", path)
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.err, "was left as it is")
	again, err := config.Load(sourced(t, path))
	require.NoError(t, err)
	require.Equal(t, cfg.OrdersTokens[0].Reveal(), again.OrdersTokens[0].Reveal())
}

// Who has not installed the program yet is told to call it as they did.
func TestInit_NamesTheProgramAsItWasCalled(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	std := stdio{in: strings.NewReader(""), out: &out, err: &out, program: "bin/conciliar"}
	require.Zero(t, run(t.Context(), []string{"init", "--simulator", "--file", filepath.Join(t.TempDir(), "conciliar.env")}, std))
	require.Contains(t, out.String(), "\n  bin/conciliar serve\n")
}

func TestInit_TakesTheProvidersCredentialsFromTheEnvironment(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "conciliar.env")
	got := execute(t, []string{
		"DATABASE_URL=postgres://conciliar@db/conciliar", "MERCADOPAGO_ACCESS_TOKEN=APP_USR-8f1e0d3c5b7a9642",
		"MERCADOPAGO_WEBHOOK_SECRETS=3f0c9a7e5d1b8642",
	}, "init", "--file", path)
	require.Zero(t, got.code, got.err)
	require.NotContains(t, got.out+got.err, "3f0c9a7e5d1b8642")
	cfg, err := config.Load(sourced(t, path))
	require.NoError(t, err)
	require.Equal(t, "APP_USR-8f1e0d3c5b7a9642", cfg.AccessToken.Reveal())
	require.Equal(t, "postgres://conciliar@db/conciliar", cfg.DatabaseURL.Reveal())
	require.Equal(t, "https://api.mercadopago.com", cfg.BaseURL.String())
}

// refusals are what the service refuses of each setting that a person gives to init,
// and what is said of it.
var refusals = map[string]map[string]string{
	"DATABASE_URL": {
		"mysql://root@db/shop":                               "must be a PostgreSQL address",
		"postgres://conciliar@db/conciliar?search_path=shop": "sets search_path",
		"postgres://it's@db/conciliar":                       "holds a quote",
	},
	"MERCADOPAGO_ACCESS_TOKEN":    {"APP_USR 8f1e": "has characters that no token has", "APP_USR-ñandú": "has characters that no token has"},
	"MERCADOPAGO_WEBHOOK_SECRETS": {"abc": "has a secret that", "3f0c9a7e5d1b8642,": "has an empty item", "aaaaaaaaaaaaaaaaaaaa": "has a secret that"},
	"MERCADOPAGO_BASE_URL":        {"127.0.0.1:9090": "must be"},
}

// What init writes, serve takes: for each setting, what serve refuses is refused before
// anything is written, by its name, and without the value.
func TestInit_RefusesWhatTheServiceRefuses(t *testing.T) {
	t.Parallel()
	given := map[string]string{
		"DATABASE_URL": "postgres://conciliar@db/conciliar", "MERCADOPAGO_ACCESS_TOKEN": "APP_USR-8f1e0d3c5b7a9642", "MERCADOPAGO_WEBHOOK_SECRETS": "3f0c9a7e5d1b8642",
	}
	for name, values := range refusals {
		for value, says := range values {
			args := []string{"init", "--file", filepath.Join(t.TempDir(), "conciliar.env")}
			environ := []string{name + "=" + value}
			for other, good := range given {
				if other != name {
					environ = append(environ, other+"="+good)
				}
			}
			if name == "MERCADOPAGO_BASE_URL" {
				args = append(args, "--simulator")
			}
			got := execute(t, environ, args...)
			require.Equal(t, exitUsage, got.code, "%s=%s", name, value)
			require.Contains(t, got.err, name)
			require.Contains(t, got.err, says)
			require.NotContains(t, got.err, value)
			require.NoFileExists(t, args[2])
		}
	}
	for _, c := range credentials {
		got := execute(t, []string{c.name + "=" + given[c.name]}, "init", "--file", filepath.Join(t.TempDir(), "conciliar.env"))
		require.Equal(t, exitUsage, got.code, "one of the two alone")
		require.Contains(t, got.err, ": is required")
	}
	// Every other setting that is written is made by init itself, or none.
	path := filepath.Join(t.TempDir(), "conciliar.env")
	require.Zero(t, execute(t, nil, "init", "--simulator", "--file", path).code)
	for _, entry := range sourced(t, path) {
		name, _, _ := strings.Cut(entry, "=")
		if i := slices.IndexFunc(config.Variables(), func(v config.Variable) bool { return v.Name == name }); i >= 0 && refusals[name] == nil {
			require.True(t, config.Variables()[i].Client() != "" || name == "OPERATOR_PASSWORD", "%s is written, and nothing is refused of it here", name)
		}
	}
}

// Secrets that stand in files stay there: the settings name them.
func TestInit_NamesTheFilesThatSecretsStandIn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	require.NoError(t, os.WriteFile(secret, []byte("3f0c9a7e5d1b8642\n"), 0o600))
	environ := []string{"MERCADOPAGO_ACCESS_TOKEN=APP_USR-8f1e0d3c5b7a9642", "MERCADOPAGO_WEBHOOK_SECRETS_FILE=" + secret}
	path := filepath.Join(dir, "conciliar.env")
	got := execute(t, environ, "init", "--file", path)
	require.Zero(t, got.code, got.err)
	require.NotContains(t, readFile(t, path), "3f0c9a7e5d1b8642")
	cfg, err := config.Load(sourced(t, path))
	require.NoError(t, err)
	require.Equal(t, []string{"3f0c9a7e5d1b8642"}, config.Reveal(cfg.WebhookSecrets))

	require.NoError(t, os.WriteFile(secret, []byte("abc"), 0o600))
	got = execute(t, environ, "init", "--file", filepath.Join(dir, "another.env"))
	require.Equal(t, exitUsage, got.code)
	require.Contains(t, got.err, "MERCADOPAGO_WEBHOOK_SECRETS: has a secret that")
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

// The example is what a person fills in by hand; every variable is in it, and what it
// holds for a secret is refused.
func TestInit_TheExampleIsWhatItWrites(t *testing.T) {
	t.Parallel()
	values := map[string]string{
		"DATABASE_URL":             "postgres://conciliar:change-me@localhost:5432/conciliar",
		"MERCADOPAGO_ACCESS_TOKEN": "change-me", "MERCADOPAGO_WEBHOOK_SECRETS": "change-me", "OPERATOR_PASSWORD": "change-me",
	}
	for _, v := range config.Variables() {
		if v.Client() != "" {
			values[v.Name] = "change-me"
		}
	}
	want, err := config.EnvFile(values)
	require.NoError(t, err)
	path := filepath.Join("..", "..", "deploy", "conciliar.env.example")
	if *updateExample {
		require.NoError(t, os.WriteFile(path, want, 0o600))
	}
	require.Equal(t, string(want), readDoc(t, "deploy/conciliar.env.example"), "go test ./cmd/conciliar -run TestInit -args -update-example")
	_, err = config.Load(sourced(t, path))
	for _, v := range config.Variables() {
		if v.Client() != "" || v.Name == "OPERATOR_PASSWORD" || v.Name == "MERCADOPAGO_WEBHOOK_SECRETS" {
			require.ErrorContains(t, err, v.Name+": has")
		}
	}
}
