package e2e

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store/storetest"
)

// otherAccount is a Mercado Pago that says our token is of an account that the
// simulator does not have.
func otherAccount(t *testing.T, answers *atomic.Bool) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !answers.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte(`{"id":222}`))
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

func TestAccount_AnotherOnesTokenDoesNotStart(t *testing.T) {
	t.Parallel()
	_, provider := newProvider(t)
	databaseURL := storetest.URL(t)
	environ := environment(databaseURL, provider, nil)
	r, service := serve(t, environ)
	awaitBody(t, service+"/readyz", "", `"status":"ready"`)
	require.Equal(t, exitDone, r.stop())

	var answers atomic.Bool
	answers.Store(true)
	other := append(environ, "MERCADOPAGO_BASE_URL="+otherAccount(t, &answers))
	const says = "conciliar: the configuration is invalid:\n" +
		"MERCADOPAGO_ACCESS_TOKEN: is of account 222, and these records belong to account 190061234: use that account's token, or set MERCADOPAGO_COLLECTOR_ID to the account that is paid\n"
	for _, args := range [][]string{{"serve"}, {"serve", "--only", "api"}, {"serve", "--only", "worker"}, {"reconcile"}, {"process-queue"}} {
		got := execute(t, other, args...)
		require.Equal(t, exitUsage, got.code, args)
		require.Equal(t, says, got.err, args)
	}
	found := findings(t, other, exitFailed)
	require.Equal(t, "fail", found["collector"].State)
	require.Contains(t, found["collector"].Says, "account 222, and these records belong to account 190061234: the service does not start")
	require.Contains(t, found["collector"].Do, "MERCADOPAGO_COLLECTOR_ID")

	// Said on purpose, it is so.
	meant := append(other, "MERCADOPAGO_COLLECTOR_ID=222")
	r, service = serve(t, meant)
	awaitBody(t, service+"/readyz", "", `"status":"ready"`)
	require.Equal(t, exitDone, r.stop())
	require.Equal(t, "ok", findings(t, meant, exitDone)["collector"].State)

	// Without an answer the service starts, and stops once it hears one.
	answers.Store(false)
	r, _ = serve(t, other)
	require.Equal(t, "Only payments to account 190061234 pay orders.", findings(t, other, exitFailed)["collector"].Says)
	answers.Store(true)
	require.Equal(t, exitUsage, r.wait())
	require.Contains(t, r.err.String(), says)
	require.NotContains(t, r.err.String(), testAccess)
}

func TestAccount_IsAConditionWhileItIsUnknown(t *testing.T) {
	t.Parallel()
	var answers atomic.Bool
	environ := environment(storetest.URL(t), otherAccount(t, &answers), nil)
	_, service := serve(t, environ)
	awaitBody(t, service+"/api/webhooks/status", statusToken, "Our account at the payment provider is not known")
	found := findings(t, environ, exitFailed)
	require.Equal(t, "warn", found["collector"].State)
	require.Contains(t, found["collector"].Do, "MERCADOPAGO_COLLECTOR_ID")
	answers.Store(true)
	eventually(t, func() bool {
		_, body := get(t, service+"/api/webhooks/status", statusToken)
		return !strings.Contains(body, "Our account")
	})
}
