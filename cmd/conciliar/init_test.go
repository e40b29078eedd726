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
