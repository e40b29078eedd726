package e2e

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago"
	"github.com/conciliar/conciliar/store/storetest"
)

// words reads a command as a shell does.
func words(t *testing.T, command string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `curl() { for word; do printf '%s\0' "$word"; done; }; `+command)
	out, err := cmd.Output()
	require.NoError(t, err)
	return strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
}

// requestOf makes the request that a printed curl would make.
func requestOf(t *testing.T, command string) *http.Request {
	t.Helper()
	args := words(t, command)
	require.Equal(t, []string{"-X", http.MethodPost}, args[:2])
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, args[2], nil)
	require.NoError(t, err)
	for i := 3; i < len(args); i += 2 {
		switch args[i] {
		case "-H":
			name, value, found := strings.Cut(args[i+1], ": ")
			require.True(t, found, args[i+1])
			req.Header.Set(name, value)
		case "-d":
			req.Body = io.NopCloser(strings.NewReader(args[i+1]))
		default:
			require.Fail(t, "unexpected argument", args[i])
		}
	}
	return req
}

// receive hands a request to the receiver of a service with testSecret.
func receive(t *testing.T, req *http.Request) (provider.Event, error) {
	t.Helper()
	verifier, err := mercadopago.NewVerifier([]string{testSecret}, mercadopago.WithTolerance(time.Minute))
	require.NoError(t, err)
	body, err := io.ReadAll(req.Body)
	require.NoError(t, err)
	return mercadopago.NewReceiver(verifier, false).Receive(provider.Delivery{
		Method: req.Method, RawQuery: req.URL.RawQuery, Header: req.Header, Body: body,
	})
}

func TestSign_ASampleIsAccepted(t *testing.T) {
	t.Parallel()
	const target = "https://shop.example/it's/hook?client=a%20b&note=$(id)"
	got := execute(t, nil, "simulate", "sign", "--secret", testSecret, "--id", "ORD01-ab_9", "--url", target)
	require.Equal(t, exitDone, got.code, got.err)
	req := requestOf(t, got.out)
	require.Equal(t, "/it's/hook", req.URL.Path)
	require.Equal(t, url.Values{"client": {"a b"}, "note": {"$(id)"}, "data.id": {"ORD01-ab_9"}, "type": {"payment"}}, req.URL.Query())

	event, err := receive(t, req)
	require.NoError(t, err)
	require.True(t, event.Signed)
	require.Equal(t, "ORD01-ab_9", event.ResourceID)

	got = execute(t, nil, "simulate", "sign", "--secret", "another-secret", "--id", "1")
	_, err = receive(t, requestOf(t, got.out))
	require.Error(t, err, "another secret must not do")
}

func TestSign_ItsHeadersAreAccepted(t *testing.T) {
	t.Parallel()
	got := execute(t, nil, "simulate", "sign", "--secret", testSecret, "--id", "123", "--header-only")
	require.Equal(t, exitDone, got.code, got.err)
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/?data.id=123&type=payment", nil)
	for line := range strings.Lines(got.out) {
		name, value, found := strings.Cut(strings.TrimSpace(line), ": ")
		require.True(t, found, line)
		req.Header.Set(name, value)
	}
	require.Len(t, req.Header, 2)
	event, err := receive(t, req)
	require.NoError(t, err)
	require.Equal(t, provider.Settle, event.Work)
}

