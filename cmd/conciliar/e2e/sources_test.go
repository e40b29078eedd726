package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store/storetest"
)

// A sender is one that a file alone declares, at a service that runs.
type sender struct {
	file, service string
	environ       []string
	process       *process
}

// senderSecret is what it signs with.
const senderSecret = "the sender signs with that"

// openSender starts a service with a file of senders.
func openSender(t *testing.T, content string) *sender {
	t.Helper()
	_, providerURL := newProvider(t)
	s := &sender{file: filepath.Join(t.TempDir(), "sources.yaml")}
	s.declare(t, content)
	s.environ = environment(storetest.URL(t), providerURL, map[string]string{
		"SOURCES_FILE": s.file, "SENDER_SECRET": senderSecret, "SHOP_AUTHORIZATION": "Bearer of the shop", "ORDER_EVENTS_ALLOW_PRIVATE": "true",
	})
	s.process, s.service = serve(t, s.environ)
	return s
}

func (s *sender) declare(t *testing.T, content string) {
	t.Helper()
	require.NoError(t, os.WriteFile(s.file, []byte("version: 1\nsources:\n"+content), 0o600))
}

// reload has the service look at the file at once.
func (s *sender) reload(t *testing.T) {
	t.Helper()
	require.NoError(t, s.process.cmd.Process.Signal(syscall.SIGHUP))
}

// A hookAnswer is what a delivery is answered with.
type hookAnswer struct {
	code      int
	QueueID   int64 `json:"queue_id"`
	Duplicate bool  `json:"duplicate"`
}

// deliver has the sender deliver a body under a secret.
func (s *sender) deliver(t *testing.T, path, id, secret, body string) hookAnswer {
	t.Helper()
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.service+path, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	req.Header.Set("X-GitHub-Delivery", id)
	req.Header.Set("X-GitHub-Event", "push")
	status, answer, err := answerTo(req)
	require.NoError(t, err)
	found := hookAnswer{code: status}
	require.NoError(t, json.Unmarshal([]byte(answer), &found))
	return found
}

const githubSource = "  - name: github\n    verify: {scheme: github, secret_env: [SENDER_SECRET]}\n    id: {header: X-GitHub-Delivery}\n    type: {header: X-GitHub-Event}\n"

// A sender is added by the file alone: what it delivers is durable once, a forger is
// refused, and a bad change keeps what was declared before and is told.
func TestSources_ASenderIsAddedByTheFileAlone(t *testing.T) {
	t.Parallel()
	s := openSender(t, githubSource)
	first := s.deliver(t, "/hooks/github", "d-1", senderSecret, `{"ref":"main"}`)
	require.Equal(t, http.StatusOK, first.code)
	require.Equal(t, hookAnswer{http.StatusOK, first.QueueID, true}, s.deliver(t, "/hooks/github", "d-1", senderSecret, `{"ref":"main"}`))
	require.Equal(t, http.StatusUnauthorized, s.deliver(t, "/hooks/github", "d-2", "another secret", `{}`).code)
	require.Equal(t, http.StatusNotFound, s.deliver(t, "/hooks/own", "d-1", senderSecret, `{}`).code)
	shown := execute(t, s.environ, "events", "show", "1")
	require.Equal(t, exitDone, shown.code, shown.err)
	require.Contains(t, shown.out, "github")
	require.Contains(t, shown.out, "d-1")
	require.Equal(t, "ok", findings(t, s.environ, exitDone)["sources"].State)

	s.declare(t, githubSource+"  - name: own\n    path: /shop/hook\n    verify: {scheme: github, secret_env: [SENDER_SECRET]}\n")
	s.reload(t)
	s.process.err.await(t, `"sources taken over","sources":2`)
	require.Equal(t, http.StatusOK, s.deliver(t, "/shop/hook", "d-1", senderSecret, `{}`).code)

	s.declare(t, githubSource+"    secret: "+senderSecret)
	s.process.err.await(t, "line 7, column 5: unknown key secret")
	require.NotContains(t, s.process.err.String(), senderSecret)
	require.Equal(t, http.StatusOK, s.deliver(t, "/shop/hook", "d-2", senderSecret, `{}`).code, "the previous file stays")
	awaitBody(t, s.service+"/api/webhooks/status", statusToken, "A configuration file cannot be used as it is now")
	checked := execute(t, s.environ, "sources", "check")
	require.Equal(t, exitUsage, checked.code)
	require.Contains(t, checked.err, "SOURCES_FILE: line 7, column 5: unknown key secret")
	require.Equal(t, exitUsage, execute(t, s.environ, "serve").code, "it does not start with it")
	require.Equal(t, exitDone, execute(t, s.environ, "verify").code)
}

