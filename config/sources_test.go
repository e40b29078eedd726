package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/config"
)

// A sourcesFile is a SOURCES_FILE in a folder of its own.
type sourcesFile struct{ path string }

func newSourcesFile(tb testing.TB, content string) sourcesFile {
	tb.Helper()
	f := sourcesFile{filepath.Join(tb.TempDir(), "sources.yaml")}
	f.write(tb, content)
	return f
}

func (f sourcesFile) write(tb testing.TB, content string) {
	tb.Helper()
	require.NoError(tb, os.WriteFile(f.path, []byte(content), 0o600))
}

// watch needs nothing but the file and the secrets that it names.
func (f sourcesFile) watch(tb testing.TB, check func(config.Source) error) (*config.Watched[config.SourcesInUse], error) {
	tb.Helper()
	cfg, err := config.LoadSources([]string{
		"SOURCES_FILE=" + f.path, "GITHUB_WEBHOOK_SECRET=octocat signs with that", "OWN_SECRET=we sign with that ourselves", "SHORT=hunter2", "TOKEN=Bearer of the shop's token",
	})
	require.NoError(tb, err)
	return cfg.SourcesFile.Watch(check)
}

func sound(config.Source) error { return nil }

// A fieldError is what the check finds.
type fieldError struct{ field, problem string }

func (e *fieldError) Error() string { return e.field + ": " + e.problem }
func (e *fieldError) Field() string { return e.field }

func TestSourcesFile_DeclaresSendersAndNamesTheirSecrets(t *testing.T) {
	t.Parallel()
	f := newSourcesFile(t, `
version: 1
sources:
  - name: github
    verify: {scheme: github, secret_env: [GITHUB_WEBHOOK_SECRET]}
    id: {header: X-GitHub-Delivery}
    type: {header: X-GitHub-Event}
    time: {json: /created_at}
    forward: {url: "https://shop.example/x", headers: {X-Type: "{{.Type}}"}, headers_env: {Authorization: TOKEN}, body: "{{json .Body}}", accept: [200-299, 204], retry: [5s, 30s, 2m]}
  - name: own
    path: /shop/hook
    verify: {scheme: hmac, algorithm: sha256, encoding: hex, header: X-Sig, prefix: "sha256=", manifest: "{{.RawBody}}", secret_env: [OWN_SECRET, GITHUB_WEBHOOK_SECRET], tolerance: 5m}
  - {name: mercadopago, topics: [delivery], forward: {url: "https://shop.example/mp"}}
`)
	watched, err := f.watch(t, sound)
	require.NoError(t, err)
	sources := watched.Value().Sources
	tolerance := 5 * time.Minute
	require.Equal(t, []config.Source{
		{
			Name: "github", Path: "/hooks/github",
			Verify: config.SourceVerify{Scheme: "github", Secrets: []config.Secret{config.NewSecret("octocat signs with that")}},
			ID:     config.SourcePlace{Header: "X-GitHub-Delivery"}, Type: config.SourcePlace{Header: "X-GitHub-Event"}, Time: config.SourcePlace{JSON: "/created_at"},
			Forward: &config.SourceForward{
				URL: config.NewSecret("https://shop.example/x"), Headers: map[string]string{"X-Type": "{{.Type}}"}, Body: "{{json .Body}}", Accept: []string{"200-299", "204"},
				Credentials: map[string]config.Secret{"Authorization": config.NewSecret("Bearer of the shop's token")},
				Retry:       []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute},
			},
		},
		{
			Name: "own", Path: "/shop/hook",
			Verify: config.SourceVerify{
				Scheme: "hmac", Algorithm: "sha256", Encoding: "hex", Header: "X-Sig", Prefix: "sha256=", Manifest: "{{.RawBody}}", Tolerance: &tolerance,
				Secrets: []config.Secret{config.NewSecret("we sign with that ourselves"), config.NewSecret("octocat signs with that")},
			},
		},
		{Name: "mercadopago", Topics: []string{"delivery"}, Forward: &config.SourceForward{URL: config.NewSecret("https://shop.example/mp"), Credentials: map[string]config.Secret{}}},
	}, sources)

	f.write(t, "version: 1\nsources: [{nam: x}]")
	changed, err := watched.Reload()
	require.False(t, changed)
	require.ErrorContains(t, err, "line 2, column 12: unknown key nam")
	require.Len(t, watched.Value().Sources, 3, "the old file stays")
}

