package e2e

import (
	"context"
	cryptorand "crypto/rand"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider/mercadopago"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
	"github.com/conciliar/conciliar/store/localpg"
)

// patience is how long a test waits for what must come: far longer than it
// takes, so that only what never comes fails.
const patience = 4 * time.Minute

// addressToKeep is an address for a service that is ended and started again. It
// lies below the ports that systems give to outgoing connections (from 32768 on
// Linux): such a connection would take it while nobody listens.
func addressToKeep(t *testing.T) string {
	t.Helper()
	const lowest, highest, tries = 15_000, 32_000, 100
	for range tries {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(lowest+rand.IntN(highest-lowest)))
		if ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address); err == nil {
			require.NoError(t, ln.Close())
			return address
		}
	}
	t.Fatal("no address is free")
	return ""
}

// ownPostgres is a server for one test, which is about more than one database.
func ownPostgres(t *testing.T) *localpg.Server {
	t.Helper()
	return startPostgres(t, localpg.Options{})
}

func startPostgres(t *testing.T, options localpg.Options) *localpg.Server {
	t.Helper()
	server, err := localpg.Start(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		require.NoError(t, server.Stop(ctx))
	})
	return server
}

// Secrets of the services that tests start.
const (
	testSecret     = "test-signing-secret"
	testAccess     = "TEST-access-token"
	statusToken    = "status-token-for-tests"
	ordersToken    = "orders-token-for-tests"
	processToken   = "process-token-for-tests"
	reconcileToken = "reconcile-token-for-tests"
	// operatorPassword opens the dashboard and River UI.
	operatorPassword = "operator-password-for-tests"
	serveLogPattern  = `"msg":"serving","address":"([^"]+)"`
)

// environment is what serve needs, changed.
func environment(databaseURL, providerURL string, changes map[string]string) []string {
	values := map[string]string{
		"DATABASE_URL":                databaseURL,
		"HTTP_ADDR":                   "127.0.0.1:0",
		"MERCADOPAGO_ACCESS_TOKEN":    testAccess,
		"MERCADOPAGO_WEBHOOK_SECRETS": testSecret,
		"MERCADOPAGO_BASE_URL":        providerURL,
		"STATUS_TOKENS":               statusToken,
		"PROCESS_QUEUE_TOKENS":        processToken,
		"RECONCILE_TOKENS":            reconcileToken,
		"ORDERS_TOKENS":               ordersToken,
		"OPERATOR_PASSWORD":           operatorPassword,
		"WORKERS":                     "4",
		// Once a year: no test may depend on whether an hour ends in it. A run
		// on start remains.
		"RECONCILE_SCHEDULE": "0 0 1 1 *",
		"LOG_FORMAT":         "json",
	}
	maps.Copy(values, changes)
	environ := make([]string, 0, len(values))
	for name, value := range values {
		environ = append(environ, name+"="+value)
	}
	return environ
}

// newProvider is a simulated Mercado Pago and the address of its API.
func newProvider(t *testing.T) (*simulator.Simulator, string) {
	t.Helper()
	sim, err := simulator.New(simulator.Config{Seed: 1, AccessToken: testAccess, Secret: testSecret})
	require.NoError(t, err)
	srv := httptest.NewServer(sim.Handler())
	t.Cleanup(srv.Close)
	return sim, srv.URL
}

// get reads a URL with a bearer token; an empty one sends none.
func get(t *testing.T, url, token string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(text)
}

// register registers an order as a merchant's shop does.
func register(ctx context.Context, service, reference string, amount decimal.Decimal, currency string) error {
	body := `{"amount":"` + amount.String() + `","currency":"` + currency + `"}`
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, service+"/api/orders/"+url.PathEscape(reference), strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+ordersToken)
	req.Header.Set("Content-Type", "application/json")
	status, answer, err := answerTo(req)
	if err == nil && status != http.StatusOK && status != http.StatusCreated {
		err = fmt.Errorf("register order %s: answer %d: %s", reference, status, answer)
	}
	return err
}

// answerTo makes a call and returns its status and body.
func answerTo(req *http.Request) (status int, body string, err error) {
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// sign sets the headers that Mercado Pago signs a delivery about a payment with.
func sign(header http.Header, secret, paymentID string) {
	requestID, ts := cryptorand.Text(), strconv.FormatInt(time.Now().Unix(), 10)
	header.Set("X-Request-Id", requestID)
	header.Set("X-Signature", mercadopago.Sign(secret, paymentID, requestID, ts))
}

// readDoc reads a file of the repository.
func readDoc(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(repositoryPath(name))
	require.NoError(t, err)
	return string(text)
}

// repositoryPath is the path of a file of the repository, by its name with
// slashes.
func repositoryPath(name string) string {
	return filepath.Join("..", "..", "..", filepath.FromSlash(name))
}

// eventually looks until something is so, and fails with the message when it never is. What
// takes seconds is looked at more and more seldom, and a look may take a fifth of the time:
// the status, which is often what is read, is thirty queries, and some looks are processes.
func eventually(t *testing.T, so func() bool, message ...any) {
	t.Helper()
	const shortest, longest = 10 * time.Millisecond, 500 * time.Millisecond
	deadline := time.Now().Add(patience)
	for pause := shortest; ; pause = min(pause*3/2, longest) {
		began := time.Now()
		if so() {
			return
		}
		if began.After(deadline) {
			require.Fail(t, "this never was so", message...)
		}
		select {
		case <-t.Context().Done():
			require.Fail(t, "the test ended before this was so", message...)
		case <-time.After(max(pause, min(4*time.Since(began), longest))):
		}
	}
}

// awaitBody reads a URL until its answer contains text.
func awaitBody(t *testing.T, url, token, text string) {
	t.Helper()
	var last string
	defer func() {
		if t.Failed() {
			t.Log("it said at last:", last)
		}
	}()
	eventually(t, func() bool {
		_, last = get(t, url, token)
		return strings.Contains(last, text)
	}, "%s never said %s", url, text)
}
