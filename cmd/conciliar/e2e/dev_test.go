package e2e

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store/localpg"
)

func TestDev_ShowsOrdersTurningPaidAndLeavesNothing(t *testing.T) {
	t.Parallel()
	r := startDev(t, "--http", "127.0.0.1:0")
	service := r.out.await(t, `service +(http://\S+)`)[1]
	database := r.out.await(t, `database +(postgres://\S+)`)[1]
	demo := r.out.await(t, `Order (demo-\S+) waits`)[1]
	token := r.out.await(t, `ORDERS_TOKEN=(\S+)\n`)[1]
	password := r.out.await(t, `log in with the password\n +(\S+)\n`)[1]
	curl := r.out.await(t, `(?s)This one does:\n +(curl .*?)\n\n`)[1]
	r.out.await(t, `order shop-\S+ +paid +\d+\.\d\d ARS`)

	// A reconciliation leaves the demo's order to the reader.
	run, err := http.NewRequestWithContext(t.Context(), http.MethodPost, service+"/api/webhooks/reconcile?wait=30s", nil)
	require.NoError(t, err)
	run.Header.Set("Authorization", "Bearer "+r.out.await(t, `RECONCILE_TOKEN=(\S+)`)[1])
	_, ended, err := answerTo(run)
	require.NoError(t, err)
	require.Contains(t, ended, `"status":"succeeded"`)

	// What it tells people to do turns the order paid.
	url := service + "/api/orders/" + demo
	_, before := get(t, url, token)
	require.Contains(t, before, `"payments":[]`)
	resp, err := http.DefaultClient.Do(requestOf(t, curl))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
	awaitBody(t, url, token, `"status":"paid"`)
	r.out.await(t, `order `+demo+` +paid +150\.00 ARS`)

	require.Equal(t, http.StatusOK, newOperator(t, service).logIn(t, password).StatusCode, "the password that it prints opens the dashboard")

	require.Equal(t, exitDone, r.stop())
	require.Regexp(t, `\nstopped\n$`, r.out.String())
	require.Empty(t, r.err.String())
	_, err = pgx.Connect(t.Context(), database)
	require.Error(t, err, "the database must be gone")
}

func TestDev_KeepsItsDataWhenAsked(t *testing.T) {
	t.Parallel()
	data := filepath.Join(enterableDir(t), "kept")
	first := startDev(t, "--http", "127.0.0.1:0", "--data", data)
	bought := first.out.await(t, `order (shop-\S+) +paid`)[1]
	require.Equal(t, exitDone, first.stop())

	second := startDev(t, "--http", "127.0.0.1:0", "--data", data)
	service := second.out.await(t, `service +(http://\S+)`)[1]
	token := second.out.await(t, `ORDERS_TOKEN=(\S+)\n`)[1]
	status, body := get(t, service+"/api/orders/"+bought, token)
	require.Equal(t, http.StatusOK, status, body)
	second.out.await(t, `order shop-\S+ +paid`)
	require.Equal(t, exitDone, second.stop())
	require.NotContains(t, second.out.String(), bought, "what happened in an earlier run is not shown again")
}

// What an older release kept is in public.
func TestDev_TakesOverWhatAnOlderReleaseKept(t *testing.T) {
	t.Parallel()
	data := filepath.Join(enterableDir(t), "kept")
	server, err := localpg.Start(t.Context(), localpg.Options{DataDir: data})
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Stop(context.WithoutCancel(t.Context())) })
	require.NoError(t, server.CreateDatabase(t.Context(), "conciliar"))
	environ := environment(server.URL("conciliar"), "http://127.0.0.1:1", map[string]string{"DATABASE_SCHEMA": "public"})
	require.Equal(t, exitDone, execute(t, environ, "migrate").code)
	execSQL(t, server.URL("conciliar"), `INSERT INTO public.orders (reference, amount, currency) VALUES ('kept-1', 150, 'ARS')`)
	require.NoError(t, server.Stop(t.Context()))

	p := startDev(t, "--http", "127.0.0.1:0", "--data", data)
	service := p.out.await(t, `service +(http://\S+)`)[1]
	token := p.out.await(t, `ORDERS_TOKEN=(\S+)\n`)[1]
	status, body := get(t, service+"/api/orders/kept-1", token)
	require.Equal(t, http.StatusOK, status, body)
	require.Equal(t, exitDone, p.stop())
}

// startDev starts dev, which has a database of its own to stop: it must not be
// killed.
func startDev(t *testing.T, args ...string) *process {
	t.Helper()
	p := start(t, nil, append([]string{"dev"}, args...)...)
	t.Cleanup(func() { p.stop() })
	return p
}

// enterableDir is a temporary directory that the server's user can enter, when
// the test runs as root. T.TempDir's parent is closed to others.
func enterableDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "conciliar-dev-*") //nolint:usetesting // see above
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o755))
	return dir
}

func TestDev_SaysWhyItCannotStart(t *testing.T) {
	t.Parallel()
	got := execute(t, nil, "dev", "--data", "/proc/version")
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.err, "/proc/version")
	require.NotContains(t, got.out, "stopped")
}
