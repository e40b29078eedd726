package config_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/config"
)

// A marketplace is an environment with a file of sellers.
type marketplace struct{ dir, path string }

func newMarketplace(tb testing.TB, content string) marketplace {
	tb.Helper()
	dir := tb.TempDir()
	m := marketplace{dir: dir, path: filepath.Join(dir, "sellers.yaml")}
	m.write(tb, "token", "APP_USR-ana\n")
	m.write(tb, "sellers.yaml", content)
	return m
}

func (m marketplace) write(tb testing.TB, name, content string) {
	tb.Helper()
	require.NoError(tb, os.WriteFile(filepath.Join(m.dir, name), []byte(content), 0o600))
}

func (m marketplace) watch(tb testing.TB) (*config.Watched[config.SellersInUse], error) {
	tb.Helper()
	cfg, err := config.Load(environ(map[string]string{
		"MERCADOPAGO_SELLERS_FILE": m.path, "MERCADOPAGO_COLLECTOR_ID": "1000", "BRUNO_TOKEN": "APP_USR-bruno", "SECRET_A": "ana signs with that", "SHORT": "ana signs", "SECRET_B": "ana signs with this",
		"BLANK": " ", "SPACED": " x",
	}))
	require.NoError(tb, err)
	return cfg.SellersFile.Watch()
}

func TestSellersFile_DeclaresSellersAndNamesTheirSecrets(t *testing.T) {
	t.Parallel()
	m := newMarketplace(t, "")
	m.write(t, "sellers.yaml", `
version: 1
sellers:
  - collector_id: 2001
    name: Ana
    access_token_file: `+filepath.Join(m.dir, "token")+`
    webhook_secrets_env: [SECRET_A, SECRET_B]
  - {collector_id: "2002", access_token_env: BRUNO_TOKEN}
`)
	watched, err := m.watch(t)
	require.NoError(t, err)
	sellers := watched.Value().Sellers
	require.Len(t, sellers, 2)
	require.Equal(t, []string{"2001", "Ana", "2002", "2002"}, []string{sellers[0].CollectorID, sellers[0].Name, sellers[1].CollectorID, sellers[1].Name})
	require.Equal(t, "APP_USR-ana", sellers[0].AccessToken.Reveal())
	require.Equal(t, []string{"ana signs with that", "ana signs with this"}, config.Reveal(sellers[0].WebhookSecrets))
	require.Equal(t, "APP_USR-bruno", sellers[1].AccessToken.Reveal())

	digest := watched.Value().Digest
	m.write(t, "token", "APP_USR-ana-2")
	changed, err := watched.Reload()
	require.NoError(t, err)
	require.True(t, changed, "a file that it names counts as well")
	require.Equal(t, "APP_USR-ana-2", watched.Value().Sellers[0].AccessToken.Reveal())
	require.Equal(t, digest, watched.Value().Digest, "which tells nothing of secrets")

	m.write(t, "sellers.yaml", "version: 1\nsellers: [{colector_id: 2}]")
	changed, err = watched.Reload()
	require.False(t, changed)
	require.ErrorContains(t, err, "line 2, column 12: unknown key colector_id")
	require.Len(t, watched.Value().Sellers, 2, "the old file stays")
}

func TestSellersFile_NeedsNoVersion(t *testing.T) {
	t.Parallel()
	m := newMarketplace(t, "sellers:\n  - {collector_id: 2002, access_token_env: BRUNO_TOKEN}\n")
	watched, err := m.watch(t)
	require.NoError(t, err)
	require.Equal(t, "2002", watched.Value().Sellers[0].CollectorID)
}

func TestSellersFile_SaysWhereItIsWrongAndNotWithWhat(t *testing.T) {
	t.Parallel()
	const head = "version: 1\nsellers:\n"
	for content, want := range map[string]string{
		"":                                "names a file that cannot be read: no such file or directory",
		"version: 2\n":                    "version must be 1",
		head + "  - collector_id: 2001\n": "line 3, column 5: needs access_token_env or access_token_file, one of the two",
		head + "  - {collector_id: 2001, access_token: APP_USR-hunter2}\n":                             "line 3, column 26: unknown key access_token",
		head + "  - {collector_id: 2001, access_token_env: APP_USR-hunter2}\n":                         "line 3, column 5: access_token_env names a variable that is not set",
		head + "  - {collector_id: 2001, access_token_file: APP_USR-hunter2}\n":                        "line 3, column 5: access_token_file names a file that cannot be read: no such file or directory",
		head + "  - {collector_id: 2001, access_token_env: BLANK}\n":                                   "line 3, column 5: access_token is blank",
		head + "  - {collector_id: ../7, access_token_env: BRUNO_TOKEN}\n":                             "line 3, column 5: collector_id must be the account's number",
		head + "  - {collector_id: 1000, access_token_env: BRUNO_TOKEN}\n":                             "line 3, column 5: this collector_id is there already, or is the main account's",
		head + "  - {collector_id: 7, access_token_env: BRUNO_TOKEN, name: a, name: b}\n":              "line 3, column 63: mapping key \"name\" already defined at line 3",
		head + "  - {collector_id: 7, access_token_env: BRUNO_TOKEN, webhook_secrets_env: hunter2}\n":  "line 3, column 75: must be a list",
		head + "  - {collector_id: 7, access_token_env: BRUNO_TOKEN, webhook_secrets_env: [SPACED]}\n": "line 3, column 5: webhook_secrets has white space around it",
		head + "  - {collector_id: 7, access_token_env: BRUNO_TOKEN, webhook_secrets_env: [SHORT]}\n":  "line 3, column 5: webhook_secrets has one that has fewer than 16 characters",
		"version: hunter2\n": "line 1, column 10: must be a whole number",
		"version: 1\n\tx":    "line 2, column 1: found a tab character that violates indentation",
	} {
		t.Run(content, func(t *testing.T) {
			t.Parallel()
			m := newMarketplace(t, content)
			if content == "" {
				m.path += ".absent"
			}
			_, err := m.watch(t)
			require.Equal(t, config.Problems{{Variable: "MERCADOPAGO_SELLERS_FILE", Text: want}}, problemsOf(t, err))
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
	m := newMarketplace(t, head+"  - {collector_id: 7, access_token_env: A}\n  - {collector_id: 8, access_token_env: B}\n")
	_, err := m.watch(t)
	require.Len(t, problemsOf(t, err), 2, "one line for each")
}

func TestSellersFile_WithoutOneThereAreNoSellers(t *testing.T) {
	t.Parallel()
	cfg, err := config.Load(environ(nil))
	require.NoError(t, err)
	watched, err := cfg.SellersFile.Watch()
	require.NoError(t, err)
	require.Equal(t, config.SellersInUse{}, watched.Value())
}