// What a declared sender delivers goes on as its template says, and so does a topic of
// Mercado Pago's that has no effect. A receiver that is down gets it when it is back.
func TestSources_EventsGoOnByTemplate(t *testing.T) {
	t.Parallel()
	type message struct{ id, kind, authorization, body string }
	var down atomic.Bool
	got := make(chan message, 20)
	shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if down.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		body, _ := io.ReadAll(r.Body)
		got <- message{r.Header.Get("webhook-id"), r.Header.Get("X-Type"), r.Header.Get("Authorization"), string(body)}
	}))
	t.Cleanup(shop.Close)
	s := openSender(t, githubSource+`    forward: {url: "`+shop.URL+`/github", headers: {X-Type: "{{.Type}}"}, headers_env: {Authorization: SHOP_AUTHORIZATION}, body: '{"branch":{{json .Body.ref}}}', retry: [1s, 1s, 1s, 1s, 1s, 1s, 1s, 1s]}
  - {name: mercadopago, topics: [delivery], forward: {url: "`+shop.URL+`/mercadopago"}}
`)
	first := s.deliver(t, "/hooks/github", "d-1", senderSecret, `{"ref":"main"}`)
	require.Equal(t, message{fmt.Sprintf("github-%d", first.QueueID), "push", "Bearer of the shop", `{"branch":"main"}`}, <-got)
	require.True(t, s.deliver(t, "/hooks/github", "d-1", senderSecret, `{"ref":"main"}`).Duplicate)
	awaitBody(t, s.service+fmt.Sprintf("/api/webhooks/events/%d", first.QueueID), statusToken, `"outcome":"forwarded"`)

	down.Store(true)
	second := s.deliver(t, "/hooks/github", "d-2", senderSecret, `{"ref":"next"}`)
	s.process.err.await(t, `"receiver":"source:github"`)
	s.process.err.await(t, `"status":502`)
	down.Store(false)
	require.Equal(t, fmt.Sprintf("github-%d", second.QueueID), (<-got).id)

	// A template that does not fit makes a dead letter, and the corrected one is
	// replayed with it.
	third := s.deliver(t, "/hooks/github", "d-3", senderSecret, `{"tag":"v1"}`)
	awaitBody(t, s.service+"/api/webhooks/dead-letters", statusToken, `"error_class":"template_failed"`)
	s.declare(t, githubSource+`    forward: {url: "`+shop.URL+`/github", body: '{{json (index .Body "ref")}}'}
  - {name: mercadopago, topics: [delivery], forward: {url: "`+shop.URL+`/mercadopago"}}
`)
	s.reload(t)
	s.process.err.await(t, `"sources taken over","sources":2`)
	require.Equal(t, exitDone, execute(t, s.environ, "events", "replay", fmt.Sprint(third.QueueID)).code)
	require.Equal(t, "null", (<-got).body)

	for topic, id := range map[string]string{"delivery": "5", "wallet_connect": "6"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.service+"/api/checkout/webhook?data.id="+id+"&type="+topic, strings.NewReader(`{"id":5}`))
		require.NoError(t, err)
		sign(req.Header, testSecret, id)
		status, _, err := answerTo(req)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, status)
	}
	passed := <-got
	require.Equal(t, `{"id":5}`, passed.body)
	require.Contains(t, passed.id, "mercadopago-")
	verified := execute(t, s.environ, "verify")
	require.Equal(t, exitDone, verified.code, verified.out)
	require.Empty(t, got)
	require.NotContains(t, s.process.err.String(), "Bearer of the shop")
}