// The simulator pays a shop's orders through a service that runs elsewhere.
func TestSimulate_PaysTheOrdersOfAService(t *testing.T) {
	t.Parallel()
	// The service must know the simulator's address before that is there, so
	// the address is one that forwards to it.
	sim := make(chan string, 1)
	front := forward(t, sim)
	_, service := serve(t, environment(storetest.URL(t), front, nil))
	r := start(t, nil, "simulate", "--listen", "127.0.0.1:0", "--secret", testSecret, "--access-token", testAccess,
		"--target", service+"/api/checkout/webhook", "--orders-url", service, "--orders-token", ordersToken,
		"--count", "5", "--duplicates", "1", "--seed", "7", "--exit")
	sim <- r.out.await(t, `simulated API at (http://\S+)`)[1]
	r.out.await(t, `5 orders registered`)
	r.out.await(t, `5 of 5 orders told`)
	require.Equal(t, exitDone, r.wait(), "it must end by itself")
	for _, reference := range []string{"sim-7-000001", "sim-7-000005"} {
		status, body := get(t, service+"/api/orders/"+reference, ordersToken)
		require.Equal(t, http.StatusOK, status, body)
	}
	_, body := get(t, service+"/api/webhooks/status", statusToken)
	require.NotContains(t, body, `"received_1h":0`)
}

// forward is an address whose calls go to where the channel says.
func forward(t *testing.T, to chan string) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		base := <-to
		to <- base
		req, err := http.NewRequestWithContext(r.Context(), r.Method, base+r.URL.RequestURI(), nil)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		req.Header = r.Header
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer func() { _ = resp.Body.Close() }()
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

func TestSimulate_BeginsWithAnOutageAndServesUntilItIsStopped(t *testing.T) {
	t.Parallel()
	r := start(t, nil, "simulate", "--listen", "127.0.0.1:0", "--secret", "s", "--access-token", testAccess, "--count", "0", "--outage", "1h")
	api := r.out.await(t, `simulated API at (http://\S+)`)[1]
	r.out.await(t, `serving until Ctrl-C`)
	client, err := mercadopago.NewClient(mercadopago.Config{BaseURL: api, AccessToken: testAccess})
	require.NoError(t, err)
	var refused *provider.Error
	require.ErrorAs(t, client.CheckCredentials(t.Context()), &refused)
	require.Equal(t, provider.Unavailable, refused.Kind)
	require.Equal(t, exitDone, r.stop())
	require.ErrorAs(t, client.CheckCredentials(t.Context()), &refused)
	require.Zero(t, refused.StatusCode, "nobody may answer any more")
}

func TestSimulate_EndsWithAnOrderThatCannotBeRegistered(t *testing.T) {
	t.Parallel()
	shop := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(shop.Close)
	got := execute(t, nil, "simulate", "--listen", "127.0.0.1:0", "--secret", "s", "--orders-url", shop.URL, "--orders-token", "t", "--count", "1")
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.err, "register order sim-1-")
	require.Contains(t, got.err, "404")
}

// Who follows a page starts the simulator before the service is up. Its settings are
// the service's own.
func TestSimulate_WaitsForItsService(t *testing.T) {
	t.Parallel()
	address := addressToKeep(t)
	r := start(t, []string{"MERCADOPAGO_WEBHOOK_SECRETS=" + testSecret + ",older", "ORDERS_TOKEN=" + ordersToken},
		"simulate", "--listen", "127.0.0.1:0", "--orders-url", "http://"+address, "--target", "http://"+address, "--count", "1", "--exit")
	r.out.await(t, "waiting for the service at http://"+address)
	calls := make(chan string, 10)
	shop := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			calls <- r.Header.Get("Authorization")
			w.WriteHeader(http.StatusCreated)
		}
	}))
	require.NoError(t, shop.Listener.Close())
	var err error
	shop.Listener, err = (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
	require.NoError(t, err)
	shop.Start()
	t.Cleanup(shop.Close)
	require.Equal(t, "Bearer "+ordersToken, <-calls)
	r.out.await(t, "1 of 1 orders told")
	require.Equal(t, exitDone, r.wait())
}

