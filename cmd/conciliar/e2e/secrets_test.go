package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
	"github.com/conciliar/conciliar/store/storetest"
)

// A mailbox is an alert webhook that keeps what it is sent.
type mailbox struct {
	mu    sync.Mutex
	mails []string
}

func newMailbox(t *testing.T) (*mailbox, string) {
	t.Helper()
	m := &mailbox{}
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		m.mu.Lock()
		defer m.mu.Unlock()
		m.mails = append(m.mails, string(body))
	}))
	t.Cleanup(srv.Close)
	return m, srv.URL + "/services/T0/B0/" + mailboxToken
}

const mailboxToken = "token-in-the-address-of-alerts"

// payerData are what simulated payments say of who paid: see the simulator's
// payer and card.
var payerData = []string{"testuser.example", `"DNI"`, "12345678", "cardholder", "APRO"}

// A moodyProvider answers for three payments what Mercado Pago must not: what
// is not JSON, JSON of another shape, and a refusal, each with the payer's data
// in it. For the rest it is the simulator.
func newMoodyProvider(t *testing.T, sim *simulator.Simulator) string {
	t.Helper()
	payer := `"payer":{"email":"shopper@testuser.example","identification":{"type":"DNI","number":"12345678"}}`
	answers := map[string]struct {
		status int
		body   string
	}{
		"601": {http.StatusOK, `{"id":601,` + payer + `,"status":`},
		"602": {http.StatusOK, `{"id":"shopper@testuser.example","status":{` + payer + `},"transaction_amount":"12345678 APRO"}`},
		"603": {http.StatusForbidden, `{"message":"shopper@testuser.example may not","status":403,` + payer + `}`},
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, bad := answers[path.Base(r.URL.Path)]
		if !bad {
			sim.Handler().ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(answer.status)
		_, _ = io.WriteString(w, answer.body)
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

// A life is a service to which everything happens, and all that it let out.
type life struct {
	t       *testing.T
	environ []string
	service string
	sim     *simulator.Simulator
	// signatures are those of its webhooks, operators their cookies.
	signatures []string
	cookies    []string
	said       map[string]string
}

// send delivers a webhook, rightly signed or not, and remembers its signature.
func (l *life) send(paymentID, secret string) {
	l.t.Helper()
	signed := http.Header{}
	sign(signed, secret, paymentID)
	_, v1, found := strings.Cut(signed.Get("X-Signature"), "v1=")
	require.True(l.t, found)
	l.signatures = append(l.signatures, v1)
	for range 2 { // the second is a duplicate to the letter
		req, err := http.NewRequestWithContext(l.t.Context(), http.MethodPost,
			l.service+api.WebhookPath+"?data.id="+paymentID+"&type=payment", strings.NewReader(`{"type":"payment","data":{"id":"`+paymentID+`"}}`))
		require.NoError(l.t, err)
		req.Header = signed.Clone()
		resp, err := http.DefaultClient.Do(req)
		require.NoError(l.t, err)
		l.hear("the answer to a webhook", resp)
	}
}

// hear keeps an answer.
func (l *life) hear(what string, resp *http.Response) {
	l.t.Helper()
	body, err := io.ReadAll(resp.Body)
	require.NoError(l.t, err)
	require.NoError(l.t, resp.Body.Close())
	l.said[what] += fmt.Sprintln(resp.Status, resp.Header, string(body))
}

// command runs a command beside the service.
func (l *life) command(args ...string) {
	l.t.Helper()
	got := execute(l.t, l.environ, args...)
	l.said["conciliar "+strings.Join(args, " ")] = got.out + got.err
}

// everything is what can happen to a service in a day.
func (l *life) everything() {
	l.t.Helper()
	buy(l.t, l.sim, l.service, "order-1")
	awaitBody(l.t, l.service+"/api/orders/order-1", ordersToken, `"status":"paid"`)
	stray := strayPayment(l.sim)
	l.send(stray, testSecret)
	l.send("404404", testSecret)
	for _, id := range []string{"601", "602", "603"} {
		l.send(id, testSecret)
	}
	l.send("138", "a secret of somebody else")
	awaitBody(l.t, l.service+"/api/webhooks/status", statusToken, `"dead_letters":{"open":4`)
	awaitBody(l.t, l.service+"/api/webhooks/refused", statusToken, `"signature_mismatch"`)
	l.sim.SetRevoked(true) // the credential is refused in the middle of the day
	l.send(stray, testSecret)
	awaitBody(l.t, l.service+"/api/webhooks/status", statusToken, `"held":1`)
	l.sim.SetRevoked(false)

	operator := newOperator(l.t, l.service)
	require.Equal(l.t, http.StatusUnauthorized, operator.logIn(l.t, "a wrong password of sixteen").StatusCode)
	require.Equal(l.t, http.StatusOK, operator.logIn(l.t, operatorPassword).StatusCode)
	home, err := url.Parse(l.service)
	require.NoError(l.t, err)
	for _, c := range operator.client.Jar.Cookies(home) {
		l.cookies = append(l.cookies, c.Value)
	}
	require.NotEmpty(l.t, l.cookies)
	for _, page := range []string{"/dashboard", "/dashboard/events/1", "/dashboard/orders?reference=order-1", "/dashboard/refused/1", "/riverui/api/jobs?state=completed"} {
		resp, body := operator.send(l.t, http.MethodGet, page, "text/plain", "")
		require.Equal(l.t, http.StatusOK, resp.StatusCode, page)
		require.NotContains(l.t, body, testSecret, page)
	}
	for _, wrong := range []string{"/api/orders/%zz", "/api/webhooks/events?cursor=bad", "/api/webhooks/events/999999", "/nothing"} {
		req, err := http.NewRequestWithContext(l.t.Context(), http.MethodGet, l.service+wrong, nil)
		if err != nil {
			continue
		}
		req.Header.Set("Authorization", "Bearer "+statusToken)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(l.t, err)
		l.hear(wrong, resp)
	}
	_, l.said["the metrics"] = get(l.t, l.service+"/metrics", statusToken)

	for _, args := range [][]string{
		{"status"}, {"events", "list"}, {"events", "show", "1"}, {"dead-letters", "list"}, {"dead-letters", "show", "1"}, {"dead-letters", "show", "2"}, {"dead-letters", "show", "3"}, {"dead-letters", "show", "4"},
		{"events", "replay", "1"}, {"dead-letters", "replay", "1"}, {"dead-letters", "dismiss", "1", "--note", "looked at it"},
		{"anomalies", "list"}, {"anomalies", "resolve", "1", "--note", "looked at it"},
		{"orders", "list"}, {"orders", "cancel", "none", "--reason", "looked at it"},
		{"refused", "list"}, {"doctor"}, // refused show is there to show what signature was sent
		{"doctor", "--signature", "1"}, {"verify"}, {"reconcile"},
		{"alerts", "list"}, {"alerts", "test"}, {"migrate", "--status"}, {"process-queue"},
	} {
		l.command(args...)
	}
}

// Nothing that the service says, to whomever, holds a secret or says who paid.
func TestSecrets_NothingThatIsSaidHoldsOne(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"json", "tint"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			sim, _ := newProvider(t)
			provider := newMoodyProvider(t, sim)
			mails, alertURL := newMailbox(t)
			spans, collector := newTraceCollector(t)
			l := &life{t: t, sim: sim, said: map[string]string{}}
			databaseURL := storetest.URL(t)
			l.environ = environment(databaseURL, provider, map[string]string{
				"LOG_FORMAT": format, "LOG_LEVEL": "debug", "RETRY_MAX_ATTEMPTS": "1",
				"ALERT_WEBHOOK_URL": alertURL, "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
			})
			r := start(t, l.environ, "serve")
			l.service = "http://" + r.err.await(t, `serving.*?(127\.0\.0\.1:\d+)`)[1]
			l.everything()
			require.Equal(t, exitDone, r.stop())

			l.said["the log"] = r.err.String() + r.out.String()
			mails.mu.Lock()
			l.said["the alerts"] = strings.Join(mails.mails, "\n")
			mails.mu.Unlock()
			spans.mu.Lock()
			for _, span := range spans.spans {
				l.said["the traces"] += span.String() + "\n"
			}
			spans.mu.Unlock()
			require.Contains(t, l.said["the alerts"], `"text"`)
			require.Contains(t, l.said["the traces"], "webhook_payment")
			require.Contains(t, l.said["the log"], "payment_not_found")

			secrets := []string{
				testSecret, testAccess, statusToken, ordersToken, processToken, reconcileToken, operatorPassword,
				mailboxToken, databaseURL, "a secret of somebody else", "a wrong password of sixteen",
			}
			secrets = append(append(secrets, l.signatures...), l.cookies...)
			for what, text := range l.said {
				for _, secret := range append(secrets, payerData...) {
					require.NotContains(t, text, secret, what)
				}
			}
		})
	}
}

