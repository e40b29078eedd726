package e2e

import (
	"bufio"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
	"github.com/conciliar/conciliar/store/storetest"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// serve starts the service on a free port and returns its base URL.
func serve(t *testing.T, environ []string, args ...string) (*process, string) {
	t.Helper()
	r := start(t, environ, append([]string{"serve"}, args...)...)
	return r, "http://" + r.err.await(t, serveLogPattern)[1]
}

// strayPayment creates an approved payment of an order that no shop has registered.
func strayPayment(sim *simulator.Simulator) string {
	return sim.CreatePayment(simulator.PaymentSpec{
		Reference: "nobody's", Amount: decimal.RequireFromString("10.00"), Status: simulator.Approved, StatusDetail: "accredited",
	})
}

// buy registers an order, creates an approved payment for it and delivers its
// webhook to the service.
func buy(t *testing.T, sim *simulator.Simulator, service, reference string) {
	t.Helper()
	amount := decimal.RequireFromString("150.00")
	require.NoError(t, register(t.Context(), service, reference, amount, "ARS"))
	id := sim.CreatePayment(simulator.PaymentSpec{
		Reference: reference, Amount: amount, Status: simulator.Approved, StatusDetail: "accredited",
	})
	require.NoError(t, sim.SetTarget(service+api.WebhookPath))
	result := sim.Notify(t.Context(), id)
	require.NoError(t, result.Err)
	require.True(t, result.Acknowledged(), "answer %d", result.StatusCode)
	require.Positive(t, result.QueueID)
}

func TestServe_TurnsAnOrderPaidAndStops(t *testing.T) {
	t.Parallel()
	sim, provider := newProvider(t)
	databaseURL := storetest.URL(t)
	r, service := serve(t, environment(databaseURL, provider, nil))

	for _, path := range []string{"/livez", "/readyz"} {
		status, body := get(t, service+path, "")
		require.Equal(t, 200, status, body)
	}
	buy(t, sim, service, "order-1")
	awaitBody(t, service+"/api/orders/order-1", ordersToken, `"status":"paid"`)

	require.Equal(t, exitDone, r.stop())
	dialer := net.Dialer{Timeout: time.Second}
	_, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(service, "http://"))
	require.Error(t, err, "the port must be free again")
	require.Zero(t, sessions(t, databaseURL), "every connection must be closed")
	for _, secret := range []string{testSecret, testAccess, statusToken, ordersToken, databaseURL} {
		require.NotContains(t, r.err.String(), secret)
	}
	require.Empty(t, r.out.String())
}