// A shop's developer pays, gives back and charges back orders of their own.
func TestSimulatePay_PaysMyOrderAtARunningSimulator(t *testing.T) {
	t.Parallel()
	sim := make(chan string, 1)
	front := forward(t, sim)
	_, service := serve(t, environment(storetest.URL(t), front, nil))
	r := start(t, nil, "simulate", "--listen", "127.0.0.1:0", "--secret", testSecret, "--access-token", testAccess,
		"--target", service+"/api/checkout/webhook", "--count", "0")
	url := r.out.await(t, `simulated API at (http://\S+)`)[1]
	sim <- url
	pay := func(order string, flags ...string) (receipt struct {
		PaymentID string `json:"payment_id"`
		OrderID   string `json:"order_id"`
		Status    string `json:"status"`
		Webhooks  []struct {
			QueueID int64 `json:"queue_id"`
		} `json:"webhooks"`
	}) {
		t.Helper()
		got := execute(t, nil, append([]string{"simulate", "pay", order, "--url", url, "--json"}, flags...)...)
		require.Equal(t, exitDone, got.code, got.err)
		require.NoError(t, json.Unmarshal([]byte(got.out), &receipt))
		return receipt
	}
	becomes := func(order, status string) {
		t.Helper()
		awaitBody(t, service+"/api/orders/"+order, ordersToken, `"status":"`+status+`"`)
	}
	for _, c := range []struct {
		order, status string
		flags         []string
	}{
		{"my-payment", "paid", nil},
		{"my-merchant-order", "paid", []string{"--as", "merchant_order"}},
		{"my-online-order", "paid", []string{"--as", "order"}},
		{"my-qr-order", "paid", []string{"--as", "order", "--order-type", "qr"}},
		{"my-rejection", "rejected", []string{"--status", "rejected"}},
	} {
		require.NoError(t, register(t.Context(), service, c.order, decimal.RequireFromString("150.00"), "ARS"))
		receipt := pay(c.order, append([]string{"--amount", "150.00"}, c.flags...)...)
		require.Len(t, receipt.Webhooks, 1)
		require.Positive(t, receipt.Webhooks[0].QueueID)
		becomes(c.order, c.status)
	}
	pay("my-payment", "--refund=50.00")
	becomes("my-payment", "partially_refunded")
	pay("my-payment", "--refund")
	becomes("my-payment", "refunded")
	pay("my-qr-order", "--chargeback")
	becomes("my-qr-order", "charged_back")
	pay("my-qr-order", "--chargeback=reimbursed")
	becomes("my-qr-order", "paid")

	// Nobody is told, and a run finds it. The one of the start would not, if it began before.
	awaitBody(t, service+"/metrics", statusToken, `conciliar_reconciliation_last_success_timestamp_seconds`)
	require.NoError(t, register(t.Context(), service, "my-lost-order", decimal.RequireFromString("80.00"), "ARS"))
	require.Empty(t, pay("my-lost-order", "--amount", "80.00", "--no-webhook").Webhooks)
	run, err := http.NewRequestWithContext(t.Context(), http.MethodPost, service+"/api/webhooks/reconcile?wait=30s", nil)
	require.NoError(t, err)
	run.Header.Set("Authorization", "Bearer "+reconcileToken)
	_, ended, err := answerTo(run)
	require.NoError(t, err)
	require.Contains(t, ended, `"missing_found":1`)
	becomes("my-lost-order", "paid")

	got := execute(t, nil, "simulate", "pay", "my-unknown-order", "--url", url)
	require.Equal(t, exitUsage, got.code)
	require.Contains(t, got.err, "say the amount")
	got = execute(t, nil, "simulate", "pay", "my-lost-order", "--url", service)
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.err, "is not a simulator")
}

func TestSimulatePay_FailsWhenTheWebhookIsNotAccepted(t *testing.T) {
	t.Parallel()
	r := start(t, nil, "simulate", "--listen", "127.0.0.1:0", "--secret", testSecret, "--target", "http://127.0.0.1:1/", "--count", "0")
	url := r.out.await(t, `simulated API at (http://\S+)`)[1]
	got := execute(t, nil, "simulate", "pay", "my-order", "--amount", "1", "--url", url)
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.out, "approved (accredited)", "the payment is there all the same")
	require.Contains(t, got.err, "webhook was not accepted")
}
