package main

import (
	"bytes"
	"context"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
)

// patience is how long a test waits for what must come: far longer than it
// takes, so that only what never comes fails.
const patience = time.Minute

// An outcome is what a command left behind.
type outcome struct {
	code     int
	out, err string
}

// execute runs one command to its end.
func execute(t *testing.T, environ []string, args ...string) outcome {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(t.Context(), args, stdio{in: strings.NewReader(""), out: &out, err: &errs, environ: environ})
	return outcome{code, out.String(), errs.String()}
}

// A running command is one that goes on until it is stopped.
type running struct {
	out, err *transcript
	// Both return the exit code once the command has ended; stop tells it to.
	stop, wait func() int
}

// start runs a command in the background. It is stopped when the test ends.
func start(t *testing.T, environ []string, args ...string) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	r := &running{out: newTranscript(), err: newTranscript()}
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, args, stdio{in: strings.NewReader(""), out: r.out, err: r.err, environ: environ})
		r.out.end()
		r.err.end()
	}()
	r.wait = sync.OnceValue(func() int { return <-ended })
	r.stop = func() int {
		cancel()
		return r.wait()
	}
	t.Cleanup(func() {
		r.stop()
		if t.Failed() {
			t.Logf("%v\n%s\n%s", args, r.out, r.err)
		}
	})
	return r
}

// A transcript is what a running command has written.
type transcript struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
	ended   bool
}

func newTranscript() *transcript { return &transcript{changed: make(chan struct{})} }

func (s *transcript) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
	return s.text.Write(p)
}

func (s *transcript) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *transcript) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// await returns the groups of the first match, as soon as there is one.
func (s *transcript) await(t *testing.T, pattern string) []string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	limit := time.After(patience)
	for {
		s.mu.Lock()
		found, changed, ended := re.FindStringSubmatch(s.text.String()), s.changed, s.ended
		s.mu.Unlock()
		if found != nil {
			return found
		}
		if ended {
			t.Fatalf("the command ended without %q", pattern)
		}
		select {
		case <-changed:
		case <-limit:
			t.Fatalf("%q never came", pattern)
		}
	}
}

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

// awaitBody reads a URL until its answer contains text.
func awaitBody(t *testing.T, url, token, text string) {
	t.Helper()
	var last string
	require.Eventually(t, func() bool {
		_, last = get(t, url, token)
		return strings.Contains(last, text)
	}, patience, 20*time.Millisecond, "%s never said %s", url, text)
}