// sessions counts the service's sessions on a database. They end a moment after
// their connections.
func sessions(t *testing.T, databaseURL string) int {
	t.Helper()
	pool := storetest.Open(t, databaseURL)
	defer pool.Close()
	left := -1
	eventually(t, func() bool {
		err := pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND application_name = 'conciliar'`).Scan(&left)
		return err == nil && left == 0
	})
	return left
}

func TestServe_ReceiversAndWorkersMayBeApart(t *testing.T) {
	t.Parallel()
	sim, provider := newProvider(t)
	environ := environment(storetest.URL(t), provider, nil)

	receiver, service := serve(t, environ, "--only", "api")
	status, body := get(t, service+"/readyz", "")
	require.Equal(t, 200, status, body)
	buy(t, sim, service, "order-1")
	_, body = get(t, service+"/api/webhooks/status", statusToken)
	require.Contains(t, body, `"pending":1`, "a receiver works no jobs")

	worker, monitor := serve(t, environ, "--only", "worker")
	awaitBody(t, service+"/api/orders/order-1", ordersToken, `"status":"paid"`)
	status, body = get(t, monitor+"/readyz", "")
	require.Equal(t, 200, status, body)
	status, _ = get(t, monitor+"/api/webhooks/status", statusToken)
	require.Equal(t, 404, status, "a worker serves its health alone")
	require.Equal(t, exitDone, worker.stop())
	require.Equal(t, exitDone, receiver.stop())
}

func TestServe_RefusesASchemaThatIsBehind(t *testing.T) {
	t.Parallel()
	for name, databaseURL := range map[string]string{"nothing there": storetest.EmptyURL(t), "one step behind": oneStepBehind(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := execute(t, environment(databaseURL, "http://127.0.0.1:1", nil), "serve")
			require.Equal(t, exitFailed, got.code)
			require.Contains(t, got.err, "run 'conciliar migrate'")
			require.NotContains(t, got.err, `"msg":"serving"`)
		})
	}
}

// A release that was rolled back finds a schema that is ahead of it.
func TestServe_StartsOnASchemaThatIsAhead(t *testing.T) {
	t.Parallel()
	databaseURL := storetest.URL(t)
	execSQL(t, databaseURL, `INSERT INTO conciliar_migrations (version_id, is_applied) VALUES (99999, true)`)
	_, provider := newProvider(t)
	r, service := serve(t, environment(databaseURL, provider, nil))
	status, body := get(t, service+"/readyz", "")
	require.Equal(t, 200, status, body)
	require.Equal(t, exitDone, r.stop())
}

func oneStepBehind(t *testing.T) string {
	t.Helper()
	databaseURL := storetest.URL(t)
	execSQL(t, databaseURL, `DELETE FROM conciliar_migrations WHERE version_id = (SELECT max(version_id) FROM conciliar_migrations)`)
	return databaseURL
}

func execSQL(t *testing.T, databaseURL, sql string) {
	t.Helper()
	pool := storetest.Open(t, databaseURL)
	defer pool.Close()
	_, err := pool.Exec(t.Context(), sql)
	require.NoError(t, err)
}

func TestServe_NeedsAnAddressThatIsFree(t *testing.T) {
	t.Parallel()
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, taken.Close()) })
	databaseURL := storetest.URL(t)
	got := execute(t, environment(databaseURL, "http://127.0.0.1:1", map[string]string{"HTTP_ADDR": taken.Addr().String()}), "serve")
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.err, "HTTP_ADDR")
	require.Zero(t, sessions(t, databaseURL))
}

// A caller that never ends its request must not keep the process, nor take the
// time in which attempts are given back.
func TestServe_HangsUpOnCallersThatNeverEnd(t *testing.T) {
	t.Parallel()
	_, provider := newProvider(t)
	r, service := serve(t, environment(storetest.URL(t), provider, nil))
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(service, "http://"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	_, err = conn.Write([]byte("POST /api/checkout/webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n"))
	require.NoError(t, err)
	// It asks for the body as soon as it reads it (RFC 9110, section 10.1.1), and
	// so the call is under way.
	line, err := bufio.NewReader(conn).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "HTTP/1.1 100 Continue\r\n", line)
	_, err = conn.Write([]byte("half of"))
	require.NoError(t, err)

	require.Equal(t, exitDone, r.stop())
	require.Contains(t, r.err.String(), "hanging up on calls under way")
}

// A process that is told to end while it starts has done nothing wrong.
func TestServe_SIGTERMWhileItStartsIsNoFailure(t *testing.T) {
	t.Parallel()
	for step, table := range map[string]string{"schema": "conciliar_migrations", "workers": "river_queue"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			s := newShop(t, simulator.Faults{}, nil)
			tx, err := s.pool.Begin(t.Context())
			require.NoError(t, err)
			_, err = tx.Exec(t.Context(), `LOCK TABLE `+table+` IN ACCESS EXCLUSIVE MODE`)
			require.NoError(t, err)
			p := start(t, s.environ, "serve")
			fixture.Await(t, func() bool {
				return fixture.Count(t, s.pool, `SELECT count(*) FROM pg_locks WHERE relation = $1::regclass AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`, table) > 0
			})
			require.Zero(t, p.stop())
			require.NoError(t, tx.Rollback(t.Context()))
		})
	}
}