func TestSourcesFile_SaysWhereItIsWrongAndNotWithWhat(t *testing.T) {
	t.Parallel()
	const head = "version: 1\nsources:\n"
	const github = "  - name: github\n    verify: {scheme: github, secret_env: [GITHUB_WEBHOOK_SECRET]}\n"
	for content, want := range map[string]string{
		"sources: []\n":           "version must be 1",
		head + "  - verify: {}\n": "line 3, column 5: name must be 1 to 32 of a to z, 0 to 9 and -",
		head + "  - name: Git\n":  "line 3, column 11: name must be 1 to 32 of a to z, 0 to 9 and -",
		head + "  - name: a\n":    "line 3, column 5: needs verify",
		head + "  - name: a\n    verify: {scheme: github, secret: hunter2}\n":                      "line 4, column 30: unknown key secret",
		head + "  - name: a\n    verify: {scheme: github, secret_env: hunter2}\n":                  "line 4, column 42: must be a list",
		head + "  - name: a\n    verify: {scheme: github, secret_env: [HUNTER2]}\n":                "line 4, column 13: secret_env names a variable that is not set",
		head + "  - name: a\n    verify: {scheme: github, secret_file: [/hunter2]}\n":              "line 4, column 13: secret_file names a file that cannot be read: no such file or directory",
		head + "  - name: a\n    verify: {scheme: github, secret_env: [SHORT]}\n":                  "line 4, column 13: secret_env or secret_file has one that has fewer than 16 characters",
		head + "  - name: a\n    verify: {scheme: github, secret_env: [OWN_SECRET], tolerance: 5}": "line 4, column 67: must be a duration such as 90s, 2m or 7d",
		head + github + github:                                                                                     "line 5, column 11: this name is there already",
		head + github + "    path: /api/hook\n":                                                                    "line 5, column 11: path is one of the service's own",
		head + github + "    path: /hooks/../x\n":                                                                  "line 5, column 11: path must begin with a slash and be of letters, digits and . _ ~ -",
		head + github + "    path: hook\n":                                                                         "line 5, column 11: path must begin with a slash and be of letters, digits and . _ ~ -",
		head + github + "    topics: [a]\n":                                                                        "line 5, column 13: topics belongs to mercadopago",
		head + github + "    forward: {url: \"https://x.example\", retry: [hunter2]}\n":                            "line 5, column 48: must be durations such as 90s, 2m or 1d",
		head + github + "    forward: {url: \"https://x.example\", headers_env: {A: B}}\n":                         "line 5, column 54: headers_env names a variable that is not set",
		head + github + "    forward: {}\n":                                                                        "line 5, column 14: needs url, url_env or url_file, one of them",
		head + github + "    forward: {url: x, url_env: SHORT}\n":                                                  "line 5, column 14: needs url, url_env or url_file, one of them",
		head + github + "    forward: {url_env: ABSENT}\n":                                                         "line 5, column 14: url_env names a variable that is not set",
		head + github + "    forward: {url: \"http://x.example/hunter2\"}\n":                                       "line 5, column 20: url must be https; http needs ORDER_EVENTS_ALLOW_PRIVATE",
		head + github + "    id: {headr: X}\n":                                                                     "line 5, column 10: unknown key headr",
		head + github + "  - {name: b, path: /hooks/github, verify: {scheme: github, secret_env: [OWN_SECRET]}}\n": "line 5, column 21: another source has this path",
		head + "  - {name: mercadopago, path: /x, topics: [a], forward: {url: x}}\n":                               "line 3, column 5: mercadopago has topics and forward only",
		head + "  - {name: mercadopago, topics: [a]}\n":                                                            "line 3, column 5: mercadopago needs topics and forward",
	} {
		t.Run(content, func(t *testing.T) {
			t.Parallel()
			_, err := newSourcesFile(t, content).watch(t, sound)
			require.Equal(t, config.Problems{{Variable: "SOURCES_FILE", Text: want}}, problemsOf(t, err))
			require.NotContains(t, err.Error(), "unter2")
		})
	}
}

func TestSourcesFile_SaysWhereTheCheckFoundSomething(t *testing.T) {
	t.Parallel()
	f := newSourcesFile(t, `version: 1
sources:
  - name: a
    verify:
      scheme: hmac
      header: X-Sig
      secret_env: [OWN_SECRET]
    forward: {url: "https://shop.example", headers: {X-A: "{{.}}"}}
`)
	_, err := f.watch(t, func(config.Source) error {
		return errors.Join(
			&fieldError{"verify.header", "one"}, &fieldError{"verify.algorithm", "two"}, &fieldError{"forward.headers.X-A", "three"}, errors.New("four"))
	})
	require.Equal(t, config.Problems{
		{Variable: "SOURCES_FILE", Text: "line 6, column 15: verify.header: one"},
		{Variable: "SOURCES_FILE", Text: "line 5, column 7: verify.algorithm: two"},
		{Variable: "SOURCES_FILE", Text: "line 8, column 59: forward.headers.X-A: three"},
		{Variable: "SOURCES_FILE", Text: "line 3, column 5: four"},
	}, problemsOf(t, err))
}

func TestSourcesFile_WithoutOneThereAreNoSenders(t *testing.T) {
	t.Parallel()
	cfg, err := config.LoadSources(nil)
	require.NoError(t, err)
	watched, err := cfg.SourcesFile.Watch(sound)
	require.NoError(t, err)
	require.Equal(t, config.SourcesInUse{}, watched.Value())
}
