package e2e

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store/localpg"
)

// ownDatabase starts a PostgreSQL of the test's own on data that outlives it; stop ends
// it, and start brings it back where it was.
func ownDatabase(t *testing.T) (address string, stop, start func()) {
	t.Helper()
	options := localpg.Options{DataDir: filepath.Join(enterableDir(t), "postgres")}
	var server *localpg.Server
	start = func() {
		var err error
		server, err = localpg.Start(t.Context(), options)
		require.NoError(t, err)
		options.Port = server.Port()
	}
	stop = func() { require.NoError(t, server.Stop(context.WithoutCancel(t.Context()))) }
	start()
	t.Cleanup(func() { _ = server.Stop(context.WithoutCancel(t.Context())) })
	require.NoError(t, server.CreateDatabase(t.Context(), "shop"))
	return server.URL("shop"), stop, start
}

// A page on a wall tells that its picture is old, and each page that is opened meanwhile
// says what is wrong; both come back by themselves.
func TestBrowser_TheDatabaseIsGoneAndComesBack(t *testing.T) {
	t.Parallel()
	_, provider := newProvider(t)
	address, stop, start := ownDatabase(t)
	environ := environment(address, provider, nil)
	got := execute(t, environ, "migrate")
	require.Zero(t, got.code, got.err)
	_, service := serve(t, environ)
	wall := newBrowser(t, service, "en-US")
	wall.expect("503")
	wall.logIn(t)
	wall.awaitText(t, "No webhook has come yet")
	wall.await(t, `document.getElementById("as-of").innerText.length === 8 && document.getElementById("stale").hidden`)
	other := newBrowser(t, service, "es-AR")
	other.expect("503")
	other.logIn(t)

	stop()

	wall.awaitText(t, "Not up to date since")
	wall.await(t, `document.getElementById("stale").innerText.includes(document.getElementById("as-of").innerText)`)
	wall.awaitText(t, "the database does not answer")
	wall.awaitText(t, "No webhook has come yet") // the last picture stays, and its age is told
	require.Empty(t, wall.accessibility(t))
	for _, path := range []string{"/dashboard/orders", "/riverui/", "/dashboard/login"} {
		other.open(t, path)
		other.awaitText(t, "La base de datos no responde")
		other.awaitText(t, "Mercado Pago los vuelve a enviar")
		other.await(t, `document.documentElement.lang === "es"`)
		require.Empty(t, other.accessibility(t), path)
	}
	other.open(t, "/dashboard/orders")

	start()

	other.awaitText(t, "Pedidos")
	other.await(t, `document.querySelector("nav.side") !== null`)
	wall.await(t, `document.getElementById("stale").hidden`)
}