// Each call and each attempt is one line with all of its ids.
func TestLogs_OneLineForEachCallAndEachAttempt(t *testing.T) {
	t.Parallel()
	sim, provider := newProvider(t)
	r, service := serve(t, environment(storetest.URL(t), provider, nil))
	buy(t, sim, service, "order-1")
	awaitBody(t, service+"/api/orders/order-1", ordersToken, `"status":"paid"`)
	require.Equal(t, exitDone, r.stop())

	var calls, attempts []string
	for line := range strings.Lines(r.err.String()) {
		switch {
		case strings.Contains(line, `"msg":"request"`) && strings.Contains(line, `"path":"/api/checkout/webhook"`):
			calls = append(calls, line)
		case strings.Contains(line, `"msg":"attempt"`):
			attempts = append(attempts, line)
		}
	}
	require.Len(t, calls, 1)
	require.Len(t, attempts, 1)
	for _, key := range []string{"request_id", "queue_id", "topic", "outcome", "duration_ms"} {
		require.Contains(t, calls[0], `"`+key+`":`)
	}
	for _, key := range []string{"queue_id", "job_id", "attempt", "payment_id", "order_reference", "topic", "outcome", "duration_ms"} {
		require.Contains(t, attempts[0], `"`+key+`":`)
	}
}
